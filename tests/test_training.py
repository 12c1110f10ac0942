import dataclasses

import numpy as np
import pytest
import torch

from runoff_lstm.fitting import Recipe
from runoff_lstm.models import Architecture, Dropout
from runoff_lstm.periods import Period, Periods
from runoff_lstm.schema import InputError
from runoff_lstm.training import Inputs, resolve_device, train

INPUTS = Inputs(("rain", "temperature"), sequence_length=30, targets_per_window=30)
RECIPE = Recipe(steps=20, batch_size=8, learning_rate=1e-2, validate_every=10)
SMALL = Architecture(hidden_sizes=(8,), dropout=Dropout(output=0.2))


def weights(dataset, periods, **arguments):
    arguments = {"inputs": INPUTS, "recipe": RECIPE, "architecture": SMALL, "device": "cpu", **arguments}
    return train(dataset, periods=periods, **arguments).model.module.state_dict()


def assert_equal(one, other):
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.filterwarnings("ignore::runoff_lstm.bundle.OutsideTrainingRangeWarning")
def test_a_trained_model_beats_the_mean_flow(basin, periods):
    recipe = Recipe(steps=150, batch_size=8, learning_rate=2e-2, schedule="one_cycle", validate_every=10)
    trained = train(basin, periods=periods, inputs=INPUTS, recipe=recipe, architecture=SMALL, device="cpu")
    simulated = trained.model.simulate(basin, period=periods.test)["simulated"].values
    observed = basin["discharge"].sel(time=periods.test.label_slice).values
    assert 1 - ((simulated - observed) ** 2).sum() / ((observed - observed.mean()) ** 2).sum() > 0.5


def test_nothing_of_the_test_period_is_seen(basins, periods):
    before = weights(basins, periods)
    after_validation = basins["time"] > np.datetime64("2001-05-31")
    poisoned = basins.assign({name: basins[name].where(~after_validation, 123.0) for name in ("rain", "temperature", "discharge")})
    assert_equal(weights(poisoned, periods), before)


def test_the_validation_period_chooses_weights_and_makes_none(basins, periods):
    without = dataclasses.replace(periods, validation=None)
    validated = train(basins, periods=periods, inputs=INPUTS, recipe=RECIPE, architecture=SMALL, device="cpu")
    plain = train(basins, periods=without, inputs=INPUTS, recipe=RECIPE, architecture=SMALL, device="cpu")
    np.testing.assert_array_equal(validated.history["train_loss"], plain.history["train_loss"])
    assert validated.model.scaler == plain.model.scaler
    assert plain.history["validation_NSE"].isna().all()


def test_the_same_seed_gives_the_same_model_and_another_seed_another(basins, periods):
    assert_equal(weights(basins, periods, seed=3), weights(basins, periods, seed=3))
    assert not torch.equal(
        weights(basins, periods, seed=3)["head.linear.weight"], weights(basins, periods, seed=4)["head.linear.weight"]
    )


def test_strict_windows_with_attributes_train_too(basins, periods):
    inputs = Inputs(("rain", "temperature"), ("leak", "slope"), sequence_length=20, targets_per_window=1)
    trained = train(basins, periods=periods, inputs=inputs, recipe=RECIPE, architecture=SMALL, device="cpu")
    assert trained.model.module.stack.layers[0].input_size == 4
    assert trained.model.simulate(basins)["simulated"].notnull().sum() == 3 * (700 - 19)


def test_the_coverage_tells_what_was_used(basins, periods):
    holed = basins.assign(discharge=basins["discharge"].where(basins["time"] != np.datetime64("2000-05-05")))
    trained = train(holed, periods=periods, inputs=INPUTS, recipe=RECIPE, architecture=SMALL, device="cpu")
    assert trained.coverage.loc[("train", "01022500")].to_dict() == {
        "steps": 306,
        "used": 305,
        "without_history": 0,
        "without_discharge": 1,
    }


def test_a_period_outside_the_data_is_refused_by_name(basins):
    with pytest.raises(InputError, match=r"\[periods\] train: the period 1999-01-01 .* is not inside the data"):
        weights(basins, Periods(train=Period("1999-01-01", "2000-12-31")))


def test_data_without_discharge_are_refused(basins, periods):
    with pytest.raises(InputError, match="no discharge to learn from"):
        weights(basins.drop_vars("discharge"), periods)


def test_a_device_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError, match="device cuda is not there; choose cpu"):
        resolve_device("cuda")
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_trains_to_what_the_cpu_trains_to(basins, periods):
    form = Architecture(hidden_sizes=(8,))
    cpu, gpu = (
        train(basins, periods=periods, inputs=INPUTS, recipe=RECIPE, architecture=form, device=device) for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(gpu.history["train_loss"], cpu.history["train_loss"], rtol=1e-3)
    np.testing.assert_allclose(
        gpu.model.simulate(basins)["simulated"], cpu.model.simulate(basins)["simulated"], rtol=1e-2, atol=1e-2
    )
