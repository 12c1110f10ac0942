import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runoff_lstm.data.names import discharge_units, is_precipitation
from runoff_lstm.data.schema import check_basins
from runoff_lstm.data.times import time_step
from runoff_lstm.errors import InputError, nearest


def test_a_canonical_dataset_passes_with_its_dims_in_order_and_float32(basins):
    shuffled = basins.transpose().assign(rain=basins["rain"].astype("float64"))
    tidy = check_basins(shuffled)
    assert tidy["rain"].dims == ("basin", "time")
    assert tidy["rain"].dtype == np.float32
    assert tidy["rain"].attrs["units"] == "mm d-1"


def at(dataset, name, value, day="2000-05-01", basin=1):
    changed = dataset[name].copy()
    changed.loc[{"basin": dataset["basin"].values[basin], "time": day}] = value
    return dataset.assign({name: changed})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.rename(basin="station"), "no dimension 'basin'"),
        (lambda d: d.drop_vars("time"), "no dimension 'time'"),
        (lambda d: d.assign_coords(basin=[1013500, 2, 3]), "gauge ids are int64, such as 1013500; they must be strings"),
        (lambda d: d.assign_coords(basin=["a", "b", "a"]), "basin a is there 2 times"),
        (lambda d: d.assign_coords(time=np.arange(700)), "not dates of the standard calendar"),
        (lambda d: d.isel(time=[0, 1, 1, 2]), "the time axis has 2000-01-02 twice"),
        (lambda d: d.isel(time=[0, 2, 1]), "goes back at 2000-01-02"),
        (lambda d: d.isel(time=[0, 1, 3]), "not regular: after 2000-01-02 comes a gap in a record of step 1 day"),
        (lambda d: d.isel(time=[0]), "1 time step"),
        (lambda d: at(d, "rain", np.inf), "basin 01022500, 2000-05-01: rain is infinite"),
        (lambda d: at(d.astype("float64"), "rain", 1e39), "basin 01022500, 2000-05-01: rain is infinite"),  # in float32
        (
            lambda d: at(d, "discharge", -4.1),
            r"basin 01022500: discharge is negative on 1 step\(s\) \(first 2000-05-01: -4.1 mm d-1\)",
        ),
        (lambda d: at(d, "rain", -1.0), "basin 01022500: rain is negative"),
        (
            lambda d: d.assign(discharge=d["discharge"].assign_attrs(units="m3 s-1")),
            "discharge has the unit 'm3 s-1', not 'mm d-1'",
        ),
        (lambda d: d.assign(area_km2=("basin", [1.0, 0.0, 2.0])), "basin 01022500: area_km2 is not positive"),
        (lambda d: d.assign(note=(("basin", "time"), np.full((3, 700), "x"))), "variable 'note' holds .*, not numbers"),
        (lambda d: d.assign(grid=(("time", "x"), np.zeros((700, 2)))), "variable 'grid' has dims"),
    ],
)
def test_what_is_not_canonical_is_refused(basins, change, message):
    with pytest.raises(InputError, match=message):
        check_basins(change(basins))


def test_temperature_may_be_negative(basins):
    check_basins(at(basins, "temperature", -30.0))


def test_the_step_of_a_regular_axis():
    assert time_step(pd.date_range("2000-01-01", periods=5, freq="h")) == np.timedelta64(1, "h")
    assert discharge_units(np.timedelta64(1, "h")) == "mm h-1"
    assert discharge_units(np.timedelta64(7, "D")) == "mm d-1"


def test_an_empty_time_is_refused(basins):
    with pytest.raises(InputError, match=r"1 empty time"):
        check_basins(basins.assign_coords(time=basins.indexes["time"].where(basins.indexes["time"] != "2000-03-01")))


def test_the_nearest_name_is_hinted_whatever_its_case():
    assert nearest("PRCP", ["prcp", "tmax"]) == "did you mean 'prcp'?"
    assert nearest("xyz", ["prcp", "tmax"]) == "there is prcp, tmax"
    assert nearest("xyz", []) == "there is nothing"


@pytest.mark.parametrize("name", ["p", "pr", "PRCP", "prcp_daymet", "rain", "rainfall", "rain_mm", "precipitation_mm", "tp"])
def test_names_of_precipitation_are_known(name):
    assert is_precipitation(name)


@pytest.mark.parametrize("name", ["pet", "pet_mm", "pressure", "temperature", "p90", "discharge"])
def test_other_names_are_not_taken_for_precipitation(name):
    assert not is_precipitation(name)


@given(
    start=st.datetimes(pd.Timestamp("1900-01-01"), pd.Timestamp("2100-01-01")),
    hours=st.integers(1, 1000),
    length=st.integers(2, 50),
)
def test_the_step_of_any_regular_axis_is_found(start, hours, length):
    assert time_step(pd.date_range(start, periods=length, freq=f"{hours}h")) == np.timedelta64(hours, "h")
