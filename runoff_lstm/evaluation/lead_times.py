"""From forecasts (basin, issue_date, lead_time) to scores by lead time, beside persistence and climatology.

Lead time 1 is the step after the issue date, the last step whose observations a forecast uses. Every forecast is compared with
what was observed at its valid time, issue date + lead time; where nothing was, it is left out of its score and of those of the
yardsticks.
"""

import logging
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.masks import measured
from runoff_lstm.data.periods import Period
from runoff_lstm.data.schema import BASIN, DAY, DISCHARGE, TIME, Labels, check_choice, date_label, times_of
from runoff_lstm.errors import InputError, nearest
from runoff_lstm.evaluation.basins import median_text
from runoff_lstm.evaluation.metrics import GAUGE_ID, climatology, evaluate

LOG = logging.getLogger("runoff_lstm")

ISSUE_DATE = "issue_date"
LEAD_TIME = "lead_time"

METRICS = ("RMSE", "NSE", "KGE")
"""What forecasts are scored by, beside their skill."""

YARDSTICKS = ("persistence", "climatology")

Season = Literal["month", "season"]
_SEASONS = {
    12: "DJF",
    1: "DJF",
    2: "DJF",
    3: "MAM",
    4: "MAM",
    5: "MAM",
    6: "JJA",
    7: "JJA",
    8: "JJA",
    9: "SON",
    10: "SON",
    11: "SON",
}


def last_issue_dates(times: pd.DatetimeIndex, period: Period, lead_times: int) -> Period:
    """The issue dates of a period whose forecasts end within it."""
    steps = period.steps(times)
    if steps.stop - lead_times <= steps.start:
        raise InputError(f"the period {period} is not longer than the {lead_times} lead times; choose a longer one")
    return Period.of_steps(times, slice(steps.start, steps.stop - lead_times))


def issue_dates(dataset: xr.Dataset, first: str | None = None, last: str | None = None) -> Period:
    """The issue dates that are asked for: from `first` to `last`, one where `last` is None, `last_observed` where both are.

    Of a day of hourly data the only issue date is its last hour.
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
    """The issue date that nobody gave: the last step at which discharge is observed in any basin, logged with what follows it.

    What was filled is not observed.

    Raises
    ------
    InputError
        There is no discharge, or no value of it.
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


def forecast_dataset(
    values: np.ndarray,
    *,
    basin: xr.DataArray,
    issue_dates: pd.DatetimeIndex,
    units: str,
    step: pd.Timedelta,
    name: str = "forecast",
) -> xr.Dataset:
    """Values (basin, issue date, lead) as a CF Dataset; its `lead_time` counts steps from 1."""
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
        coords={BASIN: basin, ISSUE_DATE: issued, LEAD_TIME: ahead},
        attrs={"Conventions": "CF-1.11"},
    )


def valid_times(issue_dates: pd.DatetimeIndex, lead_times: int, *, step: pd.Timedelta) -> np.ndarray:
    """(issue date, lead): the time each forecast is for."""
    ahead = np.arange(1, lead_times + 1) * step.to_timedelta64()
    times: np.ndarray = issue_dates.to_numpy()[:, None] + ahead
    return times


def observed_ahead(observed: xr.DataArray, forecast: xr.DataArray) -> xr.DataArray:
    """What was observed at the valid time of each forecast, dims and coordinates of `forecast`; NaN beyond the record.

    Parameters
    ----------
    observed
        Discharge, dims (basin, time), regular time step.
    forecast
        dims (basin, issue_date, lead_time).
    """
    times, position = _positions(observed, forecast)
    inside = position < len(times)
    series = observed.sel({BASIN: forecast[BASIN]}).transpose(BASIN, TIME).values
    ahead = np.where(inside, series[:, np.where(inside, position, 0)], np.nan)
    return forecast.copy(data=ahead.astype(np.float32)).assign_attrs({**observed.attrs, "long_name": "observed discharge"})


def persistence_forecast(observed: xr.DataArray, forecast: xr.DataArray) -> xr.DataArray:
    """The last discharge that was observed up to the issue date, at every lead time; dims and coordinates of `forecast`."""
    series = observed.sel({BASIN: forecast[BASIN]}).transpose(TIME, BASIN)
    last = pd.DataFrame(series.values, index=series.indexes[TIME]).ffill().reindex(forecast.indexes[ISSUE_DATE]).to_numpy().T
    return forecast.copy(data=np.repeat(last[:, :, None], forecast.sizes[LEAD_TIME], axis=2).astype(np.float32))


def climatology_forecast(observed: xr.DataArray, forecast: xr.DataArray, *, train: Labels) -> xr.DataArray:
    """The mean of the valid time's calendar day over the training period; dims and coordinates of `forecast`."""
    times, position = _positions(observed, forecast)
    ahead = pd.date_range(times[0], periods=len(times) + forecast.sizes[LEAD_TIME], freq=times[1] - times[0])
    season = climatology(observed=observed.sel({BASIN: forecast[BASIN]}), train=train, times=ahead).values
    return forecast.copy(data=season[:, position].astype(np.float32))


def _positions(observed: xr.DataArray, forecast: xr.DataArray) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """The observations' times, and the place among them of each valid time (issue date, lead); past the end it counts on."""
    times = pd.DatetimeIndex(observed.indexes[TIME])
    issued = times.get_indexer(pd.DatetimeIndex(forecast[ISSUE_DATE].values))
    if (issued < 0).any():
        raise InputError(
            f"the issue date {date_label(forecast[ISSUE_DATE].values[issued < 0][0])} is no time of the "
            "observations; score forecasts beside the record they were made from"
        )
    return times, issued[:, None] + np.arange(1, forecast.sizes[LEAD_TIME] + 1)


def score_lead_times(
    forecast: xr.DataArray, *, observed: xr.DataArray, train: Labels, name: str = "model", by: Season | None = None
) -> pd.DataFrame:
    """Scores of a forecast and of its yardsticks, a row for each of them, basin and lead time.

    Parameters
    ----------
    forecast
        dims (basin, issue_date, lead_time), mm d-1 (mm h-1). What is NaN is left out, of the yardsticks too.
    observed
        Discharge, dims (basin, time), of the whole record; what comes after an issue date is looked at for scoring only.
    train
        The training period as labels, for the climatology.
    name
        Of the model, in the first column.
    by
        "month" or "season" of the issue date: a row for each of these too. NSE and KGE are then relative to the days of that month
        or season alone.

    Returns
    -------
    DataFrame
        Columns model, gauge_id, lead_time (in steps), by (if asked), RMSE (as discharge), NSE, KGE, skill_persistence and
        skill_climatology (1 - squared error over that of the yardstick; 0 is no better, 1 is perfect, NaN where the yardstick is
        perfect or absent), days (number of forecasts scored).
    """
    if by is not None:
        check_choice("by", by, get_args(Season))
    truth = observed_ahead(observed, forecast)
    all_forecasts = {
        name: forecast,
        "persistence": persistence_forecast(observed, forecast),
        "climatology": climatology_forecast(observed, forecast, train=train),
    }
    truth = truth.where(forecast.notnull())
    groups: dict[str | int | None, np.ndarray] = {None: np.ones(forecast.sizes[ISSUE_DATE], dtype=bool)}
    if by is not None:
        months = pd.DatetimeIndex(forecast[ISSUE_DATE].values).month
        labels = np.array([_SEASONS[month] for month in months] if by == "season" else months)
        groups = {label: labels == label for label in (pd.unique(labels).tolist())}
    tables = []
    for label, chosen in groups.items():
        for lead in range(forecast.sizes[LEAD_TIME]):
            at = {LEAD_TIME: lead, ISSUE_DATE: np.flatnonzero(chosen)}
            tables.append(_score({one: made.isel(at) for one, made in all_forecasts.items()}, truth.isel(at)))
            tables[-1].insert(2, LEAD_TIME, lead + 1)
            if by is not None:
                tables[-1].insert(3, by, label)
    order = pd.CategoricalDtype([name, *YARDSTICKS], ordered=True)
    table = pd.concat(tables, ignore_index=True)
    return table.sort_values("model", key=lambda column: column.astype(order), kind="stable", ignore_index=True)


def _score(forecasts: Mapping[str, xr.DataArray], truth: xr.DataArray) -> pd.DataFrame:
    """The rows of one lead time: each forecast (basin, issue_date) against the truth."""
    observed = truth.rename({ISSUE_DATE: TIME}).drop_vars(LEAD_TIME)
    series = {name: observed.copy(data=made.values).assign_attrs(observed.attrs) for name, made in forecasts.items()}
    error = {name: (made - observed).astype(np.float64) ** 2 for name, made in series.items()}
    rows = []
    for name, made in series.items():
        table = evaluate(observed=observed, simulated=made, metrics=METRICS)
        for yardstick in YARDSTICKS:
            both = error[name].notnull() & error[yardstick].notnull()
            ours, its = (error[one].where(both).mean(TIME).values for one in (name, yardstick))
            table.insert(len(table.columns) - 1, f"skill_{yardstick}", 1 - ours / np.where(its > 0, its, np.nan))
        table = table.reset_index(names=GAUGE_ID)
        table.insert(0, "model", name)
        rows.append(table)
    return pd.concat(rows, ignore_index=True)


def summary_line(scores: pd.DataFrame, model: str, *, metric: str = "RMSE") -> str:
    """One line for a model: all lead times together in brackets, then each.

    Over several basins the medians, each with its number of basins where not all have a value. All together is the RMSE of all
    forecasts pooled; of other metrics the mean over the leads.

    >>> table = pd.DataFrame({"model": "lstm", "gauge_id": "leaf", "lead_time": [1, 2], "RMSE": [3.0, 4.0], "days": [10, 10]})
    >>> summary_line(table, "lstm")
    'lstm: [3.536] 3.000, 4.000'
    """
    for kind, name, known in (("model", model, scores["model"].unique()), ("column", metric, scores.columns)):
        if name not in known:
            raise InputError(f"the table of scores has no {kind} '{name}'; {nearest(str(name), map(str, known))}")
    own = scores[scores["model"] == model]
    values, weights = (own.groupby([GAUGE_ID, LEAD_TIME])[one].mean().unstack() for one in (metric, "days"))
    if metric == "RMSE":
        pooled = ((values**2 * weights).sum(axis=1) / weights.where(values.notna()).sum(axis=1)) ** 0.5
    else:
        pooled = values.mean(axis=1)
    overall, *by_lead = (median_text(one, of=len(values)) for one in (pooled, *(values[lead] for lead in values)))
    return f"{model}: [{overall}] {', '.join(by_lead)}"
