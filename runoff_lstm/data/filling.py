"""Fill gaps of a canonical Dataset, and mask and log every filled value."""

import logging
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import xarray as xr

from runoff_lstm.data.climatology import calendar_day_means
from runoff_lstm.data.masks import mask_of, sees_later, with_mask
from runoff_lstm.data.names import BASIN, TIME
from runoff_lstm.data.periods import AnyPeriod, as_period
from runoff_lstm.data.times import Span, span, times_in_order
from runoff_lstm.data.units import Values
from runoff_lstm.errors import InputError, nearest

MOST_TRIES = 1000
"""Maximum number of periods that `fill_from_earlier` looks back."""

LOG = logging.getLogger(__name__)


def fill_from_earlier(dataset: xr.Dataset, name: str, *, period: Span, tries: int = 1, limit: int) -> xr.Dataset:
    """Fill gaps with values measured at the same time one or several periods earlier.

    No later value is used, but the length of the gap is: the step after it decides whether the gap is within `limit`.

    Parameters
    ----------
    dataset, name
        The variable to fill, over (basin, time).
    period
        Distance back in time: "1 day" is the same minute yesterday, "1 year" the same day last year (for February 29,
        February 28).
    tries
        Maximum number of periods to look back, the nearest first.
    limit
        Longest gap to fill, in steps. Longer gaps are left whole. A gap lasts from one measured value to the next.

    Returns
    -------
    Dataset
        With the variable filled and its mask `<name>_filled`, see `FILLED`. Filled values are logged by basin.

    Raises
    ------
    InputError
        The variable is not found, a number is below 1, or the period is not a multiple of the step.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> gappy = data.assign(rain=data["rain"].where(data["time"] != data["time"][500]))
    >>> int(rl.fill_from_earlier(gappy, "rain", period="1 day", limit=1)["rain_filled"].sum())
    2
    """
    times = times_in_order(dataset)
    length = span(period)
    if not isinstance(tries, int | np.integer) or not 1 <= tries <= MOST_TRIES:
        raise InputError(
            f"fill {name}: tries = {tries!r} is not understood; give the number of periods to look back, from 1 to {MOST_TRIES}"
        )
    try:
        earlier = [times - length * back for back in range(1, tries + 1)]
    except (OverflowError, ValueError):  # pandas raises either
        raise InputError(f"fill {name}: {tries} period(s) of {period} reach back beyond any calendar; look less far") from None
    if not (earlier[0] < times).all():
        raise InputError(f"fill {name}: the period {period} does not lie back; give one above zero, such as '1 day'")
    if earlier[0][-1] >= times[0] and not earlier[0].isin(times).any():
        raise InputError(
            f"fill {name}: no step of the data lies {period} before another; give a period that is a multiple of their step"
        )
    places = [times.get_indexer(one) for one in earlier]

    def propose(known: np.ndarray) -> np.ndarray:
        found = np.full_like(known, np.nan)
        for place in places:
            found = np.where(np.isnan(found) & (place >= 0), known[:, place], found)
        return found

    return _fill(dataset, name, propose, limit=limit, how=f"from {period} earlier")


def fill_by_interpolation(dataset: xr.Dataset, name: str, *, limit: int) -> xr.Dataset:
    """Fill gaps by linear interpolation between the measured values on both sides.

    The ends of a record are not extended. The value after the gap is used, which is unknown before the gap ends. The mask records
    this. The variable then raises an error as an input of forecasts; discharge also as an input of simulations.

    Parameters, result and errors: see `fill_from_earlier`.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> gappy = data.assign(rain=data["rain"].where(data["time"] != data["time"][500]))
    >>> int(rl.fill_by_interpolation(gappy, "rain", limit=1)["rain_filled"].sum())
    2
    """
    times = times_in_order(dataset)
    elapsed = (times - times[0]).to_numpy().astype(np.float64)

    def propose(known: np.ndarray) -> np.ndarray:
        lines = np.full_like(known, np.nan)
        for line, values in zip(lines, known, strict=True):
            there = ~np.isnan(values)
            if there.any():
                line[:] = np.interp(elapsed, elapsed[there], values[there], left=np.nan, right=np.nan)
        return lines

    return _fill(dataset, name, propose, limit=limit, how="by interpolation", later=True)


def fill_by_climatology(dataset: xr.Dataset, name: str, *, period: AnyPeriod, limit: int) -> xr.Dataset:
    """Fill gaps with the basin's calendar-day mean over a period: the training period.

    Sub-daily data use the mean of calendar day and hour. The mean covers measured values only. February 29 without one gets the
    mean of February 28 and March 1; any other calendar day without one stays missing. Other parameters, result and errors: see
    `fill_from_earlier`.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> gap = data["time"] == data["time"][500]
    >>> gappy = data.assign(rain=data["rain"].where(~gap).assign_attrs(units="mm d-1"))
    >>> filled = rl.fill_by_climatology(gappy, "rain", period=("2000-01-01", "2000-12-31"), limit=1)
    >>> int(filled["rain_filled"].sum())
    2
    """
    times = times_in_order(dataset)
    period = as_period("period", period)
    steps = period.positions(times)

    def propose(known: np.ndarray) -> np.ndarray:
        return calendar_day_means(known[:, steps], times=times[steps], at=times)

    return _fill(dataset, name, propose, limit=limit, how=f"by the mean of the calendar day over {period}")


def numbers_of(dataset: xr.Dataset, name: str, wanted: str) -> Values:
    """Return a variable as (basin, time), or (basin, 1) without a time dimension."""
    values = _variable(dataset, name, f"derive {wanted}")
    if set(values.dims) not in ({BASIN}, {BASIN, TIME}) or values.dtype.kind not in "fiu":
        raise InputError(f"derive {wanted}: '{name}' is {values.dtype} over {values.dims}; numbers over (basin, time) are needed")
    numbers = values.transpose(BASIN, TIME).values if TIME in values.dims else values.values[:, None]
    return numbers.astype(np.float64)


def _fill(
    dataset: xr.Dataset,
    name: str,
    propose: Callable[[np.ndarray], np.ndarray],
    *,
    limit: int,
    how: str,
    later: bool = False,
) -> xr.Dataset:
    """Fill short gaps with the values from `propose`.

    `propose` maps measured values to candidates, both (basin, time), NaN where there is no candidate.
    """
    if not isinstance(limit, int | np.integer) or limit < 1:
        raise InputError(f"fill {name}: limit = {limit!r} is not understood; give the longest gap to fill in steps, from 1 on")
    variable = _variable(dataset, name, "fill")
    if set(variable.dims) != {BASIN, TIME}:
        raise InputError(f"fill: '{name}' is over {variable.dims}; only a variable over (basin, time) can be filled")
    values = variable.transpose(BASIN, TIME).values
    mask = mask_of(dataset, name)
    known = np.where(mask, np.nan, values)
    found = np.where(np.isnan(values) & (_gap_lengths(np.isnan(known)) <= limit), propose(known), np.nan)
    fills = ~np.isnan(found)
    log_counts(dataset, name, fills, f"filled {how}")
    for gauge_id in dataset[BASIN].values[np.isnan(known).all(axis=1)]:
        LOG.warning("basin %s: %s is missing throughout, and stays so", gauge_id, name)
    filled = variable.transpose(BASIN, TIME).copy(data=np.where(fills, found, values).astype(values.dtype))
    later = sees_later(dataset, name) or (later and bool(fills.any()))
    return with_mask(dataset.assign({name: filled}), name, mask | fills, later=later)


def _gap_lengths(missing: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Compute the length of the gap at each step, (basin, time); 0 outside gaps."""
    place = np.arange(1, missing.shape[1] + 1)
    before = np.maximum.accumulate(np.where(missing, 0, place), axis=1)
    after = np.minimum.accumulate(np.where(missing, place[-1] + 1, place)[:, ::-1], axis=1)[:, ::-1]
    return np.where(missing, after - before - 1, 0)


def _variable(dataset: xr.Dataset, name: str, where: str) -> xr.DataArray:
    if name not in dataset.data_vars:
        raise InputError(f"{where}: the data have no variable '{name}'; {nearest(name, map(str, dataset.data_vars))}")
    return dataset[name]


def log_counts(dataset: xr.Dataset, name: str, where: npt.NDArray[np.bool_], what: str) -> None:
    """Log the number of changed values by basin.

    `where` is (basin, time) or (basin, 1).
    """
    for basin in np.flatnonzero(where.any(axis=1)):
        number, gauge_id = int(where[basin].sum()), dataset[BASIN].values[basin]
        first = f", the first on {dataset.indexes[TIME][where[basin].argmax()]}" if where.shape[1] > 1 else ""
        LOG.info("basin %s: %s: %d value(s) %s%s", gauge_id, name, number, what, first)
