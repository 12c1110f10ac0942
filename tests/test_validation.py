"""What a validation period may choose by, and settings that need one."""

import dataclasses
import logging

import numpy as np
import pytest
import torch
from conftest import make_basins, prepare

from runoff_lstm.data.periods import Period
from runoff_lstm.data.splits import Periods
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.runs.ensemble import cross_validate
from runoff_lstm.runs.run import train_run
from runoff_lstm.runs.walk_forward import LSTMForecaster, Walk, walk_forward
from runoff_lstm.training.recipe import Recipe, TrainingError
from runoff_lstm.training.setup import train

pytestmark = pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning")

INPUTS = Inputs(("rain", "temperature"), sequence_length=100, targets_per_window=20)
AHEAD = dataclasses.replace(INPUTS, lead_times=3)
RECIPE = Recipe(steps=6, batch_size=4, learning_rate=1e-2, validate_every=2)
PERIODS = Periods(train=Period("2000-10-01", "2001-11-30"), validation=Period("2000-01-01", "2000-09-30"))  # begins with the record
FIRST_SIMULATED = np.datetime64("2000-04-09")


def flow(dataset, change, gauge_ids=None):
    """The data with the discharge of some basins changed in the validation period."""
    inside = dataset["time"] <= np.datetime64("2000-09-30")
    if gauge_ids is not None:
        inside = inside & dataset["basin"].isin(gauge_ids)
    return dataset.assign(discharge=dataset["discharge"].where(~inside, change(dataset["discharge"], dataset["time"])))


def dry_where_simulated(discharge, time):
    """It flows only on the days that nothing can be simulated on, for want of history."""
    return discharge.where(time < FIRST_SIMULATED, 0.0)


def unobserved(discharge, time):
    return discharge.where(False)  # noqa: FBT003


def prepared(dataset, **arguments):
    arguments = {"periods": PERIODS, "inputs": INPUTS, "recipe": RECIPE, "device": "cpu", **arguments}
    return prepare(dataset, architecture=Architecture(hidden_sizes=(4,)), **arguments)


@pytest.mark.parametrize("inputs", [INPUTS, AHEAD, dataclasses.replace(INPUTS, root_transform=True)])
def test_a_validation_period_that_is_dry_wherever_it_can_be_simulated_is_refused(inputs):
    dry = flow(make_basins("a", "b"), dry_where_simulated)
    message = (
        "in the validation period 2000-01-01 to 2000-09-30 no basin has two different values of discharge on steps that can be "
        r"simulated \(with 100 steps of complete forcing\)"
    )
    with pytest.raises(InputError, match=message):
        prepared(dry, inputs=inputs, recipe=dataclasses.replace(RECIPE, patience=1))


def test_one_other_value_on_the_last_step_that_can_be_simulated_is_enough():
    dry = flow(make_basins("a"), dry_where_simulated)
    dry["discharge"].loc[{"time": "2000-09-30"}] = 1.0
    training = prepared(dry)
    assert training.scored.tolist() == [True]
    assert np.isfinite(training.run().history["validation_NSE"]).all()


@pytest.mark.parametrize("change", [dry_where_simulated, unobserved])
@pytest.mark.parametrize("inputs", [INPUTS, AHEAD])
def test_basins_that_cannot_be_scored_are_counted_in_one_line_and_choose_nothing(caplog, change, inputs):
    basins = make_basins("a", "b", "c")
    with caplog.at_level(logging.WARNING):
        training = prepared(flow(basins, change, ["b", "c"]), inputs=inputs)
    (line,) = (one.getMessage() for one in caplog.records)
    assert line.startswith("validation: 2 of 3 basins have no two different values of discharge on steps that can be simulated")
    assert line.endswith("the first is b")
    assert training.scored.tolist() == [True, False, False]
    training.model.module.eval()
    alone = prepared(basins, inputs=inputs)
    alone.model.module.eval()
    alone.windows["validation"]._valid[1:] = False
    alone.__dict__["scored"] = np.array([True, False, False])
    assert training.validation_nse() == pytest.approx(alone.validation_nse())


def test_what_every_basin_scores_is_told_by_no_line(caplog):
    prepared(make_basins("a", "b"))
    assert not caplog.records


def test_a_basin_without_a_step_to_learn_from_is_told(caplog):
    basins = make_basins("a", "b")
    late = basins["time"] > np.datetime64("2000-10-10")
    short = basins.assign(rain=basins["rain"].where((basins["basin"] == "a") | ~late))
    short["rain"].loc[{"basin": "b", "time": "2000-09-30"}] = np.nan
    prepared(short)
    assert caplog.messages == ["train: 1 of 2 basins have no step to learn from; the first is b"]


@pytest.mark.parametrize("inputs", [INPUTS, AHEAD, dataclasses.replace(INPUTS, root_transform=True)])
def test_a_simulation_that_is_not_finite_ends_the_training_by_name(inputs):
    training = prepared(make_basins("a", "b", "c"), inputs=inputs, recipe=dataclasses.replace(RECIPE, patience=1))
    module, steps = training.model.module, []

    def poison(*_):
        steps.append(None)
        if not module.training:
            with torch.no_grad():
                next(module.parameters()).fill_(torch.nan)

    module.register_forward_pre_hook(poison)
    with pytest.raises(TrainingError, match=r"update 2: the validation score is nan, so what the model simulates is not finite"):
        training.run()


def test_a_single_value_that_is_not_finite_is_no_score(monkeypatch):
    training = prepared(make_basins("a", "b", "c"))
    training.model.module.eval()
    made = training._simulated(training.windows["validation"])
    assert np.isfinite(training.validation_nse())
    basin, step = np.argwhere(training.windows["validation"].valid)[-1]
    for value in (np.nan, np.inf):
        made[basin, step] = value
        monkeypatch.setattr(type(training), "_simulated", lambda *_: made)
        assert np.isnan(training.validation_nse())


def test_patience_without_a_validation_period_is_refused(tmp_path):
    basins, periods = make_basins("a", "b"), Periods(train=PERIODS.train)
    recipe = dataclasses.replace(RECIPE, patience=3)
    message = "patience = 3 waits for a better validation score, and there is no validation period; name one, or leave patience out"
    with pytest.raises(InputError, match=message):
        train(basins, periods=periods, inputs=INPUTS, recipe=recipe, device="cpu")
    with pytest.raises(InputError, match=message):
        train_run(tmp_path / "run", basins, name="small", periods=periods, inputs=INPUTS, recipe=recipe, device="cpu")
    with pytest.raises(InputError, match=message):
        LSTMForecaster(AHEAD, recipe, device="cpu").fit(basins)
    with pytest.raises(InputError, match='folds by = "period" have none: leave patience out'):
        cross_validate(
            tmp_path / "run",
            basins,
            number=2,
            by="period",
            settings={},
            name="small",
            periods=PERIODS,
            inputs=INPUTS,
            recipe=recipe,
        )
    assert not (tmp_path / "run").exists()


def test_settings_that_would_do_nothing_are_refused_and_defaults_are_not(tmp_path):
    basins = make_basins("a", "b")
    with pytest.raises(InputError, match=r"hide_discharge = 0.3 hides the observed discharge among the inputs, and there is none"):
        prepared(basins, recipe=dataclasses.replace(RECIPE, hide_discharge=0.3))
    for share in (0.0, Recipe.hide_discharge):
        prepared(basins, recipe=dataclasses.replace(RECIPE, hide_discharge=share))
    prepared(basins, inputs=AHEAD, recipe=dataclasses.replace(RECIPE, hide_discharge=0.3))
    with pytest.raises(InputError, match="window = 300 is the history that a model is fitted to again; set fit_every"):
        Walk(every=7, window=300)
    with pytest.raises(InputError, match="window = 300 is the history that a model is fitted to again; set fit_every"):
        walk_forward(LSTMForecaster(AHEAD), basins, period=PERIODS.train, lead_times=3, window=300)
    with pytest.raises(InputError, match=r'seed = 5 draws basins, and by = "period" draws none'):
        cross_validate(
            tmp_path / "run", basins, number=2, by="period", fold_seed=5, settings={}, name="small", periods=PERIODS,
            inputs=INPUTS, recipe=RECIPE,
        )  # fmt: skip
