import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from conftest import make_basins

from runoff_lstm.data.filling import fill_by_interpolation
from runoff_lstm.data.periods import Period
from runoff_lstm.data.splits import Periods
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.prediction.forecast import forecast_dataset
from runoff_lstm.runs.walk_forward import LSTMForecaster, known_at, walk_forward
from runoff_lstm.training.recipe import Recipe
from runoff_lstm.training.setup import train

RECIPE = Recipe(steps=4, batch_size=4, learning_rate=5e-3, validate_every=2)
PERIOD = Period("2001-08-01", "2001-09-30")


def inputs(**options):
    return Inputs(("rain", "temperature"), sequence_length=20, targets_per_window=10, lead_times=3, **options)


@pytest.fixture(scope="module")
def basins():
    return make_basins("a", "b")


def trained(basins, method="direct", device="cpu", **options):
    periods = Periods(train=Period("2000-01-01", "2001-03-31"), validation=Period("2001-04-01", "2001-07-31"))
    architecture = Architecture(hidden_sizes=(8,), forecast=method)
    return train(
        basins, periods=periods, inputs=inputs(**options), recipe=RECIPE, architecture=architecture, seed=1, device=device
    ).model


class Mean:
    """A forecaster of another making: the mean of its history."""

    def __init__(self):
        self.fitted = []

    def fit(self, history):
        self.fitted.append((history.indexes["time"][0], history.indexes["time"][-1]))
        self.mean = history["discharge"].mean("time").values

    def forecast(self, known, issue_dates):
        assert known.indexes["time"][-1] == issue_dates[-1]
        assert len(issue_dates) == 1
        values = np.tile(self.mean[:, None, None], (1, 1, 3))
        return forecast_dataset(values, basin=known["basin"], issue_dates=issue_dates, units="mm d-1", step=pd.Timedelta(1, "D"))[
            "forecast"
        ]


def test_any_model_with_fit_and_forecast_is_walked_forward(basins):
    mean = Mean()
    mean.fit(basins.sel(time=slice(None, "2001-07-31")))
    made = walk_forward(mean, basins, period=PERIOD, lead_times=3, every=7, fit_every=3)
    assert made.dims == ("basin", "issue_date", "lead_time")
    assert pd.DatetimeIndex(made["issue_date"].values).equals(pd.date_range("2001-08-01", "2001-09-30", freq="7D"))
    ends = [end for _, end in mean.fitted[1:]]
    assert ends == [pd.Timestamp("2001-08-22"), pd.Timestamp("2001-09-12")]
    assert {begin for begin, _ in mean.fitted} == {pd.Timestamp("2000-01-01")}
    np.testing.assert_allclose(made[:, 3, 0], basins["discharge"].sel(time=slice(None, "2001-08-22")).mean("time"), rtol=1e-6)


def test_a_history_that_slides_keeps_its_length(basins):
    mean = Mean()
    mean.fit(basins)
    walk_forward(mean, basins, period=PERIOD, lead_times=3, every=7, fit_every=2, window=100)
    assert [(end - begin).days for begin, end in mean.fitted[1:]] == [99] * (len(mean.fitted) - 1)


@pytest.mark.parametrize("forecast_forcing", [(), ("rain",)])
@pytest.mark.parametrize("method", ["direct", "encoder_decoder", "recursive"])
def test_nothing_after_the_issue_date_is_ever_seen(basins, method, forecast_forcing):
    model = trained(basins, method, forecast_forcing=forecast_forcing)
    whole = model.forecast(basins, period=PERIOD)["forecast"]
    assert whole.notnull().all()
    date = pd.Timestamp("2001-09-01")
    poisoned = basins.copy(deep=True)
    after = poisoned["time"] > date
    beyond = poisoned["time"] > date + pd.Timedelta(3, "D")
    for name in ("rain", "temperature", "discharge"):
        hidden = beyond if name in forecast_forcing else after
        poisoned[name] = poisoned[name].where(~hidden, 77.0)
    clean, seen = (model.forecast(one, period=Period(PERIOD.start, date))["forecast"] for one in (basins, poisoned))
    xr.testing.assert_identical(seen, clean)
    xr.testing.assert_allclose(clean, whole.sel(issue_date=slice(None, date)), rtol=1e-5)


@pytest.mark.parametrize("forecast_forcing", [(), ("rain", "temperature")])
def test_many_issue_dates_at_once_are_those_from_each_alone(basins, forecast_forcing):
    forecaster = LSTMForecaster(
        inputs(forecast_forcing=forecast_forcing), RECIPE, model=trained(basins, forecast_forcing=forecast_forcing)
    )
    at_once = walk_forward(forecaster, basins, period=PERIOD, lead_times=3, every=5, forecast_forcing=forecast_forcing)

    class OneByOne:
        def forecast(self, known, issue_dates):
            return forecaster.forecast(known, issue_dates)

    alone = walk_forward(OneByOne(), basins, period=PERIOD, lead_times=3, every=5, forecast_forcing=forecast_forcing)
    xr.testing.assert_allclose(at_once, alone, rtol=1e-5)


def test_what_is_known_at_an_origin_is_the_past_and_the_forcing_told_as_a_forecast(basins):
    assert known_at(basins, 100, lead_times=3).sizes["time"] == 101
    known = known_at(basins, 100, lead_times=3, forecast_forcing=["rain"])
    assert known.sizes["time"] == 104
    xr.testing.assert_equal(known["rain"], basins["rain"][:, :104])
    for name in ("temperature", "discharge"):
        assert known[name][:, 101:].isnull().all()
        xr.testing.assert_equal(known[name][:, :101], basins[name][:, :101])


@pytest.mark.parametrize("fine_tune", [None, Recipe(steps=2, batch_size=4, learning_rate=1e-3, validate_every=2)])
@pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning")
def test_a_model_is_fitted_again_on_the_way_and_never_to_the_future(basins, fine_tune):
    def walk(dataset):
        forecaster = LSTMForecaster(
            inputs(), RECIPE, architecture=Architecture(hidden_sizes=(8,)), seed=1, device="cpu", model=trained(basins),
            validation_steps=60, fine_tune=fine_tune,
        )  # fmt: skip
        return walk_forward(forecaster, dataset, period=PERIOD, lead_times=3, every=10, fit_every=3)

    made = walk(basins)
    kept = walk_forward(LSTMForecaster(inputs(), RECIPE, model=trained(basins)), basins, period=PERIOD, lead_times=3, every=10)
    assert made[:, :3].identical(kept[:, :3])
    assert not np.allclose(made[:, 3:], kept[:, 3:], rtol=1e-4)
    date = pd.Timestamp(made["issue_date"].values[4])
    poisoned = basins.copy(deep=True)
    for name in ("rain", "temperature", "discharge"):
        poisoned[name] = poisoned[name].where(poisoned["time"] <= date, 77.0)
    assert walk(poisoned)[:, :5].identical(made[:, :5])


def test_a_history_that_is_too_short_and_a_forecaster_without_model_are_refused(basins):
    forecaster = LSTMForecaster(inputs(), RECIPE, validation_steps=50)
    with pytest.raises(InputError, match="call its fit"):
        forecaster.forecast(basins, basins.indexes["time"][-1:])
    with pytest.raises(InputError, match="has 60 steps, too few for sequence_length = 20 and 50 steps of validation"):
        forecaster.fit(basins.isel(time=slice(0, 60)))


def test_a_model_that_has_seen_later_steps_is_not_walked(basins):
    model = trained(basins)
    forecaster = LSTMForecaster(inputs(), RECIPE, model=model)
    first = Period("2001-07-31", "2001-08-10")  # the last step of its validation
    assert walk_forward(forecaster, basins, period=first, lead_times=3).sizes["issue_date"] == 11
    for begin, seen in (("2001-03-30", "2000-01-01 to 2001-03-31"), ("2001-07-30", "2001-04-01 to 2001-07-31")):
        with pytest.raises(InputError, match=f"begins on {begin} with a model that has seen {seen}, which no forecast"):
            walk_forward(forecaster, basins, period=Period(begin, "2001-08-10"), lead_times=3)


@pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning")
def test_fine_tuning_goes_on_through_all_of_the_history(basins):
    fine_tune = Recipe(steps=2, batch_size=4, learning_rate=1e-3, validate_every=1)
    forecaster = LSTMForecaster(inputs(), model=trained(basins), device="cpu", validation_steps=60, fine_tune=fine_tune)
    forecaster.fit(basins.isel(time=slice(0, 600)))
    assert forecaster.model.training_period.steps(basins.indexes["time"]) == slice(0, 600)


def test_data_filled_from_later_values_are_not_walked_through(basins):
    holed = basins.copy(deep=True)
    holed["temperature"][0, 600] = np.nan
    with pytest.raises(InputError, match="temperature was filled from values after its gaps"):
        walk_forward(Mean(), fill_by_interpolation(holed, "temperature", limit=1), period=PERIOD, lead_times=3)


def test_a_period_without_room_for_the_lead_times_and_a_wrong_form_are_refused(basins):
    with pytest.raises(InputError, match=r"no issue date of .* has 3 steps after it"):
        walk_forward(Mean(), basins, period=Period("2001-11-29", "2001-11-30"), lead_times=3)

    class Wrong:
        def forecast(self, known, issue_dates):  # noqa: ARG002
            return xr.DataArray(np.zeros((2, 1, 5)), dims=("basin", "issue_date", "lead_time"))

    with pytest.raises(InputError, match=r"the forecaster gave .*'lead_time': 5"):
        walk_forward(Wrong(), basins, period=PERIOD, lead_times=3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("forecast_forcing", [(), ("rain",)])
@pytest.mark.parametrize("method", ["direct", "encoder_decoder", "recursive"])
def test_the_gpu_forecasts_what_the_cpu_forecasts(basins, method, forecast_forcing):
    cpu, gpu = (
        trained(basins, method, device, forecast_forcing=forecast_forcing).forecast(basins, period=PERIOD)["forecast"]
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(gpu, cpu, rtol=5e-3, atol=5e-3)


def test_hourly_origins_at_midnight_stand_for_themselves_and_not_for_their_day():
    hours = make_basins("a", days=900, freq="h")
    times = hours.indexes["time"]
    midnight = 24 * 30
    asked = Inputs(("rain", "temperature"), sequence_length=20, targets_per_window=10, lead_times=3)
    forecaster = LSTMForecaster(asked, RECIPE, architecture=Architecture(hidden_sizes=(8,)), device="cpu", validation_steps=100)
    forecaster.fit(hours.isel(time=slice(0, midnight + 1)))
    assert forecaster.model.training_period.steps(times) == slice(0, midnight + 1 - 100)
    period = Period.of_steps(times, slice(midnight, midnight + 25))
    made = walk_forward(forecaster, hours, period=period, lead_times=3, every=24)
    assert pd.DatetimeIndex(made["issue_date"].values).equals(times[[midnight, midnight + 24]])
    last = midnight  # the last hour of the validation
    walk_forward(forecaster, hours, period=Period.of_steps(times, slice(last, last + 1)), lead_times=3)
    with pytest.raises(InputError, match="which no forecast service could have had by then"):
        walk_forward(forecaster, hours, period=Period.of_steps(times, slice(last - 1, last)), lead_times=3)
