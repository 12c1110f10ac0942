"""The commands that an operational service calls, on a model and a file of its own: which date, which basins, what is lacking."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from conftest import make_basins
from small_commands import call, refused
from small_models import lagged_model, model_for, with_rain_ahead

from runoff_lstm.data.periods import Period
from runoff_lstm.data.readers import write_dataset
from runoff_lstm.data.splits import Periods
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.prediction.bundle import load_model, write_bundle
from runoff_lstm.prediction.input_warnings import UnseenBasinWarning
from runoff_lstm.runs.scores import evaluate_run
from runoff_lstm.runs.walk_forward import LSTMForecaster, walk_forward

BASINS = make_basins("01013500", "01022500", "02064000")
EARLY = Period("2000-01-01", "2000-12-31")
DEVICE = ("--device", "cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, model in {"ahead": with_rain_ahead(BASINS), "alone": model_for(BASINS.isel(basin=[0]), attributes=())}.items():
        write_bundle(model, folder / f"{name}.safetensors")
    for seed in (1, 2):
        (folder / "ensemble" / f"seed-{seed}").mkdir(parents=True)
        bundle = folder / "ensemble" / f"seed-{seed}" / "model.safetensors"
        write_bundle(lagged_model(BASINS.isel(basin=[0]), lags=(0,), lead_times=3), bundle)
    (folder / "ensemble" / "runs.csv").touch()
    return folder


def known(observed, ahead):
    """Data observed up to one step, with the rain alone up to another, and the last basin silent since step 100."""
    dataset = BASINS.isel(time=slice(ahead)).copy(deep=True)
    dataset["discharge"][:, observed:], dataset["temperature"][:, observed:] = np.nan, np.nan
    dataset["discharge"][2, 100:] = np.nan
    return dataset


@pytest.mark.filterwarnings("default::runoff_lstm.prediction.input_warnings.SilentGaugeWarning")
@pytest.mark.parametrize("ahead", [503, 515])
def test_a_forecast_without_an_issue_date_is_that_of_python_and_told_with_its_date(models, tmp_path, ahead, caplog):
    caplog.set_level("INFO")
    dataset = known(500, ahead)
    write_dataset(dataset, tmp_path / "in.nc")
    result = call("forecast", models / "ahead.safetensors", tmp_path / "in.nc", "-o", tmp_path / "out.nc", *DEVICE)
    assert result.exit_code == 0, result.output
    assert "out.nc: issued 2001-05-14, 3 basin(s), 3 forecast(s) of 3 lead times" in result.output
    assert (
        "basin 02064000: no discharge is observed at 1 issue date(s), the first 2001-05-14 (last observed 2000-04-09)"
        in result.output
    )
    assert f"issue date 2001-05-14: the last step with observed discharge; {ahead - 500} more step(s), to 2001-05-" in caplog.text
    assert "1 of 3 basins were last observed before: 02064000 (2000-04-09)" in caplog.text
    with pytest.warns(UserWarning, match="no discharge is observed"):
        expected = load_model(models / "ahead.safetensors").forecast(dataset)
    with xr.open_dataset(tmp_path / "out.nc") as made:
        np.testing.assert_allclose(made["forecast"], expected["forecast"], rtol=1e-6)
        assert made["issue_date"].attrs["long_name"] == "issue date, the last step whose observations are used"


def test_a_file_without_forcing_after_its_last_observation_is_refused_by_name_and_date(models, tmp_path):
    write_dataset(known(500, 501), tmp_path / "in.nc")
    asked = ("forecast", models / "ahead.safetensors", tmp_path / "in.nc", "-o", tmp_path / "out.nc", *DEVICE)
    message = refused(*asked)
    assert "no forecast from 2001-05-14: rain is needed 3 steps ahead, to 2001-05-17, and is missing from 2001-05-16" in message
    write_dataset(
        known(500, 510).assign(discharge=BASINS["discharge"].isel(time=slice(510)) * np.nan), tmp_path / "in.nc", force=True
    )
    assert "no discharge is observed in the data, so there is no last observed step to forecast from" in refused(*asked)
    assert not (tmp_path / "out.nc").exists()


@pytest.mark.filterwarnings("default::UserWarning")
@pytest.mark.parametrize(("command", "model"), [("simulate", "alone.safetensors"), ("forecast", "ensemble")])
def test_basins_that_were_not_in_training_are_one_note_of_a_command(command, model, models, tmp_path):
    write_dataset(BASINS, tmp_path / "in.nc")
    result = call(command, models / model, tmp_path / "in.nc", "-o", tmp_path / "out.nc", *DEVICE)
    assert result.exit_code == 0, result.output
    assert result.output.count("note: 2 of 3 basin(s) were not in training (01022500, 02064000); the model has no static") == 1


def trained_early(model):
    """The model as if it had seen the first year alone."""
    early = replace(model.trained_on, period=Period("2000-01-01", "2000-12-31"))
    return replace(model, trained_on=early, seen=(early,))


def test_an_evaluation_tells_of_basins_that_were_not_in_training_once_unless_that_is_its_purpose(tmp_path):
    two = BASINS.isel(basin=[0, 0]).assign_coords(basin=["01013500", "x"])
    models = [trained_early(model_for(BASINS.isel(basin=[0]), attributes=()))] * 2
    periods = Periods(train=Period("2000-03-01", "2000-12-31"), test=Period("2001-06-01", "2001-11-30"))
    with pytest.warns(UnseenBasinWarning, match=r"1 of 2 basin\(s\) were not in training \(x\)") as told:
        evaluate_run(tmp_path, models, two, name="two", periods=periods)
    assert len(told) == 1
    evaluate_run(tmp_path, models, two, name="two", periods=periods, ungauged=True)


def test_a_walk_tells_of_basins_that_were_not_in_training_once():
    two = BASINS.isel(basin=[0, 0]).assign_coords(basin=["01013500", "x"])
    model = trained_early(lagged_model(BASINS.isel(basin=[0]), lags=(0,), lead_times=3))
    forecaster = LSTMForecaster(Inputs(("rain", "temperature"), lead_times=3), model=model)
    forecaster.causal = False  # one call for each of the issue dates
    with pytest.warns(UnseenBasinWarning, match=r"1 of 2 basin\(s\) were not in training \(x\)") as told:
        walk_forward(forecaster, two, period=Period("2001-06-01", "2001-06-04"), lead_times=3)
    assert len(told) == 1
