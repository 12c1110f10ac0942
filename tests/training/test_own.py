"""A network, a loss, a metric and a listener of the user's own."""

import numpy as np
import pytest
import torch
from conftest import make_basins, prepare
from torch import nn

import runoff_lstm as rl
from runoff_lstm.errors import InputError
from runoff_lstm.evaluation.metrics import METRICS, Metric, register_metric
from runoff_lstm.training.losses import mse

BASINS = make_basins("01013500", days=120)
PERIODS = rl.Periods(train=("2000-02-01", "2000-03-15"), validation=("2000-03-16", "2000-04-10"))
INPUTS = rl.Inputs(["rain", "temperature"], sequence_length=10, targets_per_window=5)
RECIPE = rl.Recipe(steps=30, batch_size=8, learning_rate=0.05)


class Reservoir(nn.Module):
    """A linear model on the mean forcing of the last days."""

    def __init__(self, leads=()):
        super().__init__()
        self.linear, self.leads = nn.Linear(2, max(len(leads), 1)), leads

    def forward(self, forcing, _, *, targets):
        means = forcing.unfold(1, 10, 1).mean(3)[:, -targets:]
        made = self.linear(means)
        return (made if self.leads else made[..., 0]), None


def trained(**given):
    return rl.train(BASINS, periods=PERIODS, inputs=INPUTS, recipe=given.pop("recipe", RECIPE), **given)


def test_a_network_of_ones_own_is_trained_validated_and_simulates():
    module = Reservoir()
    before = module.linear.weight.detach().clone()
    done = trained(module=module)
    assert not torch.equal(module.linear.weight, before)
    assert done.history["train_loss"].iloc[-1] < done.history["train_loss"].iloc[0]
    with pytest.warns(rl.OutsideTrainingRangeWarning):
        simulated = done.model.simulate(BASINS)["simulated"]
    assert np.isfinite(simulated.values[:, 9:]).all()
    with (
        pytest.warns(rl.OutsideTrainingRangeWarning),
        pytest.raises(InputError, match=r'module = Reservoir is your own, and has no state .* mode = "windows"'),
    ):
        done.model.simulate(BASINS, mode="continuous")


def test_a_bundle_of_a_network_of_ones_own_is_refused(tmp_path):
    with pytest.raises(InputError, match="module = Reservoir is your own, and a bundle cannot make it again"):
        rl.write_bundle(trained(module=Reservoir()).model, tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"module": "lstm"}, "module = 'lstm' is no Module; write module = MyNetwork"),
        ({"module": Reservoir}, "module is the class Reservoir itself"),
        ({"module": Reservoir(), "architecture": rl.Architecture()}, "module and architecture exclude each other"),
        ({"module": Reservoir(), "recipe": rl.Recipe(steps=1, gradient_length=3)}, "gradient_length cuts the state"),
        ({"module": Reservoir(leads=(1, 2))}, r"module = Reservoir gives \(8, 5, 2\), not \(8, 5\)"),
    ],
)
def test_a_network_of_another_form_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        trained(**given)


def test_a_loss_of_ones_own_trains_like_ours_of_the_same_formula():
    def squared(*, observed, simulated, basin_std, zero_flow):
        return mse(observed=observed, simulated=simulated, basin_std=basin_std, zero_flow=zero_flow)

    own = trained(recipe=rl.Recipe(steps=5, batch_size=8, loss=squared))
    ours = trained(recipe=rl.Recipe(steps=5, batch_size=8, loss="mse"))
    assert own.history["train_loss"].tolist() == ours.history["train_loss"].tolist()


def test_a_run_folder_keeps_the_name_of_a_loss_and_says_that_it_cannot_be_resumed_from_there(tmp_path):
    recipe = rl.Recipe(steps=2, batch_size=8, loss=mse)
    rl.train_run(tmp_path / "run", BASINS, name="own", periods=PERIODS, inputs=INPUTS, recipe=recipe, observe=lambda _: None)
    text = (tmp_path / "run" / "experiment.toml").read_text()
    assert 'loss = "runoff_lstm.training.losses.mse"' in text
    with pytest.raises(InputError, match="is a function, which a file cannot hold"):
        rl.Recipe(steps=2, loss="runoff_lstm.training.losses.mse")


@pytest.mark.parametrize("loss", [nn.MSELoss(), lambda error: error, int])
def test_what_cannot_be_called_as_a_loss_is_refused(loss):
    with pytest.raises(InputError, match="cannot be called as losses are; write a function loss"):
        rl.Recipe(steps=1, loss=loss)


def test_a_listener_is_told_of_every_update_and_changes_nothing():
    told = []
    done = trained(observe=told.append)
    assert [one.update for one in told] == list(range(1, 31))
    assert done.history["train_loss"].tolist() == trained().history["train_loss"].tolist()


def test_a_metric_of_ones_own_is_known_until_it_is_taken_out():
    def bias(*, observed, simulated):
        return (simulated - observed).mean("time")

    register_metric("bias", Metric(bias, "as discharge", "(-inf, inf)", 0.0))
    try:
        found = rl.evaluate(observed=[1.0, 2.0], simulated=[2.0, 3.0], metrics=["bias", "NSE"])
        assert found["bias"].tolist() == [1.0]
        with pytest.raises(InputError, match="name = 'BIAS' is taken"):
            register_metric("BIAS", Metric(bias, "1", "", 0.0))
    finally:
        del METRICS["bias"]


@pytest.mark.parametrize(
    ("name", "metric", "message"),
    [
        ("days", Metric(len, "1", "", 0.0), "name = 'days' is taken"),
        ("NSE", Metric(len, "1", "", 0.0), "name = 'NSE' is taken"),
        (3, Metric(len, "1", "", 0.0), "name = 3 must be text"),
        ("own", len, "metric = .* is no Metric"),
        ("own", Metric(len, "1", "", 0.0), "metric 'own' cannot be called as function"),
        ("own", Metric(lambda *, observed, simulated: observed + simulated, "1", "", 0.0), "gives .* not a DataArray with dims"),
        ("own", Metric(lambda **given: float(len(given)), "1", "", 0.0), "gives float, not a DataArray"),
    ],
)
def test_a_metric_that_cannot_be_used_is_refused_when_it_is_registered(name, metric, message):
    with pytest.raises(InputError, match=message):
        register_metric(name, metric)
    assert "own" not in METRICS


def test_training_is_prepared_with_the_network_itself():
    module = Reservoir()
    training = prepare(BASINS, periods=PERIODS, inputs=INPUTS, recipe=RECIPE, module=module)
    assert training.model.module.module is module
