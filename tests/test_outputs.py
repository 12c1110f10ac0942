"""An output is never an input, and replaces what exists only where that is asked for."""

import shutil

import pytest
import xarray as xr
from conftest import make_basins
from small_models import model_for
from test_cli import call, refused

from runoff_lstm.data.readers import read_netcdf, write_dataset
from runoff_lstm.errors import InputError
from runoff_lstm.files import check_target
from runoff_lstm.prediction.bundle import write_bundle

ENDINGS = (".nc", ".zarr", ".csv", ".png")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_bundle(model_for(make_basins("01013500", "01022500")), tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "in.nc"
    write_dataset(make_basins("01013500", "01022500"), path)
    return path


def link(kind, path, to):
    path.symlink_to(to) if kind == "symbolic" else path.hardlink_to(to)
    return path


def contents(folder):
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


@pytest.mark.parametrize("kind", ["the file", "symbolic", "hard"])
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_no_command_writes_over_its_input_by_whatever_link(kind, force, model, data):
    out = data if kind == "the file" else link(kind, data.with_name("out.nc"), data)
    before = contents(data.parent)
    for command in (("simulate", model, data), ("forecast", model, data), ("convert", "netcdf", data)):
        assert f"{out} would be written over or into the input {data}" in refused(*command, "-o", out, *force)
    assert contents(data.parent) == before


def test_the_table_beside_what_is_converted_is_no_input_either(data, tmp_path):
    table = tmp_path / "out.nc.basins.csv"
    table.write_text("gauge_id,aridity\n01013500,1\n01022500,2\n")
    asked = ("convert", "netcdf", data, "-o", tmp_path / "out.nc", "--attributes", table, "--force")
    assert "out.nc.basins.csv would be written over or into the input" in refused(*asked)
    assert table.read_text().startswith("gauge_id,aridity")
    assert not (tmp_path / "out.nc").exists()


@pytest.mark.parametrize("out", ["all.nc", "all.zarr"])
def test_nothing_is_written_into_a_folder_of_tables_that_would_be_read_as_a_gauge(out, tmp_path):
    folder = tmp_path / "gauges"
    (folder / "results").mkdir(parents=True)
    (folder / "01.csv").write_text("time,rain\n2000-01-01,1\n2000-01-02,2\n")
    before = contents(tmp_path)
    asked = ("convert", "csv", folder, "--unit", "rain=mm/d", "--force", "-o")
    assert f"{out}.basins.csv would be written over or into the input {folder}" in refused(*asked, folder / out)
    assert contents(tmp_path) == before
    assert call(*asked, folder / "results" / out).exit_code == 0
    check_target(folder / out, endings=ENDINGS, inputs=[folder])


@pytest.mark.parametrize("mark", ["basin_mean_forcing/", "timeseries/", ".zgroup", "zarr.json"])
@pytest.mark.parametrize("place", ["out.nc", "deep/out.nc", "deep/out.csv"])
def test_nothing_is_written_into_an_archive_or_a_store(mark, place, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "list.csv").touch()
    (tmp_path / mark).mkdir() if mark.endswith("/") else (tmp_path / mark).touch()
    with pytest.raises(InputError, match="over or into the input"):
        check_target(tmp_path / place, endings=ENDINGS, inputs=[tmp_path], force=True)


def test_a_link_in_a_folder_that_is_read_leads_to_an_input(tmp_path):
    (tmp_path / "gauges").mkdir()
    (tmp_path / "kept.nc").write_text("a gauge")
    link("symbolic", tmp_path / "gauges" / "01.csv", tmp_path / "kept.nc")
    with pytest.raises(InputError, match="over or into the input"):
        check_target(tmp_path / "kept.nc", endings=ENDINGS, inputs=[tmp_path / "gauges"], force=True)
    link("symbolic", tmp_path / "gauges" / "around", tmp_path / "gauges")
    (tmp_path / "other.nc").touch()
    check_target(tmp_path / "other.nc", endings=ENDINGS, inputs=[tmp_path / "gauges"], force=True)


@pytest.mark.parametrize(("out", "given"), [("a.zarr", "a.zarr/in.nc"), ("o.nc", ".o.part.nc"), ("o.zarr", ".o.old.zarr/in.nc")])
def test_an_output_neither_holds_an_input_nor_passes_over_one(out, given, tmp_path):
    (tmp_path / given).parent.mkdir(exist_ok=True)
    (tmp_path / given).touch()
    with pytest.raises(InputError, match="over or into the input"):
        check_target(tmp_path / out, endings=ENDINGS, inputs=[tmp_path / given], force=True)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_exists_is_replaced_by_force_alone(ending, tmp_path):
    out = tmp_path / f"out{ending}"
    if ending == ".zarr":
        out.mkdir()
        (out / ".zgroup").touch()
    else:
        out.touch()
    with pytest.raises(
        InputError, match=r"is there already; choose another name, or replace it by --force \(in Python force=True\)"
    ):
        check_target(out, endings=ENDINGS)
    check_target(out, endings=ENDINGS, force=True)
    link("symbolic", tmp_path / f"lost{ending}", tmp_path / "nowhere")
    with pytest.raises(InputError, match="is there already"):
        check_target(tmp_path / f"lost{ending}", endings=ENDINGS)


def test_a_folder_or_file_of_another_kind_is_not_replaced(tmp_path):
    for name in ("out.nc", "photos.zarr"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").touch()
        with pytest.raises(InputError, match=r"is a folder"):
            check_target(tmp_path / name, endings=ENDINGS, force=True)
    (tmp_path / "file.zarr").touch()
    with pytest.raises(InputError, match="is a file and no Zarr store"):
        check_target(tmp_path / "file.zarr", endings=ENDINGS, force=True)


def test_commands_replace_an_output_only_by_force(model, data, tmp_path):
    scores = tmp_path / "scores.csv"
    scores.write_text("gauge_id,NSE\n01013500,0.5\n01022500,0.6\n")
    (tmp_path / "model.safetensors").write_bytes(model.read_bytes())
    for command, name in (
        (("simulate", model, data), "s.nc"),
        (("convert", "netcdf", data), "c.nc"),
        (("convert", "netcdf", data), "c.zarr"),
        (("compare", scores, scores), "d.csv"),
        (("compare", scores, scores), "d.png"),
    ):
        asked = (*command, "-o", tmp_path / name)
        assert call(*asked).exit_code == 0, call(*asked).output
        before = contents(tmp_path)
        assert f"{name} is there already" in refused(*asked)
        assert contents(tmp_path) == before
        assert call(*asked, "--force").exit_code == 0
        assert contents(tmp_path).keys() == before.keys()
    assert "over or into the input" in refused("compare", scores, scores, "-o", scores, "--force")


@pytest.mark.parametrize("name", ["again.nc", "again.zarr"])
def test_a_dataset_is_not_written_over_what_it_was_read_from(name, tmp_path):
    basins, path = make_basins("01013500"), tmp_path / name
    write_dataset(basins, path)
    write_dataset(basins.isel(time=slice(400)), path, force=True)
    read = read_netcdf(path)
    assert read.sizes["time"] == 400
    for dataset in (read, xr.open_dataset(path) if path.is_file() else xr.open_zarr(path)):
        before = contents(tmp_path)
        with pytest.raises(InputError, match="over or into the input"):
            write_dataset(dataset, path, force=True)
        assert contents(tmp_path) == before
        dataset.close()


def test_a_store_that_cannot_be_replaced_is_still_there(tmp_path, monkeypatch):
    path = tmp_path / "store.zarr"
    write_dataset(make_basins("01013500"), path)
    before, replace = contents(tmp_path), type(path).replace

    def fails(self, target):
        if ".part." in self.name:
            raise OSError("no")
        return replace(self, target)

    monkeypatch.setattr(type(path), "replace", fails)
    with pytest.raises(InputError, match="what was there is kept"):
        write_dataset(make_basins("01022500"), path, force=True)
    monkeypatch.undo()
    assert contents(tmp_path) == before
    shutil.rmtree(path)
