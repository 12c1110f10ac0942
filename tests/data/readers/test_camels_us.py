import json
import logging

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from small_archives import flow_file, flow_text, forcing_file, forcing_text, write, write_attributes, write_camels_us

from runoff_lstm.data.names import SOURCE
from runoff_lstm.data.periods import Period
from runoff_lstm.data.readers import READERS, read_camels_us
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.scaling import Scaler

ONE, OTHER = "01013500", "02064000"
DEPTH = 0.028316846592 * 86.4 / 100
"""mm d-1 of one ft3 s-1 on 100 km2."""


@pytest.fixture
def archive(tmp_path):
    return write_camels_us(tmp_path / "camels", ONE, OTHER)


def test_discharge_is_spread_over_the_area_of_the_header(archive):
    write(forcing_file(archive, OTHER), forcing_text(area=" 200000000"))
    read = read_camels_us(archive)
    assert read["area_km2"].values.tolist() == [100, 200]
    np.testing.assert_allclose(read["discharge"].sel(basin=ONE), np.arange(1000, 1010) * DEPTH, rtol=1e-6)
    np.testing.assert_allclose(read["discharge"].sel(basin=OTHER), np.arange(1000, 1010) * DEPTH / 2, rtol=1e-6)
    assert read["discharge"].attrs["units"] == "mm d-1"


@pytest.mark.parametrize("product", ["daymet", "maurer", "maurer_extended", "nldas"])
def test_every_product_has_the_same_names_in_the_archives_units(tmp_path, product):
    read = read_camels_us(write_camels_us(tmp_path, ONE, products=(product,)))
    units = {"dayl": "s", "prcp": "mm d-1", "srad": "W m-2", "swe": "mm", "tmax": "degC", "tmin": "degC", "vp": "Pa"}
    assert {name: read[name].attrs["units"] for name in units} == units
    np.testing.assert_allclose(read["prcp"].values[0], np.arange(10) + 0.25)
    np.testing.assert_allclose(read["tmin"].values[0], -2.24)
    assert read["prcp"].dtype == np.float32
    assert str(read["time"].values[0]).startswith("2000-02-25")


def test_several_products_are_suffixed_over_the_days_that_either_has(tmp_path):
    write_camels_us(tmp_path, ONE, products=("daymet", "nldas"))
    write(forcing_file(tmp_path, ONE, "nldas"), forcing_text(4, "2000-03-04", product="nldas"))
    read = read_camels_us(tmp_path, products=["nldas", "daymet"], variables=["prcp_daymet", "tmax_nldas", "discharge"])
    assert set(read.data_vars) == {"prcp_daymet", "tmax_nldas", "discharge", "area_km2"}
    nan = np.nan
    np.testing.assert_allclose(read["prcp_daymet"].values[0], [*(np.arange(10) + 0.25), nan, nan])
    np.testing.assert_allclose(read["tmax_nldas"].values[0], [*[nan] * 8, 5.14, 6.14, 7.14, 8.14])
    assert read["tmax_nldas"].attrs["units"] == "degC"
    assert "prcp" in read_camels_us(tmp_path, products=["nldas"])


def test_of_several_products_one_must_be_named(tmp_path):
    write_camels_us(tmp_path, ONE, products=("daymet", "nldas"))
    with pytest.raises(InputError, match=r'has daymet, nldas; say which: products = \["daymet"\]'):
        read_camels_us(tmp_path)
    with pytest.raises(InputError, match=r"the forcing product 'nldass' is not in .*; did you mean 'nldas'"):
        read_camels_us(tmp_path, products=["nldass"])
    with pytest.raises(InputError, match="name each product once"):
        read_camels_us(tmp_path, products=["nldas", "nldas"])


def test_a_product_that_some_basins_lack_is_named_or_they_are_left_out(archive, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    write(forcing_file(archive, ONE, "maurer"), forcing_text(product="maurer"))
    asked = {"products": ["daymet", "maurer"]}
    with pytest.raises(InputError, match=rf'^basin {OTHER}: the archive has no maurer forcing file of it; .*on_missing = "skip"'):
        read_camels_us(archive, **asked)
    assert read_camels_us(archive, **asked, on_missing="skip")["basin"].values.tolist() == [ONE]
    assert f"left out: basin {OTHER}: the archive has no maurer forcing file of it" in caplog.text


def test_missing_days_are_nan_by_flag_or_marker_and_counted(archive):
    write(flow_file(archive, ONE), flow_text(ONE, flags="AAMMA").replace(" 1001.00 A", " -999.00 A"))
    read = read_camels_us(archive)
    assert np.flatnonzero(read["discharge"].isnull().values[0]).tolist() == [1, 2, 3]
    assert read["set_missing"].values.tolist() == [3, 0]
    assert read["discharge"].attrs["set_missing"] == 3


def test_estimated_days_are_counted_and_kept_or_taken_as_missing(archive):
    write(flow_file(archive, ONE), flow_text(ONE, 12, "2000-02-23", flags="eAAeeA"))
    kept = read_camels_us(archive)
    assert kept["discharge_estimated"].values.tolist() == [2, 0]  # the first lies before the forcing
    assert int(kept["discharge"].isnull().sum()) == 0
    without = read_camels_us(archive, estimated="missing")
    assert np.flatnonzero(without["discharge"].isnull().values[0]).tolist() == [1, 2]
    with pytest.raises(InputError, match="estimated = 'drop' is not known; there is keep, missing"):
        read_camels_us(archive, estimated="drop")


def test_another_quality_flag_is_refused(archive):
    write(flow_file(archive, ONE), flow_text(ONE, flags="P"))
    with pytest.raises(InputError, match=f"basin {ONE}: .*{ONE}_streamflow_qc.txt has the quality flag 'P'; A, A:e, M are known"):
        read_camels_us(archive)


def test_the_leap_day_is_there_and_where_a_file_leaves_it_out_it_is_nan(archive, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    path = forcing_file(archive, ONE)
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("2000 02 29")))
    read = read_camels_us(archive)
    assert read.sizes["time"] == 10
    leap_day = read["prcp"].sel(time="2000-02-29")
    np.testing.assert_array_equal(leap_day, [np.nan, 4.25])
    assert float(read["prcp"].sel(basin=ONE, time="2000-03-01")) == 5.25
    assert f"{path.name} leaves out 1 day(s), the first 2000-02-29" in caplog.text


def test_records_of_different_length_are_filled_with_nan(archive):
    write(forcing_file(archive, ONE), forcing_text(5, "2000-02-27"))
    write(flow_file(archive, OTHER), flow_text(OTHER, 30, "2000-03-01"))
    read = read_camels_us(archive)
    assert read.sizes["time"] == 10
    assert read["prcp"].isnull().sum("time").values.tolist() == [5, 0]
    assert read["discharge"].isnull().sum("time").values.tolist() == [5, 5]
    np.testing.assert_allclose(read["discharge"].sel(basin=OTHER, time="2000-03-01"), 1000 * DEPTH, rtol=1e-6)


def test_forcing_and_streamflow_may_lie_in_folders_of_different_regions(archive):
    write(flow_file(archive, ONE, huc="02"), flow_file(archive, ONE).read_text())
    flow_file(archive, ONE).unlink()
    assert int(read_camels_us(archive, [ONE])["discharge"].notnull().sum()) == 10


def test_a_basin_in_two_folders_counts_once_where_the_files_are_the_same(archive):
    copy = write(forcing_file(archive, ONE, huc="03"), forcing_file(archive, ONE).read_text())
    assert read_camels_us(archive)["basin"].values.tolist() == [ONE, OTHER]
    copy.write_text(forcing_text(9))
    with pytest.raises(InputError, match=rf"basin {ONE}: .*01/{ONE}_lump\S+ and \S+03/{ONE}_lump\S+ differ; keep the right one"):
        read_camels_us(archive)


def test_what_a_mac_hides_beside_a_file_is_no_basin(archive):
    hidden = forcing_file(archive, ONE)
    write(hidden.with_name(f"._{hidden.name}"), "\x00\x05")
    assert read_camels_us(archive)["basin"].values.tolist() == [ONE, OTHER]


def test_a_basin_without_streamflow_is_named_or_left_out(archive, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    flow_file(archive, ONE).unlink()
    with pytest.raises(InputError, match=f"^basin {ONE}: the archive has no streamflow file of it; mend"):
        read_camels_us(archive)
    assert read_camels_us(archive, on_missing="skip")["basin"].values.tolist() == [OTHER]
    assert f"left out: basin {ONE}: the archive has no streamflow file of it" in caplog.text


def test_streamflow_need_not_be_there_where_it_is_not_asked_for(archive):
    flow_file(archive, ONE).unlink()
    read = read_camels_us(archive, variables=["prcp"])
    assert set(read.data_vars) == {"prcp", "area_km2"}
    assert "discharge_estimated" not in read.coords


def cut(text, end):
    """The text up to the last place of `end`, and that."""
    return text[: text.rindex(end) + len(end)]


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ("", "has no line of column names in its fourth line; fetch it again"),
        (cut(forcing_text(), "vp(Pa)\n"), "holds no row; fetch it again"),
        (cut(forcing_text(), "505.00\n") + "2000 03 02 12\t34214.41\t6.", "is cut short or broken at line 11; fetch it again"),
        (cut(forcing_text(), "\t-2.24"), "is cut short or broken at line 14; fetch it again"),
        (cut(forcing_text(), "\n20"), "is cut short or broken at line 14; fetch it again"),
        (cut(forcing_text(), "\t50"), "ends in the middle of a number; fetch it again"),
        (cut(forcing_text(), ".0"), "ends in the middle of a number; fetch it again"),
        (forcing_text().replace("505.00", "5x5.00"), r"is not whole \(.*5x5.00.*\); fetch it again"),
        (forcing_text().replace("02 29", "02 30"), "has the date 2000-02-30, which does not exist; fetch it again"),
        (forcing_text().replace("02 29", "02 28"), "the day 2000-02-28 is there twice or out of order"),
        (forcing_text().replace("505.00\n", "505.00 "), r"is not whole \(.*\); fetch it again"),
        (forcing_text().replace("500.00\n", "500.00 2000\n"), "line 5: the row has 12 cells, not 11; fetch it again"),
        (forcing_text().replace("mm/day", "in/day"), "has prcp in in/day, not in mm/day; fetch the archive's own file"),
        (forcing_text().replace("swe(mm)", "pet(mm)"), "has the column pet.*, which is none of CAMELS-US"),
    ],
)
def test_a_forcing_file_that_is_not_whole_is_named(archive, damaged, message, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    write(forcing_file(archive, ONE), damaged)
    with pytest.raises(InputError, match=rf"^basin {ONE}: \S+{ONE}_lump_cida_forcing_leap.txt[:,]? ?{message}"):
        read_camels_us(archive)
    assert read_camels_us(archive, on_missing="skip")["basin"].values.tolist() == [OTHER]
    assert f"left out: basin {ONE}: " in caplog.text


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ("", "holds no row; fetch it again"),
        (cut(flow_text(ONE), "1009.00"), "is cut short or broken at line 10; fetch it again"),
        (cut(flow_text(ONE), "100"), "is cut short or broken at line 10; fetch it again"),
        (cut(flow_text(ONE), "\n0"), "is cut short or broken at line 10; fetch it again"),
        (cut(flow_text(ONE, flags="AAAAAAAAAe"), "A:"), "has the quality flag 'A:'"),
        (flow_text(OTHER), f"holds rows of gauge {OTHER}; fetch it again"),
    ],
)
def test_a_streamflow_file_that_is_not_whole_is_named(archive, damaged, message):
    write(flow_file(archive, ONE), damaged)
    with pytest.raises(InputError, match=rf"^basin {ONE}: \S+{ONE}_streamflow_qc.txt {message}"):
        read_camels_us(archive)
    assert read_camels_us(archive, on_missing="skip")["basin"].values.tolist() == [OTHER]


def test_a_file_whose_last_line_has_no_break_is_whole_where_its_numbers_are(archive):
    write(forcing_file(archive, ONE), forcing_text().rstrip("\n"))
    write(flow_file(archive, OTHER), flow_text(OTHER, 1).rstrip("\n"))
    read = read_camels_us(archive)
    assert float(read["vp"].sel(basin=ONE)[-1]) == 509
    assert int(read["discharge"].sel(basin=OTHER).notnull().sum()) == 1


@pytest.mark.parametrize(
    ("area", "message"),
    [
        ("         0", "states an area of 0 km2 in its third line; correct it"),
        ("-100000000", "states an area of -100 km2 in its third line; correct it"),
        ("       nan", "states an area of nan km2 in its third line; correct it"),
        ("       inf", "states an area of inf km2 in its third line; correct it"),
        ("**********", r"has no area in its third line but '\*+'; fetch it again"),
        ("", "has no area in its third line but ''; fetch it again"),
    ],
)
def test_an_area_that_is_none_is_named_or_the_basin_left_out(archive, area, message):
    write(forcing_file(archive, ONE), forcing_text(area=area))
    with pytest.raises(InputError, match=rf"^basin {ONE}: \S+{ONE}_lump_cida_forcing_leap.txt {message}"):
        read_camels_us(archive)
    assert read_camels_us(archive, on_missing="skip")["basin"].values.tolist() == [OTHER]


@pytest.mark.parametrize(
    ("gauge_ids", "message"),
    [
        (["1013500"], "gauge id '1013500' has lost its leading zero; write it as text, '01013500'"),
        ([ONE, ONE], f"gauge id '{ONE}' is asked for twice; name it once"),
        ([1013500], "gauge id 1013500 is a number, so leading zeros may be lost"),
        (ONE, "gauge_ids is the text"),
        ([], "gauge_ids is an empty list"),
        (["99999999"], r"none of the gauge ids \(99999999 ...\) has a forcing file in .*; check the list"),
        ([ONE, "99999999"], "basin 99999999: the archive has no daymet forcing file of it"),
    ],
)
def test_gauge_ids_that_are_not_there_are_refused(archive, gauge_ids, message):
    with pytest.raises(InputError, match=message):
        read_camels_us(archive, gauge_ids)


def test_basins_come_in_the_order_asked_for(archive):
    assert read_camels_us(archive, [OTHER, ONE])["basin"].values.tolist() == [OTHER, ONE]


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ("", "has no folder basin_mean_forcing; give the folder of CAMELS-US that holds it"),
        ("basin_mean_forcing", r'has none of daymet, maurer, maurer_extended, nldas; say which: products = \["daymet"\]'),
        ("basin_mean_forcing/daymet/01", "daymet holds no file ..._lump_cida_forcing_leap.txt; unpack the archive whole"),
    ],
)
def test_a_folder_that_is_no_archive_is_refused(tmp_path, inside, message):
    (tmp_path / inside).mkdir(parents=True, exist_ok=True)
    with pytest.raises(InputError, match=message):
        read_camels_us(tmp_path)


def test_an_archive_without_the_folder_of_streamflow_is_refused(tmp_path):
    write(forcing_file(tmp_path, ONE), forcing_text())
    with pytest.raises(InputError, match="usgs_streamflow is not there; unpack the archive whole"):
        read_camels_us(tmp_path)


def test_attributes_that_are_numbers_are_joined_from_the_seven_files(archive, tmp_path):
    write_attributes(archive / "camels_attributes_v2.0", OTHER, ONE)
    read = read_camels_us(archive)
    fixed = [name for name, values in read.data_vars.items() if values.dims == ("basin",)]
    assert len(fixed) == 1 + 59 - 6  # the area, and the 59 columns but for those of text
    assert read["aridity"].values.tolist() == [2, 1]
    write_attributes(tmp_path / "elsewhere", ONE, OTHER)
    assert read_camels_us(archive, attributes=tmp_path / "elsewhere")["aridity"].values.tolist() == [1, 2]


def test_attributes_need_not_be_there_unless_asked_for(archive, tmp_path, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    assert "aridity" not in read_camels_us(archive)
    assert "camels_attributes_v2.0 is not there: no static attributes are read" in caplog.text
    with pytest.raises(InputError, match=r"attributes: the folder .*nowhere is not there; give the folder of camels_clim.txt"):
        read_camels_us(archive, attributes=tmp_path / "nowhere")


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_attributes_of_another_version_are_refused(archive):
    folder = archive / "camels_attributes_v2.0"
    write_attributes(folder, ONE, OTHER)
    replace(folder / "camels_topo.txt", "gauge_lat", "gage_lat")
    with pytest.raises(InputError, match=r"camels_topo.txt has the column 'gage_lat' and lacks 'gauge_lat'; fetch version 2.0"):
        read_camels_us(archive)
    replace(folder / "camels_topo.txt", "gauge_id", "basin_id")
    with pytest.raises(
        InputError, match=r"camels_topo.txt begins with 'basin_id', not with the column gauge_id; fetch version 2.0"
    ):
        read_camels_us(archive)
    (folder / "camels_topo.txt").rename(folder / "camels_loc_topo.txt")
    with pytest.raises(InputError, match=r"lacks camels_topo.txt \(it has .*camels_loc_topo.txt.*\); fetch version 2.0"):
        read_camels_us(archive)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f"\n{OTHER};2;2;2;2;2;2;2;2;2;2;2", f"\n{OTHER};2;2", "camels_soil.txt, line 3: the row has 3 cells, the header 12"),
        (f"\n{OTHER};2;2", f"\n{ONE};2;2", f"camels_soil.txt: gauge id '{ONE}' is there twice; keep one row"),
    ],
)
def test_a_broken_attribute_file_is_refused(archive, old, new, message):
    write_attributes(archive / "camels_attributes_v2.0", ONE, OTHER)
    replace(archive / "camels_attributes_v2.0" / "camels_soil.txt", old, new)
    with pytest.raises(InputError, match=message):
        read_camels_us(archive)


def test_a_basin_without_attributes_is_named_or_left_out(archive, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    write_attributes(archive / "camels_attributes_v2.0", ONE.lstrip("0"), OTHER)
    with pytest.raises(
        InputError, match=f"basin {ONE} has no row among the attributes; it has '1013500', without the leading zero"
    ):
        read_camels_us(archive)
    read = read_camels_us(archive, on_missing="skip")
    assert read["basin"].values.tolist() == [OTHER]
    assert read["discharge_estimated"].sizes == {"basin": 1}
    assert f"left out: basin {ONE} has no row among the attributes" in caplog.text


def test_the_attributes_of_one_basin_cannot_be_scaled(tmp_path):
    read = read_camels_us(write_camels_us(tmp_path, ONE, attributes=True))
    with pytest.raises(InputError, match="aridity"):
        Scaler.fit(read, Period("2000-02-25", "2000-03-05"), forcing=["prcp"], static_attributes=["aridity"])


def test_the_way_it_was_read_is_kept_and_reads_the_same_again(archive):
    write(flow_file(archive, OTHER), flow_text(OTHER, flags="e"))
    read = read_camels_us(archive, [OTHER], products=["daymet"], estimated="missing", on_missing="skip")
    call = json.loads(read.attrs[SOURCE])
    xr.testing.assert_identical(READERS[call.pop("source")](**call), read)


def test_an_unknown_variable_is_refused_with_the_nearest(archive):
    with pytest.raises(InputError, match="the data have no variable 'prpc'; did you mean 'prcp'"):
        read_camels_us(archive, variables=["prpc"])


@pytest.mark.large_data
def test_the_text_files_are_the_531_basins(large_data):
    read = read_camels_us(large_data / "camels_us", products=["maurer_extended"])
    with xr.open_dataset(large_data / "camels_us_531.nc") as whole:
        shared = [gauge_id for gauge_id in read["basin"].values.tolist() if gauge_id in whole["basin"].values.tolist()]
        expected = whole.sel(basin=shared).load()
    ours = read.sel(basin=shared, time=expected["time"])
    assert len(shared) > 10
    np.testing.assert_allclose(ours["area_km2"], expected["area_km2"], rtol=1e-6)
    for name in ("prcp", "srad", "tmax", "tmin", "vp"):
        np.testing.assert_allclose(ours[name], expected[name], rtol=0, atol=0.01)
    depth = expected["discharge_cfs"] * 0.028316846592 * 86.4 / expected["area_km2"]
    np.testing.assert_allclose(ours["discharge"], depth, rtol=1e-5)
    assert int(ours["discharge"].notnull().sum()) > 100_000


@pytest.mark.large_data
def test_all_products_of_the_archive_stand_side_by_side(large_data):
    products = ["daymet", "maurer", "maurer_extended", "nldas"]
    read = read_camels_us(large_data / "camels_us", ["02064000"], products=products)
    assert {f"prcp_{product}" for product in products} < set(read.data_vars)
    within = read.sel(basin="02064000", time=slice("2000-01-01", "2002-12-31"))
    assert all(int(within[f"tmax_{product}"].isnull().sum()) == 0 for product in products)
    first = within.isel(time=0)  # as the first lines of the files have it
    assert [round(float(first[f"tmax_{one}"]), 2) for one in ("daymet", "maurer", "nldas")] == [16.14, 7.12, 8.01]


@pytest.mark.large_data
def test_the_attributes_of_671_basins_are_read(large_data):
    folder = large_data / "camels_us" / "camels_attributes_v2.0"
    read = read_camels_us(large_data / "camels_us", products=["maurer_extended"])
    topo = pd.read_csv(folder / "camels_topo.txt", sep=";", dtype={"gauge_id": str}).set_index("gauge_id")
    assert len(topo) == 671
    np.testing.assert_array_equal(read["elev_mean"], topo.loc[read["basin"].values, "elev_mean"])
    assert bool(read["root_depth_50"].isnull().sel(basin="01013500"))  # NA in the file
