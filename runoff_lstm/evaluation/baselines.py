"""Climatology and persistence, as simulations and as forecasts, and their scores."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.climatology import calendar_day_means
from runoff_lstm.data.names import BASIN, ISSUE_DATE, LEAD_TIME, TIME
from runoff_lstm.data.periods import AnyPeriod, as_labels
from runoff_lstm.data.times import Labels
from runoff_lstm.errors import InputError
from runoff_lstm.evaluation.matching import SeriesLike, as_series, valid_positions
from runoff_lstm.evaluation.metrics import METRICS, evaluate

CLIMATOLOGY = "climatology"


PERSISTENCE = "persistence (uses yesterday's observation)"


def climatology(*, observed: SeriesLike, train: Labels | AnyPeriod, times: pd.DatetimeIndex) -> xr.DataArray:
    """The mean of each calendar day over the training period as a simulation: the baseline that knows only the season.

    Parameters
    ----------
    observed
        Discharge, dims (basin, time), of the whole record; only the training period is looked at.
    train
        The training period as labels, for `observed.sel(time=train)`.
    times
        The times to simulate.

    Returns
    -------
    DataArray
        dims (basin, time), unit of `observed`. Averaged by month, day and, within days, by hour. February 29 without a
        training observation has the mean of February 28 and March 1; any other such calendar day is NaN.

    Raises
    ------
    InputError
        The training period holds no time step.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> observed = data["discharge"]
    >>> rl.climatology(observed=observed, train=("2000-01-01", "2000-12-31"), times=observed.indexes["time"][366:]).shape
    (2, 364)
    """
    observed = as_series("observed", observed)
    seen = _select(observed.transpose(BASIN, TIME), period=train, name="train")
    simulated = calendar_day_means(seen.values, times=pd.DatetimeIndex(seen.indexes[TIME]), at=times)
    attrs = {**observed.attrs, "long_name": "mean discharge of the calendar day over the training period"}
    return xr.DataArray(simulated, {BASIN: observed[BASIN], TIME: times}, (BASIN, TIME), attrs=attrs)


def persistence(*, observed: SeriesLike) -> xr.DataArray:
    """The observation of the step before as a simulation: a baseline for forecasts, not for simulations without observations.

    Parameters
    ----------
    observed
        Discharge, dims (basin, time), regular time step.

    Returns
    -------
    DataArray
        The same dims, coordinates and unit. NaN at the first step and after every missing observation.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> observed = data["discharge"]
    >>> bool((rl.persistence(observed=observed)[:, 1:].values == observed[:, :-1].values).all())
    True
    """
    observed = as_series("observed", observed)
    attrs = {**observed.attrs, "long_name": "discharge observed at the previous time step (uses yesterday's observation)"}
    return observed.shift({TIME: 1}).assign_attrs(attrs)


def score_baselines(
    *,
    observed: SeriesLike,
    train: Labels | AnyPeriod,
    test: Labels | AnyPeriod,
    beside: xr.DataArray | None = None,
    metrics: Sequence[str] = tuple(METRICS),
) -> pd.DataFrame:
    """Metrics of climatology and persistence over the test period, which a model has to beat.

    Parameters
    ----------
    observed
        Discharge, dims (basin, time), of the whole record.
    train, test
        Either period as labels, for `observed.sel(time=train)`.
    beside
        The simulation to compare with, dims (basin, time) of the test period: only steps that it has are scored; None: all.
    metrics
        Names from `METRICS`.

    Returns
    -------
    DataFrame
        The table of `evaluate` for both baselines, one below the other, with the name in the first column, `baseline`.

    Raises
    ------
    InputError
        A period holds no time step, or a metric is not known.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> observed = rl.example_basins()["discharge"]
    >>> years = {"train": ("2000-01-01", "2000-12-31"), "test": ("2001-01-01", "2001-12-30")}
    >>> rl.score_baselines(observed=observed, **years, metrics=["NSE"]).shape
    (4, 3)
    """
    observed = as_series("observed", observed)
    tested = _select(observed, period=test, name="test")
    baselines = {
        CLIMATOLOGY: climatology(observed=observed, train=train, times=pd.DatetimeIndex(tested.indexes[TIME])),
        PERSISTENCE: persistence(observed=observed).sel({TIME: tested[TIME]}),
    }
    tested = tested if beside is None else tested.where(beside.notnull())
    tables = []
    for name, simulated in baselines.items():
        table = evaluate(observed=tested, simulated=simulated, metrics=metrics)
        table.insert(0, "baseline", name)
        tables.append(table)
    return pd.concat(tables)


def score_yardsticks(**arguments: Any) -> pd.DataFrame:
    """Return the table of `score_baselines` with its first column under its old name, `yardstick`; gone in the next release."""
    warnings.warn("score_yardsticks is now score_baselines, its column yardstick is baseline", DeprecationWarning, stacklevel=2)
    return score_baselines(**arguments).rename(columns={"baseline": "yardstick"})


def _select(observed: xr.DataArray, *, period: Labels | AnyPeriod, name: str) -> xr.DataArray:
    period = as_labels(name, period, pd.DatetimeIndex(observed.indexes[TIME]))
    selected = observed.sel({TIME: period})
    if selected.sizes[TIME] == 0:
        asked = f" {period.start} to {period.stop}" if isinstance(period, slice) else ""
        raise InputError(
            f"the {'training' if name == 'train' else name} period{asked} holds no step of the record; correct the period"
        )
    return selected


BASELINES = ("persistence", "climatology")


def persistence_forecast(observed: xr.DataArray, forecast: xr.DataArray) -> xr.DataArray:
    """The last discharge that was observed up to the issue date, at every lead time; dims and coordinates of `forecast`."""
    series = observed.sel({BASIN: forecast[BASIN]}).transpose(TIME, BASIN)
    last = pd.DataFrame(series.values, index=series.indexes[TIME]).ffill().reindex(forecast.indexes[ISSUE_DATE]).to_numpy().T
    return forecast.copy(data=np.repeat(last[:, :, None], forecast.sizes[LEAD_TIME], axis=2).astype(np.float32))


def climatology_forecast(observed: xr.DataArray, forecast: xr.DataArray, *, train: Labels | AnyPeriod) -> xr.DataArray:
    """The mean of the valid time's calendar day over the training period; dims and coordinates of `forecast`."""
    times, position = valid_positions(observed, forecast)
    ahead = pd.date_range(times[0], periods=len(times) + forecast.sizes[LEAD_TIME], freq=times[1] - times[0])
    season = climatology(observed=observed.sel({BASIN: forecast[BASIN]}), train=train, times=ahead).values
    return forecast.copy(data=season[:, position].astype(np.float32))
