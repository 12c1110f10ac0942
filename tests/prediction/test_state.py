"""Stopping a simulation on any day and going on from its file equals never having stopped, to the bit."""

from functools import cache

import numpy as np
import pytest
import torch
from conftest import make_basins
from safetensors.torch import save_file

from runoff_lstm.data.periods import Period
from runoff_lstm.data.splits import Periods
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.prediction.state import checksum, read_state, write_state
from runoff_lstm.training.recipe import Recipe
from runoff_lstm.training.setup import train

pytestmark = pytest.mark.filterwarnings("ignore:.*leaves the training range")

GAUGES = ("01013500", "01022500", "02064000")
DATA = make_basins(*GAUGES, days=120)
SEEN = 20
TIMES = DATA.indexes["time"]

FORMS = {
    "lstm": (Architecture(hidden_sizes=(8,)), {}),
    "gru": (Architecture(type="gru", hidden_sizes=(8,)), {}),
    "stack": (Architecture(hidden_sizes=(8, 4)), {}),
    "ealstm": (Architecture(type="ealstm", hidden_sizes=(8,)), {"static_attributes": ("leak", "slope")}),
    "learned": (Architecture(hidden_sizes=(8,), initial_state="learned"), {}),
    "lags and season": (Architecture(hidden_sizes=(8,)), {"discharge_lags": (1, 3), "season": True}),
}


@cache
def trained(form="lstm", seed=0, **more):
    architecture, inputs = FORMS[form]
    periods = Periods(train=Period("2000-02-01", "2000-04-20"))
    seen = Inputs(("rain", "temperature"), sequence_length=SEEN, targets_per_window=10, **{**inputs, **more})
    recipe = Recipe(steps=2, batch_size=2)
    return train(DATA, periods=periods, inputs=seen, recipe=recipe, architecture=architecture, seed=seed, device="cpu").model


def through_a_file(model, state, path):
    return read_state(write_state(path / "river.safetensors", model, state), model)


def joined(*parts):
    return np.concatenate([part["simulated"].values for part in parts], axis=1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("stops", [[1], [7], [SEEN - 1], [SEEN], [33, 34, 90], [119]], ids=str)
def test_stopping_on_any_day_and_going_on_from_the_file_equals_never_having_stopped(form, stops, tmp_path):
    model = trained(form)
    whole, end = model.simulate_from(DATA)
    parts, state = [], None
    for stop in stops:
        part, state = model.simulate_from(DATA, state, until=TIMES[stop - 1])
        parts.append(part)
        state = through_a_file(model, state, tmp_path)
    last, after = model.simulate_from(DATA.isel(time=slice(stops[-1] - 1, None)), state)
    np.testing.assert_array_equal(joined(*parts, last), whole["simulated"].values)
    np.testing.assert_array_equal(whole["simulated"].isnull().sum("time"), SEEN - 1)
    for one, other in zip(after.layers, end.layers, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_a_single_basin_is_stopped_on_every_day(tmp_path):
    model, one = trained(), DATA.isel(basin=[1])
    whole, state, parts = model.simulate_from(one)[0], None, []
    for day in TIMES:
        part, state = model.simulate_from(one, state, until=day)
        parts.append(part)
        state = through_a_file(model, state, tmp_path)
    np.testing.assert_array_equal(joined(*parts), whole["simulated"].values)


@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_continuous_simulation_but_for_rounding(form):
    model = trained(form)
    made = model.simulate_from(DATA)[0]["simulated"]
    np.testing.assert_allclose(made, model.simulate(DATA, mode="continuous")["simulated"], rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.IncompleteInputWarning")
def test_after_a_gap_a_basin_begins_anew_and_the_others_do_not(tmp_path):
    model, gap = trained("learned"), DATA.copy(deep=True)
    gap["rain"][1, 50:53] = np.nan
    whole, _ = model.simulate_from(gap)
    first, state = model.simulate_from(gap, until=TIMES[51])
    second, _ = model.simulate_from(gap, through_a_file(model, state, tmp_path))
    np.testing.assert_array_equal(joined(first, second), whole["simulated"].values)
    np.testing.assert_allclose(whole["simulated"], model.simulate(gap, mode="continuous")["simulated"], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(whole["simulated"][[0, 2]], model.simulate_from(DATA)[0]["simulated"][[0, 2]])


def test_steps_go_on_from_a_simulation_and_a_simulation_from_steps():
    model = trained()
    whole = model.simulate_from(DATA)[0]["simulated"]
    _, state = model.simulate_from(DATA, until=TIMES[49])
    today = {name: DATA[name].values[:, 50] for name in model.forcing}
    discharge, state = model.step(today, state)
    np.testing.assert_array_equal(discharge, whole[:, 50])
    assert state.time == TIMES[50]
    np.testing.assert_array_equal(model.simulate_from(DATA, state)[0]["simulated"], whole[:, 51:])


def test_steps_of_a_model_of_the_season_know_the_time_and_give_its_simulation():
    model, state, made = trained(season=True), None, []
    for day in range(40):
        today = {name: DATA[name].values[:, day] for name in model.forcing}
        given = {"time": TIMES[0], "gauge_ids": GAUGES} if day == 0 else {}
        discharge, state = model.step(today, state, **given)
        made.append(discharge)
    np.testing.assert_allclose(np.stack(made, axis=1), model.simulate_from(DATA)[0]["simulated"][:, :40], rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="give the time of the step"):
        model.step(today)
    with pytest.raises(InputError, match="goes on with 2000-02-10; give that step"):
        model.step(today, state, time="2000-02-11")
    with pytest.raises(InputError, match="gauge_ids"):
        model.step(today, state, gauge_ids=GAUGES[::-1])


def test_basins_in_another_order_are_put_into_that_of_the_state():
    model = trained()
    whole = model.simulate_from(DATA)[0]
    _, state = model.simulate_from(DATA, until=TIMES[49])
    after, _ = model.simulate_from(DATA.isel(basin=[2, 0, 1]), state)
    np.testing.assert_array_equal(after["simulated"].sel(basin=list(GAUGES)), whole["simulated"][:, 50:])


def test_a_state_of_other_basins_or_days_is_refused():
    model = trained()
    _, state = model.simulate_from(DATA.isel(basin=[0, 1]), until=TIMES[49])
    with pytest.raises(InputError, match="basin 02064000 is not in the state; leave it out"):
        model.simulate_from(DATA, state)
    with pytest.raises(InputError, match="basin 01022500 of the state is not in the data; add it"):
        model.simulate_from(DATA.isel(basin=[0]), state)
    two = DATA.isel(basin=[0, 1])
    with pytest.raises(InputError, match="goes on with 2000-02-20, which is not in the data, 2000-02-21 to"):
        model.simulate_from(two.isel(time=slice(51, None)), state)
    with pytest.raises(InputError, match="which is not in the data, 2000-01-01 to 2000-02-19"):
        model.simulate_from(two.isel(time=slice(None, 50)), state)
    with pytest.raises(InputError, match="until = 2000-02-03 lies before the first step to simulate, 2000-02-20"):
        model.simulate_from(two, state, until="2000-02-03")


def test_a_state_of_another_model_a_cut_file_and_no_state_are_refused(tmp_path):
    model, path = trained(), tmp_path / "river.safetensors"
    write_state(path, model, model.simulate_from(DATA)[1])
    assert checksum(model) != checksum(trained(seed=1))
    with pytest.raises(InputError, match="state of a model with other weights; give the model it was written with"):
        read_state(path, trained(seed=1))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="is not a whole safetensors file"):
        read_state(path, model)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="but not the state of a simulation"):
        read_state(path, model)
    with pytest.raises(InputError, match="not found"):
        read_state(tmp_path / "none.safetensors", model)


def test_a_state_without_steps_basins_or_observations_is_refused(tmp_path):
    model, lagged = trained(), trained("lags and season")
    today = {name: DATA[name].values[:, 0] for name in model.forcing}
    _, state = model.step(today)
    with pytest.raises(InputError, match="give gauge_ids and time to the first step"):
        model.simulate_from(DATA, state)
    observed = {"discharge_lag_1": np.nan, "discharge_lag_3": np.nan}
    _, state = lagged.step({**today, **observed}, time=TIMES[0], gauge_ids=GAUGES)
    with pytest.raises(InputError, match="has no observed discharge"):
        lagged.simulate_from(DATA, state)
    with pytest.raises(InputError, match="the state is empty"):
        write_state(tmp_path / "none.safetensors", model, type(state)())


def test_a_model_of_forecasts_says_that_it_keeps_no_state():
    with pytest.raises(InputError, match=r"keeps no state|does not"):
        trained(lead_times=2).simulate_from(DATA)
