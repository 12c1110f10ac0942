"""A model keeps all that it and its ancestors have seen, through files and chains of fine-tuning."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import make_basins

from runoff_lstm.data.periods import Period, Stretches
from runoff_lstm.data.splits import Periods
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.prediction.bundle import load_model, write_bundle
from runoff_lstm.prediction.stages import Stage, check_unseen, merged
from runoff_lstm.runs import ensemble as many_runs
from runoff_lstm.runs import scores as run_scores
from runoff_lstm.runs.ensemble import cross_validate
from runoff_lstm.runs.run import train_run
from runoff_lstm.runs.scores import evaluate_run
from runoff_lstm.runs.walk_forward import LSTMForecaster, Walk, check_walked, walk_forward
from runoff_lstm.training.recipe import Recipe
from runoff_lstm.training.setup import train

pytestmark = pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning")

INPUTS = Inputs(("rain", "temperature"), sequence_length=20, targets_per_window=20)
AHEAD = dataclasses.replace(INPUTS, lead_times=2)
RECIPE = Recipe(steps=2, batch_size=4, validate_every=2)
FIRST = Periods(Period("2000-02-01", "2000-05-31"), Period("2000-06-01", "2000-08-31"))
SECOND = Periods(Period("2000-09-01", "2000-11-30"), Period("2000-12-01", "2001-01-31"))
THIRD = Periods(Period("2001-02-01", "2001-04-30"))
LATE = Period("2001-09-01", "2001-11-30")
BASINS = make_basins("a", "b", "c")


def tuned(periods, gauge_ids, before=None, inputs=INPUTS):
    form = None if before is not None else Architecture(hidden_sizes=(4,))
    return train(
        BASINS.sel(basin=gauge_ids),
        periods=periods,
        inputs=inputs,
        recipe=RECIPE,
        architecture=form,
        start_from=before,
        device="cpu",
    ).model


def chain(folder, inputs=INPUTS):
    """Three trainings, each going on from the file of the one before, the last on another basin."""
    model = None
    for periods, gauge_ids in ((FIRST, ["a", "b"]), (SECOND, ["a"]), (THIRD, ["c"])):
        model = load_model(write_bundle(tuned(periods, gauge_ids, model, inputs), folder / "model.safetensors"))
    return model


@pytest.fixture(scope="module")
def third(tmp_path_factory):
    return chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="module")
def third_ahead(tmp_path_factory):
    return chain(tmp_path_factory.mktemp("ahead"), AHEAD)


def test_a_model_carries_every_stage_of_its_ancestors_through_their_files(third):
    assert third.seen == (
        Stage("train", ("a", "b"), FIRST.train),
        Stage("validation", ("a", "b"), FIRST.validation),
        Stage("train", ("a",), SECOND.train),
        Stage("validation", ("a",), SECOND.validation),
        Stage("train", ("c",), THIRD.train),
    )
    assert (third.training_period, third.gauge_ids) == (THIRD.train, ("c",))


CASES = [  # basin, a period that overlaps one stage only, and what it was used for
    ("b", Period("2000-03-01", "2000-03-31"), "trained on basin b in 2000-02-01 to 2000-05-31"),
    ("b", Period("2000-08-01", "2000-10-31"), "validated on basin b in 2000-06-01 to 2000-08-31"),
    ("a", Period("2000-11-01", "2000-11-30"), "trained on basin a in 2000-09-01 to 2000-11-30"),
    ("a", Period("2001-01-31", "2001-01-31"), "validated on basin a in 2000-12-01 to 2001-01-31"),
    ("c", Period("2001-04-01", "2001-05-31"), "trained on basin c in 2001-02-01 to 2001-04-30"),
]


@pytest.mark.parametrize(("gauge_id", "tested", "message"), CASES)
def test_a_test_on_what_any_ancestor_has_seen_is_refused(tmp_path, third, gauge_id, tested, message):
    dataset = BASINS.sel(basin=[gauge_id])
    path = write_bundle(third, tmp_path / "model.safetensors")
    periods = Periods(LATE, test=tested)
    message = f"the model was {message}, which overlaps the test period"
    with pytest.raises(InputError, match=message):
        tuned(periods, [gauge_id], third)
    with pytest.raises(InputError, match=message):
        train_run(
            tmp_path / "run", dataset, name="small", periods=periods, inputs=INPUTS, recipe=RECIPE, start_from=path, device="cpu"
        )
    with pytest.raises(InputError, match=message):
        evaluate_run(tmp_path, [third], dataset, name="small", periods=periods)
    assert not (tmp_path / "run").exists()


def test_years_and_basins_that_nothing_has_seen_stay_free(third):
    for gauge_id, tested in (("b", SECOND.train), ("c", FIRST.train), ("a", THIRD.train)):
        assert tuned(Periods(LATE, test=tested), [gauge_id], third).seen[:-1] == third.seen


def test_a_later_validation_may_choose_again_but_not_by_what_was_learned(third):
    again = tuned(Periods(LATE, FIRST.validation), ["b"], third)
    assert again.seen[-1] == Stage("validation", ("b",), FIRST.validation)
    with pytest.raises(InputError, match=r"trained on basin b in .*, which overlaps the validation period"):
        tuned(Periods(LATE, Period("2000-05-31", "2000-06-30")), ["b"], third)


@pytest.mark.parametrize("held_out", ["a", "b", "c"])
def test_a_basin_that_any_ancestor_has_seen_is_not_ungauged(tmp_path, third, held_out):
    path = write_bundle(third, tmp_path / "model.safetensors")
    arguments = {"name": "small", "periods": Periods(Period("2001-05-01", "2001-08-31"), test=LATE), "inputs": INPUTS}
    with pytest.raises(InputError, match=f"trained on basin {held_out}, which is held out as if it were ungauged"):
        train_run(tmp_path / "run", BASINS, recipe=RECIPE, start_from=path, held_out=[held_out], device="cpu", **arguments)


@pytest.mark.parametrize(("by", "number"), [("basin", 3), ("period", 2)])
def test_folds_from_a_model_that_has_seen_one_of_them_are_refused_before_the_first(tmp_path, third, by, number):
    path = write_bundle(third, tmp_path / "model.safetensors")
    periods = Periods(Period("2000-02-01", "2001-08-31"), test=LATE)
    with pytest.raises(InputError, match=r"the model was (trained|validated) on basin .*, which (is held out|overlaps the test)"):
        cross_validate(
            tmp_path / "run", BASINS, number=number, by=by, settings={}, device="cpu", workers=1, name="small", periods=periods,
            inputs=INPUTS, recipe=RECIPE, start_from=path,
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_walk_begins_after_all_that_any_ancestor_has_seen(third_ahead):
    earlier = tuned(Periods(Period("2000-02-01", "2000-04-30")), ["c"], third_ahead, AHEAD)  # its own training is early
    walk = {"period": Period("2000-10-01", "2000-10-31"), "lead_times": 2}
    with pytest.raises(InputError, match="begins on 2000-10-01 with a model that has seen 2000-09-01 to 2000-11-30"):
        walk_forward(LSTMForecaster(AHEAD, model=earlier), BASINS.sel(basin=["c"]), **walk)
    with pytest.raises(InputError, match="begins on 2001-01-01 with a model that has seen 2000-12-01 to 2001-01-31"):
        check_walked(Periods(Period("2000-02-01", "2000-04-30"), test=Period("2001-01-01", "2001-01-31")), earlier)
    assert walk_forward(LSTMForecaster(AHEAD, model=earlier), BASINS, period=LATE, lead_times=2, every=30).sizes["issue_date"] == 3


def test_a_walk_that_fits_often_keeps_what_it_has_seen_in_few_stages(third_ahead):
    recipe = Recipe(steps=1, batch_size=2, learning_rate=1e-3, validate_every=1)
    forecaster = LSTMForecaster(AHEAD, model=third_ahead, device="cpu", fine_tune=recipe)
    for last in (500, 510, 520):
        forecaster.fit(BASINS.isel(time=slice(last - 100, last)))
    assert forecaster.model.seen[:-1] == third_ahead.seen
    times = BASINS.indexes["time"]
    assert forecaster.model.seen[-1] == Stage("train", ("a", "b", "c"), Period(times[400], times[519]))


def test_stages_are_merged_only_where_that_loses_and_adds_nothing():
    one, other, later = Period("2000-01-01", "2000-03-31"), Period("2000-03-01", "2000-12-31"), Period("2001-01-01", "2001-12-31")
    stages = [Stage("train", ("a",), one), Stage("train", ("a",), other)]
    assert merged(stages) == (Stage("train", ("a",), Period("2000-01-01", "2000-12-31")),)
    apart = [
        Stage("train", ("a",), one),
        Stage("validation", ("a",), other),
        Stage("train", ("b",), other),
        Stage("train", ("a",), later),
        Stage("train", ("a",), Stretches((one, later))),
    ]
    assert merged(apart) == tuple(apart)


def test_a_stage_of_several_stretches_refuses_each_of_them_and_not_the_hole():
    period = Stretches((Period("2000-01-01", "2000-12-31"), Period("2002-01-01", "2002-12-31")))
    seen = [Stage.of_plain(json.loads(json.dumps(Stage("train", ("a",), period).to_plain())))]
    check_unseen(seen, ["a"], "test", Period("2001-01-01", "2001-12-31"))
    with pytest.raises(InputError, match="trained on basin a in 2000-01-01 to 2000-12-31 and 2002-01-01"):
        check_unseen(seen, np.array(["a"]), "test", Period("2002-12-31", "2003-12-31"))


@pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.UnseenBasinWarning")
def test_a_model_is_evaluated_on_its_own_years_by_their_names_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(run_scores, "score", lambda *_, period_name, **__: period_name)
    periods = dataclasses.replace(FIRST, test=LATE)
    model = tuned(periods, ["a", "b"])
    for name in ("test", "validation", "train"):
        assert evaluate_run(tmp_path, [model], BASINS, name="small", periods=periods, period_name=name) == name
    with pytest.raises(InputError, match="validated on basin a in 2000-06-01 to 2000-08-31, which overlaps the test period"):
        evaluate_run(tmp_path, [model], BASINS, name="small", periods=Periods(LATE, test=FIRST.validation))


def test_every_fold_is_checked_with_the_walk_of_the_model_it_goes_on_from(tmp_path, third_ahead, monkeypatch):
    path = write_bundle(third_ahead, tmp_path / "model.safetensors")
    monkeypatch.setattr(many_runs, "_run_left", lambda *_, **__: pytest.fail("a fold was started"))
    with pytest.raises(InputError, match="the walk begins on 2000-08-31 with a model that has seen 2000-06-01 to 2000-08-31"):
        cross_validate(
            tmp_path / "run", make_basins("d", "e"), number=2, by="period", settings={}, device="cpu", workers=1, name="small",
            periods=Periods(Period("2000-03-01", "2001-08-31"), test=LATE), inputs=AHEAD, recipe=RECIPE, start_from=path,
            walk=Walk(every=7),
        )  # fmt: skip
