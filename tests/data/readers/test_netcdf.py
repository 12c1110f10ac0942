import json
import logging
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_basins

from runoff_lstm.data.filling import fill_by_interpolation
from runoff_lstm.data.masks import measured, sees_later
from runoff_lstm.data.names import SOURCE
from runoff_lstm.data.readers import READERS, read_netcdf, write_dataset
from runoff_lstm.errors import InputError

LEAF = Path(__file__).parents[3] / "catchments" / "leaf" / "leaf.nc"


@pytest.fixture
def write(tmp_path):
    def written(dataset, name="data.nc"):
        dataset.to_netcdf(tmp_path / name)
        return tmp_path / name

    return written


def test_the_bundled_catchment_is_read_as_it_is():
    leaf = read_netcdf(LEAF)
    assert dict(leaf.sizes) == {"basin": 1, "time": 11322}
    first = leaf.isel(basin=0, time=0)
    assert float(first["precipitation"]) == 0
    assert float(first["potential_evapotranspiration"]) == pytest.approx(1.3891, rel=1e-6)
    assert float(first["discharge"]) == pytest.approx(0.32386923, rel=1e-6)
    assert int(leaf["discharge"].isnull().sum()) == 0


def test_a_file_of_ours_that_is_open_elsewhere_is_read_again_and_again(tmp_path, basins):
    write_dataset(basins, tmp_path / "ours.nc")
    for path in (LEAF, tmp_path / "ours.nc"):
        with xr.open_dataset(path) as held:  # with gauge ids as netCDF strings some versions of netCDF4 end the process here
            held.load()
            assert held["basin"].encoding["dtype"] == "S1"
            for _ in range(3):
                assert read_netcdf(path)["basin"].values.tolist() == held["basin"].values.tolist()


def test_names_and_units_of_others_are_mapped(write, basins):
    theirs = basins.rename(basin="station", time="date", rain="P", discharge="QObs")
    theirs["QObs"] = (theirs["QObs"] * 864 / 86.4).assign_attrs(units="m3/s")
    theirs["temperature"] = (theirs["temperature"] + 273.15).assign_attrs(units="K")
    ours = read_netcdf(write(theirs), rename={"basin": "station", "time": "date", "rain": "P", "discharge": "QObs"}, area_km2=864.0)
    for name in ("rain", "temperature", "discharge"):
        np.testing.assert_allclose(ours[name], basins[name], rtol=1e-5, atol=1e-4)
        assert ours[name].attrs["units"] == basins[name].attrs["units"]
    assert ours["basin"].values.tolist() == ["01013500", "01022500", "02064000"]


def test_units_of_the_config_take_the_place_of_the_files(write, basins):
    theirs = basins.assign(rain=(basins["rain"] / 10).drop_attrs())
    np.testing.assert_allclose(read_netcdf(write(theirs), units={"rain": "cm/day"})["rain"], basins["rain"], rtol=1e-5)


def test_the_area_in_the_file_is_used_in_its_unit(write, basins):
    theirs = basins.assign(
        discharge=(basins["discharge"] / 86.4).assign_attrs(units="m3/s"), area_km2=("basin", [1e6, 1e6, 1e6], {"units": "m2"})
    )
    np.testing.assert_allclose(read_netcdf(write(theirs))["discharge"], basins["discharge"], rtol=1e-5)


def test_gauge_ids_are_chosen_in_order(write, basins):
    some = read_netcdf(write(basins), ["02064000", "01013500"])
    assert some["basin"].values.tolist() == ["02064000", "01013500"]
    np.testing.assert_array_equal(some["rain"], basins["rain"].isel(basin=[2, 0]))


def test_missing_markers_and_negative_flow_become_nan_and_are_counted_and_told(write, basins, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    rain, flow = basins["rain"].copy(), basins["discharge"].copy()
    rain[0, 3:5], rain[1, 7], rain[2, 9] = -999, -9999, -888
    flow[0, 6], flow[1, 8] = -0.5, -999
    read = read_netcdf(write(basins.assign(rain=rain, discharge=flow)), missing=[-888, "?"])
    assert int(read["rain"].isnull().sum()) == 4 == read["rain"].attrs["set_missing"]
    assert int(read["discharge"].isnull().sum()) == 2 == read["discharge"].attrs["set_missing"]
    told = caplog.text
    assert "basin 01013500: rain: 2 value(s) marked as missing, the first -999.0 on 2000-01-04" in told
    assert "basin 01013500: discharge: 1 value(s) negative, taken as missing, the first -0.5 on 2000-01-07" in told


def test_attributes_are_joined_by_gauge_id(write, basins, tmp_path, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    (tmp_path / "attributes.csv").write_text("gauge_id,aridity,name\n02064000,3,c\n01013500,1,a\n01022500,2,b\n")
    read = read_netcdf(write(basins), attributes=tmp_path / "attributes.csv")
    assert read["aridity"].values.tolist() == [1, 2, 3]
    assert "columns that are not numbers are left out: name" in caplog.text


def test_one_basin_without_a_basin_dimension_takes_the_files_name(write, basin):
    read = read_netcdf(write(basin.isel(basin=0).drop_vars(["basin", "leak", "slope"]), "01013500.nc"))
    assert read["basin"].values.tolist() == ["01013500"]
    np.testing.assert_array_equal(read["rain"], basin["rain"])


def test_gauge_ids_in_a_variable_over_another_dimension_are_found(write, basins):
    theirs = basins.rename(basin="n").drop_vars("n").assign(id=("n", ["01013500", "01022500", "02064000"]))
    read = read_netcdf(write(theirs), rename={"basin": "id"})
    assert read["basin"].values.tolist() == ["01013500", "01022500", "02064000"]
    np.testing.assert_array_equal(read["rain"], basins["rain"])


def test_gauge_ids_as_bytes_are_text(write, basins):
    read = read_netcdf(write(basins.assign_coords(basin=np.array(["01013500", "01022500", "02064000"], dtype="S8"))))
    assert read["basin"].values.tolist() == ["01013500", "01022500", "02064000"]


def test_hourly_data_are_read_as_millimetres_an_hour(write):
    hours = make_basins("a", days=200, freq="h")
    daily_rate = hours.assign(rain=(hours["rain"] * 24).assign_attrs(units="mm d-1"))
    read = read_netcdf(write(daily_rate))
    assert read["rain"].attrs["units"] == "mm h-1"
    np.testing.assert_allclose(read["rain"], hours["rain"], rtol=1e-5)


def test_daily_stamps_at_noon_are_their_day(write, basins, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    read = read_netcdf(write(basins.assign_coords(time=basins["time"] + np.timedelta64(12, "h"))))
    np.testing.assert_array_equal(read["time"], basins["time"])
    assert "12:00 are taken as the day they lie in" in caplog.text


@pytest.mark.parametrize("name", ["again.nc", "again.zarr"])
def test_what_is_written_is_read_again(tmp_path, basins, name):
    write_dataset(basins, tmp_path / name)
    again = read_netcdf(tmp_path / name)
    for variable in basins.data_vars:
        np.testing.assert_array_equal(again[variable], basins[variable])
    assert again["basin"].values.tolist() == basins["basin"].values.tolist()
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_other_endings_and_stores_that_are_there_are_refused(tmp_path, basins):
    with pytest.raises(InputError, match=r"end in \.nc or \.zarr"):
        write_dataset(basins, tmp_path / "data.xlsx")
    write_dataset(basins, tmp_path / "data.zarr")
    with pytest.raises(InputError, match="is there already"):
        write_dataset(basins, tmp_path / "data.zarr")


def test_the_dataset_tells_how_to_read_it_again(write, basins, tmp_path):
    (tmp_path / "attributes.csv").write_text("gauge_id,aridity\n01013500,1\n02064000,3\n")
    first = read_netcdf(
        write(basins.rename(rain="P")), ["02064000"], rename={"rain": "P"}, missing=[-888], attributes=tmp_path / "attributes.csv"
    )
    called = json.loads(first.attrs[SOURCE])
    again = READERS[called.pop("source")](called.pop("path"), **called)
    assert again.identical(first)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda d: d, {"gauge_ids": ["01013501"]}, "gauge id '01013501' is not in the data; did you mean '01013500'"),
        (lambda d: d, {"variables": ["rian", "discharge"]}, "no variable 'rian'; did you mean 'rain'"),
        (lambda d: d, {"rename": {"prcp": "rian"}}, "no 'rian' to call 'prcp'; did you mean 'rain'"),
        (lambda d: d, {"rename": {"rain": "temperature"}}, "have both 'temperature' and 'rain'"),
        (lambda d: d.assign_coords(basin=[1013500, 1022500, 2064000]), {}, "gauge ids are numbers .* leading zeros may be lost"),
        (lambda d: d.assign(rain=d["rain"].drop_attrs()), {}, r'rain has no unit; say which: units = \{rain = "mm d-1"\}'),
        (lambda d: d, {"units": {"rain": "buckets"}}, "the unit 'buckets' is not known"),
        (lambda d: d, {"units": {"discharge": "m3/s"}}, "basin 01013500, 01022500, 02064000: .* needs the area"),
        (lambda d: d, {"units": {"discharge": "m3/s"}, "area_km2": {"01013500": 3.0}}, "no value for basin 01022500, 02064000"),
        (
            lambda d: d,
            {"units": {"discharge": "m3/s"}, "area_km2": 0.0},
            "basin 01013500: area_km2 is 0; give an area in km2, above zero",
        ),
        (lambda d: d.isel(time=[0, 1, 1, 2]), {}, "has 2000-01-02 twice"),
        (lambda d: d.isel(time=[2, 1, 0]), {}, "goes back"),
        (lambda d: d.isel(time=[0, 1, 3]), {}, "not regular"),
        (lambda d: d.rename(basin="station"), {}, "no dimension 'basin' but station; map it"),
        (lambda d: d.rename(time="date"), {}, "no dimension 'time'"),
        (lambda d: d.rename(basin="n").drop_vars("n").rename(n="basin"), {}, "dimension 'basin' has no gauge ids"),
        (lambda d: d.assign(rain=d["rain"].where(d["rain"] != d["rain"].max(), np.inf)), {}, "rain is infinite"),
        (
            lambda d: d.assign(temperature=d["temperature"].where(d["time"] != d["time"][9], -9998.0)),
            {},
            "-9998 .* looks like a marker",
        ),
        (lambda d: d.assign(temperature=d["temperature"].where(d["time"] != d["time"][9], 1e30)), {}, "looks like a marker"),
        (lambda d: d.assign(rain=d["rain"].where(d["time"] != d["time"][9], -2.0)), {}, "rain is negative on 1 step"),
        (lambda d: d, {"units": {"rain": "m d-1"}}, "more than any river carries or any sky has rained; check its unit"),
        (lambda d: d.convert_calendar("noleap"), {}, "not dates of the standard calendar"),
    ],
)
def test_what_cannot_be_read_rightly_is_refused(write, basins, change, options, message):
    with pytest.raises(InputError, match=message):
        read_netcdf(write(change(basins)), **options)


def test_an_attribute_row_that_is_missing_is_named(write, basins, tmp_path):
    (tmp_path / "attributes.csv").write_text("gauge_id,aridity\n01013500,1\n02064000,3\n")
    with pytest.raises(InputError, match="basin 01022500 has no row"):
        read_netcdf(write(basins), attributes=tmp_path / "attributes.csv")
    with pytest.raises(InputError, match=r"atributes.csv is not there; did you mean 'attributes.csv'"):
        read_netcdf(write(basins), attributes=tmp_path / "atributes.csv")


def test_missing_damaged_and_foreign_files_are_refused(write, basins, tmp_path):
    path = write(basins)
    with pytest.raises(InputError, match=r"dat.nc is not there; did you mean 'data.nc'"):
        read_netcdf(tmp_path / "dat.nc")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="not a whole netCDF file"):
        read_netcdf(path)
    path.write_text("a,b,c\n")
    with pytest.raises(InputError, match="not a whole netCDF file"):
        read_netcdf(path)


def test_a_time_axis_is_mended_when_asked_and_told(write, basins, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    muddled = basins.isel(time=[*range(5, 20), 0, 1, 2, 3, 3])
    mended = read_netcdf(write(muddled), mend_time=True)
    np.testing.assert_array_equal(mended["time"], basins["time"][:20])
    assert mended["rain"].isnull().sum("time").values.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(mended["rain"][:, 5:], basins["rain"][:, 5:20])
    for told in (
        "not in the order of time; sorted",
        "1 repeated row(s) dropped",
        "1 missing row(s) added as NaN, the first 2000-01-05",
    ):
        assert told in caplog.text


def test_repeated_rows_that_differ_are_refused_even_when_mending(write, basins):
    muddled = basins.isel(time=[0, 1, 1, 2, 3]).copy(deep=True)
    muddled["rain"][0, 2] += 1
    with pytest.raises(InputError, match="2000-01-02 is there twice with different rain"):
        read_netcdf(write(muddled), mend_time=True)


@pytest.mark.large_data
def test_the_531_basins_are_read_by_the_formula(large_data):
    names = ["prcp", "srad", "tmax", "tmin", "vp", "discharge"]
    read = read_netcdf(large_data / "camels_us_531.nc", variables=names, rename={"discharge": "discharge_cfs"})
    with xr.open_dataset(large_data / "camels_us_531.nc") as raw:
        for gauge_id in ("01022500", "11532500"):
            one = raw.sel(basin=gauge_id)
            depth = one["discharge_cfs"] * 0.028316846592 * 86.4 / one["area_km2"]
            np.testing.assert_allclose(read["discharge"].sel(basin=gauge_id), depth, rtol=1e-6)
            np.testing.assert_allclose(read["tmin"].sel(basin=gauge_id), one["tmin"], rtol=1e-6)
    assert dict(read.sizes) == {"basin": 531, "time": 10593}
    assert pd.Timestamp(read["time"].values[-1]) == pd.Timestamp("2008-12-31")


@pytest.mark.parametrize("gauge_id", ["01013500", b"01013500"])
def test_one_gauge_id_as_a_scalar_is_text_with_its_zeros(write, basin, gauge_id):
    read = read_netcdf(write(basin.isel(basin=0).assign_coords(basin=np.array(gauge_id))))
    assert read["basin"].values.tolist() == ["01013500"]


def test_one_numeric_gauge_id_as_a_scalar_is_refused(write, basin):
    with pytest.raises(InputError, match="the gauge id 1013500 is not text, so leading zeros may be lost"):
        read_netcdf(write(basin.isel(basin=0).assign_coords(basin=1013500)))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_anywhere_is_refused(tmp_path, share):
    write_dataset(make_basins("a", "b", days=2000), tmp_path / "data.nc")
    content = (tmp_path / "data.nc").read_bytes()
    (tmp_path / "data.nc").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match="not a whole netCDF file"):
        read_netcdf(tmp_path / "data.nc")


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a whole netCDF file or Zarr store"):
        read_netcdf(tmp_path)


def test_the_count_is_of_this_reading_alone(write, basins, tmp_path):
    first = read_netcdf(write(basins.assign(rain=basins["rain"].where(basins["time"] != basins["time"][3], -999.0))))
    write_dataset(first, tmp_path / "again.nc")
    assert first["rain"].attrs["set_missing"] == 3
    assert read_netcdf(tmp_path / "again.nc")["rain"].attrs["set_missing"] == 0


def test_markers_in_attributes_are_missing(write, basins, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    read = read_netcdf(write(basins.assign(slope=("basin", [1.0, -999.0, 3.0]))))
    np.testing.assert_array_equal(read["slope"], [1.0, np.nan, 3.0])
    assert "basin 01022500: attribute slope is marked as missing" in caplog.text


@pytest.mark.parametrize("value", [9999.0, 65535.0])
def test_a_basin_of_nothing_but_a_marker_is_refused_beside_sound_ones(write, basins, value):
    heat = basins["temperature"].copy()
    heat[1] = value
    with pytest.raises(
        InputError, match=f"basin 01022500, 2000-01-01: temperature is {value:g} .* and nothing else: it looks like"
    ):
        read_netcdf(write(basins.assign(temperature=heat)))


def test_a_marker_that_fits_among_other_basins_is_seen_in_its_own(write, basins):
    heat = basins["temperature"].copy()
    heat[0] = heat[0] * 100
    heat[1, 5] = 999.0
    with pytest.raises(InputError, match="basin 01022500, 2000-01-06: temperature is 999"):
        read_netcdf(write(basins.assign(temperature=heat)))


def test_infinite_discharge_is_refused_not_taken_as_negative(write, basins):
    flow = basins["discharge"].copy()
    flow[1, 4] = -np.inf
    with pytest.raises(InputError, match="basin 01022500, 2000-01-05: discharge is infinite"):
        read_netcdf(write(basins.assign(discharge=flow)))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda d: d, {"units": {"dicharge": "ft3/s"}, "variables": ["rain", "discharge"]}, "no variable 'dicharge'; did you mean"),
        (lambda d: d.assign(rain=d["rain"].assign_attrs(units=" ")), {}, "rain has no unit"),
        (lambda d: d.assign_coords(basin=["a", "b", "a"]), {"gauge_ids": ["a"]}, "basin a is there twice"),
        (lambda d: d, {"area_km2": 2.25e9}, "basin 01013500: area_km2 is 2.25e[+]09; give an area in km2"),
    ],
)
def test_more_that_would_be_read_wrong_in_silence(write, basins, change, options, message):
    with pytest.raises(InputError, match=message):
        read_netcdf(write(change(basins)), **options)


def test_precipitation_as_a_speed_is_a_depth(write, basins):
    rain = (basins["rain"] / 86.4e6).assign_attrs(units="m s-1")
    read = read_netcdf(write(basins.assign(rain=rain.astype("float64"))))
    np.testing.assert_allclose(read["rain"], basins["rain"], rtol=1e-5)
    assert read["rain"].attrs["units"] == "mm d-1"


def test_a_zarr_store_that_cannot_be_written_leaves_nothing(basins, tmp_path, monkeypatch):
    def full(dataset, path, **_):
        path.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    with pytest.raises(InputError, match=r"data.zarr could not be written .*No space left on device"):
        write_dataset(basins, tmp_path / "data.zarr")
    assert list(tmp_path.iterdir()) == []


def test_the_mask_of_what_was_filled_comes_with_the_variable_whatever_else_is_picked(tmp_path, basins):
    holed = basins.copy(deep=True)
    holed["discharge"][0, 100:103] = np.nan
    filled = fill_by_interpolation(holed, "discharge", limit=5)
    write_dataset(filled, tmp_path / "filled.nc")
    again = read_netcdf(tmp_path / "filled.nc", variables=["rain", "discharge"])
    assert set(again.data_vars) == {"rain", "discharge", "discharge_filled"}
    np.testing.assert_array_equal(np.isnan(measured(again)["discharge"]), np.isnan(holed["discharge"]))
    assert sees_later(again, "discharge")


class Trap:
    """What leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


TRAPS_2 = {
    "filter": ("rain", {"filters": [{"id": "pickle"}], "compressor": None}),
    "compressor": ("rain", {"compressor": {"id": "pickle"}}),
    "objects": ("basin", {"dtype": "|O", "filters": [{"id": "pickle"}], "compressor": None, "fill_value": None}),
    "behind_text": ("basin", {"dtype": "|O", "filters": [{"id": "vlen-utf8"}, {"id": "pickle"}], "fill_value": None}),
    "text_compressed": (
        "basin",
        {"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "compressor": {"id": "pickle"}, "fill_value": None},
    ),
}
TRAPS_3 = {"numcodecs": [{"name": "numcodecs.pickle"}], "plain": [{"name": "pickle", "configuration": {"protocol": 5}}]}
TRAPS_3["sharded"] = [{"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 1], "codecs": TRAPS_3["plain"]}}]


def spring(store, name, metadata, change):
    """Change the metadata of a variable by hand, and put a trap into all its chunks."""
    file = store / name / metadata
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    for chunk in (store / name).rglob("*"):
        if chunk.is_file() and chunk != file and chunk.name != ".zattrs":
            chunk.write_bytes(pickle.dumps(Trap(store.with_name("sprung"))))
    with pytest.raises(InputError, match=f"variable '{name}' is stored by the codec pickle, which can run any code; have it"):
        read_netcdf(store)
    with pytest.raises(InputError, match="the codec pickle"):
        read_netcdf(store, variables=["temperature"])
    assert not store.with_name("sprung").exists()


@pytest.mark.parametrize("trap", TRAPS_2)
@pytest.mark.parametrize("allowed", [True, False])
def test_a_zarr_store_of_pickles_is_refused_and_runs_no_code(basins, tmp_path, monkeypatch, trap, allowed):
    from numcodecs import pickles

    monkeypatch.setattr(pickles, "ALLOW_UNSAFE_PICKLE_DECODE", allowed)  # what versions before 0.16.6 always allow
    write_dataset(basins, tmp_path / "data.zarr")
    (tmp_path / "data.zarr" / ".zmetadata").unlink()
    name, change = TRAPS_2[trap]
    spring(tmp_path / "data.zarr", name, ".zarray", change)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.filterwarnings("ignore:The data type")
@pytest.mark.parametrize("trap", TRAPS_3)
def test_a_zarr_store_of_version_3_with_pickles_is_refused_and_runs_no_code(basins, tmp_path, trap):
    basins.to_zarr(tmp_path / "data.zarr", zarr_format=3)
    spring(tmp_path / "data.zarr", "rain", "zarr.json", {"codecs": TRAPS_3[trap]})


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.filterwarnings("ignore:The data type")
def test_stores_of_both_versions_are_read_to_the_same_numbers(basins, tmp_path):
    write_dataset(basins, tmp_path / "two.zarr")
    assert json.loads((tmp_path / "two.zarr" / "rain" / ".zarray").read_text())["zarr_format"] == 2
    basins.to_zarr(tmp_path / "three.zarr", zarr_format=3)
    two, three = (read_netcdf(tmp_path / f"{name}.zarr") for name in ("two", "three"))
    for name in ("rain", "discharge", "slope", "basin", "time"):
        np.testing.assert_array_equal(two[name], basins[name])
        np.testing.assert_array_equal(three[name], basins[name])


@pytest.mark.skipif(os.name != "posix", reason="rights of Unix")
@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_a_store_has_the_rights_of_the_umask(basins, tmp_path, umask):
    before = os.umask(umask)
    try:
        write_dataset(basins, tmp_path / "data.zarr")
    finally:
        os.umask(before)
    for one in [tmp_path / "data.zarr", *(tmp_path / "data.zarr").rglob("*")]:
        assert one.stat().st_mode & 0o777 == (0o777 if one.is_dir() else 0o666) & ~umask, one
