import dataclasses
import datetime
import json
import logging
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
import torch
import xarray as xr
from conftest import make_basins

import runoff_lstm
from runoff_lstm.data import masks, schema
from runoff_lstm.data.names import SOURCE
from runoff_lstm.data.periods import Period, Stretches
from runoff_lstm.data.readers import read_netcdf, write_dataset
from runoff_lstm.data.splits import Periods
from runoff_lstm.errors import InputError
from runoff_lstm.evaluation.baselines import climatology, score_baselines
from runoff_lstm.evaluation.lead_times import score_lead_times
from runoff_lstm.experiment import read_experiment
from runoff_lstm.files import locked
from runoff_lstm.inputs import checks, device, scaling
from runoff_lstm.inputs.device import threads_available
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.prediction import bundle, trained_model
from runoff_lstm.prediction.bundle import load_model
from runoff_lstm.runs import run as run_folder
from runoff_lstm.runs import scores as run_scores
from runoff_lstm.runs.folder import RunFolder, load_models
from runoff_lstm.runs.run import train_run
from runoff_lstm.runs.scores import evaluate_run
from runoff_lstm.runs.walk_forward import Walk
from runoff_lstm.training import setup
from runoff_lstm.training.checkpoint import read_checkpoint
from runoff_lstm.training.recipe import Recipe

pytestmark = pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning")

LEAF = Path(__file__).parents[2] / "catchments" / "leaf" / "leaf.toml"
INPUTS = Inputs(("rain", "temperature"), sequence_length=30, targets_per_window=30)
RECIPE = Recipe(steps=10, batch_size=8, learning_rate=1e-2, validate_every=5)
FILES = {
    "checkpoint.pt",
    "coverage.csv",
    "distribution.png",
    "experiment.toml",
    "history.csv",
    "history.png",
    "hydrograph.png",
    "model.safetensors",
    "provenance.json",
    "test_metrics.csv",
    "test_simulation.nc",
    "test_worst_basins.csv",
    "test_baselines.csv",
}


def run(path, dataset, periods, **arguments):
    arguments = {"name": "small", "inputs": INPUTS, "recipe": RECIPE, "architecture": Architecture(hidden_sizes=(8,)), **arguments}
    return train_run(path, dataset, periods=periods, device="cpu", **{"observe": lambda _: None, **arguments})


def test_a_run_leaves_everything_a_hydrologist_needs(tmp_path, basins, periods):
    result = run(tmp_path / "run", basins, periods)
    assert {one.name for one in (tmp_path / "run").iterdir()} == FILES
    metrics = pd.read_csv(tmp_path / "run" / "test_metrics.csv", dtype={"gauge_id": str})
    assert metrics["gauge_id"].tolist() == ["01013500", "01022500", "02064000"]
    with xr.open_dataset(tmp_path / "run" / "test_simulation.nc") as simulation:
        assert simulation.attrs["Conventions"] == "CF-1.11"
        assert simulation["basin"].attrs["cf_role"] == "timeseries_id"
        for name in ("observed", "simulated"):
            assert simulation[name].dims == ("basin", "time")
            assert simulation[name].attrs["units"] == "mm d-1"
        observed = basins["discharge"].sel(time=simulation["time"])
        np.testing.assert_array_equal(simulation["observed"], observed)
        np.testing.assert_allclose(simulation["simulated"], result.model.simulate(basins, period=periods.test)["simulated"])
        error = ((simulation["simulated"] - simulation["observed"]) ** 2).sum("time")
        nse = 1 - error / ((simulation["observed"] - simulation["observed"].mean("time")) ** 2).sum("time")
        np.testing.assert_allclose(metrics["NSE"], nse, rtol=1e-4)
    baselines = pd.read_csv(tmp_path / "run" / "test_baselines.csv")
    assert len(baselines) == 6
    assert baselines["baseline"].str.contains("yesterday").sum() == 3
    provenance = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert {"torch", "python", "runoff-lstm"} <= set(provenance["versions"])
    assert (provenance["device"], provenance["precision"]) == ("cpu", "float32")
    assert (provenance["threads"], provenance["threads_available"]) == (1, threads_available())


def test_a_run_keeps_the_precision_it_asked_for_and_the_one_it_had(tmp_path, basins, periods, monkeypatch):
    monkeypatch.setattr(device, "_has_bfloat16", lambda _: False)
    run(tmp_path / "run", basins, periods, recipe=dataclasses.replace(RECIPE, precision="bfloat16"))
    assert tomllib.loads((tmp_path / "run" / "experiment.toml").read_text())["training"]["precision"] == "bfloat16"
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["precision"] == "float32"


@pytest.mark.parametrize("threads", [2, "auto"])
def test_the_threads_that_a_run_took_are_kept_and_the_rest_of_it_takes_them_too(tmp_path, basins, periods, monkeypatch, threads):
    monkeypatch.setattr(device, "threads_available", lambda: 2)
    without_pictures(monkeypatch)
    seen, forward = set(), torch.nn.LSTM.forward

    def count(layer, *given):
        seen.add((layer.training, torch.get_num_threads()))
        return forward(layer, *given)

    monkeypatch.setattr(torch.nn.LSTM, "forward", count)
    run(tmp_path / "run", basins, periods, recipe=dataclasses.replace(RECIPE, steps=20, threads=threads))
    provenance = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert provenance["threads"] == read_checkpoint(tmp_path / "run" / "checkpoint.pt").threads
    assert tomllib.loads((tmp_path / "run" / "experiment.toml").read_text())["training"]["threads"] == threads
    assert seen == {(True, 2), (False, 2)} if threads == 2 else {(True, 1), (True, 2), (False, 1)}


def test_a_run_that_fails_has_its_threads_in_its_provenance(tmp_path, basins, periods):
    with pytest.raises(InputError, match="diverged"):
        run(tmp_path / "run", basins, periods, recipe=dataclasses.replace(RECIPE, learning_rate=1e30))
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["threads"] == 1


def test_the_bundle_of_a_run_gives_its_simulation(tmp_path, basins, periods):
    run(tmp_path / "run", basins, periods)
    simulated = load_model(tmp_path / "run" / "model.safetensors").simulate(basins, period=periods.test)["simulated"]
    with xr.open_dataset(tmp_path / "run" / "test_simulation.nc") as simulation:
        np.testing.assert_array_equal(simulated, simulation["simulated"])


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path, basins, periods):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="there already and not empty"):
        run(tmp_path, basins, periods)
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_another_process_trains_in_is_refused_and_left_alone(tmp_path, basins, periods):
    run(tmp_path / "run", basins, periods)
    (tmp_path / "run" / f".{'0' * 16}.part.pt").touch()
    before = {one.name: one.stat().st_mtime_ns for one in (tmp_path / "run").iterdir()}
    with locked(tmp_path / "run"), pytest.raises(InputError, match="run is in use by another train or resume"):
        run(tmp_path / "run", basins, periods, resume=True)
    assert {one.name: one.stat().st_mtime_ns for one in (tmp_path / "run").iterdir()} == before
    (tmp_path / "new").mkdir()
    with locked(tmp_path / "new"), pytest.raises(InputError, match="new is in use"):
        run(tmp_path / "new", basins, periods)
    run(tmp_path / "run", basins, periods, resume=True)
    assert {one.name for one in (tmp_path / "run").iterdir()} == FILES
    with pytest.raises(InputError, match="nowhere is not there"):
        run(tmp_path / "nowhere", basins, periods, resume=True)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "nul\0", "\x1b[2J", "\ud800", "x" * 201])
def test_a_name_that_cannot_be_shown_is_refused_in_python_and_in_a_file(tmp_path, basins, periods, name):
    with pytest.raises(InputError, match="the name of the experiment"):
        run(tmp_path / "run", basins, periods, name=name)
    with pytest.raises(InputError, match="the name of the experiment"):
        read_experiment(LEAF, overrides=[f"name={json.dumps(name) if name.isascii() else name}"])


def test_a_name_of_markup_and_formulas_is_text_in_pictures_and_files(tmp_path, basins, periods):
    name = r"[/red] $\frac$ ../../<b> 50% 'é' \x {x}"
    source = {SOURCE: json.dumps({"source": "netcdf", "path": "/data/basins.nc"})}
    odd = basins.assign_coords(basin=["a$b$", r"$\frac$", "../c"]).assign_attrs(source)
    result = run(tmp_path / "run", odd, periods, name=name)
    assert {one.name for one in result.path.iterdir()} == FILES
    with xr.open_dataset(result.path / "test_simulation.nc") as made:
        assert made.attrs["title"].startswith(name)
    assert read_experiment(result.path / "experiment.toml").name == name


def test_a_run_in_a_folder_with_a_dollar_in_its_name_is_read_back(tmp_path, basins, periods, monkeypatch):
    without_pictures(monkeypatch)
    folder = tmp_path / 'a$b ${HOME} $$ it\'s "x"'
    folder.mkdir()
    write_dataset(basins, folder / "d$x.nc")
    first = run(folder / "first", read_netcdf(folder / "d$x.nc"), periods)
    start_from = first.path / "model.safetensors"
    second = run(
        folder / "second", read_netcdf(folder / "d$x.nc"), periods, start_from=start_from, architecture=None, metrics=["NSE"]
    )
    experiment = read_experiment(second.path / "experiment.toml")
    assert experiment.data.path == str(folder / "d$x.nc")
    assert experiment.fine_tuning.start_from == str(start_from)
    (folder / "again.toml").write_text(tomli_w.dumps(experiment.settings()))
    assert read_experiment(folder / "again.toml") == experiment


def test_the_experiment_is_told_by_the_folder(tmp_path, basins, periods):
    run(tmp_path / "run", basins, periods, seed=7, metrics=["NSE", "FHV"])
    experiment = tomllib.loads((tmp_path / "run" / "experiment.toml").read_text())
    assert (experiment["name"], experiment["seed"]) == ("small", 7)
    assert experiment["training"]["steps"] == 10
    assert experiment["evaluation"]["metrics"] == ["NSE", "FHV"]
    assert str(experiment["periods"]["test"][1]) == "2001-11-30"


def test_periods_of_hourly_data_are_told_to_the_hour(tmp_path, monkeypatch):
    without_pictures(monkeypatch)
    source = {"source": "netcdf", "path": "/data/hourly.nc"}
    hourly = make_basins("01013500", days=400, freq="h").assign_attrs({SOURCE: json.dumps(source)})
    periods = Periods(train=Period("2000-01-01 06:00", "2000-01-11 12:00"), test=Period("2000-01-11 13:00", "2000-01-16"))
    run(tmp_path / "run", hourly, periods)
    assert read_experiment(tmp_path / "run" / "experiment.toml").arguments()["periods"] == periods
    assert tomllib.loads((tmp_path / "run" / "experiment.toml").read_text())["periods"]["test"][1] == datetime.date(2000, 1, 16)


def test_the_commit_is_that_of_the_package_and_not_of_a_repository_around_it(tmp_path, basins, periods, monkeypatch):
    without_pictures(monkeypatch)

    def commit(folder):
        run(folder, basins, Periods(train=periods.train))
        return json.loads((folder / "provenance.json").read_text())["git_commit"]

    monkeypatch.setenv("PATH", "")
    assert commit(tmp_path / "without_git") is None
    monkeypatch.undo()
    for package in (tmp_path / "repository" / "runoff_lstm", tmp_path / "repository" / "environment" / "runoff_lstm"):
        package.mkdir(parents=True)
    git = ["git", "-C", tmp_path / "repository", "-c", "user.name=me", "-c", "user.email=me@here"]
    for asked in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *asked], check=True)
    first = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    without_pictures(monkeypatch)
    monkeypatch.setattr(runoff_lstm, "__file__", str(tmp_path / "repository" / "runoff_lstm" / "__init__.py"))
    assert commit(tmp_path / "own") == first
    monkeypatch.setattr(runoff_lstm, "__file__", str(tmp_path / "repository" / "environment" / "runoff_lstm" / "__init__.py"))
    assert commit(tmp_path / "around") is None


def test_a_run_without_test_period_has_no_scores(tmp_path, basins, periods):
    result = run(tmp_path / "run", basins, Periods(train=periods.train))
    assert result.scores is None
    assert not (tmp_path / "run" / "test_metrics.csv").exists()


def test_other_periods_are_scored_on_request(tmp_path, basins, periods):
    result = run(tmp_path / "run", basins, periods)
    evaluate_run(result.path, [result.model], basins, name="small", periods=periods, period_name="validation")
    assert {"validation_metrics.csv", "validation_simulation.nc", "validation_hydrograph.png"} <= {
        one.name for one in result.path.iterdir()
    }
    with pytest.raises(InputError, match="no spring period; there is train, validation, test"):
        evaluate_run(result.path, [result.model], basins, name="small", periods=periods, period_name="spring")


def test_a_test_period_without_observations_is_refused(tmp_path, basins, periods):
    silent = basins.assign(discharge=basins["discharge"].where(basins["time"] < np.datetime64("2001-06-01")))
    with pytest.raises(InputError, match="no discharge is observed in the test period"):
        run(tmp_path / "run", silent, periods)


def test_no_simulated_day_depends_on_the_discharge_of_the_test_period(tmp_path, basins, periods):
    later = basins["time"] >= np.datetime64("2001-06-01")
    other = basins.assign(discharge=basins["discharge"].where(~later, 3.0 + basins["rain"]))
    one, two = run(tmp_path / "one", basins, periods), run(tmp_path / "two", other, periods)
    np.testing.assert_array_equal(one.scores.simulation["simulated"], two.scores.simulation["simulated"])


def test_hourly_data_run_from_end_to_end(tmp_path):
    hours = make_basins("01013500", days=1200, freq="h")
    periods = Periods(
        train=Period("2000-01-03", "2000-01-31"),
        validation=Period("2000-02-01", "2000-02-08"),
        test=Period("2000-02-09", "2000-02-18"),
    )
    result = run(tmp_path / "run", hours, periods)
    assert result.scores.simulation["simulated"].attrs["units"] == "mm h-1"
    assert result.scores.simulation.sizes["time"] == 240


WITH_ATTRIBUTES = dataclasses.replace(INPUTS, static_attributes=("leak", "slope"))
PICTURES = {run_folder: ("plot_history", "write_figure"), run_scores: ("plot_distribution", "figure_hydrograph", "write_figure")}
FOUR = ("01013500", "01022500", "02064000", "03015500")


def assert_equal(one, other):
    weights = [model.module.state_dict() for model in (one, other)]
    assert all(bool((value == weights[1][name]).all()) for name, value in weights[0].items())


def without_pictures(monkeypatch):
    for home, names in PICTURES.items():
        for name in names:
            monkeypatch.setattr(home, name, lambda *_, **__: None)


def test_basins_held_out_are_scored_alone_and_nothing_of_them_is_seen_in_training(tmp_path, periods, monkeypatch):
    without_pictures(monkeypatch)
    basins = make_basins(*FOUR)
    out = basins["basin"].isin(["01022500", "03015500"])
    other = {name: (basins[name].where(~out, 3 * basins[name] + 5)).assign_attrs(basins[name].attrs) for name in basins.data_vars}
    runs = [
        run(tmp_path / name, dataset, periods, inputs=WITH_ATTRIBUTES, held_out=["03015500", "01022500"])
        for name, dataset in (("one", basins), ("two", basins.assign(other)))
    ]
    for result in runs:
        assert result.scores.metrics.index.tolist() == ["03015500", "01022500"]
        assert result.model.gauge_ids == ("01013500", "02064000")
        assert set(result.coverage.reset_index()["gauge_id"]) == {"01013500", "02064000"}
    one, two = (load_model(result.path / "model.safetensors") for result in runs)
    assert one.scaler == two.scaler
    assert_equal(one, two)
    assert runs[0].history["validation_NSE"].tolist() == runs[1].history["validation_NSE"].tolist()
    assert runs[0].scores.metrics["NSE"].tolist() != runs[1].scores.metrics["NSE"].tolist()
    assert read_experiment_of(runs[0], tmp_path).evaluation.held_out == ["03015500", "01022500"]


def read_experiment_of(result, folder):
    """The experiment that a run folder tells, of data that were read from a file."""
    text = (result.path / "experiment.toml").read_text()
    (folder / "again.toml").write_text(text.replace("[data]", '[data]\nsource = "netcdf"\npath = "data.nc"'))
    return read_experiment(folder / "again.toml")


def test_basins_that_cannot_be_held_out_are_refused(tmp_path, basins, periods):
    with pytest.raises(InputError, match="held_out: basin '1013500' is not in the data; did you mean '01013500'"):
        run(tmp_path / "run", basins, periods, held_out=["1013500"])
    with pytest.raises(InputError, match="no basin is left to train on; hold out fewer"):
        run(tmp_path / "run", basins, periods, held_out=list(basins["basin"].values))
    holed = basins.assign(slope=basins["slope"].where(basins["basin"] != "02064000"))
    with pytest.raises(InputError, match=r'basin 02064000: attribute slope is missing; .* on_missing = "skip"'):
        run(tmp_path / "run", holed, periods, held_out=["02064000"], inputs=WITH_ATTRIBUTES)
    with pytest.raises(InputError, match="held_out: none of these basins can be simulated"):
        run(tmp_path / "run", holed, periods, held_out=["02064000"], inputs=WITH_ATTRIBUTES, on_missing="skip")
    assert not (tmp_path / "run").exists()


def test_a_walk_that_fits_again_never_fits_to_basins_held_out(tmp_path, basins, periods):
    inputs = dataclasses.replace(INPUTS, lead_times=2)
    with pytest.raises(InputError, match="fit_every would fit the model to basins that are held out"):
        run(tmp_path / "run", basins, periods, inputs=inputs, held_out=["01013500"], walk=Walk(every=7, fit_every=4))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("later", ["train", "validation"])
def test_a_walk_whose_model_has_seen_later_years_is_refused(tmp_path, basins, periods, later):
    inputs = dataclasses.replace(INPUTS, lead_times=2)
    swapped = dataclasses.replace(periods, **{later: periods.test, "test": getattr(periods, later)})
    seen = swapped.named()["train" if later == "train" else "validation"]
    with pytest.raises(InputError, match=f"the walk begins on {swapped.test.start:%Y-%m-%d} with a model that has seen {seen}"):
        run(tmp_path / "run", basins, swapped, inputs=inputs, walk=Walk(every=7))
    model = run(tmp_path / "first", basins.isel(basin=[0]), swapped if later == "train" else periods, inputs=inputs)
    others, earlier = (
        basins.isel(basin=[1, 2]),
        Periods(train=Period("2000-03-01", "2000-05-31"), test=Period("2000-06-01", "2000-07-31")),
    )
    goes_on = {"inputs": inputs, "architecture": None, "start_from": model.path / "model.safetensors"}
    with pytest.raises(
        InputError, match=r"the walk begins on 2000-06-01 with a model that has seen 200[01]-.*; train and validate on"
    ):
        run(tmp_path / "run", others, earlier, walk=Walk(every=7), **goes_on)
    assert not (tmp_path / "run").exists()


def test_basins_that_cannot_be_trained_on_are_skipped_and_told_one_by_one(tmp_path, periods, monkeypatch, caplog):
    without_pictures(monkeypatch)
    basins = make_basins(*FOUR)
    early = basins["time"] <= np.datetime64("2000-12-31")
    holed = basins.assign(
        discharge=basins["discharge"].where((basins["basin"] != "01022500") | ~early),
        slope=basins["slope"].where(basins["basin"] != "03015500"),
    )
    with pytest.raises(InputError, match=r"basin 03015500: attribute slope is missing \(and 1 more basins cannot be used\)"):
        run(tmp_path / "run", holed, periods, inputs=WITH_ATTRIBUTES)
    with caplog.at_level(logging.INFO, "runoff_lstm"):
        result = run(tmp_path / "run", holed, periods, inputs=WITH_ATTRIBUTES, on_missing="skip")
    assert result.scores.metrics.index.tolist() == ["01013500", "02064000"]
    assert "left out: basin 01022500: no discharge is observed in the training period 2000-03-01 to 2000-12-31" in caplog.text
    assert "left out: basin 03015500: attribute slope is missing" in caplog.text
    assert read_experiment_of(result, tmp_path).data.on_missing == "skip"


def test_the_worst_basins_are_told_with_what_the_data_show(tmp_path, basins, periods):
    after = basins["time"] > np.datetime64("2001-06-30")
    holed = basins.assign(discharge=basins["discharge"].where((basins["basin"] != "02064000") | ~after))
    result = run(tmp_path / "run", holed, periods)
    worst = pd.read_csv(result.path / "test_worst_basins.csv", dtype={"gauge_id": str}, index_col="gauge_id")
    assert worst.columns.tolist() == ["NSE", "mean_discharge", "zero_flow", "missing", "seen"]
    assert worst["NSE"].tolist() == sorted(worst["NSE"])
    np.testing.assert_allclose(worst["NSE"], result.scores.metrics.loc[worst.index, "NSE"], rtol=1e-5)
    assert "84% not observed" in worst.loc["02064000", "seen"]


def titles(monkeypatch):
    """What the pictures of a run are called, in the order drawn; they are not drawn."""
    said = []
    monkeypatch.setattr(run_scores, "figure_hydrograph", lambda **given: said.append((given["name"], given["scores"])))
    monkeypatch.setattr(run_scores, "plot_forecasts", lambda **given: said.append(given["title"]))
    for name in ("plot_lead_times", "plot_distribution"):
        monkeypatch.setattr(run_scores, name, lambda *_, **__: None)
    monkeypatch.setattr(run_folder, "plot_history", lambda **_: None)
    for home in (run_folder, run_scores):
        monkeypatch.setattr(home, "write_figure", lambda *_, **__: None)
    return said


def unobserved(basins, periods, *gauge_ids):
    """Basins that are not observed from the test period on."""
    known = ~basins["basin"].isin(gauge_ids) | (basins["time"] < np.datetime64(periods.test.start))
    return basins.assign(discharge=basins["discharge"].where(known))


def test_the_picture_is_of_the_median_of_the_basins_that_are_scored(tmp_path, periods, monkeypatch):
    said, gauge_ids = titles(monkeypatch), [*FOUR, "06431500"]
    holed = unobserved(make_basins(*gauge_ids), periods, *gauge_ids[:3])
    result = run(tmp_path / "run", holed, periods)
    ((title, scores),) = said
    assert title in [f"small, {gauge_id} (the median of 2 of 5 basins)" for gauge_id in gauge_ids[3:]]
    assert np.isfinite(list(scores.values())).all()
    worst = pd.read_csv(result.path / "test_worst_basins.csv", dtype={"gauge_id": str}, index_col="gauge_id")
    assert worst.loc[gauge_ids[0], "seen"].startswith("NSE undefined; ")
    assert len(worst) == 5


@pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.SilentGaugeWarning")
def test_the_forecasts_drawn_are_of_the_median_of_the_basins_that_are_scored(tmp_path, basins, periods, monkeypatch):
    said = titles(monkeypatch)
    holed = unobserved(basins, periods, "01013500", "02064000")
    run(tmp_path / "run", holed, periods, inputs=dataclasses.replace(INPUTS, lead_times=2))
    assert said == ["small, 01022500 (the median of 1 of 3 basins): forecasts of 2 steps, one in 1 shown"]


def test_where_no_basin_is_scored_the_first_one_is_drawn_and_the_picture_and_the_log_say_so(
    tmp_path, basins, periods, monkeypatch, caplog
):
    said = titles(monkeypatch)
    later = basins["time"] >= np.datetime64(periods.test.start)
    constant = basins.assign(discharge=basins["discharge"].where(~later, 1.0))
    run(tmp_path / "many", constant, periods, metrics=["NSE", "KGE"])
    run(tmp_path / "one", constant.isel(basin=[0]), periods, metrics=["NSE"])
    assert said == [("small, 01013500 (none of 3 basins could be scored)", {}), ("small (it could not be scored)", {})]
    assert (
        caplog.messages.count(
            "small: none of 3 basins could be scored; too few observed and simulated steps in common, "
            "or discharge that does not vary"
        )
        == 1
    )
    run(tmp_path / "other", constant, periods, metrics=["NSE", "RMSE"])
    assert said[-1][0].endswith("(the median of 3 basins by RMSE)")


def test_a_picture_of_a_basin_without_a_score_is_drawn(tmp_path, basins, periods):
    holed = unobserved(basins, periods, "01013500")
    nothing = holed["discharge"].sel(time=periods.test.label_slice).isel(basin=[0])
    simulated = nothing.fillna(1.0)
    scores = run_scores.score(RunFolder(tmp_path), holed, simulated, name="small", periods=periods)
    assert scores.metrics["NSE"].isna().all()
    assert (tmp_path / "hydrograph.png").stat().st_size > 10_000


def test_places_of_the_gauges_make_a_map(tmp_path, basins, periods, monkeypatch):
    drawn = {}

    def record(**given):
        drawn.update(given)
        return original(**given)

    original = run_scores.plot_map
    monkeypatch.setattr(run_scores, "plot_map", record)
    placed = basins.assign(gauge_lat=("basin", [47.2, 44.6, 37.0]), gauge_lon=("basin", [-68.6, -67.9, -78.9]))
    result = run(tmp_path / "run", placed, periods, metrics=["KGE", "NSE"])
    assert {one.name for one in result.path.iterdir()} == {*FILES, "map.png"}
    assert drawn["metric"] == "KGE"
    pd.testing.assert_series_equal(drawn["scores"], result.scores.metrics["KGE"])
    np.testing.assert_array_equal(drawn["latitude"], [47.2, 44.6, 37.0])


def test_the_table_of_scores_is_written_last(tmp_path, basins, periods, monkeypatch):
    def full(*_, **__):
        raise InputError("the disk is full")

    monkeypatch.setattr(run_scores, "plot_distribution", full)
    with pytest.raises(InputError, match="the disk is full"):
        run(tmp_path / "run", basins, periods)
    assert (tmp_path / "run" / "test_simulation.nc").exists()
    assert not (tmp_path / "run" / "test_metrics.csv").exists()


@pytest.mark.parametrize(
    "source",
    [
        {
            "source": "camels_us",
            "path": "/data/camels",
            "gauge_ids": list(FOUR),
            "products": ["daymet", "maurer_extended"],
            "attributes": "/data/camels/attributes",
            "estimated": "missing",
            "on_missing": "skip",
        },
        {"source": "caravan", "path": "/data/caravan", "form": "csv", "units": {"rain": "mm d-1"}},
        {
            "source": "netcdf",
            "path": "/data/camels_us_531.nc",
            "attributes": "/data/camels/attributes",
            "rename": {"discharge": "discharge_cfs"},
            "units": {"discharge": "ft3 s-1"},
        },
    ],
)
def test_the_experiment_of_a_folder_is_read_back_as_it_was_run(tmp_path, periods, monkeypatch, source):
    without_pictures(monkeypatch)
    basins = make_basins(*FOUR).assign_attrs({SOURCE: json.dumps(source)})
    recipe = Recipe(
        epochs=1,
        batch_size=8,
        schedule="step",
        milestones=((2, 1e-4),),
        optimizer="adamw",
        weight_decay=0.1,
        loss="nse",
        gradient_length=10,
        balance_basins=True,
    )
    asked = {
        "inputs": WITH_ATTRIBUTES,
        "recipe": recipe,
        "architecture": Architecture(type="ealstm", hidden_sizes=(4,)),
        "metrics": ["NSE", "FHV"],
        "seed": 5,
        "held_out": ("01022500",),
    }
    result = run(tmp_path / "run", basins, periods, **asked)
    experiment = read_experiment(result.path / "experiment.toml")
    told = experiment.arguments()
    assert {key: told[key] for key in asked} == asked
    assert (told["name"], told["periods"], told["on_missing"]) == ("small", periods, source.get("on_missing", "refuse"))
    assert {key: value for key, value in experiment.data.model_dump().items() if key in source} == source


def test_a_run_goes_on_from_a_model_only_where_that_has_not_seen_the_test(tmp_path, basins, periods, monkeypatch):
    without_pictures(monkeypatch)
    start_from = run(tmp_path / "first", basins.isel(basin=[0, 1]), periods).path / "model.safetensors"
    swapped = Periods(train=periods.test, test=Period("2000-04-01", "2000-12-31"))
    arguments = {"architecture": None, "start_from": start_from}
    with pytest.raises(
        InputError, match=r"trained on basin 01013500 in .*, which overlaps the test period \(2000-04-01 to 2000-12-31\)"
    ):
        run(tmp_path / "run", basins, swapped, **arguments)
    with pytest.raises(InputError, match="trained on basin 01022500, which is held out as if it were ungauged"):
        run(tmp_path / "run", basins, periods, held_out=["01022500"], **arguments)
    assert not (tmp_path / "run").exists()
    run(tmp_path / "run", basins, periods, held_out=["02064000"], **arguments)
    run(tmp_path / "other", basins.isel(basin=[2]), swapped, **arguments)


def test_training_in_stretches_is_told_by_the_folder_and_is_the_climatology(tmp_path, basins, monkeypatch):
    without_pictures(monkeypatch)
    train = Stretches((Period("2000-03-01", "2000-07-31"), Period("2001-05-01", "2001-09-30")))
    periods = Periods(train=train, test=Period("2000-08-01", "2001-04-30"))
    result = run(tmp_path / "run", basins, periods)
    assert load_model(result.path / "model.safetensors").training_period == train
    assert read_experiment_of(result, tmp_path).arguments()["periods"] == periods
    observed = basins["discharge"]
    labels = train.labels(basins.indexes["time"])
    baselines = score_baselines(observed=observed, train=labels, test=periods.test.label_slice, metrics=run_scores.METRICS)
    pd.testing.assert_frame_equal(result.scores.baselines, baselines)
    within = climatology(observed=observed.sel(time=labels), train=slice(None), times=basins.indexes["time"])
    xr.testing.assert_equal(climatology(observed=observed, train=labels, times=basins.indexes["time"]), within)
    ahead = run(tmp_path / "ahead", basins, periods, inputs=dataclasses.replace(INPUTS, lead_times=2))
    table = score_lead_times(ahead.scores.forecast, observed=observed, train=labels, name="lstm")
    pd.testing.assert_frame_equal(ahead.scores.table, table)
    scores = evaluate_run(result.path, [result.model], basins, name="small", periods=periods, period_name="train")
    assert scores.simulation.indexes["time"].equals(labels)
    parts = [result.model.simulate(basins, period=one)["simulated"] for one in train.parts]
    xr.testing.assert_allclose(scores.simulation["simulated"], xr.concat(parts, dim="time"))


def test_fine_tuning_is_told_by_the_folder_and_keeps_what_is_frozen(tmp_path, basins, periods, monkeypatch):
    without_pictures(monkeypatch)
    monkeypatch.chdir(tmp_path)
    first = run(tmp_path / "first", basins, periods)
    tuned = run(
        tmp_path / "tuned",
        basins.isel(basin=[1]),
        periods,
        architecture=None,
        start_from=Path("first") / "model.safetensors",
        frozen=["head"],
    )
    one, two = (load_model(result.path / "model.safetensors").module.state_dict() for result in (first, tuned))
    assert {name for name in one if bool((one[name] == two[name]).all())} == {"head.linear.weight", "head.linear.bias"}
    told = read_experiment_of(tuned, tmp_path)
    assert told.fine_tuning.model_dump() == {"start_from": str(tmp_path / "first" / "model.safetensors"), "frozen": ["head"]}
    assert told.model.hidden_sizes == (8,)


def test_a_run_checks_reads_and_scales_once(tmp_path, basins, periods, monkeypatch):
    """Beside that the model, public as it is, checks what it simulates: once, the test period."""
    without_pictures(monkeypatch)
    run(tmp_path / "before", basins, dataclasses.replace(periods, test=None))
    calls = Counter()

    def counted(function):
        def count(*given, **named):
            calls[function.__name__] += 1
            return function(*given, **named)

        return count

    homes = (checks, masks, schema, scaling, setup, trained_model, run_folder, run_scores)
    for name, home in (
        ("check_basins", schema),
        ("check_inputs", checks),
        ("check_names", checks),
        ("measured", masks),
        ("unusable_basins", checks),
        ("load_model", bundle),
        ("check_settings", setup),
    ):
        function = getattr(home, name)
        for one in {home, *homes}:
            if getattr(one, name, None) is function:
                monkeypatch.setattr(one, name, counted(function))
    monkeypatch.setattr(scaling.Scaler, "apply", counted(scaling.Scaler.apply))
    later = {"inputs": dataclasses.replace(INPUTS), "start_from": tmp_path / "before" / "model.safetensors", "architecture": None}
    run(tmp_path / "run", basins, periods, **later)
    assert calls == {
        "check_basins": 2,
        "check_inputs": 1,
        "check_names": 2,
        "measured": 1,
        "unusable_basins": 1,
        "load_model": 1,
        "check_settings": 1,
        "apply": 2,
    }


def test_a_finished_run_goes_on_with_a_larger_budget_to_what_that_gives_from_the_start(tmp_path, basins, periods, monkeypatch):
    without_pictures(monkeypatch)
    twice = dataclasses.replace(RECIPE, steps=2 * RECIPE.steps)
    expected = run(tmp_path / "whole", basins, periods, recipe=twice)
    folder = RunFolder(tmp_path / "run")
    run(folder.path, basins, periods)

    def stop(_):
        assert not any(one.exists() for one in folder.results)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        run(folder.path, basins, periods, recipe=twice, resume=True, observe=stop)
    with pytest.raises(InputError, match=r"run is a run that is not finished; finish it with: runoff-lstm resume"):
        load_models(folder.path)
    assert folder.settings()["training"]["steps"] == twice.steps
    result = run(folder.path, basins, periods, recipe=twice, resume=True)
    assert_equal(expected.model, result.model)
    assert folder.metrics().read_text() == RunFolder(tmp_path / "whole").metrics().read_text()
    falling = dataclasses.replace(RECIPE, schedule="cosine")
    run(tmp_path / "falling", basins, periods, recipe=falling)
    before = {one.name: one.read_bytes() for one in (tmp_path / "falling").iterdir()}
    with pytest.raises(
        InputError, match=r'schedule = "cosine" spreads .* train anew: runoff-lstm train \S+falling/experiment.toml --set'
    ):
        run(tmp_path / "falling", basins, periods, recipe=dataclasses.replace(falling, steps=20), resume=True)
    assert {one.name: one.read_bytes() for one in (tmp_path / "falling").iterdir()} == before
