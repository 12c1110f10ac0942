import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_basins
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from small_series import NAN, equal, gappy, of, row

from runoff_lstm.data.filling import fill_by_interpolation
from runoff_lstm.data.masks import measured
from runoff_lstm.data.names import SOURCE
from runoff_lstm.data.resampling import resample
from runoff_lstm.data.schema import check_basins
from runoff_lstm.errors import InputError


def test_hours_become_days_by_the_kind_of_each_variable():
    hours = np.arange(48, dtype=np.float32)
    data = of(
        freq="h",
        rain=hours,
        precipitation=hours,
        swe=hours,
        tmin=hours,
        temperature_2m_max=hours,
        temperature=hours,
        wind=hours,
        discharge=hours,
        flow=hours,
        radiation=hours,
        units={"radiation": "J m-2", "precipitation": "mm h-1", "discharge": "mm h-1", "wind": "m s-1", "flow": "m3 s-1"},
    )
    daily = resample(data, "1D")
    expected = {
        "rain": ([276, 852], "mm", "sum"),
        "precipitation": ([276, 852], "mm d-1", "mean"),
        "swe": ([11.5, 35.5], "mm", "mean"),
        "tmin": ([0, 24], "degC", "minimum"),
        "temperature_2m_max": ([23, 47], "degC", "maximum"),
        "temperature": ([11.5, 35.5], "degC", "mean"),
        "wind": ([11.5, 35.5], "m s-1", "mean"),
        "discharge": ([276, 852], "mm d-1", "mean"),
        "flow": ([11.5, 35.5], "m3 s-1", "mean"),
        "radiation": ([276, 852], "J m-2", "sum"),  # of a step, as reanalyses accumulate it
    }
    for name, (values, units, kind) in expected.items():
        np.testing.assert_allclose(row(daily, name), values, rtol=1e-6, err_msg=name)
        assert daily[name].attrs == {"units": units, "cell_methods": f"time: {kind}"}, name
        assert daily[name].dtype == np.float32
    assert daily.indexes["time"].equals(pd.DatetimeIndex(["2001-01-01", "2001-01-02"]).as_unit("ns"))
    assert list(daily.data_vars) == list(data.data_vars)
    xr.testing.assert_identical(check_basins(daily), daily)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tmin", "minimum"),
        ("tmax_daymet", "maximum"),
        ("t_min", "minimum"),
        ("Tmax(C)", "maximum"),
        ("TMIN", "minimum"),
        ("temperature_2m_min", "minimum"),
        ("maximum_temperature", "maximum"),
        ("snow_depth_water_equivalent_max", "maximum"),
        ("rain_10min", "sum"),
        ("rain_5_min", "sum"),
        ("minutes_of_sun", "sum"),
        ("snow_depth", "mean"),
        ("soil_storage", "mean"),
    ],
)
def test_names_say_minimum_maximum_or_a_state(name, kind):
    weekly = resample(of(start="2001-01-01", units={name: "mm"}, **{name: [3, 1, 2, 5, 9, 4, 3] * 2}), "1W")
    assert weekly[name].attrs["cell_methods"] == f"time: {kind}"
    assert row(weekly, name)[0] == pytest.approx({"minimum": 1, "maximum": 9, "sum": 27, "mean": 27 / 7}[kind])


def test_minutes_become_hours_and_six_hours():
    data = of(freq="15min", rain=np.ones(48), precipitation=np.ones(48), units={"precipitation": "mm h-1"})
    hourly = resample(data, "1h")
    assert row(hourly, "rain") == [4.0] * 12
    assert hourly["precipitation"].attrs["units"] == "mm h-1"
    assert row(resample(data, "6h"), "rain") == [24.0, 24.0]


def test_weeks_begin_on_monday_and_months_on_their_first():
    days = of(start="2001-01-03", rain=np.ones(60))
    weekly = resample(days, "1W")
    assert (weekly.indexes["time"].day_of_week == 0).all()
    assert weekly.indexes["time"][0] == pd.Timestamp("2001-01-01")
    equal(row(weekly, "rain"), [NAN, *[7] * 7, NAN])
    monthly = resample(days, "MS", share=0.5)
    assert monthly.indexes["time"].strftime("%Y-%m-%d").tolist() == ["2001-01-01", "2001-02-01", "2001-03-01"]
    equal(row(monthly, "rain"), [31, 28, NAN])


def test_a_leap_february_has_29_days():
    monthly = resample(of(start="2004-01-01", rain=np.ones(91)), "1 month")
    equal(row(monthly, "rain"), [31, 29, 31])


def test_a_share_of_the_steps_suffices_and_the_sum_is_scaled_up():
    days = np.ones(28)
    days[[0, 7, 8]] = NAN
    data = of(rain=days, temperature=days, tmin=np.where(np.isnan(days), NAN, np.arange(28)))
    equal(row(resample(data, "1W"), "rain"), [NAN, NAN, 7, 7])
    equal(row(resample(data, "1W", share=6 / 7), "rain"), [7, NAN, 7, 7])
    weekly = resample(data, "1W", share=0.5)
    equal(row(weekly, "rain"), [7, 7, 7, 7])
    equal(row(weekly, "temperature"), [1, 1, 1, 1])
    equal(row(weekly, "tmin"), [1, 9, 14, 21])


def test_a_share_that_is_a_whole_number_of_steps_is_not_missed_by_rounding():
    assert 0.28 * 25 > 7
    assert row(resample(of(freq="h", rain=[1.0] * 7 + [NAN] * 18), "25h", share=0.28), "rain") == [25]


def test_no_share_makes_a_value_of_nothing():
    data = of(rain=[NAN] * 7 + [1.0] * 7)
    equal(row(resample(data, "1W", share=1e-12), "rain"), [NAN, 7])


@settings(max_examples=40)
@given(
    values=arrays.arrays(np.float32, (2, 24 * 42), elements=st.floats(0, 30, width=32)),
    step=st.sampled_from(["2h", "6h", "1D", "3D", "1W", "2W", "MS"]),
)
def test_resampling_keeps_the_water(values, step):
    data = of(start="2001-01-01", freq="h", rain=values, precipitation=values, units={"precipitation": "mm h-1"})
    long = resample(data, step)
    days = pd.Series(long.indexes["time"])
    lengths = days.dt.days_in_month if step == "MS" else (days.diff().shift(-1).ffill() / pd.Timedelta("1D"))
    hours = 24 * lengths.to_numpy()
    whole = ~np.isnan(long["rain"].values[0])
    covered = int(hours[whole].sum())
    water = values.astype(np.float64)[:, :covered].sum(axis=1)
    per_hour = 1 if long["precipitation"].attrs["units"] == "mm h-1" else 1 / 24
    np.testing.assert_allclose(long["rain"].values[:, whole].sum(axis=1, dtype=np.float64), water, rtol=1e-5, atol=1e-5)
    rates = (long["precipitation"].values * hours * per_hour)[:, whole].sum(axis=1, dtype=np.float64)
    np.testing.assert_allclose(rates, water, rtol=1e-5, atol=1e-5)
    assert whole[:-1].all()


@settings(max_examples=40)
@given(values=gappy((2, 42)), share=st.floats(0.05, 1))
def test_resampling_agrees_with_pandas(values, share):
    data = of(start="2001-01-01", freq="8h", rain=values, temperature=values, tmax=values)
    daily = resample(data, "1D", share=share)
    for basin in range(2):
        days = pd.Series(values[basin].astype(float), data.indexes["time"]).resample("1D")
        enough = days.count() >= max(share * 3 - 1e-9, 1)
        np.testing.assert_allclose(row(daily, "temperature", basin), days.mean().where(enough), rtol=1e-5, atol=1e-30)
        np.testing.assert_allclose(row(daily, "rain", basin), (3 * days.mean()).where(enough), rtol=1e-5, atol=1e-30)
        np.testing.assert_allclose(row(daily, "tmax", basin), days.max().where(enough), rtol=1e-5, atol=1e-30)


def test_a_new_step_with_a_filled_part_is_filled():
    hours = np.ones(96)
    hours[[30, 50, 51, 53]] = NAN
    filled = fill_by_interpolation(of(freq="h", discharge=hours, units={"discharge": "mm h-1"}), "discharge", limit=1)
    daily = resample(filled, "1D")
    assert row(daily, "discharge_filled") == [0, 1, 0, 0]
    assert daily["discharge_filled"].dtype == np.int8
    equal(row(measured(daily), "discharge"), [24, NAN, NAN, 24])
    xr.testing.assert_identical(resample(check_basins(filled), "1D"), daily)


def test_a_variable_that_only_ends_like_a_mask_is_resampled_as_any_other():
    data = of(reservoir_filled=[0.2] * 7 + [0.4] * 7, units={"reservoir_filled": "1"})
    equal(row(resample(data, "1W"), "reservoir_filled"), [0.2, 0.4])


def test_attributes_and_what_is_known_of_the_dataset_are_kept():
    data = make_basins("01013500", "01022500", days=24 * 9, freq="h").assign_attrs({SOURCE: '{"source": "csv"}'})
    data = data.assign_coords(set_missing=("basin", [1, 2]))
    daily = resample(data, "1D")
    for name in ("leak", "slope", "set_missing", "basin"):
        xr.testing.assert_identical(daily[name], data.drop_dims("time")[name])
    assert daily.attrs == data.attrs
    assert check_basins(daily)["discharge"].attrs["units"] == "mm d-1"


def test_the_same_step_changes_no_value():
    data = of(rain=[1, NAN, 3], discharge=[1, 2, 3])
    equal(resample(data, "1D").to_dataarray().values, data.to_dataarray().values)


@pytest.mark.parametrize(
    ("freq", "step", "message"),
    [
        ("D", "6h", "have a step of 1 day, of which 6h is no multiple"),
        ("6h", "8h", "8h is no multiple"),
        ("2D", "MS", "MS is no multiple"),
        ("D", "1 year", "the step 1 year is not understood"),
        ("D", "2 months", "or one month"),
        ("D", "quarter", "is no length of time"),
        ("D", pd.Timedelta(0), "is no multiple"),
        ("D", pd.Timedelta("-7 days"), "is no multiple"),
    ],
)
def test_a_step_that_is_no_multiple_is_refused(freq, step, message):
    with pytest.raises(InputError, match=message):
        resample(of(freq=freq, rain=np.ones(60)), step)


def test_steps_that_straddle_the_new_ones_are_refused():
    with pytest.raises(InputError, match="begin at 2001-01-01 00:30 straddle those of 1D; shift the times"):
        resample(of(start="2001-01-01 00:30", freq="h", rain=np.ones(60)), "1D")
    with pytest.raises(InputError, match="straddle"):
        resample(of(start="2001-01-03", freq="7D", rain=np.ones(60)), "2W")


@pytest.mark.parametrize("share", [0, -0.1, 1.1, NAN])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(InputError, match=r"share = .* above 0 and up to 1"):
        resample(of(rain=np.ones(14)), "1W", share=share)


def test_a_variable_without_a_unit_cannot_be_resampled():
    data = of(rain=np.ones(14))
    del data["rain"].attrs["units"]
    with pytest.raises(InputError, match="rain has no unit; say which"):
        resample(data, "1W")
    data["rain"].attrs["units"] = "drops"
    with pytest.raises(InputError, match="rain: the unit 'drops' is not known"):
        resample(data, "1W")
