from functools import partial

import numpy as np
import pytest
import torch
from conftest import make_basins, model_of
from small_models import model_for, with_rain_ahead

from runoff_lstm.data.periods import Period
from runoff_lstm.inputs import device
from runoff_lstm.inputs.windows import Windows
from runoff_lstm.prediction import inference
from runoff_lstm.prediction.inference import simulate_continuously, simulate_windows

FORCING = ["rain", "temperature"]


def setting(dataset=None, k=10, length=20, period=None, kind="lstm"):
    dataset = make_basins("a", "b", days=150) if dataset is None else dataset
    torch.manual_seed(2)
    model = model_of(2, 1, hidden_sizes=[8], type=kind).eval()
    windows = Windows(
        dataset, FORCING, target=None, static_attributes=["leak"], sequence_length=length, targets_per_window=k, period=period
    )
    return model, windows


def spoiled(dataset, day, value=1e3):
    """The same data with all forcing from that day on changed."""
    later = np.arange(dataset.sizes["time"]) >= day
    return dataset.assign({name: dataset[name].where(~later, value) for name in FORCING})


@pytest.mark.parametrize("simulate", [simulate_windows, simulate_continuously])
def test_a_simulation_is_a_forecast_with_the_one_lead_0(simulate):
    model, windows = setting(k=7)
    assert windows.leads == range(1)
    batch = windows.gather(windows.calendar_tiles()[:3])
    assert batch.discharge.shape == (3, 7, 1)
    assert model(batch.forcing, batch.static_attributes, targets=7)[0].shape == (3, 7, 1)
    assert simulate(model, windows).shape == (2, 150, 1)


@pytest.mark.parametrize("k", [1, 7, 40])
def test_windows_simulate_every_day_with_enough_history_and_no_other(k):
    simulated = simulate_windows(*setting(k=k))
    assert np.isnan(simulated[:, :19]).all()
    assert np.isfinite(simulated[:, 19:]).all()


def test_strict_windows_equal_a_plain_loop():
    dataset = make_basins("a", "b", days=60)
    model, windows = setting(dataset, k=1)
    simulated = simulate_windows(model, windows)
    for basin in range(2):
        inputs = np.stack([dataset[name].values[basin] for name in FORCING], axis=1)
        attributes = torch.tensor(dataset["leak"].values[basin : basin + 1, None])
        for day in range(19, 60):
            with torch.no_grad():
                alone, _ = model(torch.from_numpy(inputs[day - 19 : day + 1])[None], attributes)
            assert simulated[basin, day] == pytest.approx(float(alone[0, -1]), abs=1e-5)


@pytest.mark.parametrize("k", [1, 7, 40])
@pytest.mark.parametrize("day", [25, 77, 149])
@pytest.mark.parametrize("value", [1e3, np.nan])
@pytest.mark.parametrize("simulate", [simulate_windows, simulate_continuously])
def test_no_simulated_day_changes_when_later_forcing_changes_or_is_missing(k, day, value, simulate):
    dataset = make_basins("a", "b", days=150)
    before = simulate(*setting(dataset, k=k))
    after = simulate(*setting(spoiled(dataset, day, value), k=k))
    np.testing.assert_allclose(after[:, :day], before[:, :day], atol=1e-6)
    assert not np.allclose(after[:, day], before[:, day], atol=1e-6)


@pytest.mark.parametrize(
    ("simulate", "k"), [(simulate_windows, 1), (simulate_windows, 7), (simulate_windows, 40), (simulate_continuously, 1)]
)
def test_a_simulated_day_does_not_depend_on_the_period_asked_for(simulate, k):
    dataset = make_basins("a", "b", days=150)
    whole = simulate(*setting(dataset, k=k))
    part = simulate(*setting(dataset, k=k, period=Period("2000-02-20", "2000-04-07")))
    asked = slice(50, 98)
    np.testing.assert_allclose(part[:, asked], whole[:, asked], atol=1e-6)
    assert simulate is simulate_continuously or np.isnan(part[:, :50]).all()
    assert np.isnan(part[:, 98:]).all()


def test_a_longer_record_changes_no_day_that_was_there():
    dataset = make_basins("a", "b", days=150)
    whole = simulate_windows(*setting(dataset, k=40))
    shorter = simulate_windows(*setting(dataset.isel(time=slice(0, 133)), k=40))
    np.testing.assert_allclose(shorter, whole[:, :133], atol=1e-6)


def test_the_continuous_pass_keeps_its_state_and_begins_anew_after_a_gap():
    dataset = make_basins("a", "b", days=150)
    dataset["rain"][0, 60] = np.nan
    model, windows = setting(dataset)
    simulated = simulate_continuously(model, windows)
    inputs = torch.from_numpy(np.stack([dataset[name].values for name in FORCING], axis=2))
    with torch.no_grad():
        before, _ = model(inputs[:1, :60], torch.tensor(dataset["leak"].values[:1, None]))
        after, _ = model(inputs[:1, 61:], torch.tensor(dataset["leak"].values[:1, None]))
    np.testing.assert_allclose(simulated[0, 19:60], before[0, 19:], atol=1e-5)
    np.testing.assert_allclose(simulated[0, 61 + 19 :], after[0, 19:], atol=1e-5)
    assert np.isnan(simulated[0, 60 : 61 + 19]).all()
    assert np.isfinite(simulated[1, 19:]).all()


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_continuous_pass_is_one_pass_whatever_the_steps_at_once(monkeypatch, kind):
    model, windows = setting(make_basins("a", "b", days=150), kind=kind)
    whole = simulate_continuously(model, windows)
    monkeypatch.setattr(inference, "STEPS_AT_ONCE", 7)
    np.testing.assert_allclose(simulate_continuously(model, windows), whole, atol=1e-6)


def test_the_order_of_the_basins_does_not_matter():
    dataset = make_basins("a", "b", days=100)
    there = simulate_windows(*setting(dataset))
    back = simulate_windows(*setting(dataset.isel(basin=[1, 0])))
    np.testing.assert_allclose(back[::-1], there, atol=1e-6)


@pytest.fixture
def _four_threads(monkeypatch):
    """Four processors for this process, and threads of torch's for each."""
    before = torch.get_num_threads()
    monkeypatch.setattr(device, "processors", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


DATA = make_basins("a", "b")
EVERY_WAY = {
    "in windows": lambda model, **asked: model.simulate(DATA, **asked),
    "in one pass": lambda model, **asked: model.simulate(DATA, mode="continuous", **asked),
    "from a state": lambda model, **asked: model.simulate_from(DATA, **asked),
    "forecast": lambda _, **asked: with_rain_ahead(DATA).forecast(DATA, period=Period("2000-02-01", "2000-03-01"), **asked),
}
BY_THE_RULE_ALONE = {
    "step": lambda model: model.step({"rain": np.ones(2), "temperature": np.ones(2)}, attributes={"leak": np.full(2, 0.1)}),
    "record": lambda model: model.record(DATA),
}


def threads_of(run, monkeypatch):
    """The numbers of threads on which the layers ran."""
    seen, forward = set(), torch.nn.LSTM.forward
    monkeypatch.setattr(torch.nn.LSTM, "forward", lambda *given: (seen.add(torch.get_num_threads()), forward(*given))[1])
    if run is BY_THE_RULE_ALONE["record"]:
        cell = torch.sigmoid
        monkeypatch.setattr(torch, "sigmoid", lambda *given: (seen.add(torch.get_num_threads()), cell(*given))[1])
    run(model_for(DATA))
    return seen


@pytest.mark.usefixtures("_four_threads")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [*EVERY_WAY, *BY_THE_RULE_ALONE])
def test_every_simulation_takes_its_threads_by_the_rule_and_gives_the_number_back(monkeypatch, name):
    run = (EVERY_WAY | BY_THE_RULE_ALONE)[name]
    assert threads_of(run, monkeypatch) == {1}
    monkeypatch.setitem(device.ONE_THREAD, "float32", 1)
    assert threads_of(run, monkeypatch) == {4}
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("_four_threads")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", EVERY_WAY)
def test_a_simulation_takes_the_threads_it_is_asked_to(monkeypatch, name):
    assert threads_of(partial(EVERY_WAY[name], threads=2), monkeypatch) == {2}


@pytest.mark.usefixtures("_four_threads")
def test_a_simulation_by_auto_times_its_first_passes(monkeypatch):
    assert threads_of(partial(EVERY_WAY["in one pass"], threads="auto"), monkeypatch) == {1, 2, 4}
