import json
import logging

import numpy as np
import pytest
import xarray as xr
from conftest import make_basins

from runoff_lstm.data.names import SOURCE
from runoff_lstm.data.readers.canonical import mend_times, rename_variables, to_canonical
from runoff_lstm.errors import InputError


def canonical(dataset, gauge_ids=None, **options):
    return to_canonical(dataset, options, gauge_ids=gauge_ids, called={})


def at(values, step, value):
    """The values with one step of the first basin replaced."""
    changed = values.astype("float64").copy()
    changed[0, step] = value
    return changed


@pytest.mark.parametrize("value", [-99.9, 9999.0, 999.0, 1e20, -1e20, 1e300])
def test_a_lone_value_that_looks_like_a_marker_is_refused_with_the_way_out(basins, value):
    marked = basins.assign(temperature=at(basins["temperature"], 4, value))
    with pytest.raises(InputError, match=r"basin 01013500, 2000-01-05: temperature is .* it looks like a marker; add missing = \["):
        canonical(marked)
    listed = canonical(marked, missing=[value])["temperature"]
    assert bool(listed[0, 4].isnull())
    assert listed.attrs["set_missing"] == 1


def test_a_size_of_a_marker_among_its_like_is_a_value(basins):
    pressure = (basins["temperature"] * 0.5 + 999).astype("float64").assign_attrs(units="Pa")
    pressure[0, 4] = 999.0
    assert float(canonical(basins.assign(pressure=pressure))["pressure"][0, 4]) == 999.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_listed_marker_is_found_in_either_precision(basins, dtype):
    marked = at(basins["temperature"], 4, -99.9).astype(dtype)
    assert canonical(basins.assign(temperature=marked), missing=[-99.9])["temperature"].attrs["set_missing"] == 1


def test_counts_of_several_markers_and_negative_flow_are_kept_apart_by_variable(basins, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    flow = at(at(at(basins["discharge"], 1, -999), 2, -9999), 3, -0.01)
    found = canonical(basins.assign(discharge=flow))
    assert {name: found[name].attrs["set_missing"] for name in ("rain", "temperature", "discharge")} == {
        "rain": 0,
        "temperature": 0,
        "discharge": 3,
    }
    assert "basin 01013500: discharge: 2 value(s) marked as missing, the first -999.0 on 2000-01-02" in caplog.text
    assert "basin 01013500: discharge: 1 value(s) negative, taken as missing, the first -0.01 on 2000-01-04" in caplog.text


@pytest.mark.parametrize("dims", [("time",), ("basin", "time", "layer")])
def test_a_variable_over_other_dimensions_is_refused_and_may_be_left_out(basins, dims):
    other = basins.assign(other=(dims, np.zeros([basins.sizes.get(dim, 2) for dim in dims]), {"units": "K"}))
    with pytest.raises(InputError, match=r"variable 'other' has dims .*, not \(basin, time\); leave it out by variables"):
        canonical(other)
    assert "other" not in canonical(other, variables=["rain", "discharge"])


def test_no_basins_are_refused(basins):
    with pytest.raises(InputError, match="gauge_ids is an empty list"):
        canonical(basins, [])


def test_names_are_exchanged_where_both_are_renamed(basins):
    found = rename_variables(basins, {"rain": "temperature", "temperature": "rain"})
    np.testing.assert_array_equal(found["rain"], basins["temperature"])
    np.testing.assert_array_equal(found["temperature"], basins["rain"])


def test_numpy_numbers_are_kept_in_the_source(basins):
    options = {"area_km2": {"01013500": np.float32(2.5), "01022500": np.int64(3)}, "missing": [np.float32(-7.0)]}
    called = {"source": "netcdf", **options}
    found = to_canonical(basins, options, gauge_ids=["01013500", "01022500"], called=called)
    assert json.loads(found.attrs[SOURCE]) == {
        "source": "netcdf",
        "area_km2": {"01013500": 2.5, "01022500": 3},
        "missing": [-7.0],
    }


def test_one_row_cannot_be_mended_and_is_refused(basins):
    with pytest.raises(InputError, match="has 1 time step"):
        canonical(basins.isel(time=[0]), mend_time=True)


def test_mending_a_whole_record_changes_nothing(basins):
    xr.testing.assert_identical(mend_times(basins), basins)


@pytest.mark.parametrize("seed", range(5))
def test_a_shuffled_and_repeated_record_is_mended_to_what_it_was(basins, seed):
    rows = np.random.default_rng(seed).permutation(np.r_[np.arange(50), 3, 3, 17])
    xr.testing.assert_equal(mend_times(basins.isel(time=rows)), basins.isel(time=slice(50)))


def test_rows_between_the_steps_are_not_mended(basins):
    times = basins.indexes["time"][:9].to_numpy().copy()
    times[2] += np.timedelta64(18, "h")
    with pytest.raises(InputError, match=r"does not fit a step of .* lies between; correct the file"):
        mend_times(basins.isel(time=slice(9)).assign_coords(time=times))


def test_three_hour_amounts_are_kept_and_rates_are_an_hour():
    hours = make_basins("a", days=100, freq="3h")
    found = canonical(hours.assign(discharge=hours["discharge"].assign_attrs(units="mm")))
    np.testing.assert_allclose(found["discharge"], hours["discharge"] / 3, rtol=1e-6)
