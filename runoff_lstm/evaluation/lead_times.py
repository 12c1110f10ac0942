"""From forecasts (basin, issue_date, lead_time) to scores by lead time, beside persistence and climatology.

Lead time 1 is the step after the issue date, the last step whose observations a forecast uses. Every forecast is compared with
what was observed at its valid time, issue date + lead time; where nothing was, it is left out of its score and of those of the
baselines.
"""

import logging
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import ISSUE_DATE, LEAD_TIME, TIME
from runoff_lstm.data.periods import AnyPeriod
from runoff_lstm.data.times import Labels
from runoff_lstm.errors import InputError, check_choice, nearest
from runoff_lstm.evaluation.baselines import BASELINES, climatology_forecast, persistence_forecast
from runoff_lstm.evaluation.basins import median_text
from runoff_lstm.evaluation.matching import SeriesLike, as_forecast, as_series, observed_ahead
from runoff_lstm.evaluation.metrics import GAUGE_ID, evaluate

LOG = logging.getLogger("runoff_lstm")


METRICS = ("RMSE", "NSE", "KGE")
"""What forecasts are scored by, beside their skill."""


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


def score_lead_times(
    forecast: xr.DataArray, *, observed: SeriesLike, train: Labels | AnyPeriod, name: str = "model", by: Season | None = None
) -> pd.DataFrame:
    """Scores of a forecast and of its baselines, a row for each of them, basin and lead time.

    Parameters
    ----------
    forecast
        dims (basin, issue_date, lead_time), mm d-1 (mm h-1). What is NaN is left out, of the baselines too.
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
        skill_climatology (1 - squared error over that of the baseline; 0 is no better, 1 is perfect, NaN where the baseline is
        perfect or absent), days (number of forecasts scored).

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> observed = data["discharge"]
    >>> import numpy as np
    >>> issued = data.indexes["time"][400:430]
    >>> made = rl.forecast_dataset(np.ones((2, 30, 2)), basin=data["basin"], issue_dates=issued, units="mm d-1", step="1D")
    >>> sorted(rl.score_lead_times(made["forecast"], observed=observed, train=("2000-01-01", "2000-12-31"))["model"].unique())
    ['climatology', 'model', 'persistence']
    """
    if by is not None:
        check_choice("by", by, get_args(Season))
    observed = as_series("observed", observed)
    forecast = as_forecast(forecast, observed)
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
    order = pd.CategoricalDtype([name, *BASELINES], ordered=True)
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
        for baseline in BASELINES:
            both = error[name].notnull() & error[baseline].notnull()
            ours, its = (error[one].where(both).mean(TIME).values for one in (name, baseline))
            table.insert(len(table.columns) - 1, f"skill_{baseline}", 1 - ours / np.where(its > 0, its, np.nan))
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
