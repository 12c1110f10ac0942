import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from conftest import make_basins
from safetensors.torch import load_file

from runoff_lstm.data.periods import Period
from runoff_lstm.data.splits import Periods, temporal_folds, ungauged_folds
from runoff_lstm.errors import InputError
from runoff_lstm.evaluation.lead_times import score_lead_times
from runoff_lstm.evaluation.metrics import evaluate
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.prediction.bundle import load_model
from runoff_lstm.runs import ensemble as many_runs
from runoff_lstm.runs import run as run_folder
from runoff_lstm.runs import scores as run_scores
from runoff_lstm.runs.ensemble import cross_validate, train_ensemble
from runoff_lstm.runs.folder import RunFolder, load_models, model_to_start_from
from runoff_lstm.runs.run import train_run
from runoff_lstm.runs.scores import evaluate_run, mean_of
from runoff_lstm.runs.walk_forward import FineTune, Walk
from runoff_lstm.training import loop as fitting
from runoff_lstm.training.recipe import Recipe

pytestmark = pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning")

PERIODS = Periods(
    train=Period("2000-03-01", "2000-12-31"), validation=Period("2001-01-01", "2001-05-31"), test=Period("2001-06-01", "2001-11-30")
)
GAUGE_IDS = ["01013500", "01022500", "02064000", "03015500", "06431500", "11230500"]
ARGUMENTS = {
    "name": "small",
    "periods": PERIODS,
    "inputs": Inputs(("rain", "temperature"), ("leak", "slope"), sequence_length=30, targets_per_window=30),
    "recipe": Recipe(steps=4, batch_size=8, learning_rate=1e-2, validate_every=2),
    "architecture": Architecture(hidden_sizes=(4,), dropout=Dropout(output=0.2)),
    "metrics": ["NSE", "KGE"],
}


class StoppedError(Exception):
    """A run that is cut off at an update."""


@pytest.fixture(scope="module", autouse=True)
def _no_pictures():
    """These tests look at numbers; pictures take longer to draw than the models to train."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "plot_history", lambda *_, **__: None)
        for name in ("plot_distribution", "figure_hydrograph", "plot_lead_times", "plot_forecasts"):
            patch.setattr(run_scores, name, lambda *_, **__: None)
        for home in (run_folder, run_scores):
            patch.setattr(home, "write_figure", lambda *_, **__: None)
        yield


@pytest.fixture(scope="module")
def data():
    return make_basins(*GAUGE_IDS)


def ensemble_of(path, dataset, seeds=(3, 4), **arguments):
    arguments = {"settings": {"name": "small"}, "device": "cpu", "workers": 1, "show_progress": False, **ARGUMENTS, **arguments}
    return train_ensemble(path, dataset, seeds, **arguments)


def folds_of(path, dataset, **arguments):
    arguments = {"settings": {}, "device": "cpu", "workers": 1, "show_progress": False, "number": 2, **ARGUMENTS, **arguments}
    return cross_validate(path, dataset, **arguments)


def weights(folder):
    return {name: value.numpy() for name, value in load_file(folder / "model.safetensors").items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def simulation(folder):
    with xr.open_dataset(folder / "test_simulation.nc") as opened:
        return opened.load()


def table(path):
    return pd.read_csv(path, index_col=0, dtype={"gauge_id": str})


def contents(folder):
    return {one.name: (one.stat().st_mtime_ns, one.read_bytes()) for one in folder.iterdir()}


@pytest.fixture(scope="module")
def ensemble(data, tmp_path_factory):
    return ensemble_of(tmp_path_factory.mktemp("runs") / "ensemble", data)


@pytest.fixture(scope="module")
def by_basin(data, tmp_path_factory):
    return folds_of(tmp_path_factory.mktemp("runs") / "folds", data, fold_seed=1)


@pytest.fixture(scope="module")
def by_period(data, tmp_path_factory):
    return folds_of(tmp_path_factory.mktemp("runs") / "folds", data, by="period", number=3)


def test_the_ensemble_is_the_mean_of_its_members_hydrographs(data, ensemble):
    one, other = (simulation(ensemble.path / f"seed-{seed}")["simulated"] for seed in (3, 4))
    assert float(abs(one - other).max()) > 0.01
    mean = simulation(ensemble.path)["simulated"]
    np.testing.assert_array_equal(mean, (one.values + other.values) / 2)
    assert mean.attrs["units"] == "mm d-1"
    expected = evaluate(
        observed=data["discharge"].sel(time=mean["time"]), simulated=ensemble.scores.simulation["simulated"], metrics=["NSE", "KGE"]
    )
    pd.testing.assert_frame_equal(ensemble.scores.metrics, expected)
    np.testing.assert_allclose(table(ensemble.path / "test_metrics.csv")["NSE"], expected["NSE"], rtol=1e-5)


def test_a_member_is_the_single_run_of_its_seed(data, ensemble, tmp_path):
    train_run(tmp_path / "single", data, **ARGUMENTS, seed=4, device="cpu", observe=lambda _: None)
    assert_equal(weights(tmp_path / "single"), weights(ensemble.path / "seed-4"))
    for name in ("test_metrics.csv", "test_baselines.csv", "coverage.csv"):
        assert (tmp_path / "single" / name).read_text() == (ensemble.path / "seed-4" / name).read_text()


def test_the_table_of_runs_has_the_medians_of_each_member(ensemble):
    runs = table(ensemble.path / "runs.csv")
    assert runs.index.tolist() == ensemble.runs.index.tolist() == [3, 4]
    assert runs.index.name == "seed"
    assert runs["folder"].tolist() == ["seed-3", "seed-4"]
    for folder, row in runs.set_index("folder").iterrows():
        scores = table(ensemble.path / folder / "test_metrics.csv")
        assert (row["NSE"], row["KGE"]) == pytest.approx((scores["NSE"].median(), scores["KGE"].median()), rel=1e-5)


def test_medians_of_runs_leave_out_what_is_undefined_and_count_the_rest(data, tmp_path):
    late = data["time"] > np.datetime64("2001-05-31")
    observed = data["discharge"].where((data["basin"] != "01022500") | ~late)  # not observed: no score
    observed = observed.where((data["basin"] != "02064000") | ~late, 1.0)  # constant: an RMSE, but no NSE
    done = ensemble_of(tmp_path / "run", data.assign(discharge=observed), metrics=["NSE", "RMSE"], seeds=[3])
    row = table(done.path / "runs.csv").loc[3]
    assert row[["basins", "NSE_basins", "RMSE_basins", "days_basins"]].tolist() == [6, 4, 5, 5]
    scores = table(done.path / "seed-3" / "test_metrics.csv")
    assert row["NSE"] == pytest.approx(scores.loc[scores["NSE"].notna(), "NSE"].median(), rel=1e-4)
    assert row["days"] == 183
    assert scores.loc["01022500", "days"] == 0


def test_evaluating_the_ensemble_gives_its_scores(data, ensemble, tmp_path):
    shutil.copytree(ensemble.path, tmp_path / "copy")
    chosen = {key: ARGUMENTS[key] for key in ("name", "periods", "metrics")}
    models = load_models(tmp_path / "copy")
    again = evaluate_run(tmp_path / "copy", models, data, **chosen)
    pd.testing.assert_frame_equal(again.metrics, ensemble.scores.metrics)
    for name in ("test_metrics.csv", "test_baselines.csv"):
        assert (tmp_path / "copy" / name).read_text() == (ensemble.path / name).read_text()
    with pytest.raises(InputError, match="no spring period; there is train, validation, test"):
        evaluate_run(tmp_path / "copy", models, data, **chosen, period_name="spring")
    silent = data.assign(discharge=data["discharge"].where(data["time"] < np.datetime64("2001-06-01")))
    with pytest.raises(InputError, match="no discharge is observed in the test period"):
        evaluate_run(tmp_path / "copy", models, silent, **chosen)


def test_models_are_found_in_a_file_a_run_folder_and_an_ensemble_by_seed(ensemble, by_basin, tmp_path):
    member = ensemble.path / "seed-4"
    for path in (member / "model.safetensors", member):
        (model,) = load_models(path)
        assert torch.equal(model.module.head.linear.weight, load_model(member / "model.safetensors").module.head.linear.weight)
    shutil.copytree(ensemble.path, tmp_path / "many")
    shutil.copytree(member, tmp_path / "many" / "seed-10")
    heads = [model.module.head.linear.weight for model in load_models(tmp_path / "many")]
    assert len(heads) == 3
    assert torch.equal(heads[1], heads[2])
    assert not torch.equal(heads[0], heads[1])
    (tmp_path / "many" / "runs.csv").unlink()
    with pytest.raises(InputError, match=r"many is a run that is not finished; finish it with: runoff-lstm resume .*many$"):
        load_models(tmp_path / "many")
    with pytest.raises(InputError, match=r"is a cross-validation; name one of its folds: .*fold-1 or .*fold-2$"):
        load_models(by_basin.path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has no trained model; give a model\.safetensors or a finished run folder"):
        load_models(tmp_path / "empty")


def test_a_training_goes_on_from_a_member_of_an_ensemble_that_is_named(ensemble, data, tmp_path):
    later = {**ARGUMENTS, "architecture": None, "device": "cpu"}
    with pytest.raises(InputError, match=r"is an ensemble, and .* one model; start from \S+seed-3 or \S+seed-4$") as refused:
        train_run(tmp_path / "again", data, **later, start_from=ensemble.path)
    named = str(refused.value).rpartition(" ")[2]
    train_run(tmp_path / "again", data, **later, start_from=named)
    many = [RunFolder(tmp_path / "many").member(seed) for seed in range(10)]
    for member in many:
        member.path.mkdir(parents=True)
    with pytest.raises(InputError, match=r"start from \S+seed-0, \S+seed-1 ... \S+seed-9$"):
        model_to_start_from(tmp_path / "many")


def test_a_walk_that_is_killed_leaves_no_model_that_looks_finished(data, tmp_path, monkeypatch):
    walk = Walk(every=30, fit_every=2, fine_tune=FineTune(steps=1, learning_rate=1e-3))
    arguments = {**FORECASTS, "walk": walk, "device": "cpu", "observe": lambda _: None}

    def stop(*_, **__):
        raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "walk_with", stop)
        with pytest.raises(StoppedError):
            train_run(tmp_path / "run", data, **arguments)
    folder = RunFolder(tmp_path / "run")
    assert not folder.model.exists()
    shutil.copy(folder.checkpoint, folder.model)  # as earlier versions did: a file where the model of before the refits would be
    with pytest.raises(InputError, match=r"run is a run that is not finished; finish it with: runoff-lstm resume .*run$"):
        load_models(tmp_path / "run")
    train_run(tmp_path / "run", data, **arguments, resume=True)
    assert folder.is_finished
    assert max(stage.period.last_moment for stage in load_models(tmp_path / "run")[0].seen) > PERIODS.test.start


FORECASTS = {
    **ARGUMENTS,
    "inputs": Inputs(("rain", "temperature"), ("leak", "slope"), sequence_length=30, targets_per_window=30, lead_times=3),
}


def forecasts(folder):
    with xr.open_dataset(folder / "test_forecasts.nc") as opened:
        return opened["forecast"].load()


def test_an_ensemble_of_forecasts_is_the_mean_of_its_members_forecasts_and_is_scored_by_lead_time(data, tmp_path):
    done = ensemble_of(tmp_path / "run", data, **FORECASTS)
    one, other = (forecasts(done.path / f"seed-{seed}") for seed in (3, 4))
    assert float(abs(one - other).max()) > 0.01
    np.testing.assert_array_equal(forecasts(done.path), (one.values + other.values) / 2)
    expected = score_lead_times((one + other) / 2, observed=data["discharge"], train=PERIODS.train.label_slice, name="lstm")
    pd.testing.assert_frame_equal(done.scores.table, expected, rtol=1e-5)
    single = pd.read_csv(done.path / "seed-3" / "test_lead_scores.csv")
    first = single[(single["model"] == "lstm") & (single["lead_time"] == 1)]
    leads = ["NSE lead 1", "NSE lead 2", "NSE lead 3"]
    assert done.runs.columns.tolist() == ["folder", *leads, "basins", *(f"{lead}_basins" for lead in leads)]
    assert done.runs["NSE lead 1_basins"].tolist() == done.runs["basins"].tolist() == [6, 6]
    assert done.runs.loc[3, "NSE lead 1"] == pytest.approx(first["NSE"].median())
    before = contents(done.path / "seed-3")
    again = ensemble_of(tmp_path / "run", data, **FORECASTS, resume=True)
    assert contents(done.path / "seed-3") == before
    pd.testing.assert_frame_equal(again.scores.table, done.scores.table)


def test_members_of_an_ensemble_walk_forward_each_by_itself(data, tmp_path):
    walk = Walk(every=7, fit_every=5, fine_tune=FineTune(steps=2, learning_rate=1e-3))
    done = ensemble_of(tmp_path / "run", data, **FORECASTS, walk=walk)
    train_run(tmp_path / "alone", data, **FORECASTS, walk=walk, seed=4, device="cpu", observe=lambda _: None)
    np.testing.assert_array_equal(forecasts(tmp_path / "alone"), forecasts(done.path / "seed-4"))
    assert forecasts(done.path).sizes["issue_date"] == forecasts(tmp_path / "alone").sizes["issue_date"] == 26
    kept = train_run(tmp_path / "kept", data, **FORECASTS, walk=Walk(every=7), seed=4, device="cpu", observe=lambda _: None)
    assert float(abs(kept.scores.forecast - forecasts(done.path / "seed-4")).max()) > 1e-4


def test_forecasts_in_folds_of_basins_are_by_models_that_have_not_seen_them(data, tmp_path):
    done = folds_of(tmp_path / "run", data, fold_seed=1, **FORECASTS)
    assert done.scores.table["gauge_id"].unique().tolist() == GAUGE_IDS
    for place, fold in enumerate(ungauged_folds(GAUGE_IDS, 2, seed=1)):
        own = forecasts(done.path / f"fold-{place + 1}")
        np.testing.assert_array_equal(own, done.scores.forecast.sel(basin=own["basin"]))
        assert set(own["basin"].values) == set(fold)


def test_forecasts_in_folds_of_periods_end_within_their_blocks(data, tmp_path):
    done = folds_of(tmp_path / "run", data, by="period", number=3, **FORECASTS)
    issued = done.scores.forecast.indexes["issue_date"]
    blocks = [block.test for block in temporal_folds(PERIODS.train, 3)]
    expected = [pd.date_range(block.start, block.end - pd.Timedelta(days=3)) for block in blocks]
    assert issued.tolist() == [date for dates in expected for date in dates]
    np.testing.assert_array_equal(
        done.scores.forecast, xr.concat([forecasts(done.path / f"fold-{place}") for place in (1, 2, 3)], dim="issue_date")
    )


@pytest.mark.parametrize("first_checkpoint", [True, False])
def test_an_interrupted_ensemble_goes_on_and_leaves_finished_members_alone(data, ensemble, tmp_path, monkeypatch, first_checkpoint):
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)

    def stop_at_the_second(label, _):
        def observe(progress):
            if label == "seed-4" and progress.update == 3:
                raise StoppedError

        return observe

    with monkeypatch.context() as patch:
        patch.setattr(many_runs, "_teller", stop_at_the_second)
        with pytest.raises(StoppedError):
            ensemble_of(tmp_path / "run", data)
    assert not (tmp_path / "run" / "runs.csv").exists()
    if not first_checkpoint:
        (tmp_path / "run" / "seed-4" / "checkpoint.pt").unlink()
    before = contents(tmp_path / "run" / "seed-3")
    resumed = ensemble_of(tmp_path / "run", data, resume=True)
    assert contents(tmp_path / "run" / "seed-3") == before
    assert_equal(weights(tmp_path / "run" / "seed-4"), weights(ensemble.path / "seed-4"))
    pd.testing.assert_frame_equal(resumed.scores.metrics, ensemble.scores.metrics)
    pd.testing.assert_frame_equal(resumed.runs, ensemble.runs)


def test_a_finished_ensemble_goes_on_with_a_larger_budget_in_every_member(data, ensemble, tmp_path):
    recipe = replace(ARGUMENTS["recipe"], steps=6)
    whole = ensemble_of(tmp_path / "whole", data, recipe=recipe)
    shutil.copytree(ensemble.path, tmp_path / "run")
    further = ensemble_of(tmp_path / "run", data, recipe=recipe, resume=True)
    for seed in (3, 4):
        assert_equal(weights(tmp_path / "run" / f"seed-{seed}"), weights(tmp_path / "whole" / f"seed-{seed}"))
    pd.testing.assert_frame_equal(further.scores.metrics, whole.scores.metrics)
    pd.testing.assert_frame_equal(further.runs, whole.runs)


def test_a_member_that_was_stopped_while_it_was_scored_is_scored_on_resume(data, ensemble, tmp_path):
    shutil.copytree(ensemble.path, tmp_path / "run")
    for name in ("test_metrics.csv", "test_simulation.nc"):
        (tmp_path / "run" / "seed-3" / name).unlink()
    resumed = ensemble_of(tmp_path / "run", data, resume=True)
    pd.testing.assert_frame_equal(resumed.scores.metrics, ensemble.scores.metrics)
    assert (tmp_path / "run" / "seed-3" / "test_metrics.csv").exists()


def test_runs_side_by_side_give_what_they_give_one_after_the_other(data, ensemble, tmp_path):
    beside = ensemble_of(tmp_path / "run", data, workers=2)
    for seed in (3, 4):
        assert_equal(weights(tmp_path / "run" / f"seed-{seed}"), weights(ensemble.path / f"seed-{seed}"))
    np.testing.assert_allclose(beside.scores.simulation["simulated"], ensemble.scores.simulation["simulated"], rtol=1e-5, atol=1e-6)


def test_what_a_run_of_its_own_refuses_is_told_as_it_is(data, tmp_path):
    with pytest.raises(InputError, match=r"nowhere.safetensors is not there"):
        ensemble_of(tmp_path / "run", data, workers=2, start_from="nowhere.safetensors", architecture=None)


def test_ensembles_that_make_no_sense_are_refused_before_anything_is_written(data, tmp_path):
    with pytest.raises(InputError, match=r"seeds = \[1, 2, 1\]: each may come once"):
        ensemble_of(tmp_path / "run", data, seeds=[1, 2, 1])
    with pytest.raises(InputError, match="an ensemble is scored on the test period"):
        ensemble_of(tmp_path / "run", data, periods=Periods(train=PERIODS.train))
    assert not (tmp_path / "run").exists()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="there already and not empty"):
        ensemble_of(tmp_path, data)


def test_every_basin_is_scored_exactly_once_by_the_model_that_has_not_seen_it(data, by_basin):
    folds = ungauged_folds(GAUGE_IDS, 2, seed=1)
    told = table(by_basin.path / "folds.csv")
    assert {gauge_id: place + 1 for place, fold in enumerate(folds) for gauge_id in fold} == told["fold"].to_dict()
    assert by_basin.scores.metrics.index.tolist() == GAUGE_IDS
    for place, fold in enumerate(folds):
        folder = by_basin.path / f"fold-{place + 1}"
        own = table(folder / "test_metrics.csv")
        assert set(own.index) == set(fold)
        pd.testing.assert_frame_equal(own, table(by_basin.path / "test_metrics.csv").loc[own.index])
        trained_on = set(pd.read_csv(folder / "coverage.csv", dtype=str)["gauge_id"])
        assert trained_on == set(GAUGE_IDS) - set(fold)
    runs = table(by_basin.path / "runs.csv")
    assert (runs.index.tolist(), runs["folder"].tolist()) == ([1, 2], ["fold-1", "fold-2"])


def test_scaler_weights_and_validation_see_nothing_of_the_basins_held_out(data, by_basin, tmp_path):
    fold = ungauged_folds(GAUGE_IDS, 2, seed=1)[0]
    kept = ~data["basin"].isin(fold)
    poisoned = data.assign(
        {
            "discharge": data["discharge"].where(kept, 50 + data["rain"]),
            "rain": data["rain"].where(kept, 7 * data["rain"] + 3),
            "temperature": data["temperature"].where(kept, 90 - data["temperature"]),
            "leak": data["leak"].where(kept, 9 - data["leak"]),
            "slope": data["slope"].where(kept, -5 * data["slope"]),
        }
    )
    poisoned = poisoned.assign({name: poisoned[name].assign_attrs(data[name].attrs) for name in poisoned.data_vars})
    again = folds_of(tmp_path / "run", poisoned, fold_seed=1)
    for name, same in (("fold-1", True), ("fold-2", False)):
        one, other = (load_model(run.path / name / "model.safetensors") for run in (again, by_basin))
        assert (one.scaler == other.scaler) is same
        assert np.array_equal(one.module.head.linear.weight.detach(), other.module.head.linear.weight.detach()) is same
    assert_equal(weights(again.path / "fold-1"), weights(by_basin.path / "fold-1"))
    one, other = (table(run.path / "fold-1" / "history.csv")["validation_NSE"] for run in (again, by_basin))
    pd.testing.assert_series_equal(one, other)


def test_a_basin_that_cannot_be_simulated_is_skipped_in_every_fold(data, tmp_path):
    holed = data.assign(slope=data["slope"].where(data["basin"] != GAUGE_IDS[2]))
    with pytest.raises(InputError, match=f"basin {GAUGE_IDS[2]}: attribute slope is missing"):
        folds_of(tmp_path / "refused", holed, fold_seed=1)
    assert not any((tmp_path / "refused").rglob("model.safetensors"))
    done = folds_of(tmp_path / "run", holed, fold_seed=1, on_missing="skip")
    assert done.scores.metrics.index.tolist() == [one for one in GAUGE_IDS if one != GAUGE_IDS[2]]


def holed(data, name, gauge_ids, period=None):
    """The data without a variable of some basins, in a period."""
    gone = data["basin"].isin(gauge_ids)
    if period is not None:
        gone = gone & (data["time"] >= np.datetime64(period.start)) & (data["time"] <= np.datetime64(period.end))
    return data.assign({name: data[name].where(~gone)})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("discharge", "no discharge is observed in the test period 2001-06-01 to 2001-11-30 to score; choose another period"),
        ("rain", "2001-06-01 to 2001-11-30: no day has 30 steps of complete forcing before it"),
    ],
)
def test_a_fold_that_could_not_be_scored_is_refused_before_the_first_begins_or_left_out(data, tmp_path, caplog, name, message):
    folds = ungauged_folds(GAUGE_IDS, 3, seed=0)
    lacking = holed(data, name, folds[1], PERIODS.test if name == "discharge" else Period("2001-04-01", "2001-11-30"))
    with pytest.raises(
        InputError, match=f"fold-2: basin {folds[1][0]}, {folds[1][1]}[,:] {message}.* leave the fold out by on_missing"
    ):
        folds_of(tmp_path / "run", lacking, number=3)
    assert not (tmp_path / "run").exists()
    done = folds_of(tmp_path / "run", lacking, number=3, on_missing="skip")
    assert f"left out: fold-2: basin {folds[1][0]}" in caplog.text
    assert done.runs["folder"].to_dict() == {1: "fold-1", 3: "fold-3"}
    assert set(done.scores.metrics.index) == set(GAUGE_IDS) - set(folds[1])
    assert not (tmp_path / "run" / "fold-2").exists()


def test_a_basin_without_a_score_beside_others_in_its_fold_is_nan_as_without_folds(data, tmp_path):
    lacking = holed(data, "discharge", GAUGE_IDS[:1], PERIODS.test)
    done = folds_of(tmp_path / "run", lacking, fold_seed=1)
    assert done.scores.metrics["NSE"].isna().to_dict() == {gauge_id: gauge_id == GAUGE_IDS[0] for gauge_id in GAUGE_IDS}


def test_what_a_later_fold_alone_could_not_train_on_is_refused_before_the_first_begins(data, tmp_path):
    folds = ungauged_folds(GAUGE_IDS, 3, seed=0)
    alike = data.assign(slope=data["slope"].where(data["basin"].isin(folds[2][:1]), 0.5))
    with pytest.raises(InputError, match=r"fold-3: slope has the same value \(0.5\) throughout the training data"):
        folds_of(tmp_path / "run", alike, number=3)
    blocks = temporal_folds(PERIODS.train, 3)
    late = holed(data, "discharge", GAUGE_IDS[:1], blocks[0].train)
    with pytest.raises(InputError, match=f"fold-1: basin {GAUGE_IDS[0]}: no discharge is observed in the training period"):
        folds_of(tmp_path / "run", late, by="period", number=3)
    assert not (tmp_path / "run").exists()


def test_a_walk_whose_history_is_too_short_to_fit_to_is_refused_before_it_is_trained(data, tmp_path):
    message = r"window = 40 steps are too few to fit to: sequence_length = 30, 3 lead times and 151 steps .* take 184; lengthen it"
    with pytest.raises(InputError, match=message):
        ensemble_of(tmp_path / "run", data, **{**FORECASTS, "walk": Walk(every=30, fit_every=2, window=40)})
    assert not (tmp_path / "run").exists()


def test_each_block_is_tested_by_a_model_of_all_before_it(data, by_period):
    blocks = temporal_folds(PERIODS.train, 3)
    told = table(by_period.path / "folds.csv")
    assert told["train"].tolist() == [str(block.train) for block in blocks]
    assert told["test"].tolist() == [str(block.test) for block in blocks]
    times = pd.DatetimeIndex(by_period.scores.simulation["time"].values)
    assert (times == pd.date_range(blocks[0].test.start, PERIODS.train.end)).all()
    joined = xr.concat([simulation(by_period.path / f"fold-{place}")["simulated"] for place in (1, 2, 3)], dim="time")
    np.testing.assert_array_equal(by_period.scores.simulation["simulated"], joined)
    observed = data["discharge"].sel(time=joined["time"])
    nse = 1 - ((joined - observed) ** 2).sum("time") / ((observed - observed.mean("time")) ** 2).sum("time")
    np.testing.assert_allclose(by_period.scores.metrics["NSE"], nse, rtol=1e-4)


def test_no_fold_sees_anything_later_than_its_training(data, by_period, tmp_path):
    first = temporal_folds(PERIODS.train, 3)[0]
    later = data["time"] > np.datetime64(first.train.end)
    poisoned = data.assign({name: data[name].where(~later, 2 * data[name] + 40) for name in ("discharge", "rain", "temperature")})
    poisoned = poisoned.assign({name: poisoned[name].assign_attrs(data[name].attrs) for name in poisoned.data_vars})
    again = folds_of(tmp_path / "run", poisoned, by="period", number=3)
    assert_equal(weights(again.path / "fold-1"), weights(by_period.path / "fold-1"))
    assert not np.array_equal(
        weights(again.path / "fold-2")["head.linear.weight"], weights(by_period.path / "fold-2")["head.linear.weight"]
    )


def test_folds_of_the_training_period_never_look_at_the_other_periods(data, by_period, tmp_path):
    later = data["time"] > np.datetime64(PERIODS.train.end)
    hidden = data.assign({name: data[name].where(~later) for name in ("discharge", "rain", "temperature")})
    again = folds_of(tmp_path / "run", hidden, by="period", number=3)
    for place in (1, 2, 3):
        assert_equal(weights(again.path / f"fold-{place}"), weights(by_period.path / f"fold-{place}"))
    pd.testing.assert_frame_equal(again.scores.metrics, by_period.scores.metrics)


def test_a_basin_that_some_blocks_cannot_train_on_is_scored_in_the_others(data, tmp_path):
    blocks = temporal_folds(PERIODS.train, 2)
    late = data["time"] > np.datetime64(blocks[0].train.end)
    holed = data.assign(discharge=data["discharge"].where((data["basin"] != GAUGE_IDS[0]) | late))
    done = folds_of(tmp_path / "run", holed, by="period", number=2, on_missing="skip")
    assert done.scores.metrics.index.tolist() == GAUGE_IDS
    tested = [(block.test.end - block.test.start).days + 1 for block in blocks]
    assert done.scores.metrics["days"].tolist() == [tested[1]] + [sum(tested)] * 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"number": 7}, "6 basins cannot be split into 7 folds; choose from 2 to 6"),
        ({"number": 400, "by": "period"}, "cannot be cut into 400 folds"),
        ({"held_out": GAUGE_IDS[:1]}, r"\[folds\] holds out basins itself"),
        ({"periods": Periods(train=PERIODS.train)}, "folds of basins are scored on the test period"),
    ],
)
def test_folds_that_make_no_sense_are_refused_before_anything_is_written(data, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        folds_of(tmp_path / "run", data, **arguments)
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_trained_on_is_refused_before_a_folder_is_made(tmp_path, data):
    far = Periods(PERIODS.train, test=Period("2031-01-01", "2031-12-31"))
    with pytest.raises(InputError, match="test: the period 2031-01-01 to 2031-12-31 is not inside the data"):
        ensemble_of(tmp_path / "run", data, periods=far)
    assert not (tmp_path / "run").exists()


def test_the_mean_is_missing_where_a_member_is_and_keeps_what_else_the_members_have():
    one = xr.DataArray([[[1.0, np.nan, 3.0]], [[5.0, 6.0, 7.0]]], dims=("member", "basin", "time"), attrs={"units": "mm d-1"})
    mean = mean_of([one, one + 2])
    np.testing.assert_array_equal(mean, [[[2.0, np.nan, 4.0]], [[6.0, 7.0, 8.0]]])
    assert mean.dims == ("member", "basin", "time")
    assert mean.attrs == {"units": "mm d-1"}
    np.testing.assert_array_equal(mean_of([one, one.fillna(0)]), one)
