"""TrainedForecaster: from past data and forecast forcing to forecasts (basin, issue_date, lead_time)."""

import logging

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.masks import measured
from runoff_lstm.data.names import BASIN, DAY, DISCHARGE, ISSUE_DATE, LEAD_TIME, TIME, without_counts
from runoff_lstm.data.periods import Period, as_single_period
from runoff_lstm.data.times import date_label, times_of
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.device import Threads
from runoff_lstm.prediction.inference import simulate_windows
from runoff_lstm.prediction.input_warnings import warn_silent, warn_unissued, why_unissued
from runoff_lstm.prediction.trained_model import TrainedModel

LOG = logging.getLogger("runoff_lstm")


def forecast_dataset(
    values: np.ndarray,
    *,
    basin: xr.DataArray,
    issue_dates: pd.DatetimeIndex,
    units: str,
    step: pd.Timedelta,
    name: str = "forecast",
) -> xr.Dataset:
    """Build a CF Dataset from values (basin, issue date, lead).

    `lead_time` begins at step 1.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> import numpy as np
    >>> issued = data.indexes["time"][:3]
    >>> made = rl.forecast_dataset(np.ones((2, 3, 7)), basin=data["basin"], issue_dates=issued, units="mm d-1", step="1D")
    >>> made["forecast"].dims
    ('basin', 'issue_date', 'lead_time')
    """
    days = pd.Timedelta(step) == pd.Timedelta(DAY)
    lead = np.arange(1, values.shape[2] + 1)
    leads = lead if days else lead * (pd.Timedelta(step) / pd.Timedelta(1, "h"))
    issued = (
        "issue_date",
        issue_dates,
        {"standard_name": "forecast_reference_time", "long_name": "issue date, the last step whose observations are used"},
    )
    ahead = ("lead_time", leads, {"standard_name": "forecast_period", "units": "d" if days else "h"})
    return xr.Dataset(
        {name: ((BASIN, ISSUE_DATE, LEAD_TIME), values, {"units": units, "long_name": f"{name} of discharge"})},
        coords={BASIN: without_counts(basin), ISSUE_DATE: issued, LEAD_TIME: ahead},
        attrs={"Conventions": "CF-1.11"},
    )


def last_issue_dates(times: pd.DatetimeIndex, period: Period, lead_times: int) -> Period:
    """Select the issue dates whose forecasts end within the period."""
    steps = period.steps(times)
    if steps.stop - lead_times <= steps.start:
        raise InputError(f"the period {period} is not longer than the {lead_times} lead times; choose a longer one")
    return Period.of_steps(times, slice(steps.start, steps.stop - lead_times))


def issue_dates(dataset: xr.Dataset, first: str | None = None, last: str | None = None) -> Period:
    """Return the issue dates from `first` to `last`.

    With `last` None there is one issue date, with both None it is `last_observed`. A single day of hourly data has its last hour as
    issue date.
    """
    if first is None:
        if last is not None:
            raise InputError(f"the last issue date {last} needs a first one; give it too, by --issue-date (in Python first)")
        return last_observed(dataset)
    times, period = times_of(dataset), Period(first, last or first)
    if last is None and times[0] <= period.start <= times[-1]:
        stop = period.steps(times).stop
        period = Period.of_steps(times, slice(stop - 1, stop))
    return period


def last_observed(dataset: xr.Dataset) -> Period:
    """Return the last step with observed discharge in any basin.

    It is the default issue date. The date and the number of later steps are logged. Filled values do not count as observed.

    Raises
    ------
    InputError
        Discharge is not in the data, or has no observed value.
    """
    if DISCHARGE not in dataset:
        raise InputError("the data have no discharge, and a forecast begins with what was observed; add it, NaN where missing")
    times = times_of(dataset)
    observed = measured(dataset)[DISCHARGE].transpose(BASIN, TIME).notnull().values
    if not observed.any():
        raise InputError(
            "no discharge is observed in the data, so there is no last observed step to forecast from; add it, or give the issue "
            "date by --issue-date (in Python period)"
        )
    last = int(np.flatnonzero(observed.any(axis=0))[-1])
    after = len(times) - 1 - last
    follows = f"{after} more step(s), to {date_label(times[-1])}, have none" if after else "the data end there"
    LOG.info("issue date %s: the last step with observed discharge; %s", date_label(times[last]), follows)
    ends = {str(dataset[BASIN].values[basin]): _last(times, observed[basin]) for basin in np.flatnonzero(~observed[:, last])}
    if ends:
        shown = ", ".join(f"{gauge_id} ({end})" for gauge_id, end in list(ends.items())[:10])
        more = f" and {len(ends) - 10} more" if len(ends) > 10 else ""
        LOG.info("%d of %d basins were last observed before: %s%s", len(ends), len(observed), shown, more)
    return Period.of_steps(times, slice(last, last + 1))


def _last(times: pd.DatetimeIndex, observed: np.ndarray) -> str:
    return date_label(times[int(np.flatnonzero(observed)[-1])]) if observed.any() else "never"


def _check_issue_dates(times: pd.DatetimeIndex, period: Period) -> None:
    """Raise an error for issue dates outside the data."""
    for date in (period.start, period.end):
        if not times[0] <= date < times[-1] + (times[1] - times[0]):
            raise InputError(
                f"the issue date {date_label(date)} is outside the data, which run from {date_label(times[0])} to "
                f"{date_label(times[-1])}; choose one inside"
            )


class TrainedForecaster(TrainedModel):
    """A trained model that forecasts discharge at lead times 1 to n from an issue date.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> periods = rl.Periods(train=("2000-02-01", "2000-12-31"))
    >>> inputs = rl.Inputs(["rain", "temperature"], sequence_length=30, lead_times=2)
    >>> recipe = rl.Recipe(steps=3, batch_size=16)
    >>> form = rl.Architecture(hidden_sizes=4)
    >>> trained = rl.train(data, periods=periods, inputs=inputs, recipe=recipe, architecture=form, device="cpu")
    >>> trained.model.forecast(data, period=("2000-06-01", "2000-06-03"))["forecast"].shape
    (2, 3, 2)
    """

    def forecast(self, dataset: xr.Dataset, *, period: Period | None = None, threads: Threads = None) -> xr.Dataset:
        """Forecast discharge from every issue date of a period.

        After the issue date only `forecast_forcing` is used.

        Parameters
        ----------
        dataset
            dims (basin, time): forcing and observed discharge up to the issue date (NaN where discharge is missing),
            `forecast_forcing` up to the last lead, and the static attributes.
        period
            Period of the issue dates; None: the last step with observed discharge in any basin, see `last_observed`.
        threads
            See `Simulator.simulate`.

        Returns
        -------
        Dataset
            `forecast` (basin, issue_date, lead_time) in mm d-1 (mm h-1), at least zero. `lead_time` is in days (hours for shorter
            steps); the first lead is one step after the issue date. NaN where an issue date has less than `sequence_length` steps
            of complete forcing up to it, or incomplete `forecast_forcing`.

        Raises
        ------
        InputError
            A variable is missing, a unit cannot be converted, the time step differs, the issue dates are outside the data, or no
            issue date has enough history or forecast forcing.

        Warns
        -----
        IncompleteInputWarning
            No forecast is possible for a basin from an issue date; its values are NaN.
        SilentGaugeWarning
            Observed discharge is missing at an issue date; the forecast is made without it.
        UnseenBasinWarning
            A basin was not in training.
        OutsideTrainingRangeWarning
            An input is outside the range of the training period.
        """
        if period is None:
            self._checked(dataset)
            period = last_observed(dataset)
        period = as_single_period("period", period)
        _check_issue_dates(times_of(as_dataset(dataset)), period)
        inputs = self._inputs(dataset, period)
        steps = period.steps(times_of(inputs))
        try:
            windows = self.windows(self.scaler.apply(inputs), period=period)
        except InputError:
            for basin, gauge_id in enumerate(inputs[BASIN].values):
                why = why_unissued(self.inputs, inputs, basin, steps.start)
                if why:
                    raise InputError(f"basin {gauge_id}: no forecast from {why}") from None
            raise
        scaled = simulate_windows(self.module, windows, threads=threads)[:, steps]
        made = ~np.isnan(scaled[:, :, 0])
        warn_unissued(self.inputs, inputs, steps, made=made)
        warn_silent(inputs[DISCHARGE], steps, made=made)
        return forecast_dataset(
            self._discharge(scaled), basin=inputs[BASIN], issue_dates=windows.times[steps], units=self.units, step=self.time_step
        )
