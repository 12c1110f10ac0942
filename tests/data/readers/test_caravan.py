import json
import logging

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small_archives import caravan_file, caravan_series, write, write_caravan, write_caravan_attributes

from runoff_lstm.data.names import SOURCE
from runoff_lstm.data.readers import READERS, read_caravan
from runoff_lstm.errors import InputError

ONE, OTHER = "camelsch_2009", "lamah_0054"


@pytest.fixture
def archive(tmp_path):
    return write_caravan(tmp_path / "caravan", ONE, OTHER)


@pytest.mark.parametrize("kind", ["csv", "netcdf"])
def test_series_have_canonical_names_and_units(tmp_path, kind):
    read = read_caravan(write_caravan(tmp_path, ONE, kind=kind))
    assert read["basin"].values.tolist() == [ONE]
    assert str(read["time"].values[0]).startswith("1981-01-01")
    np.testing.assert_array_equal(read["discharge"].values[0], [np.nan, *range(1, 10)])
    np.testing.assert_allclose(read["total_precipitation_sum"].values[0], np.arange(10) + 0.5)
    np.testing.assert_allclose(read["surface_pressure_mean"], 94_250)
    units = {
        "discharge": "mm d-1",
        "total_precipitation_sum": "mm d-1",
        "surface_pressure_mean": "Pa",
        "temperature_2m_mean": "degC",
    }
    assert {name: read[name].attrs["units"] for name in units} == units
    assert read["discharge"].dtype == np.float32


def test_the_two_forms_hold_the_same(tmp_path):
    text, binary = (read_caravan(write_caravan(tmp_path / kind, ONE, OTHER, kind=kind)) for kind in ("csv", "netcdf"))
    xr.testing.assert_equal(text, binary)


def test_netcdf_is_read_before_csv_unless_one_is_asked_for(archive):
    write_caravan(archive, ONE, kind="netcdf")
    write(caravan_file(archive, ONE), (caravan_series() + 100).to_csv())
    assert float(read_caravan(archive)["discharge"].sel(basin=ONE)[1]) == 1
    assert float(read_caravan(archive, form="csv")["discharge"].sel(basin=ONE)[1]) == 101
    assert read_caravan(archive, form="netcdf")["basin"].values.tolist() == [ONE]
    with pytest.raises(InputError, match="form = 'zarr' is not known; there is csv, netcdf"):
        read_caravan(archive, form="zarr")


def test_all_three_attribute_tables_are_joined_and_area_is_in_km2(archive):
    read = read_caravan(archive)
    assert read["p_mean"].values.tolist() == [3.5, 3.5]
    assert read["ele_mt_sav"].values.tolist() == [1200, 1200]
    assert read["gauge_lat"].values.tolist() == [46.35, 46.35]
    assert read["area_km2"].values.tolist() == [250.5, 250.5]
    assert "area" not in read
    assert "country" not in read


def test_attributes_are_found_by_the_folder_of_the_series(tmp_path):
    """Some extensions write the subset in capitals in the gauge id alone."""
    write(tmp_path / "timeseries" / "csv" / "grdc" / "GRDC_1.csv", caravan_series().to_csv())
    write_caravan_attributes(tmp_path / "attributes" / "grdc", "GRDC_1")
    assert read_caravan(tmp_path)["area_km2"].values.tolist() == [250.5]


def test_basins_without_attributes_have_nan_and_are_told(archive, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    write(caravan_file(archive, "hysets_01075000"), caravan_series().to_csv())
    read = read_caravan(archive)
    assert read["basin"].values.tolist() == [ONE, "hysets_01075000", OTHER]
    np.testing.assert_array_equal(read["p_mean"], [3.5, np.nan, 3.5])
    assert "no attributes are there of hysets_01075000" in caplog.text


def test_a_subset_that_lacks_a_table_is_refused(archive):
    (archive / "attributes" / "lamah" / "attributes_hydroatlas_lamah.csv").unlink()
    with pytest.raises(InputError, match=r"attributes: \S+lamah lacks attributes_hydroatlas_lamah.csv; unpack the archive whole"):
        read_caravan(archive)
    assert read_caravan(archive, [ONE])["basin"].values.tolist() == [ONE]


def test_an_attribute_table_that_is_cut_is_refused(archive):
    path = archive / "attributes" / "lamah" / "attributes_other_lamah.csv"
    path.write_text(path.read_text()[:-12])
    with pytest.raises(
        InputError, match=r"attributes_other_lamah.csv, line 2: the row has 4 cells, the header 6; correct it, or fetch"
    ):
        read_caravan(archive)


TEXT = caravan_series().to_csv()


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ("", "is not a whole series of Caravan .*; fetch it again"),
        (TEXT[:20], "has no streamflow; fetch it again"),
        (TEXT[: TEXT.index("\n") + 1], "holds no row; fetch it again"),
        (TEXT[: TEXT.rindex(",")], "is cut short or broken: line 11 has not as many cells as the header; fetch it again"),
        (TEXT[: TEXT.rindex("-") + 1], "is cut short or broken: line 11 has not as many cells as the header; fetch it again"),
        (TEXT[:-3], "is cut short or broken: its last line does not end; fetch it again"),
        (TEXT.replace(",1.5,1.0", ",1.5"), "is cut short or broken: line 3 has not as many cells as the header; fetch it again"),
        (
            TEXT.replace(",1.5,1.0", ",1.5,1.0,1.0"),
            "is cut short or broken: line 3 has not as many cells as the header; fetch it again",
        ),
        (TEXT.replace(",1.5,", ",1x5,"), "is not a whole series of Caravan .*1x5.*; fetch it again"),
        (TEXT.replace("1981-01-03", "1981-01-02"), "the day 1981-01-02 is there twice or out of order"),
        (TEXT.replace("1981-01-03", "1981-02-30"), "is not a whole series of Caravan .*; fetch it again"),
        (TEXT.replace("streamflow", "flow"), "has no streamflow; fetch it again"),
        (TEXT.replace("date", "day"), "is not a whole series of Caravan .*; fetch it again"),
    ],
)
def test_a_series_that_is_not_whole_is_named_or_left_out(archive, damaged, message, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    write(caravan_file(archive, ONE), damaged)
    with pytest.raises(InputError, match=rf"^basin {ONE}: \S+{ONE}.csv:? {message}"):
        read_caravan(archive)
    assert read_caravan(archive, on_missing="skip")["basin"].values.tolist() == [OTHER]
    assert f"left out: basin {ONE}: " in caplog.text


def test_a_netcdf_file_that_is_cut_is_named(tmp_path):
    write_caravan(tmp_path, ONE, OTHER, kind="netcdf")
    path = caravan_file(tmp_path, ONE, "netcdf")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"^basin {ONE}: \S+{ONE}.nc is not a whole series of Caravan .*; fetch it again"):
        read_caravan(tmp_path)
    assert read_caravan(tmp_path, on_missing="skip")["basin"].values.tolist() == [OTHER]


def test_days_that_a_series_leaves_out_are_nan(archive, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    write(caravan_file(archive, ONE), caravan_series().drop(index="1981-01-04").to_csv())
    assert np.flatnonzero(read_caravan(archive)["temperature_2m_mean"].sel(basin=ONE).isnull()).tolist() == [3]
    assert "leaves out 1 day(s), the first 1981-01-04" in caplog.text


def test_series_of_an_unknown_unit_are_left_out_unless_it_is_said(archive, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    write(caravan_file(archive, ONE), caravan_series().assign(eobs=2.5).to_csv())
    assert "eobs" not in read_caravan(archive)
    assert "series of an unknown unit are left out: eobs (units = {eobs = ...} keeps one)" in caplog.text
    read = read_caravan(archive, units={"eobs": "cm d-1"})
    np.testing.assert_allclose(read["eobs"].sel(basin=ONE), 25)
    assert int(read["eobs"].sel(basin=OTHER).notnull().sum()) == 0


def test_the_same_basin_in_two_subsets_must_be_the_same(archive):
    write(archive / "timeseries" / "csv" / "copy" / f"{ONE}.csv", (caravan_series() + 1).to_csv())
    with pytest.raises(InputError, match=rf"basin {ONE}: .*camelsch/{ONE}.csv and .*copy/{ONE}.csv differ; keep the right one"):
        read_caravan(archive)


@pytest.mark.parametrize(
    ("gauge_ids", "message"),
    [
        (["camelsch_209"], "gauge id 'camelsch_209' has no series in .*; did you mean 'camelsch_2009'"),
        ([ONE, "lamah_54"], r"^basin lamah_54: the archive has no series of it; mend .* on_missing = \"skip\""),
        ([ONE, ONE], f"gauge id '{ONE}' is asked for twice; name it once"),
        (ONE, "gauge_ids is the text"),
        ([], "gauge_ids is an empty list"),
    ],
)
def test_gauge_ids_that_are_not_there_are_refused(archive, gauge_ids, message):
    with pytest.raises(InputError, match=message):
        read_caravan(archive, gauge_ids)


@pytest.mark.parametrize(
    ("inside", "message"),
    [("", "has no folder timeseries; give the folder of Caravan"), ("timeseries/csv", "holds no series in csv or netcdf; unpack")],
)
def test_a_folder_that_is_no_archive_is_refused(tmp_path, inside, message):
    (tmp_path / inside).mkdir(parents=True, exist_ok=True)
    with pytest.raises(InputError, match=message):
        read_caravan(tmp_path)


def test_variables_are_picked_and_an_unknown_one_is_refused(archive):
    read = read_caravan(archive, [OTHER], variables=["total_precipitation_sum", "p_mean"])
    assert set(read.data_vars) == {"total_precipitation_sum", "p_mean", "area_km2", "gauge_lat", "gauge_lon"}
    with pytest.raises(InputError, match="the data have no variable 'precip'"):
        read_caravan(archive, variables=["precip"])


def test_the_way_it_was_read_is_kept_and_reads_the_same_again(archive):
    read = read_caravan(archive, [OTHER], form="csv", on_missing="skip")
    call = json.loads(read.attrs[SOURCE])
    xr.testing.assert_identical(READERS[call.pop("source")](**call), read)


@pytest.mark.large_data
def test_real_series_of_both_forms_are_read_with_their_tables(large_data, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    folder = large_data / "caravan"
    read = read_caravan(folder)
    assert read.sizes["basin"] == 8
    text = pd.read_csv(folder / "timeseries" / "csv" / "camelsch" / "camelsch_4003.csv", index_col="date", parse_dates=True)
    ours = read.sel(basin="camelsch_4003", time=text.index)
    np.testing.assert_allclose(ours["discharge"], text["streamflow"], rtol=1e-6)
    np.testing.assert_allclose(ours["total_precipitation_sum"], text["total_precipitation_sum"], rtol=1e-6)
    with xr.open_dataset(folder / "timeseries" / "netcdf" / "lamah" / "lamah_1145.nc") as file:
        ours = read["discharge"].sel(basin="lamah_1145", time=file["date"].values)
        np.testing.assert_allclose(ours, file["streamflow"], rtol=1e-6)
    for table, column in (("caravan", "p_mean"), ("hydroatlas", "ele_mt_sav"), ("other", "gauge_lat")):
        path = folder / "attributes" / "camelslx" / f"attributes_{table}_camelslx.csv"
        rows = pd.read_csv(path).set_index("gauge_id")
        if column in rows:
            assert float(read[column].sel(basin="camelslx_054")) == rows.loc["camelslx_054", column]
    assert "no attributes are there of camelsaus_102101A, hysets_01075000, lamah_1145" in caplog.text
    assert np.flatnonzero(read["area_km2"].isnull()).size == 3
