"""A new archive is one file and one row: a made-up source is used by experiment file, command and recognition."""

import ast
from pathlib import Path

import pytest
import xarray as xr
from conftest import make_basins
from typer.testing import CliRunner

import runoff_lstm as rl
from runoff_lstm.cli import app
from runoff_lstm.data import readers
from runoff_lstm.data.readers import SOURCES, Source, source_of
from runoff_lstm.errors import InputError
from runoff_lstm.experiment import read_experiment

EXPERIMENT = """
name = "moon"
[data]
source = "camels_moon"
path = "archive"
forcing = ["rain"]
crater = 3
[periods]
train = [2000-01-20, 2000-02-20]
[training]
steps = 1
"""


def read_camels_moon(path, gauge_ids=None, *, crater=1, variables=None, on_missing="refuse"):
    return make_basins("01", days=40).assign_attrs(crater=crater)


@pytest.fixture
def moon(monkeypatch, tmp_path):
    """A row of the table, and an archive that it recognises."""
    row = Source(read_camels_moon, {"crater": int}, lambda path: (path / "craters").is_dir(), "the folder of CAMELS-MOON")
    monkeypatch.setitem(SOURCES, "camels_moon", row)
    (tmp_path / "archive" / "craters").mkdir(parents=True)
    return tmp_path / "archive"


def test_a_row_is_a_source_of_the_experiment_file_with_its_own_keys(moon):
    path = moon.with_name("moon.toml")
    path.write_text(EXPERIMENT)
    data = read_experiment(path).data
    assert data.reader_arguments()["crater"] == 3
    for old, new, message in (
        ("crater = 3", 'crater = "deep"', r"\[data\] crater = 'deep': input should be a valid integer"),
        ("crater = 3", "crator = 3", r"\[data\] crator: unknown key; did you mean 'crater'"),
        ("crater = 3", 'form = "csv"', r'\[data\] form is for source = "caravan", not "camels_moon"; remove it'),
        ("camels_moon", "camels_noon", r"source = 'camels_noon' is not known; did you mean 'camels_moon'"),
    ):
        path.write_text(EXPERIMENT.replace(old, new))
        with pytest.raises(InputError, match=message):
            read_experiment(path)


def test_a_row_is_converted_recognised_public_and_named_in_the_help(moon):
    out = moon.with_name("out.nc")
    result = CliRunner().invoke(app, ["convert", "camels_moon", str(moon), "-o", str(out)])
    assert result.exit_code == 0, result.output
    with xr.open_dataset(out) as written:
        assert written["basin"].values.tolist() == ["01"]
    assert source_of(moon) == "camels_moon"
    assert rl.read_camels_moon is read_camels_moon
    assert "camels_moon: the folder of CAMELS-MOON" in " ".join(CliRunner().invoke(app, ["convert", "--help"]).output.split())


@pytest.mark.parametrize(
    ("name", "source"), [("x.nc", "netcdf"), ("x.CSV", "csv"), ("folder", "csv"), ("store", "zarr"), ("us", "camels_us")]
)
def test_a_path_is_recognised(tmp_path, name, source):
    for folder in ("folder", "store", "us/basin_mean_forcing"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "store" / ".zgroup").touch()
    assert source_of(tmp_path / name) == source


def test_readers_do_not_know_each_other():
    modules = {source.read.__module__ for source in SOURCES.values()}
    for file in Path(readers.__file__).parent.glob("*.py"):
        if file.stem not in ("__init__", "sources"):
            imports = {node.module for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)}
            assert not imports & modules, f"{file.name} imports another reader"
