"""From a canonical Dataset with gaps, or of another time step, to one that says what was derived, resampled and filled."""

import ast
import datetime
import functools
import inspect
import json
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from runoff_lstm.periods import Period
from runoff_lstm.schema import (
    AREA,
    BASIN,
    DAY,
    DISCHARGE,
    FILLED,
    SOURCE,
    TIME,
    InputError,
    discharge_units,
    nearest,
    time_step,
    times_of,
)
from runoff_lstm.units import Values, canonical_units, convert, discharge_to_depth

LOG = logging.getLogger(__name__)

Span = str | datetime.timedelta | pd.DateOffset
"""A length of time: "1 day", "6h", "1D", "1W", "MS" (a month), "1 year", or an object of datetime or pandas."""

OPERATORS: dict[type[ast.operator], np.ufunc] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
}
FUNCTIONS: dict[str, np.ufunc] = {
    "min": np.minimum,
    "max": np.maximum,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "abs": np.absolute,
}
LONGEST_FORMULA = 500

_SPANS = {"min": "minute", "h": "hour", "d": "day", "w": "week", "ms": "month"}
_EXTREME = re.compile(r"(?<!\d)(?<!\d_)(min|max)(imum)?(?![a-z])", re.IGNORECASE)
_STATE = re.compile(r"swe|snw|snow_?(depth|pack|water)|water_equivalent|soil_?(water|moisture)|storage|level|stage", re.IGNORECASE)


def formula_names(formula: str) -> list[str]:
    """The variables a formula needs, in the order they are named.

    >>> formula_names("max(tmin + tmax, 0) / 2")
    ['tmin', 'tmax']
    """
    inputs: dict[str, Values] = defaultdict(lambda: np.ones(1))
    _evaluate(formula, inputs)
    return list(inputs)


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
    names = formula_names(formula)
    if not names:
        raise InputError(f"derive {name}: the formula '{formula}' names no variable; write a number as an attribute instead")
    inputs = {one: _input(dataset, one, name) for one in names}
    missing = functools.reduce(np.logical_or, map(np.isnan, inputs.values()))
    result = _evaluate(formula, inputs)
    dims = (BASIN, TIME) if any(TIME in dataset[one].dims for one in names) else (BASIN,)
    if TIME in dims:
        times = _times(dataset)
        step, source = np.timedelta64(times[1] - times[0]), units
        units = _kept_units(name, source, step)
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
    masks = [_mask(dataset, one) for one in names if one + FILLED in dataset]
    return _with_mask(derived, name, functools.reduce(np.logical_or, masks) & ~np.isnan(made)) if masks else derived


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
    times = _times(dataset)
    span = _span(period)
    if not isinstance(tries, int | np.integer) or tries < 1:
        raise InputError(f"fill {name}: tries = {tries!r} is not understood; give the number of periods to look back, from 1 on")
    try:
        earlier = [times - span * back for back in range(1, tries + 1)]
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

    It uses the value after the gap, which nobody has at an issue date: not for what a forecast sees.

    Parameters, result and errors: see `fill_from_earlier`.
    """
    times = _times(dataset)
    elapsed = (times - times[0]).to_numpy().astype(np.float64)

    def propose(known: np.ndarray) -> np.ndarray:
        lines = np.full_like(known, np.nan)
        for line, values in zip(lines, known, strict=True):
            there = ~np.isnan(values)
            if there.any():
                line[:] = np.interp(elapsed, elapsed[there], values[there], left=np.nan, right=np.nan)
        return lines

    return _fill(dataset, name, propose, limit=limit, how="by interpolation")


def fill_by_climatology(dataset: xr.Dataset, name: str, *, period: Period, limit: int) -> xr.Dataset:
    """Fill gaps with the mean of the basin's calendar day, and within days of the hour, over a period: the training period.

    The mean is of measured values alone. February 29 without one has the mean of February 28 and March 1; any other such
    calendar day stays missing. Other parameters, result and errors: see `fill_from_earlier`.
    """
    times = _times(dataset)
    steps = period.steps(times)

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


def measured(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with discharge as it was measured, for targets and scores: NaN where it was filled, and without its mask."""
    if DISCHARGE + FILLED not in dataset:
        return dataset
    kept = dataset[DISCHARGE].transpose(BASIN, TIME)
    return dataset.assign({DISCHARGE: kept.where(~_mask(dataset, DISCHARGE))}).drop_vars(DISCHARGE + FILLED)


def resample(dataset: xr.Dataset, step: Span, *, share: float = 1.0) -> xr.Dataset:
    """Bring the data to a longer time step.

    Minimum and maximum temperatures and the like, told by their names (tmin, temperature_2m_max), keep minimum and maximum. Of
    the others, an amount per step (mm) is summed, and everything else averaged: rates, discharge, temperature, radiation,
    pressure, speed, and what is in mm but named as a state (swe, snow_depth, storage, level). Rates per hour become rates per day
    where the new step is a day or longer.

    Parameters
    ----------
    dataset
        At a regular step, a time stamp marking the start of its step.
    step
        Minutes, hours, days, weeks or a month: "6h", "1D", "1W", "MS". Days begin at midnight, weeks on Monday, steps of several
        days or hours at the first midnight of the record. Months differ in length, so monthly data cannot be trained on.
    share
        Of the steps that make up a new one, how many must have a value, in (0, 1]; else it is NaN. The record's first and last new
        step may be incomplete: what lies outside counts as missing. A sum of some steps is scaled up to all of them, by one over
        their share.

    Returns
    -------
    Dataset
        Variables over (basin,) as they were; masks of filled values 1 where any step of the new one was filled.

    Raises
    ------
    InputError
        The step is shorter than the data's or no multiple of it, the steps of the data straddle the new ones, the time axis is not
        regular or has a time zone, a variable has no unit, or share is not in (0, 1].
    """
    times = _times(dataset)
    if not 0 < share <= 1:
        raise InputError(
            f"resample: share = {share} is not understood; give the share of steps that must have a value, above 0 and up to 1"
        )
    old = pd.Timedelta(time_step(times))
    labels, lengths = _new_steps(times, step, old)
    starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
    parts, new_step = (lengths[starts] / old).to_numpy().round(), lengths[0].to_timedelta64()
    resampled = dataset.drop_dims(TIME).assign_coords({TIME: (TIME, labels[starts], dataset[TIME].attrs)})
    for name, values in ((str(one), values) for one, values in dataset.data_vars.items() if TIME in values.dims):
        if name.endswith(FILLED) and name.removesuffix(FILLED) in dataset:
            continue
        kind, units = _kind(name, values, new_step)
        made = _aggregate(values.transpose(BASIN, TIME).values, starts, parts, share=share, kind=kind)
        made = made if units == values.attrs["units"] else convert(made, values.attrs["units"], units)
        attrs = {**values.attrs, "units": units, "cell_methods": f"time: {kind}"}
        resampled[name] = ((BASIN, TIME), made.astype(np.float32), attrs)
        LOG.info("%s: resampled to %s by %s, in %s; %d step(s) missing", name, step, kind, units, int(np.isnan(made).sum()))
        if name + FILLED in dataset:
            filled = np.logical_or.reduceat(_mask(dataset, name), starts, axis=1)
            resampled = _with_mask(resampled, name, filled & ~np.isnan(made))
    return resampled


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
    train: Period | None = None,
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
    dataset: xr.Dataset, name: str, tables: Mapping[str, Any] | Sequence[Mapping[str, Any]], train: Period | None
) -> xr.Dataset:
    for table in [tables] if isinstance(tables, Mapping) else tables:
        where, method = f"fill {name}", table.get("method")
        if method not in FILLS:
            raise InputError(f"{where}: method {method!r} is not known; {nearest(str(method), FILLS)}")
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


def _evaluate(formula: str, inputs: Mapping[str, Values]) -> Values:
    """Value of a formula, of whitelisted parts alone; a division by zero is infinite."""
    if len(formula) > LONGEST_FORMULA:
        raise InputError(f"the formula '{formula[:40]} ...' is longer than {LONGEST_FORMULA} characters; derive it in two steps")
    try:
        tree = ast.parse(" ".join(formula.split()), mode="eval").body
        with np.errstate(all="ignore"):
            return _value(tree, inputs)
    except InputError as error:
        raise InputError(f"the formula '{formula}': {error}") from None
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise InputError(f"the formula '{formula}' cannot be read; write it as (tmin + tmax) / 2") from None


def _value(node: ast.expr, inputs: Mapping[str, Values]) -> Values:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool) and number < 1e300:
            return np.asarray(number, dtype=np.float64)  # a power of Python's integers could run for ever
        case ast.Name(id=name):
            return inputs[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, inputs)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return np.asarray(OPERATORS[type(op)](_value(left, inputs), _value(right, inputs)))
        case ast.Call(func=ast.Name(id=name), args=[_, *others] as args, keywords=[]) if name in FUNCTIONS:
            function, values = FUNCTIONS[name], [_value(one, inputs) for one in args]
            if function.nin == 2 and others:
                return functools.reduce(function, values)
            if function.nin == 1 and not others:
                return np.asarray(function(values[0]))
    raise InputError(f"{ast.unparse(node)} is not understood; use names, numbers, + - * / ** and {', '.join(FUNCTIONS)}")


def _input(dataset: xr.Dataset, name: str, wanted: str) -> Values:
    """A variable as (basin, time), or (basin, 1) where it does not vary in time."""
    values = _variable(dataset, name, f"derive {wanted}")
    if set(values.dims) not in ({BASIN}, {BASIN, TIME}) or values.dtype.kind not in "fiu":
        raise InputError(f"derive {wanted}: '{name}' is {values.dtype} over {values.dims}; numbers over (basin, time) are needed")
    numbers = values.transpose(BASIN, TIME).values if TIME in values.dims else values.values[:, None]
    return numbers.astype(np.float64)


def _kept_units(name: str, units: str, step: np.timedelta64) -> str:
    """The unit in which a variable over time is kept."""
    try:
        return discharge_units(step) if name == DISCHARGE else canonical_units(units, step)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _fill(dataset: xr.Dataset, name: str, propose: Callable[[np.ndarray], np.ndarray], *, limit: int, how: str) -> xr.Dataset:
    """Fill the short gaps with what `propose` makes of the measured values, (basin, time), NaN where it has nothing."""
    if not isinstance(limit, int | np.integer) or limit < 1:
        raise InputError(f"fill {name}: limit = {limit!r} is not understood; give the longest gap to fill in steps, from 1 on")
    variable = _variable(dataset, name, "fill")
    if set(variable.dims) != {BASIN, TIME}:
        raise InputError(f"fill: '{name}' is over {variable.dims}; only a variable over (basin, time) can be filled")
    values = variable.transpose(BASIN, TIME).values
    mask = _mask(dataset, name)
    known = np.where(mask, np.nan, values)
    found = np.where(np.isnan(values) & (_gap_lengths(np.isnan(known)) <= limit), propose(known), np.nan)
    fills = ~np.isnan(found)
    _tell(dataset, name, fills, f"filled {how}")
    for gauge_id in dataset[BASIN].values[np.isnan(known).all(axis=1)]:
        LOG.warning("basin %s: %s is missing throughout, and stays so", gauge_id, name)
    filled = variable.transpose(BASIN, TIME).copy(data=np.where(fills, found, values).astype(values.dtype))
    return _with_mask(dataset.assign({name: filled}), name, mask | fills)


def _gap_lengths(missing: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Length of the run of missing steps that each step, (basin, time), lies in; 0 outside."""
    place = np.arange(1, missing.shape[1] + 1)
    before = np.maximum.accumulate(np.where(missing, 0, place), axis=1)
    after = np.minimum.accumulate(np.where(missing, place[-1] + 1, place)[:, ::-1], axis=1)[:, ::-1]
    return np.where(missing, after - before - 1, 0)


def _mask(dataset: xr.Dataset, name: str) -> npt.NDArray[np.bool_]:
    """Where a variable was filled, (basin, time)."""
    if name + FILLED not in dataset:
        return np.zeros((dataset.sizes[BASIN], dataset.sizes[TIME]), dtype=bool)
    filled: npt.NDArray[np.bool_] = dataset[name + FILLED].transpose(BASIN, TIME).values > 0
    return filled


def _with_mask(dataset: xr.Dataset, name: str, filled: npt.NDArray[np.bool_]) -> xr.Dataset:
    attrs = {"units": "1", "long_name": f"1 where {name} was filled"}
    return dataset.assign({name + FILLED: ((BASIN, TIME), filled.astype(np.int8), attrs)})


def _kind(name: str, values: xr.DataArray, step: np.timedelta64) -> tuple[str, str]:
    """How a variable is resampled, "sum", "mean", "minimum" or "maximum", and the unit it then has."""
    units = values.attrs.get("units")
    if units is None:
        raise InputError(
            f"resample: {name} has no unit, which tells a sum from a mean; set its attribute units ('1' where it has none)"
        )
    canonical = _kept_units(name, units, step)
    extreme = _EXTREME.search(name)
    if extreme:
        return f"{extreme[1].lower()}imum", canonical
    return ("sum" if canonical == "mm" and not _STATE.search(name) else "mean"), canonical


def _aggregate(values: np.ndarray, starts: np.ndarray, parts: np.ndarray, *, share: float, kind: str) -> np.ndarray:
    """New steps, (basin, new time), of runs that begin at `starts` and are made of `parts` steps where they are complete."""
    there = ~np.isnan(values)
    count = np.add.reduceat(there, starts, axis=1, dtype=np.int64)
    if kind in ("minimum", "maximum"):
        made = (np.fmin if kind == "minimum" else np.fmax).reduceat(values, starts, axis=1)
    else:
        made = np.add.reduceat(np.where(there, values, 0), starts, axis=1, dtype=np.float64) / np.maximum(count, 1)
        made = made * parts if kind == "sum" else made
    return np.where((count > 0) & (count >= share * parts - 1e-9), made, np.nan)


def _new_steps(times: pd.DatetimeIndex, step: Span, old: pd.Timedelta) -> tuple[pd.DatetimeIndex, pd.TimedeltaIndex]:
    """Of every step, when the new one it falls into begins and how long that lasts."""
    length, midnight = _span(step), times[0].normalize()
    month = length == pd.DateOffset(months=1)
    if month:
        length = pd.Timedelta(DAY)
    if not isinstance(length, pd.Timedelta):
        raise InputError(f"resample: the step {step} is not understood; give minutes, hours, days, weeks or one month, such as 1D")
    if length < old or length % old:
        raise InputError(
            f"resample: the data have a step of {old}, of which {step} is no multiple; choose a longer step that is one"
        )
    if length % pd.Timedelta(weeks=1) == pd.Timedelta(0):
        midnight -= pd.Timedelta(midnight.weekday(), "D")
    if (times[0] - midnight) % old:
        raise InputError(
            f"resample: steps of {old} that begin at {times[0]} straddle those of {step}; shift the times to whole steps"
        )
    if month:
        return times.normalize() - pd.to_timedelta(times.day - 1, "D"), pd.to_timedelta(times.days_in_month, "D")
    labels = midnight + (times - midnight) // length * length
    return labels, pd.TimedeltaIndex(np.full(len(times), length.to_timedelta64()))


def _span(text: Span) -> pd.Timedelta | pd.DateOffset:
    if isinstance(text, datetime.timedelta):
        return pd.Timedelta(text)
    if isinstance(text, pd.DateOffset):
        return text
    parts = re.fullmatch(r"(\d{0,6})\s*([a-z]+)", text.strip().lower())
    number, unit = (int(parts[1] or 1), _SPANS.get(parts[2], parts[2].removesuffix("s"))) if parts else (0, "")
    if number and unit in ("month", "year"):
        return pd.DateOffset(months=number * (12 if unit == "year" else 1))
    if number and unit in ("minute", "hour", "day", "week"):
        return pd.Timedelta(datetime.timedelta(**{f"{unit}s": number}))
    raise InputError(f"'{text}' is no length of time; write it as 6h, 1D, 1W, MS, '1 day' or '1 year'")


def _times(dataset: xr.Dataset) -> pd.DatetimeIndex:
    """The time axis, if it is one of plain dates in order."""
    times = dataset.indexes.get(TIME)
    if not isinstance(times, pd.DatetimeIndex) or times.tz is not None or times.hasnans:
        kind = "no dates" if times is None else f"{times.dtype}, not plain dates"
        raise InputError(f"the time axis holds {kind}; write all times in one time, without a zone, and convert them to datetime64")
    if len(times) < 2:
        raise InputError(f"the record has {len(times)} time step(s); at least two are needed to know its step")
    wrong = np.flatnonzero(times[1:] <= times[:-1])
    if wrong.size:
        raise InputError(f"the time axis does not go on at {times[wrong[0] + 1]}; sort it, or read with mend_time = true")
    return times_of(dataset)


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
