"""Walk-forward validation: forecasts from a rolling origin, each made from the data available at its issue date.

Works for any model with `fit` and `forecast`; `LSTMForecaster` wraps a model of this package.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.masks import refuse_later
from runoff_lstm.data.names import BASIN, ISSUE_DATE, LEAD_TIME, TIME
from runoff_lstm.data.periods import AnyPeriod, Period, as_single_period
from runoff_lstm.data.splits import Periods
from runoff_lstm.data.times import date_label, times_of
from runoff_lstm.errors import InputError, as_instance, as_integer, as_number
from runoff_lstm.inputs.device import Device, resolve_device
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.prediction.forecast import last_issue_dates
from runoff_lstm.prediction.input_warnings import each_warning_once
from runoff_lstm.prediction.stages import merged
from runoff_lstm.prediction.trained_model import TrainedModel
from runoff_lstm.training.recipe import Recipe
from runoff_lstm.training.setup import check_kinds, train


class Forecaster(Protocol):
    """A model that `walk_forward` can validate."""

    def fit(self, history: xr.Dataset) -> None:
        """Fit to the data known at an origin: dims (basin, time), the last step is the origin."""

    def forecast(self, known: xr.Dataset, issue_dates: pd.DatetimeIndex) -> xr.DataArray:
        """Forecast (basin, issue_date, lead_time), for example by `forecast_dataset` from an array.

        The data end at the last issue date, except the forcing given beyond it.
        """


@dataclass(frozen=True, kw_only=True)
class FineTune:
    """Settings of fine-tuning at each new fit: number of updates and learning rate.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> rl.FineTune(steps=20, learning_rate=1e-4)
    FineTune(steps=20, learning_rate=0.0001)
    """

    steps: int
    learning_rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", as_integer("steps", self.steps))
        object.__setattr__(self, "learning_rate", as_number("learning_rate", self.learning_rate))
        _check_above_zero(self, "steps", "learning_rate")


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Settings of a walk-forward validation: issue dates, refits and fine-tuning.

    Attributes
    ----------
    every, fit_every, window
        See `walk_forward`. `every`: steps from one issue date to the next. `fit_every`: origins between two fits, None: the model
        is kept. `window`: steps of history that the model is fitted to, None: all.
    fine_tune
        Settings of fine-tuning at each new fit; None: the model is trained from scratch.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> rl.Walk(every=7).every
    7
    """

    every: int = 1
    fit_every: int | None = None
    window: int | None = None
    fine_tune: FineTune | None = None

    def __post_init__(self) -> None:
        for name in ("every", "fit_every", "window"):
            if name == "every" or getattr(self, name) is not None:
                object.__setattr__(self, name, as_integer(name, getattr(self, name)))
        if self.fine_tune is not None:
            as_instance("fine_tune", self.fine_tune, FineTune, "fine_tune = FineTune(steps=20, learning_rate=1e-4)")
        _check_above_zero(self, "every", "fit_every", "window")
        if self.fine_tune is not None and self.fit_every is None:
            raise InputError("fine_tune says how a model is fitted again; set fit_every, the number of origins between two fits")
        _check_window(self.window, self.fit_every)


def _check_window(window: int | None, fit_every: int | None) -> None:
    if window is not None and fit_every is None:
        raise InputError(
            f"window = {window} is the history that a model is fitted to again; set fit_every, the number of origins between two "
            "fits, or leave window out"
        )


def _check_above_zero(asked: object, *names: str) -> None:
    for name in names:
        value = getattr(asked, name)
        if value is not None and not value > 0:
            raise InputError(f"[walk_forward] {name} = {value} must be above zero")


class LSTMForecaster:
    """A model of this package as a `Forecaster`.

    Parameters
    ----------
    inputs, recipe, architecture, seed, device
        Settings of the training; see `prepare`. A model that is never refitted needs no recipe.
    model
        A trained model to begin with; None: call `fit` first.
    validation_steps
        Steps at the end of each history that select the best weights and are left out of training; 0: the last weights are kept.
    fine_tune
        Recipe by which `fit` fine-tunes the previous model, on the whole history and to the last weights. No steps are set aside
        for validation: the model was already trained on all but the newest. None: `fit` trains from scratch.
    """

    causal = True
    """Forecasts from many issue dates at once equal the forecasts from each date alone."""

    def __init__(
        self,
        inputs: Inputs,
        recipe: Recipe | None = None,
        *,
        architecture: Architecture | None = None,
        seed: int = 0,
        device: Device = "auto",
        model: TrainedModel | None = None,
        validation_steps: int = 0,
        fine_tune: Recipe | None = None,
    ) -> None:
        resolve_device(device)
        check_kinds(inputs=inputs, recipe=recipe, architecture=architecture)
        self.inputs, self.recipe, self.architecture, self.seed, self.device = inputs, recipe, architecture, seed, device
        self.model, self.validation_steps, self.fine_tune = model, validation_steps, fine_tune

    def fit(self, history: xr.Dataset) -> None:
        """Train on a history without its last `validation_steps`, or fine-tune the previous model on all of it."""
        start_from = self.model if self.fine_tune is not None else None
        recipe = self.recipe if start_from is None else self.fine_tune
        if recipe is None:
            raise InputError("the forecaster has no recipe to train with; give it one, or keep its model (no fit_every)")
        times = times_of(history)
        aside = self.validation_steps if start_from is None else 0
        first = min(self.inputs.sequence_length - 1, len(times) - 1)
        if len(times) - aside <= first + self.inputs.lead_times:
            raise InputError(
                f"the history up to {times[-1]:%Y-%m-%d} has {len(times)} steps, too few for sequence_length = "
                f"{self.inputs.sequence_length} and {aside} steps of validation; begin later"
            )
        cut = len(times) - aside
        validation = Period.of_steps(times, slice(cut, len(times))) if aside else None
        trained = train(
            history,
            periods=Periods(train=Period.of_steps(times, slice(0, cut)), validation=validation),
            inputs=self.inputs,
            recipe=recipe,
            architecture=self.architecture if start_from is None else None,
            seed=self.seed,
            device=self.device,
            start_from=start_from,
        )
        self.model = replace(trained.model, seen=merged(trained.model.seen))

    def forecast(self, known: xr.Dataset, issue_dates: pd.DatetimeIndex) -> xr.DataArray:
        """Forecast from the issue dates, dims (basin, issue_date, lead_time).

        Raises an error if training or validation data of the model lie after the first issue date.
        """
        if self.model is None:
            raise InputError("the forecaster is not trained; call its fit with the history, or give it a model")
        for stage in self.model.seen:
            _check_before(issue_dates[0], stage.period, last=issue_dates[0] + self.model.time_step)
        first, last = times_of(known).get_indexer(issue_dates[[0, -1]])
        threads = None if self.recipe is None else self.recipe.threads_after
        period = Period.of_steps(times_of(known), slice(first, last + 1))
        made = self.model.forecast(known, period=period, threads=threads)["forecast"]
        return made.sel({ISSUE_DATE: issue_dates})


def walk_forward(
    forecaster: Forecaster,
    dataset: xr.Dataset,
    *,
    period: Period,
    lead_times: int,
    every: int = 1,
    fit_every: int | None = None,
    window: int | None = None,
    forecast_forcing: Sequence[str] = (),
) -> xr.DataArray:
    """Forecast from successive origins in a period, without data after the origin.

    Parameters
    ----------
    forecaster
        Any object with `fit` and `forecast`. With the attribute `causal` true, it is called for many issue dates at once. Otherwise
        it is called for one issue date at a time, with data that end there.
    dataset
        Canonical Dataset, dims (basin, time).
    period
        Period of the issue dates. Issue dates whose lead times reach past the record are left out.
    lead_times
        Steps ahead.
    every
        Steps from one issue date to the next: 1 moves step by step, 7 in blocks of a week of daily data. In blocks each lead time
        is scored on different days. This alone makes scores differ between lead times, also those of climatology.
    fit_every
        Number of origins between two fits, each to the history up to the origin. The first forecasts use the forecaster as given.
        None: it is never refitted.
    window
        Length in steps of the sliding history of each fit; None: the whole history, which grows.
    forecast_forcing
        Forcing known beyond the issue date, up to the last lead.

    Returns
    -------
    DataArray
        `forecast` (basin, issue_date, lead_time).

    Raises
    ------
    InputError
        The period is outside the data or shorter than the lead times, a variable was filled from values after its gaps, or the
        forecast has other dims or sizes.
    """
    _check_window(window, fit_every)
    dataset, period = as_dataset(dataset), as_single_period("period", period)
    lead_times, every = as_integer("lead_times", lead_times, least=1), as_integer("every", every, least=1)
    refuse_later(dataset, map(str, dataset.data_vars))
    times = times_of(dataset)
    steps = period.steps(times)
    stop = min(steps.stop, len(times) - lead_times)
    origins = np.arange(steps.start, stop, every)
    if not len(origins):
        raise InputError(f"no issue date of {period} has {lead_times} steps after it in the record; choose an earlier period")
    made = []
    with each_warning_once():
        for start in range(0, len(origins), fit_every or len(origins)):
            block = origins[start : start + (fit_every or len(origins))]
            if start:
                begin = 0 if window is None else max(0, int(block[0]) + 1 - window)
                forecaster.fit(dataset.isel({TIME: slice(begin, int(block[0]) + 1)}))
            asked = [block] if getattr(forecaster, "causal", False) else block[:, None]
            for some in asked:
                known = known_at(dataset, int(some[-1]), lead_times=lead_times, forecast_forcing=forecast_forcing)
                made.append(_checked(forecaster.forecast(known, times[some]), dataset, times[some], lead_times))
    return xr.concat(made, dim=ISSUE_DATE)


def known_at(dataset: xr.Dataset, origin: int, *, lead_times: int, forecast_forcing: Sequence[str] = ()) -> xr.Dataset:
    """Select the data known at an origin: the record up to it and the forecast forcing.

    Forecast forcing reaches to the last lead. Other variables are NaN beyond the origin. Without it the data end at the origin.
    """
    if not forecast_forcing:
        return dataset.isel({TIME: slice(0, origin + 1)})
    known = dataset.isel({TIME: slice(0, origin + 1 + lead_times)})
    past = xr.DataArray(np.arange(known.sizes[TIME]) <= origin, dims=TIME)
    hidden = {
        name: values.where(past) for name, values in known.data_vars.items() if TIME in values.dims and name not in forecast_forcing
    }
    return known.assign(hidden)


def check_walked(periods: Periods, model: TrainedModel | None = None) -> None:
    """Check that a walk has a test period and uses no later data for training or validation.

    Parameters
    ----------
    periods
        Of the experiment; training and validation must end before the test period.
    model
        The model to fine-tune; its earlier training and validation periods (`seen`) are checked too.
    """
    if periods.test is None:
        raise InputError("the walk goes through the test period; name one in [periods]")
    own = [period for name, period in periods.named().items() if name != "test"]
    for period in (*own, *(() if model is None else (stage.period for stage in model.seen))):
        _check_before(periods.test.start, period, last=periods.test.start)


def _check_before(begin: pd.Timestamp, period: AnyPeriod, *, last: pd.Timestamp) -> None:
    """Raise an error if a training or validation period reaches `last`.

    The walk begins at `begin`.
    """
    if period.last_moment >= last:
        raise InputError(
            f"the walk begins on {date_label(begin)} with a model that has seen {period}, which no forecast service could have had "
            "by then; train and validate on earlier years, or score the forecasts without a walk"
        )


def _checked(made: xr.DataArray, dataset: xr.Dataset, issue_dates: pd.DatetimeIndex, lead_times: int) -> xr.DataArray:
    """Check dims and sizes of a forecast and transpose it to (basin, issue_date, lead_time)."""
    wanted = {BASIN: dataset.sizes[BASIN], ISSUE_DATE: len(issue_dates), LEAD_TIME: lead_times}
    if dict(made.sizes) != wanted:
        raise InputError(
            f"the forecaster gave {dict(made.sizes)} from {issue_dates[0]:%Y-%m-%d} on, not {wanted}; mend its forecast"
        )
    return made.transpose(BASIN, ISSUE_DATE, LEAD_TIME)


def walk_with(
    model: TrainedModel,
    dataset: xr.Dataset,
    walk: Walk,
    *,
    periods: Periods,
    inputs: Inputs,
    recipe: Recipe,
    seed: int = 0,
    device: Device = "auto",
) -> tuple[xr.DataArray, TrainedModel]:
    """Walk through the test period with a trained model.

    Returns forecasts (basin, issue_date, lead_time) and the last model. At each training from scratch the validation period slides
    to the end of the history and keeps its length. Other arguments: those of the model's own training.
    """
    assert periods.test is not None
    times = times_of(dataset)
    going_on = None
    if walk.fine_tune is not None:
        steps, rate = walk.fine_tune.steps, walk.fine_tune.learning_rate
        going_on = replace(
            recipe,
            steps=steps,
            epochs=None,
            learning_rate=rate,
            schedule="constant",
            milestones=(),
            validate_every=steps,
            patience=None,  # the whole history is trained on, no steps remain for early stopping
        )
    forecaster = LSTMForecaster(
        inputs,
        recipe,
        architecture=model.architecture,
        seed=seed,
        device=device,
        model=model,
        validation_steps=0 if periods.validation is None else len(times[periods.validation.steps(times)]),
        fine_tune=going_on,
    )
    forecast = walk_forward(
        forecaster,
        dataset,
        period=last_issue_dates(times, periods.test, inputs.lead_times),
        lead_times=inputs.lead_times,
        every=walk.every,
        fit_every=walk.fit_every,
        window=walk.window,
        forecast_forcing=inputs.forecast_forcing,
    )
    assert forecaster.model is not None
    return forecast, forecaster.model
