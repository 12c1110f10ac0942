import numpy as np
import pytest
import torch
from conftest import make_basins
from safetensors.torch import save_file
from small_models import FORCING, lagged_model, model_for, with_rain_ahead

from runoff_lstm.data.periods import Period
from runoff_lstm.errors import InputError
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.prediction.bundle import load_model, write_bundle
from runoff_lstm.prediction.input_warnings import (
    IncompleteInputWarning,
    OutsideTrainingRangeWarning,
    SilentGaugeWarning,
    UnseenBasinWarning,
    as_ungauged,
    each_warning_once,
)


def test_a_bundle_comes_back_whole_and_simulates_the_same(basins, tmp_path):
    for head in ("linear", "softplus"):
        model = model_for(basins, Architecture(hidden_sizes=(8, 4), dropout=Dropout(output=0.4), head=head))
        again = load_model(write_bundle(model, tmp_path / f"{head}.safetensors"))
        for name in ("architecture", "scaler", "inputs", "forcing", "time_step", "trained_on", "seen"):
            assert getattr(again, name) == getattr(model, name)
        np.testing.assert_array_equal(again.simulate(basins)["simulated"], model.simulate(basins)["simulated"])


def test_simulation_needs_no_observations_and_looks_at_none(basins):
    model = model_for(basins)
    bare = model.simulate(basins[["rain", "temperature", "leak"]])["simulated"]
    poisoned = model.simulate(basins.assign(discharge=basins["discharge"] * 0 - 5))["simulated"]
    np.testing.assert_array_equal(bare, poisoned)
    assert bare.attrs["units"] == "mm d-1"
    assert bare.dims == ("basin", "time")


def test_other_units_are_converted(basins):
    model = model_for(basins)
    kelvin = basins.assign(temperature=(basins["temperature"] + 273.15).assign_attrs(units="K"))
    inches = kelvin.assign(rain=(kelvin["rain"] / 25.4).assign_attrs(units="in/day"))
    np.testing.assert_allclose(model.simulate(inches)["simulated"], model.simulate(basins)["simulated"], atol=2e-4)


def test_a_period_gives_its_days_of_the_whole_simulation(basins):
    model = model_for(basins)
    part = model.simulate(basins, period=Period("2001-02-01", "2001-03-31"))["simulated"]
    assert part.sizes["time"] == 59
    np.testing.assert_allclose(part, model.simulate(basins)["simulated"].sel(time=part["time"]), atol=1e-6)


def test_discharge_is_never_negative(basins):
    model = model_for(basins)
    with torch.no_grad():
        model.module.head.linear.bias.fill_(-100.0)
    assert float(model.simulate(basins)["simulated"].max()) == 0


@pytest.mark.parametrize("attributes", [("leak",), ()])
def test_steps_give_the_same_series_as_the_continuous_pass(basins, attributes):
    model = model_for(basins, attributes=attributes)
    expected = model.simulate(basins, mode="continuous")["simulated"].values
    state, series = None, []
    for day in range(basins.sizes["time"]):
        today = {name: basins[name].values[:, day] for name in FORCING}
        discharge, state = model.step(today, state, attributes={name: basins[name].values for name in attributes})
        series.append(discharge)
    np.testing.assert_allclose(np.stack(series, axis=1), expected, atol=1e-5)
    assert np.isnan(expected[:, :19]).all()
    assert np.isfinite(expected[:, 19:]).all()


def test_one_basin_steps_with_plain_numbers(basin):
    model = model_for(basin, attributes=())
    discharge, state = model.step({"rain": 3.0, "temperature": 10.0})
    assert discharge.shape == (1,)
    assert state.steps == 1


def test_inputs_outside_the_training_range_are_told(basins):
    model = model_for(basins)
    wet = basins.assign(rain=basins["rain"].where(basins["time"] != np.datetime64("2001-05-05"), 900.0))
    with pytest.warns(OutsideTrainingRangeWarning, match=r"rain leaves the training range .* on 3 of .* 900"):
        model.simulate(wet)
    model.simulate(wet, period=Period("2001-06-01", "2001-07-01"))  # outside the period nothing is told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop_vars("rain"), "no forcing 'rain'"),
        (lambda d: d.rename(rain="rains"), "no forcing 'rain'; did you mean 'rains'"),
        (lambda d: d.drop_vars("leak"), "no static attribute 'leak'"),
        (lambda d: d.assign(rain=d["rain"].assign_attrs(units="degC")), "'degC' cannot be converted to 'mm d-1'"),
        (lambda d: d.assign(rain=d["rain"].drop_attrs()), "rain has no unit"),
        (lambda d: d.isel(time=slice(None, None, 2)), "time step of 2 days"),
        (lambda d: d.isel(time=slice(0, 10)), "sequence_length is 20 steps, the record has 10"),
        (
            lambda d: d.assign(rain=d["rain"].where(d["time"] != d["time"][50], np.inf)),
            "basin 01013500, 2000-02-20: rain is infinite",
        ),
    ],
)
def test_data_that_do_not_fit_the_model_are_refused(basins, change, message):
    with pytest.raises(InputError, match=message):
        model_for(basins).simulate(change(basins))


def test_a_step_with_missing_input_is_refused(basin, basins):
    model = model_for(basin, attributes=())
    with pytest.raises(InputError, match="lacks temperature"):
        model.step({"rain": 3.0})
    with pytest.raises(InputError, match="missing or infinite"):
        model.step({"rain": np.nan, "temperature": 1.0})
    with pytest.raises(InputError, match="attribute is missing or infinite"):
        model_for(basins).step({"rain": 1.0, "temperature": 1.0}, attributes={"leak": np.inf})


def test_a_foreign_or_damaged_bundle_is_refused(basins, tmp_path):
    path = write_bundle(model_for(basins), tmp_path / "model.safetensors")
    whole = path.read_bytes()
    for size in (0, 5, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="not a whole safetensors file"):
            load_model(path)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="not a model of runoff_lstm"):
        load_model(path)
    with pytest.raises(InputError, match="is not there"):
        load_model(tmp_path / "nowhere.safetensors")


def test_what_a_layer_remembers_makes_the_continuous_simulation(basins):
    model = model_for(basins)
    made = model.record(basins)
    assert made["gates"].dims == ("basin", "time", "unit", "gate")
    assert made["gate"].values.tolist() == ["input", "forget", "candidate", "output"]
    assert made.sizes["unit"] == 4
    assert model.record(basins, layer=0).sizes["unit"] == 8
    gate = {name: made["gates"].sel(gate=name).values[:, 1:] for name in made["gate"].values}
    cell, hidden = made["cell_state"].values, made["hidden_state"].values
    expected = gate["forget"] * cell[:, :-1] + gate["input"] * gate["candidate"]
    both = ~np.isnan(expected)
    assert both.sum() > 1000
    np.testing.assert_allclose(cell[:, 1:][both], expected[both], atol=1e-6)
    np.testing.assert_allclose(hidden[:, 1:][both], (gate["output"] * np.tanh(cell[:, 1:]))[both], atol=1e-6)
    there = ~np.isnan(hidden).any(axis=2)
    with torch.no_grad():
        scaled = model.module.head(torch.from_numpy(hidden[there])[:, None])[:, 0, 0].numpy()
    simulated = model.simulate(basins, mode="continuous")["simulated"].values
    np.testing.assert_array_equal(there, ~np.isnan(simulated))
    np.testing.assert_allclose(np.maximum(model.scaler.invert("discharge", scaled), 0), simulated[there], atol=1e-4)


def test_a_layer_or_a_record_that_is_not_there_is_refused(basins):
    model = model_for(basins)
    with pytest.raises(InputError, match=r"the model has 2 layer\(s\), not a layer 2; count from 0"):
        model.record(basins, layer=2)
    with pytest.raises(InputError, match="no day has 20 steps of complete forcing before it"):
        model.record(basins.assign(rain=basins["rain"].where(basins["time"].dt.day % 10 != 1)))


FORMS = {
    "gru, learned state": Architecture(type="gru", hidden_sizes=(8, 4), initial_state="learned", dropout=Dropout(output=0.4)),
    "rnn": Architecture(type="rnn", dropout=Dropout(kind="naive", recurrent=0.2)),
    "untied": Architecture(dropout=Dropout(kind="variational", input=0.1, recurrent=0.2, tied=False)),
    "semeniuta": Architecture(dropout=Dropout(kind="recurrent", recurrent=0.2, per="sequence", output=0.4)),
    "merity": Architecture(hidden_sizes=(8, 4), dropout=Dropout(kind="weight_drop", between=0.1, recurrent=0.2, rows=True)),
    "hydrodl": Architecture(dropout=Dropout(kind="weight_drop", weights="all", input=0.5, recurrent=0.5)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_comes_back_and_simulates_as_it_steps(basin, form, tmp_path):
    model = model_for(basin, form, attributes=())
    for one in model.module.stack.initial_states:
        torch.nn.init.normal_(one)
    again = load_model(write_bundle(model, tmp_path / "model.safetensors"))
    assert again.architecture == form
    expected = model.simulate(basin, mode="continuous")["simulated"].values
    np.testing.assert_array_equal(again.simulate(basin, mode="continuous")["simulated"], expected)
    np.testing.assert_array_equal(
        again.simulate(basin, mc_samples=2, seed=3)["simulated"], model.simulate(basin, mc_samples=2, seed=3)["simulated"]
    )
    state, series = None, []
    for day in range(60):
        discharge, state = again.step({name: basin[name].values[:, day] for name in FORCING}, state)
        series.append(discharge)
    np.testing.assert_allclose(np.stack(series, axis=1), expected[:, :60], atol=1e-5)


@pytest.mark.parametrize("mode", ["windows", "continuous"])
def test_monte_carlo_samples_are_members_with_the_dropout_kept_on(basins, mode):
    model = model_for(basins)
    still = model.simulate(basins, mode=mode)["simulated"]
    before = torch.get_rng_state()
    made = model.simulate(basins, mode=mode, mc_samples=30, seed=1)["simulated"]
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.module.training
    assert made.dims == ("member", "basin", "time")
    assert made["member"].attrs["standard_name"] == "realization"
    np.testing.assert_array_equal(np.isnan(made), np.broadcast_to(np.isnan(still), made.shape))
    there = ~np.isnan(still.values)
    assert (made.std("member").values[there] > 0).mean() > 0.9
    again, other = (model.simulate(basins, mode=mode, mc_samples=30, seed=seed)["simulated"] for seed in (1, 2))
    np.testing.assert_array_equal(again, made)
    assert not np.array_equal(other, made, equal_nan=True)
    np.testing.assert_array_equal(model.simulate(basins, mode=mode)["simulated"], still)


def test_monte_carlo_samples_without_dropout_are_refused(basins):
    with pytest.raises(InputError, match="trained without dropout"):
        model_for(basins, Architecture()).simulate(basins, mc_samples=3)
    with pytest.raises(InputError, match="mc_samples = 0"):
        model_for(basins).simulate(basins, mc_samples=0)


def test_a_gru_and_an_rnn_show_what_they_remember(basin):
    model = model_for(basin, FORMS["gru, learned state"], attributes=())
    made = model.record(basin)
    assert made["gate"].values.tolist() == ["reset", "update", "candidate"]
    assert set(made.data_vars) == {"hidden_state", "gates"}
    h, z, n = made["hidden_state"], made["gates"].sel(gate="update"), made["gates"].sel(gate="candidate")
    np.testing.assert_allclose(h[:, 30], ((1 - z) * n)[:, 30] + z[:, 30] * h[:, 29], atol=1e-6)
    made = model_for(basin, FORMS["rnn"], attributes=()).record(basin)
    assert set(made.data_vars) == {"hidden_state"}
    assert made["hidden_state"].dims == ("basin", "time", "unit")


def test_a_model_with_yesterdays_discharge_sees_that_of_no_later_step(basins, tmp_path):
    model = load_model(write_bundle(lagged_model(basins), tmp_path / "m.safetensors"))
    whole = model.simulate(basins)["simulated"]
    cut = 300
    later = basins.copy(deep=True)
    later["discharge"][:, cut:] = 0.5
    np.testing.assert_array_equal(model.simulate(later)["simulated"][:, : cut + 1], whole[:, : cut + 1])
    changed = model.simulate(later)["simulated"][:, cut + 1 : cut + 4] - whole[:, cut + 1 : cut + 4]
    assert (np.abs(changed) > 0).all()
    silent = basins.assign(discharge=basins["discharge"] * np.nan)
    assert model.simulate(silent)["simulated"][:, 19:].notnull().all()
    with pytest.raises(InputError, match="the data have no discharge, and the model takes what was observed"):
        model.simulate(basins.drop_vars("discharge"))


def test_a_model_with_lags_steps_as_its_continuous_pass(basins):
    basins = basins.copy(deep=True)
    basins["discharge"][0, 100:105] = np.nan
    model = lagged_model(basins)
    expected = model.simulate(basins, mode="continuous")["simulated"].values
    observed, state, series = basins["discharge"].values, None, []
    for day in range(200):
        today = {name: basins[name].values[:, day] for name in FORCING}
        for lag in (1, 3):
            today[f"discharge_lag_{lag}"] = observed[:, day - lag] if day >= lag else np.full(len(observed), np.nan)
        discharge, state = model.step(today, state)
        series.append(discharge)
    np.testing.assert_allclose(np.stack(series, axis=1), expected[:, :200], atol=1e-5)
    with pytest.raises(InputError, match="lacks discharge_lag_1, discharge_lag_3"):
        model.step({"rain": 1.0, "temperature": 2.0})
    for wrong in (-1.0, np.inf):
        with pytest.raises(InputError, match="discharge_lag_3 is negative or infinite"):
            model.step({"rain": 1.0, "temperature": 2.0, "discharge_lag_1": 0.0, "discharge_lag_3": wrong})


def test_a_forecast_goes_on_where_the_gauge_is_silent_and_says_so(basins):
    model = lagged_model(basins, lags=(0,), lead_times=3)
    basins = basins.copy(deep=True)
    basins["discharge"][1, 400:] = np.nan
    day = basins.indexes["time"][420]
    with pytest.warns(SilentGaugeWarning, match=f"basin {basins['basin'].values[1]}: no discharge is observed at 1 issue date"):
        made = model.forecast(basins, period=Period(day, day))
    assert made["forecast"].notnull().all()
    assert made["forecast"].dims == ("basin", "issue_date", "lead_time")


def test_what_a_forecasting_model_is_not_for_is_refused(basins, tmp_path):
    model = load_model(write_bundle(lagged_model(basins, lags=(0,), lead_times=3), tmp_path / "m.safetensors"))
    assert (model.lead_times, model.discharge_lags) == (3, (0,))
    for call in (lambda: model.simulate(basins), lambda: model.record(basins), lambda: model.step({"rain": 1.0})):
        with pytest.raises(InputError, match="the model forecasts 3 lead"):
            call()
    with pytest.raises(InputError, match="the model simulates, and knows no lead times"):
        model_for(basins).forecast(basins)
    with pytest.raises(InputError, match="the issue date 2007-01-01 is outside the data"):
        model.forecast(basins, period=Period("2007-01-01", "2007-01-01"))


def test_a_basin_without_enough_history_at_the_issue_date_is_told_and_the_others_are_forecast(basins):
    model = lagged_model(basins, lags=(0,), lead_times=3)
    basins = basins.copy(deep=True)
    basins["rain"][0, 410] = np.nan
    day = basins.indexes["time"][420]
    first = basins["basin"].values[0]
    with pytest.warns(
        IncompleteInputWarning, match=f"basin {first}: no forecast from 1 issue date.*rain is missing at 1 of the 20 steps"
    ):
        made = model.forecast(basins, period=Period(day, day))["forecast"]
    assert made[0].isnull().all()
    assert made[1:].notnull().all()


def test_a_forecast_forcing_that_is_too_short_is_refused(basins):
    model = with_rain_ahead(basins)
    last = basins.indexes["time"][-2]
    with pytest.raises(InputError, match="rain is needed 3 steps ahead, to 2001-12-02, and is missing from 2001-12-01"):
        model.forecast(basins, period=Period(last, last))
    with pytest.raises(InputError, match="the data have no forcing 'rain'"):
        model.forecast(basins.rename(rain="shower"))


@pytest.mark.parametrize("after", [3, 15])
def test_a_forecast_without_a_period_is_issued_at_the_last_observed_step_whatever_comes_after(basins, after):
    model, date = with_rain_ahead(basins), basins.indexes["time"][500]
    expected = model.forecast(basins, period=Period(date, date))["forecast"]
    known = basins.isel(time=slice(501 + after)).copy(deep=True)
    known["discharge"][:, 501:], known["temperature"][:, 501:] = np.nan, np.nan  # rain alone is given ahead
    made = model.forecast(known)["forecast"]
    assert made.indexes["issue_date"].tolist() == [date]
    np.testing.assert_array_equal(made, expected)


def test_a_basin_that_was_last_observed_earlier_is_told_with_its_date(basins):
    model = lagged_model(basins, lags=(0,), lead_times=3)
    basins = basins.copy(deep=True)
    basins["discharge"][1, 400:], basins["discharge"][2] = np.nan, np.nan
    with pytest.warns(SilentGaugeWarning) as told:
        made = model.forecast(basins)
    assert made["forecast"].notnull().all()
    assert made["issue_date"].values[0] == basins["time"].values[-1]
    assert [str(one.message).partition(";")[0].partition(", the first ")[2] for one in told] == [
        "2001-11-30 (last observed 2001-02-03)",
        "2001-11-30 (never observed before)",
    ]


def test_forcing_that_lacks_at_the_last_observed_step_is_named_with_its_dates(basins):
    model = with_rain_ahead(basins)
    with pytest.raises(
        InputError, match="no forecast from 2001-11-30: rain is needed 3 steps ahead, to 2001-12-03, and is missing from "
    ):
        model.forecast(basins)
    late = basins.copy(deep=True)
    late["discharge"][:, 690:], late["temperature"][:, 688:] = np.nan, np.nan
    with pytest.raises(
        InputError, match=r"2001-11-20: temperature is missing at 2 of the 20 steps up to it .*, last at 2001-11-20"
    ):
        model.forecast(late)
    late["rain"][:, 691:] = np.nan
    with pytest.raises(
        InputError, match=r"temperature is missing .* and rain is needed 3 steps ahead, to 2001-11-23, .* 2001-11-22"
    ):
        model.forecast(late)


def others(*gauge_ids, like=None):
    """The first basin under these names, so that no value leaves the range of the training."""
    like = make_basins("01013500") if like is None else like
    return like.isel(basin=[0] * len(gauge_ids)).assign_coords(basin=list(gauge_ids))


@pytest.mark.parametrize(
    ("trained", "attributes", "message"),
    [
        (
            1,
            (),
            r"2 of 3 basin\(s\) were not in training \(x, y\); .* was trained on basin 01013500 alone: it takes every basin for",
        ),
        (3, (), r"2 of 3 basin\(s\) were not in training .*; the model has no static attributes, so it cannot tell basins apart"),
        (3, ("leak",), r"2 of 3 basin\(s\) were not in training .* by their static attributes alone \(leak\)"),
    ],
)
def test_basins_that_were_not_in_training_are_told_with_what_the_model_knows_of_them(trained, attributes, message):
    basins = make_basins(*("01013500", "a", "b")[:trained])
    model = model_for(basins, attributes=attributes)
    for call in (model.simulate, model.record):
        with pytest.warns(UnseenBasinWarning, match=message) as told:
            call(others("01013500", "x", "y", like=basins))
        assert [one.filename for one in told] == [__file__]
        call(others("01013500", like=basins))


def test_a_forecast_for_basins_that_were_not_in_training_is_told_so(basins):
    model = lagged_model(basins.isel(basin=[0]), lags=(0,), lead_times=3)
    with pytest.warns(UnseenBasinWarning, match=r"2 of 3 .*takes every basin for that one but by observed discharge"):
        model.forecast(basins)


def test_many_basins_that_were_not_in_training_are_counted_and_the_first_named(basin):
    model, many = model_for(basin, attributes=()), others(*"abcdefgh")
    with pytest.warns(UnseenBasinWarning, match=r"8 of 8 basin\(s\) were not in training \(a, b, c \.\.\.\)"):
        model.simulate(many)


def test_the_first_step_of_basins_that_were_not_in_training_is_told_so(basin):
    model = model_for(basin, attributes=())
    today = {"rain": np.ones(2), "temperature": np.ones(2)}
    with pytest.warns(UnseenBasinWarning, match=r"at least 1 of 2 basin\(s\) were not in training"):
        _, state = model.step(today)
    model.step(today, state)
    with pytest.warns(UnseenBasinWarning, match=r"1 of 2 basin\(s\) were not in training \(x\)"):
        model.step(today, gauge_ids=["01013500", "x"])
    model.step({"rain": 1.0, "temperature": 1.0})
    model.step({"rain": 1.0, "temperature": 1.0}, gauge_ids=["01013500"])
    with pytest.raises(InputError, match=r"1 gauge id\(s\) are given for 2 basin"):
        model.step(today, gauge_ids=["x"])


def test_a_warning_of_one_text_is_given_once_and_none_where_basins_are_ungauged_on_purpose(basin):
    model = model_for(basin, attributes=())

    def simulate_three():
        with each_warning_once():
            for dataset in (others("x"), others("x"), others("y")):
                model.simulate(dataset)

    with pytest.warns(UnseenBasinWarning) as told:
        simulate_three()
    assert [str(one.message).partition(";")[0][-3:] for one in told] == ["(x)", "(y)"]
    with as_ungauged(on_purpose=True):
        model.simulate(others("x"))
    with as_ungauged(on_purpose=False), pytest.warns(UnseenBasinWarning):
        model.simulate(others("x"))


def with_gaps(dataset, **gaps):
    """The data without the given steps of each variable, in the second basin."""
    holed = dataset.copy(deep=True)
    for name, steps in gaps.items():
        holed[name][1, steps] = np.nan
    return holed


@pytest.mark.parametrize("mode", ["windows", "continuous"])
def test_missing_forcing_that_costs_a_simulation_steps_is_told_with_variable_date_and_cost(basins, mode):
    model, holed = model_for(basins), with_gaps(basins, rain=[100], temperature=slice(697, 700))
    with pytest.warns(IncompleteInputWarning) as told:
        made = model.simulate(holed, mode=mode)["simulated"]
    assert [str(one.message) for one in told] == [
        "basin 01022500: rain is missing at 1 step(s), the first 2000-04-10 and temperature is missing at 3 step(s), the first "
        "2001-11-28, which costs 23 step(s), as each needs 20 steps of complete forcing; fill the gap by [data.fill.rain] "
        "(in Python fill_by_interpolation)"
    ]
    assert told[0].filename == __file__
    assert int(made[1, 19:].isnull().sum()) == 23


def test_a_gap_that_costs_no_step_of_the_period_is_not_told(basins):
    holed = with_gaps(basins, rain=[100, 600])
    made = model_for(basins).simulate(holed, period=Period("2000-06-01", "2001-03-01"))["simulated"]
    assert made.notnull().all()


def test_a_record_that_begins_later_is_no_gap(basins):
    later = slice(0, 50)
    made = model_for(basins).simulate(with_gaps(basins, rain=later, temperature=later))["simulated"]
    assert made[1, 69:].notnull().all()


def test_a_simulation_of_which_gaps_leave_nothing_is_refused_with_the_first_of_them(basins):
    model = model_for(basins.isel(basin=[0]), attributes=())
    gap = basins.isel(basin=[0]).copy(deep=True)
    gap["rain"][0, 680:690] = np.nan
    with pytest.raises(InputError, match=r"basin 01013500: rain is missing at 10 step\(s\), the first 2001-11-11, which costs 5"):
        model.simulate(gap, period=Period("2001-11-20", "2001-11-24"))
