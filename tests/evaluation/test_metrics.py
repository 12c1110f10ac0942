import time
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from runoff_lstm.errors import InputError
from runoff_lstm.evaluation import metrics as evaluation
from runoff_lstm.evaluation import signatures
from runoff_lstm.evaluation.baselines import climatology, persistence, score_baselines, score_yardsticks
from runoff_lstm.evaluation.metrics import METRICS, evaluate
from runoff_lstm.runs.scores import Scores

FIVE_OBSERVED = [1.0, 2.0, 3.0, 4.0, 5.0]
FIVE_SIMULATED = [2.0, 2.0, 3.0, 4.0, 4.0]


def series(rows, *, start="2000-01-01", freq="D", gauge_ids=None, units="mm d-1"):
    values = np.atleast_2d(np.asarray(rows, dtype=float))
    gauge_ids = gauge_ids or [f"{index:08d}" for index in range(1, len(values) + 1)]
    times = pd.date_range(start, periods=values.shape[1], freq=freq)
    return xr.DataArray(values, {"basin": gauge_ids, "time": times}, ("basin", "time"), attrs={"units": units})


def value(name, observed, simulated, **how):
    return float(METRICS[name].function(observed=series(observed, **how), simulated=series(simulated, **how))[0])


def rainfall_runoff(*, basins=3, days=1500, seed=0):
    """Flashy, seasonal, positive series, and a simulation of it that is right only in part."""
    random = np.random.default_rng(seed)
    rain = random.gamma(0.3, 8.0, (basins, days)) * (1.2 + np.sin(np.arange(days) / 58))
    flow = np.empty_like(rain)
    flow[:, 0] = 1
    for day in range(1, days):
        flow[:, day] = 0.85 * flow[:, day - 1] + 0.15 * rain[:, day]
    return series(flow), series(np.roll(flow, 1, axis=1) * random.lognormal(0.05, 0.2, flow.shape))


def hydrograph(peaks, *, length=400, width=4):
    """Triangles of the given heights on a flow of 1, `peaks` being {day: height}."""
    days = np.arange(length)
    return 1 + sum(height * np.maximum(0, 1 - np.abs(days - day) / width) for day, height in peaks.items())


def correlation(o, s):
    return np.sum((o - o.mean()) * (s - s.mean())) / np.sqrt(np.sum((o - o.mean()) ** 2) * np.sum((s - s.mean()) ** 2))


def variance(x):
    return np.mean(x * x) - np.mean(x) ** 2


def nse(o, s):
    return 1 - np.mean((o - s) ** 2) / variance(o)


def kge(o, s):
    return 1 - np.linalg.norm([correlation(o, s) - 1, np.sqrt(variance(s) / variance(o)) - 1, s.mean() / o.mean() - 1])


def kge_prime(o, s):
    gamma = np.sqrt(variance(s) / variance(o)) * o.mean() / s.mean()
    return 1 - np.linalg.norm([correlation(o, s) - 1, gamma - 1, s.mean() / o.mean() - 1])


def fhv(o, s):
    count = round(0.02 * len(o))
    high_o, high_s = sorted(o, reverse=True)[:count], sorted(s, reverse=True)[:count]
    return 100 * (sum(high_s) - sum(high_o)) / sum(high_o)


def flv(o, s):
    count = round(0.3 * len(o))
    low_o, low_s = (np.log([max(q, 1e-6) for q in sorted(x)[:count]]) for x in (o, s))
    volume_o, volume_s = low_o.sum() - count * low_o.min(), low_s.sum() - count * low_s.min()
    return -100 * (volume_s / volume_o - 1)


def fms(o, s):
    steep_o, steep_s = (
        np.log(max(sorted(x, reverse=True)[round(0.2 * len(x))], 1e-6))
        - np.log(max(sorted(x, reverse=True)[round(0.7 * len(x))], 1e-6))
        for x in (o, s)
    )
    return 100 * (steep_s / steep_o - 1)


INDEPENDENT = {
    "NSE": nse,
    "KGE": kge,
    "KGE_r": correlation,
    "KGE_alpha": lambda o, s: np.sqrt(variance(s) / variance(o)),
    "KGE_beta": lambda o, s: s.sum() / o.sum(),
    "KGE_prime": kge_prime,
    "RMSE": lambda o, s: np.linalg.norm(s - o) / np.sqrt(len(o)),
    "MAE": lambda o, s: sum(abs(a - b) for a, b in zip(o, s, strict=True)) / len(o),
    "PBIAS": lambda o, s: 100 - 100 * s.sum() / o.sum(),
    "log_NSE": lambda o, s: nse(np.log(o + o.mean() / 100), np.log(s + o.mean() / 100)),
    "alpha_NSE": lambda o, s: np.sqrt(variance(s) / variance(o)),
    "beta_NSE": lambda o, s: (s.mean() - o.mean()) / np.sqrt(variance(o)),
    "FHV": fhv,
    "FLV": flv,
    "FMS": fms,
}


# Numbers worked by hand


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NSE", 1 - 2 / 10),
        ("KGE_r", 6 / np.sqrt(10 * 4)),
        ("KGE_alpha", np.sqrt(4 / 10)),
        ("KGE_beta", 1.0),
        ("RMSE", np.sqrt(2 / 5)),
        ("MAE", 2 / 5),
        ("PBIAS", 0.0),
        ("alpha_NSE", np.sqrt(4 / 10)),
        ("beta_NSE", 0.0),
        ("KGE", 1 - np.sqrt((6 / np.sqrt(40) - 1) ** 2 + (np.sqrt(0.4) - 1) ** 2)),
        ("KGE_prime", 1 - np.sqrt((6 / np.sqrt(40) - 1) ** 2 + (np.sqrt(0.4) - 1) ** 2)),
    ],
)
def test_five_days_give_the_value_worked_by_hand(name, expected):
    assert value(name, FIVE_OBSERVED, FIVE_SIMULATED) == pytest.approx(expected, abs=1e-12)


def test_half_the_water_has_a_positive_percent_bias_and_a_negative_beta_nse():
    half = [flow / 2 for flow in FIVE_OBSERVED]
    assert value("PBIAS", FIVE_OBSERVED, half) == pytest.approx(50)
    assert value("KGE_beta", FIVE_OBSERVED, half) == pytest.approx(0.5)
    assert value("beta_NSE", FIVE_OBSERVED, half) == pytest.approx(-1.5 / np.sqrt(2))


def test_a_pure_bias_costs_the_kge_its_variability_but_not_the_kge_of_2012():
    double = [2 * flow for flow in FIVE_OBSERVED]
    assert value("KGE", FIVE_OBSERVED, double) == pytest.approx(1 - np.sqrt(2))
    assert value("KGE_prime", FIVE_OBSERVED, double) == pytest.approx(0)


def test_log_nse_adds_a_hundredth_of_the_observed_mean_to_both():
    # mean o = 100, so that epsilon = 1; ln(o + 1) = 0 and ln 201, ln(s + 1) = 0 and 0
    assert value("log_NSE", [0.0, 200.0], [0.0, 0.0]) == pytest.approx(1 - np.log(201) ** 2 / (2 * (np.log(201) / 2) ** 2))


def test_log_nse_counts_negative_flows_as_zero():
    assert value("log_NSE", FIVE_OBSERVED, [-0.1, *FIVE_SIMULATED[1:]]) == value("log_NSE", FIVE_OBSERVED, [0, *FIVE_SIMULATED[1:]])


def test_the_flow_duration_signatures_of_a_hundred_days_are_as_worked_by_hand():
    observed = np.arange(1.0, 101)
    above = observed.copy()
    above[[98, 99]] = 119.0, 120.0
    assert value("FHV", observed, above) == pytest.approx(100 * 40 / 199)
    raised = observed**2  # every logarithm doubles, and with it the slope and the volume above the minimum
    assert value("FMS", observed, raised) == pytest.approx(100)
    assert value("FLV", observed, raised) == pytest.approx(-100)
    assert value("FLV", observed, np.full(100, 5.0)) == pytest.approx(100)


def test_fms_takes_the_flows_at_20_and_70_percent_exceedance():
    observed, simulated = np.arange(1.0, 11), np.arange(1.0, 11)
    simulated[[7, 2]] = 8.5, 2.5  # the third and the eighth highest of ten
    assert value("FMS", observed, simulated) == pytest.approx(100 * (np.log(8.5 / 2.5) / np.log(8 / 3) - 1))
    simulated[[8, 4]] = 8.9, 5.5
    assert value("FMS", observed, simulated) == pytest.approx(100 * (np.log(8.5 / 2.5) / np.log(8 / 3) - 1))


def test_flow_duration_signatures_forget_the_order_of_the_days():
    observed, simulated = rainfall_runoff()
    shuffled = simulated.copy(data=np.random.default_rng(1).permuted(simulated.values, axis=1))
    names = ["FHV", "FLV", "FMS"]
    pd.testing.assert_frame_equal(
        evaluate(observed=observed, simulated=simulated, metrics=names),
        evaluate(observed=observed, simulated=shuffled, metrics=names),
    )


def test_zero_flows_are_floored_in_the_logarithms():
    observed = np.r_[0.0, np.arange(1.0, 100)]
    simulated = np.r_[-0.5, np.arange(1.0, 100)]
    assert value("FLV", observed, simulated) == pytest.approx(0)
    assert value("FMS", np.r_[np.zeros(50), np.ones(50)], np.r_[np.full(50, 1e-3), np.ones(50)]) == pytest.approx(-50)


def test_the_observed_mean_flow_with_a_trace_of_noise_has_a_kge_of_one_minus_root_two():
    observed, _ = rainfall_runoff(basins=1)
    noise = np.random.default_rng(3).normal(0, 1e-7, observed.shape)
    mean_flow = observed.mean("time").expand_dims(time=observed["time"], axis=1).transpose(*observed.dims) + noise
    got = evaluate(observed=observed, simulated=mean_flow, metrics=["KGE", "NSE"])
    # noise correlates with the flow by chance, by some 1 / sqrt(days)
    assert got["KGE"].item() == pytest.approx(1 - np.sqrt(2), abs=0.05)
    assert got["NSE"].item() == pytest.approx(0, abs=1e-6)


# References


@pytest.mark.parametrize("name", INDEPENDENT)
def test_each_metric_equals_an_independent_formula_on_many_basins(name):
    observed, simulated = rainfall_runoff(basins=4)
    got = METRICS[name].function(observed=observed, simulated=simulated).values
    expected = [INDEPENDENT[name](o, s) for o, s in zip(observed.values, simulated.values, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=1e-9)


flows = arrays(np.float64, 60, elements=st.floats(0.01, 1000, allow_nan=False), unique=True)


@pytest.mark.parametrize("name", INDEPENDENT)
@settings(max_examples=30)
@given(observed=flows, simulated=flows)
def test_each_metric_equals_an_independent_formula_on_any_flows(name, observed, simulated):
    if min(np.std(observed) / observed.mean(), np.std(simulated) / simulated.mean()) < 1e-4:
        return  # the textbook variance of the formula loses its digits
    expected = INDEPENDENT[name](observed, simulated)
    assert value(name, observed, simulated) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_every_metric_has_a_reference_of_its_own_here():
    assert set(METRICS) == {*INDEPENDENT, "peak_timing", "missed_peaks"}


def test_the_shared_steps_are_scored_in_float64_even_when_given_in_float32():
    observed, simulated = (one.astype("float32") for one in rainfall_runoff())
    got = METRICS["NSE"].function(observed=observed + 4096, simulated=simulated + 4096)
    wide = METRICS["NSE"].function(observed=(observed + 4096).astype(float), simulated=(simulated + 4096).astype(float))
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, wide)


@settings(max_examples=60)
@given(
    flow=arrays(np.float64, st.integers(3, 120), elements=st.integers(0, 30).map(float)),
    distance=st.integers(1, 25),
    height=st.integers(0, 20),
)
def test_peaks_equal_those_of_scipy(flow, distance, height):
    signal = pytest.importorskip("scipy.signal")
    position = np.arange(flow.size)
    maxima, _ = signal.find_peaks(flow)
    np.testing.assert_array_equal(signatures.local_maxima(flow), maxima)
    np.testing.assert_array_equal(signatures.prominences(flow, maxima), signal.peak_prominences(flow, maxima)[0])
    flow = flow + np.random.default_rng(0).permutation(flow.size) * 1e-6  # which of two equal peaks goes is a matter of taste
    expected, _ = signal.find_peaks(flow, distance=distance, height=height)
    np.testing.assert_array_equal(signatures.find_peaks(flow, position=position, distance=distance, height=height), expected)


# Peaks


def test_the_lag_of_the_peaks_is_the_mean_of_its_absolute_values():
    observed = hydrograph({50: 10, 200: 8, 340: 9})
    simulated = hydrograph({52: 9, 197: 8, 340: 5})
    assert value("peak_timing", observed, simulated) == pytest.approx((2 + 3 + 0) / 3)


def test_a_lower_peak_within_100_days_is_not_counted():
    observed = hydrograph({50: 10, 149: 8, 340: 9})
    simulated = hydrograph({50: 10, 152: 8, 340: 9})
    assert value("peak_timing", observed, simulated) == 0
    assert value("peak_timing", hydrograph({50: 10, 150: 8, 340: 9}), hydrograph({50: 10, 153: 8, 340: 9})) == 1


def test_a_bump_lower_than_one_standard_deviation_is_no_peak():
    observed = hydrograph({50: 10, 200: 0.5})
    assert np.std(observed) > 0.5
    assert value("peak_timing", observed, hydrograph({51: 10, 203: 0.5})) == 1


def test_the_simulated_maximum_is_searched_no_further_than_three_days():
    observed = hydrograph({50: 10, 200: 8})
    assert value("peak_timing", observed, hydrograph({50: 10, 210: 8}, width=2)) <= 1.5
    assert value("peak_timing", observed, hydrograph({50: 10, 203: 8})) == 1.5


def test_a_simulated_local_maximum_on_the_very_day_is_no_lag_though_a_higher_flow_is_near():
    observed = hydrograph({200: 10})
    simulated = hydrograph({200: 2, 203: 30}, width=2)
    assert value("peak_timing", observed, simulated) == 0


def test_a_peak_beside_a_gap_or_at_an_end_of_the_record_is_left_out():
    observed, simulated = hydrograph({50: 10, 200: 8}), hydrograph({50: 10, 202: 8})
    assert value("peak_timing", observed, simulated) == 1
    gap = observed.copy()
    gap[197] = np.nan
    assert value("peak_timing", gap, simulated) == 0
    gap[197], gap[196] = observed[197], np.nan
    assert value("peak_timing", gap, simulated) == 1
    assert np.isnan(value("peak_timing", hydrograph({2: 10}), hydrograph({4: 10})))


def test_peaks_stay_100_days_apart_across_a_gap():
    observed, simulated = hydrograph({50: 10, 170: 8}), hydrograph({50: 10, 172: 8})
    observed[80:120] = np.nan  # 120 days apart, though only 80 are observed between
    assert value("peak_timing", observed, simulated) == 1


def test_hourly_peaks_are_100_days_apart_and_searched_for_12_hours():
    hours = {24 * 20: 10, 24 * 60: 9, 24 * 150: 8}
    observed = hydrograph(hours, length=24 * 200, width=30)
    simulated = hydrograph({24 * 20 + 12: 10, 24 * 60: 9, 24 * 150 - 5: 8}, length=24 * 200, width=30)
    assert value("peak_timing", observed, simulated, freq="h") == (12 + 5) / 2


def test_half_of_the_peaks_is_missed_where_the_simulation_is_two_days_late():
    observed = hydrograph({50: 10, 120: 8, 200: 9, 300: 7}, width=15)
    simulated = hydrograph({51: 10, 122: 8, 198: 9, 300: 7}, width=15)
    assert value("missed_peaks", observed, simulated) == 0.5


def test_a_peak_below_the_80th_percentile_of_its_own_series_is_not_looked_for_nor_found():
    wide, narrow = {50: 10, 150: 10, 250: 10}, {350: 1}
    observed = hydrograph(wide, width=20) + hydrograph(narrow)
    without = hydrograph(wide, width=20)
    assert value("missed_peaks", observed, without) == 0
    low = hydrograph({50: 10, 150: 10}, width=40) + 0.1 * hydrograph({250: 10}, width=4)
    assert value("missed_peaks", observed, low) == pytest.approx(1 / 3)


def test_hourly_peaks_are_missed_only_after_12_hours():
    observed = hydrograph({24 * 20: 10, 24 * 60: 9}, length=24 * 80, width=300)
    simulated = hydrograph({24 * 20 + 12: 10, 24 * 60 - 13: 9}, length=24 * 80, width=300)
    assert value("missed_peaks", observed, simulated, freq="h") == 0.5


# Laws


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_simulation_has_the_best_value_of_every_metric(name):
    observed, _ = rainfall_runoff()
    got = METRICS[name].function(observed=observed, simulated=observed.copy()).values
    np.testing.assert_allclose(got, METRICS[name].best, atol=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_a_day_missing_in_either_is_left_out_of_both(name):
    observed, simulated = rainfall_runoff(basins=1)
    cut = slice(None, 1450)
    expected = value(name, observed.values[:, cut], simulated.values[:, cut])
    observed.values[:, 1450:1480] = np.nan
    observed.values[:, 1480:] *= 9
    simulated.values[:, 1480:] = np.nan
    assert value(name, observed.values, simulated.values) == pytest.approx(expected, rel=1e-12)


def test_scattered_missing_days_change_nothing_but_the_days_that_count():
    observed, simulated = rainfall_runoff(basins=1)
    missing = np.random.default_rng(5).random(observed.shape) < 0.2
    holes = observed.where(~missing)
    kept = ~missing[0]
    for name, formula in INDEPENDENT.items():
        expected = formula(observed.values[0, kept], simulated.values[0, kept])
        assert value(name, holes.values, simulated.values) == pytest.approx(expected), name
        assert value(name, observed.values, simulated.where(~missing).values) == pytest.approx(expected), name
    assert evaluate(observed=holes, simulated=simulated)["days"].item() == kept.sum()


def test_the_missing_days_of_one_basin_do_not_touch_another():
    observed, simulated = rainfall_runoff()
    before = evaluate(observed=observed, simulated=simulated)
    observed.values[0] = np.nan
    simulated.values[1, 100:900] = np.nan
    after = evaluate(observed=observed, simulated=simulated)
    assert after.loc["00000001", list(METRICS)].isna().all()
    assert after["days"].tolist() == [0, 700, 1500]
    pd.testing.assert_series_equal(after.loc["00000003"], before.loc["00000003"])


def test_the_order_of_the_basins_does_not_matter():
    observed, simulated = rainfall_runoff(basins=5)
    order = [3, 0, 4, 1, 2]
    shuffled = evaluate(observed=observed[order], simulated=simulated[order])
    expected = evaluate(observed=observed, simulated=simulated)
    pd.testing.assert_frame_equal(shuffled.loc[expected.index], expected)
    assert shuffled.index[0] == "00000004"


def test_the_order_of_the_dimensions_does_not_matter():
    observed, simulated = rainfall_runoff()
    pd.testing.assert_frame_equal(
        evaluate(observed=observed.transpose(), simulated=simulated), evaluate(observed=observed, simulated=simulated)
    )


def test_the_arguments_cannot_be_given_by_position():
    observed, simulated = rainfall_runoff(basins=1)
    for function in [evaluate, *(metric.function for metric in METRICS.values())]:
        with pytest.raises(TypeError, match="positional"):
            function(observed, simulated)


def test_swapping_observed_and_simulated_changes_the_nse():
    assert value("NSE", FIVE_OBSERVED, FIVE_SIMULATED) == pytest.approx(0.8)
    assert value("NSE", FIVE_SIMULATED, FIVE_OBSERVED) == pytest.approx(0.5)


def test_scoring_leaves_its_inputs_as_they_were():
    observed, simulated = rainfall_runoff()
    copies = observed.copy(deep=True), simulated.copy(deep=True)
    evaluate(observed=observed, simulated=simulated)
    xr.testing.assert_identical(observed, copies[0])
    xr.testing.assert_identical(simulated, copies[1])


# Undefined values


DIVIDING_BY_THE_SPREAD = ["NSE", "KGE", "KGE_r", "KGE_alpha", "KGE_prime", "log_NSE", "alpha_NSE", "beta_NSE", "FLV", "FMS"]


@pytest.mark.parametrize("name", DIVIDING_BY_THE_SPREAD)
@pytest.mark.parametrize("constant", [0.0, 0.1, 3.0])
def test_constant_observations_leave_what_divides_by_their_spread_undefined(name, constant):
    _, simulated = rainfall_runoff(basins=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(value(name, np.full(1500, constant), simulated.values))


@pytest.mark.parametrize("name", ["KGE_beta", "PBIAS", "FHV"])
def test_a_dry_river_leaves_the_relative_bias_undefined(name):
    assert np.isnan(value(name, np.zeros(100), np.arange(100.0)))


def test_a_dry_river_still_has_an_absolute_error():
    assert value("RMSE", np.zeros(4), [3.0, 3, 3, 3]) == 3
    assert value("MAE", np.zeros(4), [3.0, 3, 3, 3]) == 3


@pytest.mark.parametrize("name", ["KGE", "KGE_r", "KGE_prime"])
def test_a_constant_simulation_has_no_correlation(name):
    assert np.isnan(value(name, FIVE_OBSERVED, [0.1] * 5))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("days", [0, 1])
def test_fewer_than_two_shared_days_leave_every_metric_undefined(name, days):
    simulated = np.full(30, np.nan)
    simulated[:days] = 2.0
    assert np.isnan(value(name, np.arange(30.0), simulated))
    assert np.isnan(value(name, np.arange(float(days))[None], np.arange(float(days))[None]))


@pytest.mark.parametrize("bad", [np.inf, 1e300])
def test_no_metric_is_ever_infinite_nor_warns(bad):
    observed, simulated = rainfall_runoff()
    simulated.values[:, 7] = bad
    table = evaluate(observed=observed, simulated=simulated)
    assert not np.isinf(table.to_numpy()).any()
    assert table["NSE"].isna().all() or (table["NSE"] < -1e100).all()


def test_the_highest_two_percent_of_25_days_are_no_day():
    assert np.isnan(value("FHV", np.arange(25.0), np.arange(25.0)))
    assert value("FHV", np.arange(26.0), np.arange(26.0)) == 0


@settings(max_examples=60)
@given(
    observed=arrays(np.float64, 40, elements=st.sampled_from([np.nan, 0.0, 0.1, 1.0, 1e-9])),
    simulated=arrays(np.float64, 40, elements=st.sampled_from([np.nan, 0.0, -0.1, 1.0, np.inf])),
)
def test_whatever_the_flows_values_are_finite_or_nan(observed, simulated):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = evaluate(observed=series(observed), simulated=series(simulated))
    assert not np.isinf(table.to_numpy()).any()


# The table


def test_the_table_has_a_row_per_gauge_and_the_metrics_in_the_order_given():
    observed, simulated = rainfall_runoff(basins=2)
    table = evaluate(observed=observed, simulated=simulated, metrics=["RMSE", "KGE", "NSE"])
    assert list(table.columns) == ["RMSE", "KGE", "NSE", "days"]
    assert table.index.name == "gauge_id"
    assert table.index.tolist() == ["00000001", "00000002"]
    assert (table["days"] == 1500).all()
    assert list(evaluate(observed=observed, simulated=simulated).columns) == [*METRICS, "days"]


def test_ranges_hold_what_the_metrics_give():
    observed, simulated = rainfall_runoff(basins=20, days=800)
    table = evaluate(observed=observed, simulated=simulated)
    for name, metric in METRICS.items():
        low, high = (float(end) for end in metric.range.split(", hourly")[0].strip("[]()").split(", "))
        assert table[name].between(low, high).all(), name
        assert low <= metric.best <= high


def test_531_basins_of_ten_years_are_scored_in_seconds():
    observed, simulated = (xr.concat([one] * 59, "basin") for one in rainfall_runoff(basins=9, days=3652))
    observed, simulated = (one.assign_coords(basin=[f"{index:08d}" for index in range(531)]) for one in (observed, simulated))
    start = time.perf_counter()
    evaluate(observed=observed, simulated=simulated)
    assert time.perf_counter() - start < 30  # about 3 s on two cores


# Refusals


def test_an_unknown_metric_is_refused_with_the_nearest_known_one():
    observed, simulated = rainfall_runoff(basins=1)
    with pytest.raises(InputError, match="metric 'nsee' is not known; did you mean 'NSE'"):
        evaluate(observed=observed, simulated=simulated, metrics=["KGE", "nsee"])


def test_other_basins_or_basins_in_another_order_are_refused():
    observed, simulated = rainfall_runoff()
    for other in (simulated[::-1], simulated[:2], simulated.assign_coords(basin=["a", "b", "c"])):
        with pytest.raises(InputError, match="differ along 'basin'"):
            evaluate(observed=observed, simulated=other)


def test_other_times_are_refused():
    observed, simulated = rainfall_runoff()
    shifted = simulated.assign_coords(time=simulated["time"] + np.timedelta64(1, "D"))
    for other in (simulated[:, :-1], shifted):
        with pytest.raises(InputError, match=r"differ along 'time' \(1500: 2000-01-01.* against .*xarray.align"):
            METRICS["NSE"].function(observed=observed, simulated=other)


def test_times_out_of_order_are_refused():
    observed, simulated = rainfall_runoff()
    with pytest.raises(InputError, match="do not rise"):
        evaluate(observed=observed[:, ::-1], simulated=simulated[:, ::-1])


def test_different_units_are_refused_and_a_missing_unit_is_not():
    observed, simulated = rainfall_runoff()
    with pytest.raises(InputError, match="observed is in mm d-1, simulated in m3 s-1; convert one"):
        evaluate(observed=observed, simulated=simulated.assign_attrs(units="m3 s-1"))
    evaluate(observed=observed, simulated=simulated.drop_attrs(), metrics=["NSE"])


def test_a_series_of_another_basin_is_refused():
    observed, simulated = rainfall_runoff()
    with pytest.raises(InputError, match="differ along 'basin'"):
        evaluate(observed=observed, simulated=simulated[0])


def kinds_of(series):
    """One basin's discharge as everything that is taken for it."""
    values, dates = series.values, series.indexes["time"]
    yield from (series, series.drop_vars("basin"), values, values[None], values.tolist())
    yield pd.Series(values, dates, name="flow")
    yield pd.DataFrame({str(series["basin"].item()): values}, dates)


def test_any_kind_of_series_gives_the_same_scores():
    observed, simulated = rainfall_runoff()
    wanted = evaluate(observed=observed[:1], simulated=simulated[:1])
    for one in kinds_of(observed[0]):
        for other in kinds_of(simulated[0]):
            found = evaluate(observed=one, simulated=other)
            np.testing.assert_array_equal(found.to_numpy(), wanted.to_numpy())


def test_what_a_series_lacks_is_taken_from_the_other():
    observed, simulated = rainfall_runoff()
    wanted = evaluate(observed=observed, simulated=simulated)
    pd.testing.assert_frame_equal(evaluate(observed=observed, simulated=simulated.values), wanted)
    pd.testing.assert_frame_equal(evaluate(observed=observed.values, simulated=simulated.drop_vars("time")), wanted)
    table = simulated.to_pandas().T
    pd.testing.assert_frame_equal(evaluate(observed=observed, simulated=table), wanted)


def test_a_series_that_cannot_be_told_apart_is_refused_by_its_name():
    observed, simulated = rainfall_runoff()
    members = simulated.expand_dims(member=2)
    for other, message in (
        (members, r'simulated has members; give their mean, \.mean\("member"\)'),
        (simulated.expand_dims(model=2), "simulated has dims .*; \\(basin, time\\) or \\(time,\\) are needed"),
        (simulated.to_dataset(name="simulated"), r"simulated is a Dataset; choose its variable, such as simulated = dataset\["),
        (simulated.values[:, 1:], "along 'time', unlabelled, the other series"),
        (pd.Series(simulated.values[0], index=range(1, simulated.sizes["time"] + 1)), "simulated has no dates as its index"),
        ("leaf.nc", "simulated is a str, not a series"),
        (None, "simulated has 0 dimensions"),
        (simulated.values[None], "simulated has 3 dimensions"),
    ):
        with pytest.raises(InputError, match=message):
            evaluate(observed=observed, simulated=other)
    with pytest.raises(InputError, match="observed has 2 basins without gauge ids"):
        evaluate(observed=np.ones((2, 4)), simulated=np.ones((2, 4)))


# Baselines


THREE_YEARS = slice("2001-01-01", "2003-12-31")


def calendar_record(start="2001-01-01", end="2006-12-31"):
    """Discharge is the year's offset from 2000 plus the month, in two basins, the second ten times the first."""
    times = pd.date_range(start, end)
    first = (times.year - 2000 + times.month).to_numpy(dtype=float)
    return xr.DataArray([first, 10 * first], {"basin": ["a", "b"], "time": times}, ("basin", "time"), attrs={"units": "mm d-1"})


def test_climatology_is_the_mean_of_the_calendar_day_over_the_training_years():
    observed = calendar_record()
    times = pd.date_range("2005-01-01", "2005-12-31")
    simulated = climatology(observed=observed, train=THREE_YEARS, times=times)
    assert simulated.dims == ("basin", "time")
    assert simulated.attrs["units"] == "mm d-1"
    np.testing.assert_allclose(simulated.sel(basin="a"), 2 + times.month)
    np.testing.assert_allclose(simulated.sel(basin="b"), 10 * (2 + times.month.to_numpy()))


def test_climatology_never_sees_the_test_period():
    observed = calendar_record()
    times = pd.date_range("2004-01-01", "2006-12-31")
    before = climatology(observed=observed, train=THREE_YEARS, times=times)
    poisoned = observed.copy(deep=True)
    poisoned.loc[{"time": slice("2004-01-01", None)}] = 1e9
    xr.testing.assert_identical(climatology(observed=poisoned, train=THREE_YEARS, times=times), before)
    poisoned.loc[{"time": "2003-12-31"}] = 1e9
    assert climatology(observed=poisoned, train=THREE_YEARS, times=times).max() > 1e8


def test_a_leap_day_without_training_is_the_mean_of_its_neighbours():
    observed = calendar_record()
    leap_day = pd.DatetimeIndex(["2004-02-28", "2004-02-29", "2004-03-01"])
    simulated = climatology(observed=observed, train=THREE_YEARS, times=leap_day)
    np.testing.assert_allclose(simulated.sel(basin="a"), [4, 4.5, 5])


def test_a_leap_day_seen_in_training_is_its_own_mean():
    observed = calendar_record("2003-01-01", "2008-12-31")
    observed.loc[{"time": "2004-02-29"}] = 99.0
    simulated = climatology(observed=observed, train=slice("2003-01-01", "2005-12-31"), times=pd.DatetimeIndex(["2008-02-29"]))
    np.testing.assert_allclose(simulated, 99)


def test_a_calendar_day_without_a_training_observation_is_missing_only_in_its_basin():
    observed = calendar_record()
    observed.loc[{"basin": "a", "time": observed.indexes["time"].strftime("%m%d") == "0510"}] = np.nan
    observed.loc[{"basin": "a", "time": "2001-05-11"}] = np.nan
    times = pd.date_range("2005-05-10", "2005-05-11")
    simulated = climatology(observed=observed, train=THREE_YEARS, times=times)
    np.testing.assert_allclose(simulated, [[np.nan, 7.5], [70, 70]])


def test_hourly_climatology_keeps_the_hours_apart():
    times = pd.date_range("2001-01-01", "2003-12-31 23:00", freq="h")
    observed = xr.DataArray([times.hour.to_numpy(float)], {"basin": ["a"], "time": times}, ("basin", "time"))
    target = pd.date_range("2004-02-28 12:00", periods=36, freq="h")
    simulated = climatology(observed=observed, train=slice("2001-01-01", "2003-12-31"), times=target)
    np.testing.assert_allclose(simulated[0], target.hour)


def test_a_training_period_outside_the_record_is_refused():
    with pytest.raises(InputError, match="training period 1990-01-01 to 1991-12-31 holds no step"):
        climatology(observed=calendar_record(), train=slice("1990-01-01", "1991-12-31"), times=pd.DatetimeIndex([]))


def test_persistence_is_the_observation_of_the_step_before():
    simulated = persistence(observed=series([[1.0, 2.0, np.nan, 4.0], [5.0, 6.0, 7.0, 8.0]]))
    np.testing.assert_array_equal(simulated, [[np.nan, 1, 2, np.nan], [np.nan, 5, 6, 7]])
    assert "yesterday's observation" in simulated.attrs["long_name"]
    assert simulated.attrs["units"] == "mm d-1"


def test_the_baselines_are_scored_over_the_test_period_alone():
    observed = calendar_record()
    test = slice("2004-01-01", "2004-12-31")
    table = score_baselines(observed=observed, train=THREE_YEARS, test=test, metrics=["RMSE", "PBIAS"])
    assert list(table.columns) == ["baseline", "RMSE", "PBIAS", "days"]
    assert table.index.tolist() == ["a", "b", "a", "b"]
    assert table.index.name == "gauge_id"
    assert table["baseline"].tolist() == ["climatology"] * 2 + ["persistence (uses yesterday's observation)"] * 2
    # the climatology is 2 short on every day of 2004, 2.5 short, or 1.5, never; the first test day knows the day before it
    assert (table["days"] == 366).all()
    expected = np.sqrt((365 * 2**2 + 1.5**2) / 366)
    assert table["RMSE"].iloc[0] == pytest.approx(expected)
    jumps = np.diff(observed.sel(basin="a", time=slice("2003-12-31", "2004-12-31")))
    assert table["RMSE"].iloc[2] == pytest.approx(np.sqrt(np.mean(jumps**2)))


def test_the_old_name_of_the_baselines_gives_the_old_table_and_a_warning():
    asked = {"observed": calendar_record(), "train": THREE_YEARS, "test": slice("2004-01-01", "2004-12-31"), "metrics": ["RMSE"]}
    new = score_baselines(**asked)
    with pytest.warns(DeprecationWarning, match="score_yardsticks is now score_baselines, its column yardstick is baseline"):
        old = score_yardsticks(**asked)
    pd.testing.assert_frame_equal(old, new.rename(columns={"baseline": "yardstick"}))
    scores = Scores(new, new, xr.Dataset())
    with pytest.warns(DeprecationWarning, match=r"Scores.yardsticks is now Scores.baselines"):
        pd.testing.assert_frame_equal(scores.yardsticks, old)


def test_baselines_beside_a_simulation_are_scored_on_its_days_and_know_what_they_knew():
    observed = calendar_record()
    test = slice("2004-01-01", "2004-12-31")
    simulated = observed.sel(time=test).copy()
    simulated[0, ::2] = np.nan
    simulated[1] = np.nan
    asked = {"observed": observed, "train": THREE_YEARS, "test": test, "metrics": ["RMSE"]}
    table = score_baselines(**asked, beside=simulated)
    assert table["days"].tolist() == [183, 0, 183, 0]
    assert table["RMSE"].isna().tolist() == [False, True, False, True]
    jumps = np.diff(observed.sel(basin="a", time=slice("2003-12-31", "2004-12-31")))
    assert table["RMSE"].iloc[2] == pytest.approx(np.sqrt(np.mean(jumps[1::2] ** 2)))


def test_a_test_period_outside_the_record_is_refused():
    with pytest.raises(InputError, match="test period 1990-01-01 to 1991-12-31 holds no step"):
        score_baselines(observed=calendar_record(), train=THREE_YEARS, test=slice("1990-01-01", "1991-12-31"))


def test_only_evaluation_knows_hydroeval():
    assert hasattr(evaluation, "hydroeval")
    assert not hasattr(signatures, "hydroeval")
