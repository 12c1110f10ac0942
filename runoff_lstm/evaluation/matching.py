"""Observed and predicted discharge on the same steps: pairs of series, and observations at the valid time of forecasts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import BASIN, DAY, ISSUE_DATE, LEAD_TIME, TIME
from runoff_lstm.data.times import date_label
from runoff_lstm.errors import InputError

Series = npt.NDArray[np.float64]


Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SharedDays:
    """The steps of one basin that are there in both series, in the order of time.

    Attributes
    ----------
    observed, simulated
        Discharge, dims (step,), without NaN.
    position
        Where each step lies on the full time axis, counted in time steps; a gap is a jump by more than one.
    steps_per_day
        1 for daily, 24 for hourly data.
    """

    observed: Series
    simulated: Series
    position: Positions
    steps_per_day: float


def per_basin(measure: Callable[[SharedDays], float], *, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Apply a measure to the shared steps of every basin; NaN where fewer than two are shared or it is not finite."""
    observed, simulated = check_pair(observed=observed, simulated=simulated)
    position, steps_per_day = _positions(pd.DatetimeIndex(observed.indexes[TIME]))
    values = np.full(observed.sizes[BASIN], np.nan)
    with np.errstate(all="ignore"):
        for basin, (seen, run) in enumerate(zip(observed.values, simulated.values, strict=True)):
            shared = ~(np.isnan(seen) | np.isnan(run))
            if shared.sum() >= 2:
                values[basin] = measure(SharedDays(seen[shared], run[shared], position[shared], steps_per_day))
    values[~np.isfinite(values)] = np.nan
    return xr.DataArray(values, {BASIN: observed[BASIN]}, (BASIN,))


def check_pair(*, observed: xr.DataArray, simulated: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Both series loaded, as float64 with dims (basin, time), or an InputError where they do not belong together."""
    for name, series in (("observed", observed), ("simulated", simulated)):
        if set(series.dims) != {BASIN, TIME} or not {BASIN, TIME} <= set(series.indexes):
            raise InputError(f"{name} has dims {series.dims}; (basin, time), both with coordinates, are needed")
    for dim in (BASIN, TIME):
        if not np.array_equal(observed[dim].values, simulated[dim].values):
            raise InputError(
                f"observed and simulated differ along '{dim}' ({_ends(observed[dim])} against {_ends(simulated[dim])}); "
                "bring them onto the same coordinates with xarray.align"
            )
    if not (observed.indexes[TIME].is_monotonic_increasing and observed.indexes[TIME].is_unique):
        raise InputError("the times of observed and simulated do not rise from step to step; sort them and keep each once")
    units = observed.attrs.get("units"), simulated.attrs.get("units")
    if None not in units and units[0] != units[1]:
        raise InputError(f"observed is in {units[0]}, simulated in {units[1]}; convert one of them")
    observed, simulated = (series.transpose(BASIN, TIME).astype(np.float64, copy=False) for series in (observed, simulated))
    return observed.compute(), simulated.compute()


def _ends(coordinate: xr.DataArray) -> str:
    values = coordinate.values
    return f"{values.size}: {values[0]} to {values[-1]}" if values.size else "none"


def _positions(times: pd.DatetimeIndex) -> tuple[Positions, float]:
    """Place of every time on a regular axis, in steps from the first, and the number of steps per day."""
    if len(times) < 2:
        return np.arange(len(times)), 1.0
    since = times.to_numpy() - times.to_numpy()[0]
    step = np.diff(since).min()
    return np.asarray(since // step, dtype=np.int64), float(DAY / step)


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
    times, position = valid_positions(observed, forecast)
    inside = position < len(times)
    series = observed.sel({BASIN: forecast[BASIN]}).transpose(BASIN, TIME).values
    ahead = np.where(inside, series[:, np.where(inside, position, 0)], np.nan)
    return forecast.copy(data=ahead.astype(np.float32)).assign_attrs({**observed.attrs, "long_name": "observed discharge"})


def valid_positions(observed: xr.DataArray, forecast: xr.DataArray) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """The observations' times, and the place among them of each valid time (issue date, lead); past the end it counts on."""
    times = pd.DatetimeIndex(observed.indexes[TIME])
    issued = times.get_indexer(pd.DatetimeIndex(forecast[ISSUE_DATE].values))
    if (issued < 0).any():
        raise InputError(
            f"the issue date {date_label(forecast[ISSUE_DATE].values[issued < 0][0])} is no time of the "
            "observations; score forecasts beside the record they were made from"
        )
    return times, issued[:, None] + np.arange(1, forecast.sizes[LEAD_TIME] + 1)
