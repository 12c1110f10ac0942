import json
import tomllib

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_basins

from runoff_lstm.bundle import load_model
from runoff_lstm.fitting import Recipe
from runoff_lstm.models import Architecture
from runoff_lstm.periods import Period, Periods
from runoff_lstm.run_folder import evaluate_run, train_run
from runoff_lstm.schema import InputError
from runoff_lstm.training import Inputs

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
    "test_yardsticks.csv",
}


def run(path, dataset, periods, **arguments):
    arguments = {"name": "small", "inputs": INPUTS, "recipe": RECIPE, "architecture": Architecture(hidden_sizes=(8,)), **arguments}
    return train_run(path, dataset, periods=periods, device="cpu", observe=lambda _: None, **arguments)


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
    yardsticks = pd.read_csv(tmp_path / "run" / "test_yardsticks.csv")
    assert len(yardsticks) == 6
    assert yardsticks["yardstick"].str.contains("yesterday").sum() == 3
    provenance = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert {"torch", "python", "runoff-lstm"} <= set(provenance["versions"])


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


def test_the_experiment_is_told_by_the_folder(tmp_path, basins, periods):
    run(tmp_path / "run", basins, periods, seed=7, metrics=["NSE", "FHV"])
    experiment = tomllib.loads((tmp_path / "run" / "experiment.toml").read_text())
    assert (experiment["name"], experiment["seed"]) == ("small", 7)
    assert experiment["training"]["steps"] == 10
    assert experiment["evaluation"]["metrics"] == ["NSE", "FHV"]
    assert str(experiment["periods"]["test"][1]) == "2001-11-30"


def test_a_run_without_test_period_has_no_scores(tmp_path, basins, periods):
    result = run(tmp_path / "run", basins, Periods(train=periods.train))
    assert result.scores is None
    assert not (tmp_path / "run" / "test_metrics.csv").exists()


def test_other_periods_are_scored_on_request(tmp_path, basins, periods):
    result = run(tmp_path / "run", basins, periods)
    evaluate_run(result.path, result.model, basins, name="small", periods=periods, period_name="validation")
    assert {"validation_metrics.csv", "validation_simulation.nc", "validation_hydrograph.png"} <= {
        one.name for one in result.path.iterdir()
    }
    with pytest.raises(InputError, match="no spring period; it has train, validation, test"):
        evaluate_run(result.path, result.model, basins, name="small", periods=periods, period_name="spring")


def test_a_test_period_without_observations_is_refused(tmp_path, basins, periods):
    silent = basins.assign(discharge=basins["discharge"].where(basins["time"] < np.datetime64("2001-06-01")))
    with pytest.raises(InputError, match="no discharge is observed in the test period"):
        run(tmp_path / "run", silent, periods)


def test_no_simulated_day_depends_on_the_discharge_of_the_test_period(tmp_path, basins, periods):
    later = basins["time"] >= np.datetime64("2001-06-01")
    other = basins.assign(discharge=basins["discharge"].where(~later, 3.0 + basins["rain"]))
    one, two = run(tmp_path / "one", basins, periods), run(tmp_path / "two", other, periods)
    np.testing.assert_array_equal(one.scores.simulation["simulated"], two.scores.simulation["simulated"])


@pytest.mark.filterwarnings("ignore::runoff_lstm.bundle.OutsideTrainingRangeWarning")
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
