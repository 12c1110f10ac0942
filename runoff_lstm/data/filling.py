"""From a canonical Dataset with gaps, or of another time step, to one that says what was derived, resampled and filled."""

import functools
import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from runoff_lstm.data.formulas import evaluate_formula, formula_names
from runoff_lstm.data.masks import has_mask, mask_of, sees_later, with_mask
from runoff_lstm.data.periods import AnyPeriod, Span, span
from runoff_lstm.data.resampling import resample
from runoff_lstm.data.schema import AREA, BASIN, DISCHARGE, SOURCE, TIME, check_choice, refuse_mask, times_in_order
from runoff_lstm.data.units import Values, convert, discharge_to_depth, kept_units
from runoff_lstm.errors import InputError, nearest

LOG = logging.getLogger(__name__)


def derive(dataset: xr.Dataset, name: str, formula: str, *, units: str) -> xr.Dataset:
    """Add a variable that is worked out from others.

    Parameters
    ----------
    dataset
        Variables over (basin, time) and (basin,), which may be mixed.
    name
        Of the new variable.
    formula
        Of names, numbers, + - * / **, parentheses and min, max, sqrt, exp, log (natural), abs. It sees the variables in the units
        they have in the dataset. Kept as the attribute `long_name`.
    units
        In which the result comes out. A variable over time is then kept in its canonical unit; for discharge in a volume per time
        the dataset needs `area_km2`.

    Returns
    -------
    Dataset
        With the variable, float32, over (basin,) where the formula names nothing over time. NaN where anything it is made of is
        NaN, and where the result is no finite number, which is logged. Where anything it is made of was filled, so is it.

    Raises
    ------
    InputError
        The formula cannot be read, names an unknown variable or none; the name is taken; a unit is not known.

    Examples
    --------
    >>> made = derive(xr.Dataset({"low": ("basin", [1.0]), "high": ("basin", [4.0])}), "mid", "(low + high) / 2", units="m")
    >>> made["mid"].values.tolist()
    [2.5]
    """
    if name in dataset.variables or name in dataset.dims:
        raise InputError(f"derive: the data have '{name}' already; choose another name")
    refuse_mask(dataset, name, "derive")
    names = formula_names(formula)
    if not names:
        raise InputError(f"derive {name}: the formula '{formula}' names no variable; write a number as an attribute instead")
    inputs = {one: _input(dataset, one, name) for one in names}
    missing = functools.reduce(np.logical_or, map(np.isnan, inputs.values()))
    result = evaluate_formula(formula, inputs)
    dims = (BASIN, TIME) if any(TIME in dataset[one].dims for one in names) else (BASIN,)
    if TIME in dims:
        times = times_in_order(dataset)
        step, source = np.timedelta64(times[1] - times[0]), units
        units = kept_units(name, source, step)
        if name == DISCHARGE:
            result = discharge_to_depth(result, source, area_km2=dataset[AREA].values if AREA in dataset else None, step=step)
        elif units != source:
            result = convert(result, source, units)
    with np.errstate(over="ignore"):
        made = np.where(missing, np.nan, result).astype(np.float32)
    infinite = ~np.isfinite(made) & ~missing
    _tell(dataset, name, infinite, "without a finite result, made NaN")
    made[infinite] = np.nan
    attrs = {"units": units, "long_name": formula}
    derived = dataset.assign({name: (dims, made.reshape([dataset.sizes[dim] for dim in dims]), attrs)})
    masks = [mask_of(dataset, one) for one in names if has_mask(dataset, one)]
    if not masks:
        return derived
    filled = functools.reduce(np.logical_or, masks) & ~np.isnan(made)
    return with_mask(derived, name, filled, later=any(sees_later(dataset, one) for one in names))


def fill_from_earlier(dataset: xr.Dataset, name: str, *, period: Span, tries: int = 1, limit: int) -> xr.Dataset:
    """Fill gaps with what was measured at the same time one or several periods earlier.

    No later value is used; only that a gap ends within `limit` steps is known from what comes after it.

    Parameters
    ----------
    dataset, name
        The variable to fill, over (basin, time).
    period
        How far back: "1 day" is the same minute yesterday, "1 year" the same day last year (for February 29, February 28).
    tries
        How many periods back it looks, the nearest first.
    limit
        Steps of the longest gap that is filled; of a longer one, nothing is. A gap lasts from one measured value to the next.

    Returns
    -------
    Dataset
        With the variable filled and its mask `<name>_filled`, see `FILLED`. What was filled is logged by basin.

    Raises
    ------
    InputError
        The variable is not there, a number is below 1, or the period is no multiple of the step.
    """
    times = times_in_order(dataset)
    length = span(period)
    if not isinstance(tries, int | np.integer) or tries < 1:
        raise InputError(f"fill {name}: tries = {tries!r} is not understood; give the number of periods to look back, from 1 on")
    try:
        earlier = [times - length * back for back in range(1, tries + 1)]
    except (OverflowError, pd.errors.OutOfBoundsDatetime):
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
    """Fill gaps on the straight line between the measured values on both sides; the ends of a record are not extended.

    It uses the value after the gap, which nobody has before the gap ends. The mask says so, and the variable is refused as an
    input of forecasts, discharge as an input of simulations too.

    Parameters, result and errors: see `fill_from_earlier`.
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
    """Fill gaps with the mean of the basin's calendar day, and within days of the hour, over a period: the training period.

    The mean is of measured values alone. February 29 without one has the mean of February 28 and March 1; any other such
    calendar day stays missing. Other parameters, result and errors: see `fill_from_earlier`.
    """
    times = times_in_order(dataset)
    steps = period.positions(times)

    def propose(known: np.ndarray) -> np.ndarray:
        return calendar_day_means(known[:, steps], times=times[steps], at=times)

    return _fill(dataset, name, propose, limit=limit, how=f"by the mean of the calendar day over {period}")


def calendar_day_means(values: np.ndarray, *, times: pd.DatetimeIndex, at: pd.DatetimeIndex) -> Values:
    """The mean of each calendar day, and within days of the hour, at other times: (basin, at), from (basin, time).

    NaN is left out. February 29 without a value has the mean of February 28 and March 1; any other such calendar day is NaN.
    """
    keys, wanted = (np.asarray(one.month * 10_000 + one.day * 100 + one.hour, dtype=np.int64) for one in (times, at))
    mean = pd.DataFrame(values.T.astype(np.float64)).groupby(keys).mean()
    found = mean.reindex(wanted).to_numpy(copy=True)
    leap = wanted // 100 == 229
    before, after = (mean.reindex(day * 100 + wanted[leap] % 100).to_numpy() for day in (228, 301))
    found[leap] = np.where(np.isnan(found[leap]), (before + after) / 2, found[leap])
    return found.T


FILLS: dict[str, Callable[..., xr.Dataset]] = {
    "earlier": fill_from_earlier,
    "interpolation": fill_by_interpolation,
    "climatology": fill_by_climatology,
}


def mend(
    dataset: xr.Dataset,
    *,
    derive: Mapping[str, Mapping[str, str]] | None = None,
    resample: Mapping[str, Any] | None = None,
    fill: Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]] | None = None,
    train: AnyPeriod | None = None,
) -> xr.Dataset:
    """Resample, fill and derive, as the tables of an experiment file say.

    What is derived is derived from filled variables, and may be filled itself.

    Parameters
    ----------
    dataset
        Canonical.
    derive
        By the name of the new variable: `{"temperature": {"formula": "(tmin + tmax) / 2", "units": "degC"}}`; one may use another
        that stands before it.
    resample
        `{"step": "1D", "share": 0.9}`.
    fill
        By the name of the variable: `{"precipitation": {"method": "earlier", "limit": 3, "period": "1 day", "tries": 1}}`, or a
        list of such, one after the other; the methods are those of `FILLS`.
    train
        The training period, for the method "climatology".

    Returns
    -------
    Dataset
        Its attribute SOURCE tells the tables, so that a run can repeat them.

    Raises
    ------
    InputError
        A table has an unknown setting or lacks one, there is no training period for climatology, the data were mended before, or a
        step finds a fault.
    """
    tables = {"derive": derive, "resample": resample, "fill": fill}
    given = {key: _without_none(table) for key, table in tables.items() if table}
    source = json.loads(dataset.attrs.get(SOURCE, "{}"))
    for key in given.keys() & source.keys():
        raise InputError(f"{key}: the data were mended before, which a run could not repeat; read them again and mend them at once")
    if resample:
        dataset = _call(_resample, dataset, table=given["resample"], where="resample")
    derived, fills = given.get("derive", {}), given.get("fill", {})
    for name, settings in fills.items():
        if name not in derived:
            dataset = _fill_as(dataset, name, settings, train)
    for name, table in derived.items():
        dataset = _call(_derive, dataset, name, table=table, where=f"derive {name}")
        dataset = _fill_as(dataset, name, fills.get(name, []), train)
    return dataset.assign_attrs({SOURCE: json.dumps({**source, **given}, default=str)})


_derive, _resample = derive, resample  # under the names that mend gives to its tables


def _fill_as(
    dataset: xr.Dataset, name: str, tables: Mapping[str, Any] | Sequence[Mapping[str, Any]], train: AnyPeriod | None
) -> xr.Dataset:
    for table in [tables] if isinstance(tables, Mapping) else tables:
        where = f"fill {name}"
        method = check_choice(f"{where}: method", table.get("method"), FILLS)
        settings = {key: value for key, value in table.items() if key != "method"}
        if method == "climatology":
            if train is None or "period" in settings:
                raise InputError(f"{where}: climatology is the mean over the training period; give the period train, and no other")
            settings["period"] = train
        dataset = _call(FILLS[method], dataset, name, table=settings, where=where)
    return dataset


def _call(function: Callable[..., xr.Dataset], *given: Any, table: Mapping[str, Any], where: str) -> xr.Dataset:
    """Call a function with the settings of a table, whose keys must be those of its other parameters."""
    parameters = dict(list(inspect.signature(function).parameters.items())[len(given) :])
    for key in table:
        if key not in parameters:
            raise InputError(f"{where} has no setting '{key}'; {nearest(key, parameters)}")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in table:
            raise InputError(f"{where} has no {key}; add it")
    return function(*given, **table)


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _without_none(one) if isinstance(one, Mapping) else one for key, one in table.items() if one is not None}


def _input(dataset: xr.Dataset, name: str, wanted: str) -> Values:
    """A variable as (basin, time), or (basin, 1) where it does not vary in time."""
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
    """Fill the short gaps with what `propose` makes of the measured values, (basin, time), NaN where it has nothing."""
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
    _tell(dataset, name, fills, f"filled {how}")
    for gauge_id in dataset[BASIN].values[np.isnan(known).all(axis=1)]:
        LOG.warning("basin %s: %s is missing throughout, and stays so", gauge_id, name)
    filled = variable.transpose(BASIN, TIME).copy(data=np.where(fills, found, values).astype(values.dtype))
    later = sees_later(dataset, name) or (later and bool(fills.any()))
    return with_mask(dataset.assign({name: filled}), name, mask | fills, later=later)


def _gap_lengths(missing: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Length of the run of missing steps that each step, (basin, time), lies in; 0 outside."""
    place = np.arange(1, missing.shape[1] + 1)
    before = np.maximum.accumulate(np.where(missing, 0, place), axis=1)
    after = np.minimum.accumulate(np.where(missing, place[-1] + 1, place)[:, ::-1], axis=1)[:, ::-1]
    return np.where(missing, after - before - 1, 0)


def _variable(dataset: xr.Dataset, name: str, where: str) -> xr.DataArray:
    if name not in dataset.data_vars:
        raise InputError(f"{where}: the data have no variable '{name}'; {nearest(name, map(str, dataset.data_vars))}")
    return dataset[name]


def _tell(dataset: xr.Dataset, name: str, where: npt.NDArray[np.bool_], what: str) -> None:
    """Log by basin how many values, (basin, time) or (basin, 1), something was done to."""
    for basin in np.flatnonzero(where.any(axis=1)):
        number, gauge_id = int(where[basin].sum()), dataset[BASIN].values[basin]
        first = f", the first on {dataset.indexes[TIME][where[basin].argmax()]}" if where.shape[1] > 1 else ""
        LOG.info("basin %s: %s: %d value(s) %s%s", gauge_id, name, number, what, first)
