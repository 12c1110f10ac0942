import json
import logging

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from small_series import NAN, equal, gappy, of, row

from runoff_lstm.data.derived import derive, formula_names
from runoff_lstm.data.filling import fill_by_climatology, fill_by_interpolation, fill_from_earlier
from runoff_lstm.data.masks import measured, sees_later
from runoff_lstm.data.names import LATER, SOURCE
from runoff_lstm.data.periods import Period, Stretches
from runoff_lstm.data.preparation import mend
from runoff_lstm.data.resampling import resample
from runoff_lstm.data.schema import check_basins
from runoff_lstm.errors import InputError


def test_a_mean_of_two_is_worked_out_and_says_how():
    made = derive(of(tmin=[1, NAN, 3], tmax=[5, 6, 8]), "temperature", "(tmin + tmax) / 2", units="degC")
    equal(row(made, "temperature"), [3, NAN, 5.5])
    assert made["temperature"].attrs == {"units": "degC", "long_name": "(tmin + tmax) / 2"}
    assert made["temperature"].dtype == np.float32


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("-a + 2 * b", 4),
        ("a ** b / 4", 2),
        ("2 - -a", 4),
        ("-a ** 2", -4),
        ("min(a, b, 1) + max(b, 2.5)", 4),
        ("sqrt(a * 8) + abs(-b)", 7),
        ("log(exp(a)) + 1e-3", 2.001),
        (" a +\n  b ", 5),
    ],
)
def test_the_arithmetic_is_the_usual_one(formula, expected):
    made = derive(of(a=[2, 2], b=[3, 3]), "c", formula, units="1")
    np.testing.assert_allclose(row(made, "c"), expected, rtol=1e-6)


def test_a_formula_takes_an_attribute_of_each_basin_along():
    basins = of(q=[[1, 2], [3, 4]]).assign(area=("basin", np.array([10, 100])))
    equal(derive(basins, "volume", "q * area", units="1")["volume"].values, [[10, 20], [300, 400]])
    alone = derive(basins, "root", "sqrt(area)", units="km")["root"]
    assert alone.dims == ("basin",)
    assert alone.attrs["units"] == "km"
    np.testing.assert_allclose(alone.values, [np.sqrt(10), 10], rtol=1e-6)


def test_dims_in_another_order_are_understood():
    basins = of(q=[[1, 2], [3, 4]])
    equal(derive(basins.transpose(), "double", "q + q", units="1")["double"].values, [[2, 4], [6, 8]])


@pytest.mark.parametrize("formula", ["1 / a", "log(a)", "sqrt(a - 1)", "1e200 * (a + 1)"])
def test_what_is_no_finite_number_becomes_nan_and_is_counted(caplog, formula):
    caplog.set_level(logging.INFO)
    made = derive(of(a=[1, 0, NAN], units={"a": "1"}), "b", formula, units="1")
    assert np.isnan(row(made, "b")[1:]).all()
    number, first = (2, "2001-01-01") if "1e200" in formula else (1, "2001-01-02")
    assert f"basin 01013500: b: {number} value(s) without a finite result, made NaN, the first on {first}" in caplog.text


def test_nan_stays_nan_even_where_numpy_would_have_a_number():
    made = derive(derive(of(a=[NAN, 2]), "b", "a ** 0", units="1"), "c", "1 ** a", units="1")
    equal(row(made, "b"), [NAN, 1])
    equal(row(made, "c"), [NAN, 1])


def test_a_derived_variable_is_kept_in_its_canonical_unit():
    made = derive(of(t=[0, 10]), "kelvin", "t + 273.15", units="K")
    assert made["kelvin"].attrs["units"] == "degC"
    np.testing.assert_allclose(row(made, "kelvin"), [0, 10], atol=1e-4)


def test_discharge_from_a_rating_curve_becomes_a_depth_by_the_area():
    stage = of(stage=[1.0, 2.0], units={"stage": "1"})
    with pytest.raises(InputError, match="needs the area"):
        derive(stage, "discharge", "stage ** 2", units="m3 s-1")
    made = derive(stage.assign(area_km2=("basin", [86.4])), "discharge", "stage ** 2", units="m3 s-1")
    np.testing.assert_allclose(row(made, "discharge"), [1, 4], rtol=1e-6)
    check_basins(made)


def test_what_is_made_of_filled_values_counts_as_filled():
    data = of(a=[1, NAN, 3, NAN, 5, 6], b=[1, 2, NAN, 4, 5, NAN])
    filled = fill_by_interpolation(fill_by_interpolation(data, "a", limit=1), "b", limit=1)
    assert row(derive(filled, "c", "a + b", units="1"), "c_filled") == [0, 1, 1, 1, 0, 0]
    once = fill_by_interpolation(of(a=[1, NAN, 3], b=[1, NAN, 3]), "a", limit=1)
    assert row(derive(once, "c", "a + b", units="1"), "c_filled") == [0, 0, 0]


def test_the_names_a_formula_needs_are_told_once_and_in_order():
    assert formula_names("b * max(a, 0) + min(b, min_t) ** 2 - 3") == ["b", "a", "min_t"]
    assert formula_names("1 + 2") == []


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os')",
        "a.values",
        "a[0]",
        "a if a else 1",
        "a > 1",
        "lambda: 1",
        "[a]",
        "sin(a)",
        "min(a)",
        "sqrt(a, a)",
        "sqrt()",
        "max(*a)",
        "log(a, base=2)",
        "a // 2",
        "a % 2",
        "a ^ 2",
        "+a",
        "True + a",
        "1j * a",
        "'a'",
        "0,5 * a",
        "(a := 1)",
        "a and a",
        "not a",
        "f'{a}'",
        "1e999 * a",
        "9" * 400,
    ],
)
def test_nothing_but_plain_arithmetic_is_understood(formula):
    with pytest.raises(InputError, match="is not understood; use names, numbers"):
        derive(of(a=[1, 2]), "b", formula, units="1")


@pytest.mark.parametrize("formula", ["", "a +", "import os", "a = 1", "(a", "a\0", "(" * 300 + "a", "~" * 499 + "a", "a b"])
def test_what_is_no_formula_is_refused(formula):
    with pytest.raises(InputError, match="cannot be read"):
        formula_names(formula)


def test_a_formula_cannot_keep_the_machine_busy():
    made = derive(of(a=[1, 2]), "b", "a * 9 ** 9 ** 9 ** 9", units="1")
    assert np.isnan(row(made, "b")).all()
    with pytest.raises(InputError, match="longer than 500 characters"):
        formula_names("-" * 600 + "a")
    assert formula_names("-" * 499 + "a") == ["a"]


def test_unknown_and_taken_names_are_refused():
    with pytest.raises(InputError, match="no variable 'tmni'; did you mean 'tmin'"):
        derive(of(tmin=[1, 2], rain=[1, 2]), "t", "tmni + 1", units="degC")
    for name in ("tmin", "basin", "time"):
        with pytest.raises(InputError, match=f"have '{name}' already"):
            derive(of(tmin=[1, 2]), name, "tmin + 1", units="degC")
    with pytest.raises(InputError, match="names no variable"):
        derive(of(tmin=[1, 2]), "t", "1 + 1", units="degC")
    with pytest.raises(InputError, match="t: the unit 'celsiuses' is not known"):
        derive(of(tmin=[1, 2]), "t", "tmin + 1", units="celsiuses")
    with pytest.raises(InputError, match=r"derive t: 'name' is .* numbers over"):
        derive(of(tmin=[1, 2]).assign(name=("basin", ["x"])), "t", "name + 1", units="1")


def test_yesterdays_value_fills_a_short_gap_and_the_mask_says_where():
    filled = fill_from_earlier(of(rain=[1, 2, NAN, 4, NAN, NAN, 7]), "rain", period="1 day", limit=1)
    equal(row(filled, "rain"), [1, 2, 2, 4, NAN, NAN, 7])
    assert row(filled, "rain_filled") == [0, 0, 1, 0, 0, 0, 0]
    assert filled["rain_filled"].dtype == np.int8


def test_a_filled_value_is_never_copied_on():
    gap = of(rain=[1, NAN, NAN, 4])
    equal(row(fill_from_earlier(gap, "rain", period="1 day", limit=2), "rain"), [1, 1, NAN, 4])
    equal(row(fill_from_earlier(gap, "rain", period="1 day", tries=2, limit=2), "rain"), [1, 1, 1, 4])
    once = fill_from_earlier(gap, "rain", period="1 day", limit=2)
    equal(row(fill_from_earlier(once, "rain", period="1 day", limit=2), "rain"), [1, 1, NAN, 4])


def test_several_fillings_leave_one_mask_and_cannot_creep_into_a_long_gap():
    once = fill_from_earlier(of(rain=[1, NAN, NAN, NAN, 4]), "rain", period="1 day", limit=3)
    assert row(once, "rain_filled") == [0, 1, 0, 0, 0]
    equal(row(fill_by_interpolation(once, "rain", limit=2), "rain"), [1, 1, NAN, NAN, 4])
    both = fill_by_interpolation(once, "rain", limit=3)
    equal(row(both, "rain"), [1, 1, 2.5, 3.25, 4])
    assert row(both, "rain_filled") == [0, 1, 1, 1, 0]


def test_the_nearest_of_several_periods_is_tried_first():
    hours = np.arange(96, dtype=np.float32)
    hours[[75, 50, 74]] = NAN
    filled = fill_from_earlier(of(freq="h", rain=hours), "rain", period="1 day", tries=3, limit=2)
    assert filled["rain"].values[0, 75] == 51
    assert filled["rain"].values[0, 74] == 26
    assert filled["rain"].values[0, 50] == 26


def test_the_same_day_last_year_and_the_leap_day():
    days = pd.date_range("1999-01-01", "2004-12-31")
    values = np.arange(len(days), dtype=np.float32)
    gaps = ["2004-02-29", "2003-07-01", "2000-02-29"]
    values[days.isin(pd.DatetimeIndex(gaps))] = NAN
    data = of(start="1999-01-01", rain=values)
    filled = fill_from_earlier(data, "rain", period="1 year", limit=1)["rain"].isel(basin=0).to_series()
    place = pd.Series(np.arange(len(days)), days)
    assert [filled[day] for day in gaps] == [place["2003-02-28"], place["2002-07-01"], place["1999-02-28"]]
    four = fill_from_earlier(data, "rain", period="4 years", limit=1)["rain"].isel(basin=0).to_series()
    assert np.isnan(four["2004-02-29"])
    assert four["2003-07-01"] == place["1999-07-01"]


def test_a_leap_day_is_taken_from_the_last_leap_year_where_four_years_are_asked_for():
    days = pd.date_range("2000-01-01", "2004-12-31")
    values = np.arange(len(days), dtype=np.float32)
    values[days == "2004-02-29"] = NAN
    filled = fill_from_earlier(of(start="2000-01-01", rain=values), "rain", period="4 years", limit=1)
    assert filled["rain"].sel(time="2004-02-29").item() == 59


@pytest.mark.parametrize("period", ["1 day", "day", "24h", "24 hours", "1D", pd.Timedelta("1 day"), pd.DateOffset(days=1)])
def test_a_period_may_be_written_in_several_ways(period):
    filled = fill_from_earlier(of(rain=[1, NAN]), "rain", period=period, limit=1)
    equal(row(filled, "rain"), [1, 1])


@pytest.mark.parametrize(
    ("period", "message"),
    [
        ("1 fortnight", "is no length of time; write it as"),
        ("0 days", "is no length of time"),
        ("-1 day", "is no length of time"),
        (pd.Timedelta("-1 day"), "does not lie back"),
        (pd.DateOffset(years=-1), "does not lie back"),
        ("1 hour", "fill rain: no step of the data lies 1 hour before another"),
        ("36h", "a multiple of their step"),
        ("9999 years", "beyond any calendar"),
    ],
)
def test_a_period_that_does_not_look_back_by_whole_steps_is_refused(period, message):
    with pytest.raises(InputError, match=message):
        fill_from_earlier(of(rain=[1, NAN, 3, 4]), "rain", period=period, limit=1)


def test_a_straight_line_joins_both_sides_and_goes_no_further():
    filled = fill_by_interpolation(of(rain=[NAN, 1, NAN, NAN, 4, NAN, 6, NAN]), "rain", limit=2)
    equal(row(filled, "rain"), [NAN, 1, 2, 3, 4, 5, 6, NAN])
    assert row(filled, "rain_filled") == [0, 0, 1, 1, 0, 1, 0, 0]


def test_the_mean_of_the_calendar_day_over_the_training_years_fills():
    days = pd.date_range("2001-01-01", "2004-12-31")
    values = pd.Series(np.float32(days.year - 2000), days)
    values[["2003-05-05", "2002-05-06", "2004-05-06"]] = NAN
    values["2004-05-05"] = 1000
    filled = fill_by_climatology(of(rain=values), "rain", period=Period("2001-01-01", "2003-12-31"), limit=1)
    filled = filled["rain"].isel(basin=0).to_series()
    assert filled["2003-05-05"] == 1.5
    assert filled["2004-05-06"] == 2
    assert filled["2002-05-06"] == 2


def test_climatology_may_be_that_of_a_training_in_stretches():
    days = pd.date_range("2001-01-01", "2003-12-31")
    values = pd.Series(np.float32([{2001: 1, 2002: 100, 2003: 4}[year] for year in days.year]), days)
    values["2002-05-05"] = NAN
    train = Stretches((Period("2001-01-01", "2001-12-31"), Period("2003-01-01", "2003-12-31")))
    filled = mend(of(rain=values), fill={"rain": {"method": "climatology", "limit": 1}}, train=train)
    assert filled["rain"].sel(time="2002-05-05").item() == 2.5


def test_climatology_leaves_out_what_was_filled_before():
    days = pd.date_range("2001-01-01", "2003-12-31")
    values = pd.Series(np.float32(days.year - 2000), days)
    values["2002-05-05"] = NAN
    once = fill_from_earlier(of(rain=values), "rain", period="1 day", limit=1)
    once["rain"].loc[{"time": "2003-05-05"}] = NAN
    filled = fill_by_climatology(once, "rain", period=Period("2001-01-01", "2003-12-31"), limit=1)
    assert filled["rain"].sel(time="2003-05-05").item() == 1


def test_climatology_knows_the_hour_and_the_leap_day():
    hours = pd.date_range("2001-01-01", "2004-12-31 23:00", freq="h")
    values = pd.Series(np.float32(hours.hour + 100 * hours.month), hours)
    values[["2004-02-29 05:00", "2004-06-01 07:00"]] = NAN
    filled = fill_by_climatology(of(freq="h", rain=values), "rain", period=Period("2001-01-01", "2003-12-31"), limit=1)
    filled = filled["rain"].isel(basin=0).to_series()
    assert filled["2004-02-29 05:00"] == 255
    assert filled["2004-06-01 07:00"] == 607


def test_every_basin_is_filled_from_its_own_values():
    data = of(rain=[[1, NAN, 3], [10, NAN, NAN], [NAN, NAN, NAN]])
    equal(fill_by_interpolation(data, "rain", limit=3)["rain"].values, [[1, 2, 3], [10, NAN, NAN], [NAN, NAN, NAN]])
    equal(fill_from_earlier(data, "rain", period="1 day", limit=3)["rain"].values, [[1, 1, 3], [10, 10, NAN], [NAN, NAN, NAN]])


def test_what_was_filled_is_logged_by_basin_and_a_variable_wholly_missing_is_told(caplog):
    caplog.set_level(logging.INFO)
    fill_by_interpolation(of(rain=[[1, NAN, 3], [NAN, NAN, NAN]]), "rain", limit=3)
    assert "basin 01013500: rain: 1 value(s) filled by interpolation, the first on 2001-01-02" in caplog.text
    assert "basin 01022500: rain is missing throughout, and stays so" in caplog.text
    assert "basin 01013500: rain is missing throughout" not in caplog.text
    assert {record.name for record in caplog.records} == {"runoff_lstm.data.filling"}


def test_the_dataset_given_is_left_as_it_is():
    data = of(rain=[1, NAN, 3])
    before = data.copy(deep=True)
    fill_by_interpolation(data, "rain", limit=1)
    derive(data, "b", "rain + 1", units="mm")
    xr.testing.assert_identical(data, before)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "3"])
def test_a_limit_below_one_step_is_refused(limit):
    with pytest.raises(InputError, match=r"fill rain: limit = .* from 1 on"):
        fill_by_interpolation(of(rain=[1, NAN, 3]), "rain", limit=limit)


def test_what_cannot_be_filled_is_refused():
    data = of(rain=[1, NAN, 3]).assign(area_km2=("basin", [1.0]))
    with pytest.raises(InputError, match="no variable 'rian'; did you mean 'rain'"):
        fill_by_interpolation(data, "rian", limit=1)
    with pytest.raises(InputError, match="only a variable over"):
        fill_by_interpolation(data, "area_km2", limit=1)
    with pytest.raises(InputError, match="tries = 0"):
        fill_from_earlier(data, "rain", period="1 day", tries=0, limit=1)
    with pytest.raises(InputError, match="is not inside the data"):
        fill_by_climatology(data, "rain", period=Period("1990-01-01", "1991-01-01"), limit=1)


def fillings(limit):
    return {
        "earlier": lambda data: fill_from_earlier(data, "rain", period="1 day", tries=3, limit=limit),
        "week": lambda data: fill_from_earlier(data, "rain", period=pd.Timedelta("7 days"), limit=limit),
        "interpolation": lambda data: fill_by_interpolation(data, "rain", limit=limit),
        "climatology": lambda data: fill_by_climatology(data, "rain", period=Period("2001-01-01", "2001-01-06"), limit=limit),
    }


def gap_lengths(values):
    """By a plain loop: of each step, the length of the gap it lies in."""
    lengths, start = np.zeros(len(values), int), None
    for place, value in enumerate([*values, 0.0]):
        if np.isnan(value) and start is None:
            start = place
        elif not np.isnan(value) and start is not None:
            lengths[start:place] = place - start
            start = None
    return lengths


@settings(max_examples=60)
@given(values=gappy(), limit=st.integers(1, 5), method=st.sampled_from(list(fillings(1))))
def test_measured_values_never_change_nothing_beyond_the_limit_is_filled_and_the_mask_is_exactly_what_changed(
    values, limit, method
):
    data = of(freq="4h", rain=values)
    filled = fillings(limit)[method](data)
    after, mask = filled["rain"].values, filled["rain_filled"].values
    there = ~np.isnan(values)
    np.testing.assert_array_equal(after[there], values[there])
    np.testing.assert_array_equal(mask == 1, np.isnan(values) & ~np.isnan(after))
    lengths = np.stack([gap_lengths(line) for line in values])
    assert (lengths[mask == 1] <= limit).all()
    assert filled["time"].equals(data["time"])


@settings(max_examples=60)
@given(values=gappy((1, 40)), now=st.integers(1, 39), limit=st.integers(1, 5), tries=st.integers(1, 4))
def test_filling_from_earlier_depends_on_no_later_value(values, now, limit, tries):
    poisoned = values.copy()
    poisoned[:, now:] = 1e6 + poisoned[:, now:]
    results = [
        fill_from_earlier(of(freq="4h", rain=one), "rain", period="1 day", tries=tries, limit=limit)["rain"].values[:, :now]
        for one in (values, poisoned)
    ]
    np.testing.assert_array_equal(*results)


@settings(max_examples=60)
@given(values=gappy((1, 30)), limit=st.integers(1, 5))
def test_a_short_gap_is_filled_between_its_sides_and_one_at_an_end_is_not(values, limit):
    filled = fill_by_interpolation(of(rain=values), "rain", limit=limit)["rain"].values[0]
    line = values[0]
    inside = np.flatnonzero(~np.isnan(line))
    for place in np.flatnonzero(np.isnan(line)):
        closed = inside.size > 0 and inside[0] < place < inside[-1]
        assert np.isnan(filled[place]) == (not closed or gap_lengths(line)[place] > limit)
        if not np.isnan(filled[place]):
            sides = line[inside[inside < place][-1]], line[inside[inside > place][0]]
            assert min(sides) - 1e-4 <= filled[place] <= max(sides) + 1e-4


def test_targets_and_scores_see_measured_discharge_alone():
    filled = fill_by_interpolation(of(discharge=[1, NAN, 3], rain=[1, 1, 1]), "discharge", limit=1)
    seen = measured(filled)
    equal(row(seen, "discharge"), [1, NAN, 3])
    assert "discharge_filled" not in seen
    assert seen["discharge"].attrs["units"] == "mm d-1"
    assert seen["discharge"].dtype == np.float32
    xr.testing.assert_identical(measured(check_basins(filled)), seen)


def test_it_is_remembered_that_later_values_were_seen():
    data = of(rain=[1, NAN, 3, NAN, NAN, NAN, 2], warmth=[NAN, 1, NAN, NAN, 2, 2, 2])
    seen = fill_by_interpolation(data, "rain", limit=1)
    assert sees_later(seen, "rain")
    assert sees_later(fill_from_earlier(seen, "rain", period="2 days", limit=3), "rain")
    assert sees_later(resample(check_basins(seen), "1W", share=0.1), "rain")
    assert sees_later(derive(seen, "both", "rain + warmth", units="1"), "both")
    for blind in (
        fill_from_earlier(
            fill_by_interpolation(data, "warmth", limit=1), "warmth", period="1 day", limit=2
        ),  # nothing to interpolate
        fill_from_earlier(data, "warmth", period="1 day", limit=2),
        fill_by_interpolation(
            fill_from_earlier(data, "warmth", period="1 day", limit=2), "warmth", limit=1
        ),  # nothing is left to it
        derive(fill_from_earlier(data, "warmth", period="1 day", limit=2), "more", "warmth + rain", units="1"),
    ):
        name = "more" if "more" in blind else "warmth"
        assert blind[f"{name}_filled"].any()
        assert not sees_later(blind, name)
        assert LATER not in blind[f"{name}_filled"].attrs
    assert not sees_later(data, "rain")


def test_without_a_mask_the_dataset_is_returned_as_it_is():
    data = of(discharge=[1, NAN, 3])
    assert measured(data) is data


UTC = pd.date_range("2001-01-01", periods=3, tz="UTC")
MIXED = pd.Index([UTC[0], UTC[1].tz_convert("Europe/Berlin"), pd.Timestamp("2001-01-03")], dtype=object)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (UTC, r"holds datetime64\[.*UTC\], not plain dates; write all times in one time, without a zone"),
        (MIXED, "holds object, not plain dates; write all times in one time, without a zone"),
        (pd.DatetimeIndex(["2001-01-02", "2001-01-01", "2001-01-03"]), "does not go on at 2001-01-01.*; sort it"),
        (pd.DatetimeIndex(["2001-01-01", "2001-01-01", "2001-01-03"]), "does not go on at 2001-01-01"),
        (pd.DatetimeIndex(["2001-01-01", None, "2001-01-03"]), "not plain dates"),
    ],
)
def test_a_time_axis_that_is_not_plain_is_refused_with_the_remedy(times, message):
    data = of(rain=[1, 2, 3]).assign_coords(time=times)
    for action in (lambda: resample(data, "1W"), lambda: fill_by_interpolation(data, "rain", limit=1)):
        with pytest.raises(InputError, match=message):
            action()


def test_an_axis_with_holes_or_of_one_step_is_refused():
    with pytest.raises(InputError, match="not regular: after 2001-01-02"):
        resample(of(rain=np.ones(5)).isel(time=[0, 1, 3, 4]), "1W")
    with pytest.raises(InputError, match="at least two are needed"):
        resample(of(rain=[1.0]), "1W")


def test_tables_resample_then_derive_then_fill_and_are_kept():
    hours = np.arange(24 * 21, dtype=np.float32)
    rain = np.ones_like(hours)
    rain[24 * 3 : 24 * 5] = NAN
    rain[0] = NAN
    data = of(freq="h", tmin=hours, tmax=hours, rain=rain).assign_attrs({SOURCE: json.dumps({"source": "csv", "path": "x"})})
    tables = {
        "resample": {"step": "1D", "share": 0.9},
        "derive": {
            "mean": {"formula": "(tmin + tmax) / 2", "units": "degC"},
            "above": {"formula": "max(mean - 12, 0)", "units": "degC"},
        },
        "fill": {
            "rain": {"method": "earlier", "limit": 3, "period": "1 day", "tries": 2},
            "tmin": {"method": "interpolation", "limit": 1},
            "tmax": {"method": "climatology", "limit": 1},
        },
    }
    mended = mend(data, **tables, train=Period("2001-01-01", "2001-01-10"))
    assert row(mended, "mean")[:2] == [11.5, 35.5]
    assert row(mended, "above")[:2] == [0, 23.5]
    assert row(mended, "rain")[:6] == [24.0] * 6
    assert row(mended, "rain_filled")[:6] == [0, 0, 0, 1, 1, 0]
    assert json.loads(mended.attrs[SOURCE]) == {"source": "csv", "path": "x", **tables}
    check_basins(mended)
    again = mend(data, **{key: json.loads(mended.attrs[SOURCE])[key] for key in tables}, train=Period("2001-01-01", "2001-01-10"))
    xr.testing.assert_identical(again, mended)


def test_without_tables_nothing_changes():
    data = of(rain=[1, NAN, 3])
    xr.testing.assert_equal(mend(data, derive={}, resample=None), data)


def test_settings_left_none_are_as_if_left_out():
    data = of(rain=[1, NAN, 3])
    table = {"method": "interpolation", "limit": 1, "period": None, "tries": None}
    mended = mend(data, fill={"rain": table}, resample={"step": "1D", "share": None})
    equal(row(mended, "rain"), [1, 2, 3])
    assert json.loads(mended.attrs[SOURCE]) == {
        "fill": {"rain": {"method": "interpolation", "limit": 1}},
        "resample": {"step": "1D"},
    }


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"fill": {"rain": {"method": "interpolate", "limit": 1}}}, "fill rain: method = 'interpolate' .* 'interpolation'"),
        ({"fill": {"rain": {"limit": 1}}}, "fill rain: method = None is not known; there is earlier"),
        ({"fill": {"rain": {"method": "interpolation"}}}, "fill rain has no limit; add it"),
        ({"fill": {"rain": {"method": "earlier", "limit": 1}}}, "fill rain has no period; add it"),
        (
            {"fill": {"rain": {"method": "earlier", "limit": 1, "period": "1 day", "tires": 2}}},
            "fill rain has no setting 'tires'; did you mean 'tries'",
        ),
        ({"fill": {"rain": {"method": "interpolation", "limit": 1, "period": "1 day"}}}, "no setting 'period'"),
        ({"fill": {"rain": {"method": "climatology", "limit": 1}}}, "fill rain: climatology .*; give the period train"),
        ({"fill": {"snow": {"method": "interpolation", "limit": 1}}}, "no variable 'snow'"),
        ({"derive": {"t": {"formula": "rain + 1"}}}, "derive t has no units; add it"),
        ({"derive": {"t": {"formula": "rain + 1", "unit": "mm"}}}, "no setting 'unit'; did you mean 'units'"),
        ({"resample": {"share": 0.5}}, "resample has no step; add it"),
        ({"resample": {"step": "1W", "shares": 0.5}}, "no setting 'shares'; did you mean 'share'"),
    ],
)
def test_a_table_with_a_fault_is_refused(tables, message):
    with pytest.raises(InputError, match=message):
        mend(of(rain=[1, NAN, 3]), **tables)


def test_the_period_of_climatology_is_the_training_and_no_other():
    table = {"method": "climatology", "limit": 1, "period": "1 year"}
    with pytest.raises(InputError, match="give the period train, and no other"):
        mend(of(rain=[1, NAN, 3]), fill={"rain": table}, train=Period("2001-01-01", "2001-01-02"))


def test_data_are_mended_only_once_so_that_a_run_can_repeat_it():
    table = {"rain": {"method": "interpolation", "limit": 1}}
    with pytest.raises(InputError, match="fill: the data were mended before"):
        mend(mend(of(rain=[1, NAN, 3]), fill=table), fill=table)


def test_what_is_derived_comes_from_filled_variables_and_several_methods_follow_one_another(basins):
    holed = basins.copy(deep=True)
    holed["temperature"][:, 100] = np.nan
    holed["temperature"][:, 200:210] = np.nan
    mended = mend(
        holed,
        fill={
            "temperature": [
                {"method": "earlier", "period": "1 day", "limit": 1},
                {"method": "climatology", "limit": 20},
            ]
        },
        derive={"warmth": {"formula": "max(temperature, 0)", "units": "degC"}},
        train=Period("2000-01-01", "2001-11-30"),
    )
    np.testing.assert_array_equal(mended["temperature"][:, 100], holed["temperature"][:, 99])
    assert mended["warmth"].notnull().all()
    assert mended["warmth_filled"].sum() == mended["temperature_filled"].sum() == 11 * basins.sizes["basin"]
