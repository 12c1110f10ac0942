"""Observed and predicted discharge on the same steps: pairs of series, and observations at the valid time of forecasts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import BASIN, DAY, DISCHARGE, ISSUE_DATE, LEAD_TIME, TIME, without_counts
from runoff_lstm.data.times import date_label
from runoff_lstm.errors import InputError

Series = npt.NDArray[np.float64]


SeriesLike = xr.DataArray | pd.Series | pd.DataFrame | npt.NDArray[np.floating] | Sequence[float]
"""What is taken as discharge: a DataArray, a pandas Series, a table with a column for each basin, or plain numbers."""


UNDATED = "2000-01-01"
"""Where neither series has dates, its values count as daily from here on; metrics see their order alone."""


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


def as_series(name: str, value: object, *, like: xr.DataArray | None = None) -> xr.DataArray:
    """Discharge as a DataArray (basin, time) with both coordinates, of whatever kind it was given as.

    Parameters
    ----------
    name
        Of the argument, which an error begins with.
    value
        A DataArray with dims (basin, time) or (time,); a pandas Series, or a DataFrame with a column for each gauge, with dates as
        its index; or numbers (time,) or (basin, time). Units of what has no `attrs` are unknown.
    like
        The other series: what `value` lacks, gauge ids or dates, is taken from it. None: one basin "basin", daily steps.

    Raises
    ------
    InputError
        The value is something else, has another dimension (members have to be averaged or picked), or is of another size than
        `like` where it takes its coordinates from that.

    Examples
    --------
    >>> as_series("observed", [1.0, 2.0]).sizes
    Frozen({'basin': 1, 'time': 2})
    """
    series = _labelled(name, value)
    for dim in (BASIN, TIME):
        series = _own(name, series, dim) if like is None or dim not in like.indexes else _lent(name, series, like, dim)
    return series


def as_pair(*, observed: object, simulated: object) -> tuple[xr.DataArray, xr.DataArray]:
    """Both as by `as_series`, each taking from the other the gauge ids and dates that it lacks."""
    first, second = _labelled("observed", observed), _labelled("simulated", simulated)
    for dim in (BASIN, TIME):
        labelled = [one for one in (first, second) if dim in one.indexes]
        if len(labelled) == 1:
            first, second = _lent("observed", first, labelled[0], dim), _lent("simulated", second, labelled[0], dim)
    return as_series("observed", first), as_series("simulated", second)


def _own(name: str, series: xr.DataArray, dim: str) -> xr.DataArray:
    """The series with a coordinate that stands for one it was not given."""
    if dim == TIME and TIME not in series.indexes:
        return series.assign_coords({TIME: pd.date_range(UNDATED, periods=series.sizes[TIME])})
    if dim == BASIN and BASIN not in series.indexes:
        if series.sizes.get(BASIN, 1) > 1:
            raise InputError(f"{name} has {series.sizes[BASIN]} basins without gauge ids; give a DataArray or DataFrame with them")
        series = series if BASIN in series.dims else series.expand_dims(BASIN)
        return series.assign_coords({BASIN: [BASIN]})
    return series


def _lent(name: str, series: xr.DataArray, lender: xr.DataArray, dim: str) -> xr.DataArray:
    """The series with the coordinate of the other, where it has none of its own."""
    if dim in series.indexes:
        return series
    if dim not in series.dims:
        series = series.expand_dims(dim)
    if series.sizes[dim] != lender.sizes[dim]:
        raise InputError(
            f"{name} has {series.sizes[dim]} along '{dim}', unlabelled, the other series {lender.sizes[dim]}; label it"
        )
    return series.assign_coords({dim: lender.indexes[dim]})


def _labelled(name: str, value: object) -> xr.DataArray:
    """A DataArray over time, and basin where it has one, with the coordinates that the value itself has."""
    match value:
        case xr.DataArray():
            series = value.expand_dims(BASIN) if BASIN in value.coords and BASIN not in value.dims else value
            series = without_counts(series)
        case pd.DataFrame():
            series = xr.DataArray(
                value.to_numpy(np.float64), {**_dates(name, value.index), BASIN: value.columns.map(str)}, (TIME, BASIN)
            )
            series.attrs |= {"units": value.attrs["units"]} if "units" in value.attrs else {}
        case pd.Series():
            series = xr.DataArray(value.to_numpy(np.float64), _dates(name, value.index), (TIME,))
            series.attrs |= {"units": value.attrs["units"]} if "units" in value.attrs else {}
        case xr.Dataset():
            raise InputError(f'{name} is a Dataset; choose its variable, such as {name} = dataset["{DISCHARGE}"]')
        case _:
            series = _numbers(name, value)
    if "member" in series.dims:
        raise InputError(f'{name} has members; give their mean, .mean("member"), or one of them, .isel(member=0)')
    if TIME not in series.dims or not set(series.dims) <= {BASIN, TIME}:
        raise InputError(f"{name} has dims {series.dims}; (basin, time) or (time,) are needed")
    return series


def _dates(name: str, index: pd.Index) -> dict[str, pd.DatetimeIndex]:
    """The coordinate of a table's dates; none where its rows are merely counted."""
    if isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1:
        return {}
    if not isinstance(index, pd.DatetimeIndex):
        raise InputError(f"{name} has no dates as its index, but {index.dtype}; set them, such as by .set_index or pd.to_datetime")
    return {TIME: index}


def _numbers(name: str, value: object) -> xr.DataArray:
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f"{name} is a {type(value).__name__}, not a series; give a DataArray, a pandas Series or numbers"
        ) from None
    if numbers.ndim not in (1, 2):
        raise InputError(f"{name} has {numbers.ndim} dimensions; numbers (time,) or (basin, time) are needed")
    return xr.DataArray(numbers, dims=(BASIN, TIME)[-numbers.ndim :])


def check_pair(*, observed: SeriesLike, simulated: SeriesLike) -> tuple[xr.DataArray, xr.DataArray]:
    """Both series loaded, as float64 with dims (basin, time), or an InputError where they do not belong together."""
    observed, simulated = as_pair(observed=observed, simulated=simulated)
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


def as_forecast(forecast: xr.DataArray, observed: xr.DataArray) -> xr.DataArray:
    """Forecasts (basin, issue_date, lead_time), those without a basin as of the only one of `observed`; else one clear error."""
    if not isinstance(forecast, xr.DataArray):
        remedy = 'choose its variable, forecast["forecast"]' if isinstance(forecast, xr.Dataset) else "make one by forecast_dataset"
        raise InputError(f"forecast is a {type(forecast).__name__}, not a DataArray (basin, issue_date, lead_time); {remedy}")
    if BASIN not in forecast.dims:
        forecast = forecast.expand_dims(BASIN) if BASIN in forecast.coords else _lent("forecast", forecast, observed, BASIN)
    if set(forecast.dims) != {BASIN, ISSUE_DATE, LEAD_TIME}:
        remedy = '; give the mean of its members, .mean("member")' if "member" in forecast.dims else ""
        raise InputError(f"forecast has dims {forecast.dims}; (basin, issue_date, lead_time) are needed{remedy}")
    return forecast.transpose(BASIN, ISSUE_DATE, LEAD_TIME)


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
