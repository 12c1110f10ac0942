"""From any xarray Dataset of basins to the canonical one that every other module relies on, or to one clear error.

Names of dimensions and fixed variables, canonical units and the check of the form live here, and nowhere else; `checks` adds that
of the units.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.errors import InputError, nearest

BASIN = "basin"
TIME = "time"
DISCHARGE = "discharge"
AREA = "area_km2"
ALWAYS_KEPT = (AREA, "gauge_lat", "gauge_lon")
"""Variables over (basin,) that are kept, where they are there, whatever else is picked: the area, and where the gauge stands."""

FILLED = "_filled"
"""Ending of a mask over (basin, time): 1 where the variable named before it was filled, 0 where measured or still missing."""

LATER = "uses_later_values"
"""Attribute of such a mask, 1: the variable holds values that were filled from what was measured after a gap."""

SET_MISSING = "set_missing"
"""Coordinate over (basin,): how many values a reader has made NaN."""

OUTPUTS = ("observed", "simulated", "forecast", "issue_date", "lead_time", "member")
"""What is made of a Dataset; coordinates of these names would meet it there, and are dropped."""

SOURCE = "runoff_lstm_source"
"""Attribute of a Dataset in which a reader leaves, as JSON, how it was called, so that a run can read the same data again."""

LONGEST_NAME = 200
"""Characters of the name of an experiment."""

LONGEST_LINE = 2000
"""Characters of a message."""

DAY = np.timedelta64(1, "D")
HOUR = np.timedelta64(1, "h")


_PRECIPITATION = re.compile(r"(p|pr|prcp|pcp|tp|rain\w*?|precip\w*?|total_precipitation\w*?)(_.*)?", re.IGNORECASE)


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """The value where it is one of the words that `name` may have; else refuse it with the nearest of them.

    >>> check_choice("mode", "window", ["windows", "continuous"])
    Traceback (most recent call last):
    runoff_lstm.data.schema.InputError: mode = 'window' is not known; did you mean 'windows'? (windows, continuous)
    """
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        raise InputError(unknown_choice(name, value, known))
    return value


def unknown_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """The sentence that refuses a value: the nearest choice, and all of them where they are few."""
    hint = nearest(str(value), choices)
    among = f" ({', '.join(choices)})" if hint.startswith("did") and len(choices) <= 12 else ""
    return f"{name} = {value!r} is not known; {hint}{among}"


def check_keywords(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a keyword that a function does not have, with the nearest one that it has.

    >>> check_keywords("read_csv", ["unitz"], ["units", "rename"])
    Traceback (most recent call last):
    runoff_lstm.data.schema.InputError: read_csv has no argument 'unitz'; did you mean 'units'?
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise InputError(f"{where} has no argument '{name}'; {nearest(name, names)}")


def one_line(text: str) -> str:
    """Foreign text as one line of a terminal: without breaks, what cannot be printed spelled out, the middle of a long one cut.

    >>> one_line("not a unit:" + chr(10) + "  buckets")
    'not a unit: buckets'
    """
    joined = re.sub(r"\s*[\r\n]+\s*", " ", text.strip())
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in joined)
    return shown if len(shown) <= LONGEST_LINE else f"{shown[: LONGEST_LINE // 2]} ... {shown[-LONGEST_LINE // 2 :]}"


def check_name(name: str) -> str:
    """The name of an experiment, for titles, tables and files; refused where they cannot show it."""
    if not name.strip() or len(name) > LONGEST_NAME:
        raise InputError(f"the name of the experiment has {len(name)} characters; give 1 to {LONGEST_NAME}, not all blank")
    odd = next((one for one in name if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")), None)
    if odd is not None:
        raise InputError(f"the name of the experiment holds {odd!r}, which cannot be printed; leave that out")
    return name


def is_precipitation(name: str) -> bool:
    """Whether precipitation usually goes by that name.

    >>> [is_precipitation(name) for name in ("prcp_daymet", "precipitation", "P", "potential_evapotranspiration", "pressure")]
    [True, True, True, False, False]
    """
    return _PRECIPITATION.fullmatch(name) is not None


def date_label(moment: pd.Timestamp | np.datetime64) -> str:
    """A date as text, with the time of day where that is not midnight."""
    moment = pd.Timestamp(moment)
    return f"{moment:%Y-%m-%d}" if moment == moment.normalize() else f"{moment:%Y-%m-%d %H:%M}"


def step_label(step: pd.Timedelta | np.timedelta64) -> str:
    """The length of a time step as text.

    >>> [step_label(pd.Timedelta(step)) for step in ("1D", "6h", "15min")]
    ['1 day', '6 hours', '15 minutes']
    """
    length = pd.Timedelta(step)
    for unit in ("day", "hour", "minute", "second"):
        count, rest = divmod(length, pd.Timedelta(f"1 {unit}"))
        if not rest:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return str(length)


Labels = slice | pd.DatetimeIndex
"""A period as labels of time, for `dataset.sel(time=...)`: first and last one, or each one."""


def times_of(dataset: xr.Dataset | xr.DataArray) -> pd.DatetimeIndex:
    """The time axis as a DatetimeIndex."""
    return pd.DatetimeIndex(dataset.indexes[TIME]).as_unit("ns")


def times_in_order(dataset: xr.Dataset) -> pd.DatetimeIndex:
    """The time axis; an InputError unless it is one of plain dates in order, two at least."""
    times = dataset.indexes.get(TIME)
    if not isinstance(times, pd.DatetimeIndex) or times.tz is not None or times.hasnans:
        kind = "no dates" if times is None else f"{times.dtype}, not plain dates"
        raise InputError(f"the time axis holds {kind}; write all times in one time, without a zone, and convert them to datetime64")
    if len(times) < 2:
        raise InputError(f"the record has {len(times)} time step(s); at least two are needed to know its step")
    wrong = np.flatnonzero(times[1:] <= times[:-1])
    if wrong.size:
        raise InputError(
            f"the time axis does not go on at {date_label(times[wrong[0] + 1])}; sort it, or read with mend_time = true"
        )
    return times_of(dataset)


def time_step(times: pd.DatetimeIndex) -> np.timedelta64:
    """The one step between neighbouring times.

    Raises
    ------
    InputError
        Fewer than two times, or times that are unsorted, duplicated or irregular.
    """
    if len(times) < 2:
        raise InputError(f"the record has {len(times)} time step(s); at least two are needed to know its step")
    if times.has_duplicates:
        first = times[times.duplicated()][0]
        raise InputError(f"the time axis has {date_label(first)} twice; keep one of the two rows, or read with mend_time = true")
    steps = np.diff(times.to_numpy())
    if (steps < np.timedelta64(0, "ns")).any():
        at = times[int(np.argmax(steps < np.timedelta64(0, "ns"))) + 1]
        raise InputError(f"the time axis goes back at {date_label(at)}; sort the file, or read with mend_time = true")
    step = steps.min()
    if (steps != step).any():
        at = times[int(np.argmax(steps != step))]
        raise InputError(
            f"the time axis is not regular: after {date_label(at)} comes a gap in a record of step {step_label(step)}; "
            "add the missing rows, or read with mend_time = true to have them as NaN"
        )
    return np.timedelta64(step)


def discharge_units(step: np.timedelta64) -> str:
    """Canonical unit of discharge: 'mm d-1' for daily and longer steps, 'mm h-1' for shorter ones."""
    return "mm d-1" if step >= DAY else "mm h-1"


def is_mask(dataset: xr.Dataset, name: str) -> bool:
    """Whether a name is that of the mask of a variable over time, be the mask there or not."""
    masked = name.removesuffix(FILLED)
    return masked != name and masked in dataset.data_vars and TIME in dataset[masked].dims


def refuse_taken_names(dataset: xr.Dataset) -> None:
    """Refuse a variable under the name of something else: a mask, the discharge, an attribute that is always kept, a count."""
    for name in map(str, dataset.data_vars):
        wanted = _wanted_under(name, dataset)
        if wanted is not None:
            raise InputError(f"the name '{name}' is kept for {wanted}; give this variable another name, {_renamed(name)}")


def refuse_mask(dataset: xr.Dataset, name: str, kind: str) -> None:
    """Refuse a name of a mask for something else."""
    if is_mask(dataset, name):
        masked = name.removesuffix(FILLED)
        raise InputError(f"{kind}: the name '{name}' is kept for the mask of {masked}; choose another name, {_renamed(name)}")


def _wanted_under(name: str, dataset: xr.Dataset) -> str | None:
    """What has to be under a name, where the variable that has it is something else; None where it is right or free."""
    values = dataset[name]
    over_time = TIME in values.dims
    if name == SET_MISSING:
        return "the number of values that a reader has made NaN"
    if name in ALWAYS_KEPT and over_time:
        return "an attribute with one value a basin"
    if name == DISCHARGE and not over_time:
        return "the observed discharge over (basin, time)"
    if is_mask(dataset, name) and not (over_time and _is_zero_or_one(values.values)):
        return f"the mask of {name.removesuffix(FILLED)}, 1 where that was filled and else 0"
    return None


def _is_zero_or_one(values: np.ndarray) -> bool:
    """Whether there is nothing but 0, 1 and NaN."""
    return values.dtype.kind in "fiub" and not np.any((values != 0) & (values != 1) & ~np.isnan(values))


def _renamed(name: str) -> str:
    return f'such as by rename = {{other = "{name}"}}'


def check_form(dataset: xr.Dataset) -> xr.Dataset:
    """Check the form of a Dataset and return it tidied: all that `check_basins` checks but the units."""
    for dim in (BASIN, TIME):
        if dim not in dataset.dims or dim not in dataset.indexes:
            raise InputError(
                f"the dataset has no dimension '{dim}' with a coordinate (it has {', '.join(map(str, dataset.dims)) or 'none'}); "
                f"rename yours to '{dim}'"
            )
    _check_gauge_ids(dataset)
    refuse_taken_names(dataset)
    times = dataset.indexes[TIME]
    if not isinstance(times, pd.DatetimeIndex):
        raise InputError(f"the time axis is of type {times.dtype}, not dates of the standard calendar; convert it to datetime64")
    if times.hasnans:
        raise InputError(f"the time axis has {int(np.sum(times.isna()))} empty time(s); drop those rows")
    step = time_step(times)
    variables = {str(name): _check_variable(str(name), dataset[name]) for name in dataset.data_vars}
    tidy = dataset.assign(variables).drop_vars([name for name in OUTPUTS if name in dataset.coords and name not in dataset.dims])
    for name in variables:
        if name == DISCHARGE or (is_precipitation(name) and TIME in tidy[name].dims):
            _refuse_negative(tidy[name])
    if DISCHARGE in tidy and tidy[DISCHARGE].attrs.get("units") != discharge_units(step):
        raise InputError(
            f"discharge has the unit {tidy[DISCHARGE].attrs.get('units')!r}, not '{discharge_units(step)}'; read it with "
            'units = {discharge = "..."} so that it is converted'
        )
    if AREA in tidy and bool((tidy[AREA] <= 0).any()):
        gauge_id = tidy[BASIN].values[(tidy[AREA] <= 0).values][0]
        raise InputError(f"basin {gauge_id}: area_km2 is not positive; correct the area or leave the basin out")
    return tidy


def _check_gauge_ids(dataset: xr.Dataset) -> None:
    gauge_ids = dataset[BASIN].values
    if not all(isinstance(gauge_id, str) for gauge_id in gauge_ids.tolist()):
        raise InputError(
            f"gauge ids are {gauge_ids.dtype}, such as {gauge_ids.tolist()[0]!r}; they must be strings, so leading zeros stay"
        )
    unique, count = np.unique(gauge_ids, return_counts=True)
    if (count > 1).any():
        raise InputError(f"basin {unique[count > 1][0]} is there {count.max()} times; keep one")


def _check_variable(name: str, values: xr.DataArray) -> xr.DataArray:
    """One variable with its dims in order and, where it varies in time, as float32; refuses infinities and non-numbers."""
    if TIME not in values.dims:
        return values
    if set(values.dims) != {BASIN, TIME}:
        raise InputError(f"variable '{name}' has dims {values.dims}; (basin, time) or (basin,) are understood")
    if values.dtype.kind not in "fiu":
        raise InputError(f"variable '{name}' holds {values.dtype}, not numbers; convert it or leave it out")
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite there
        values = values.transpose(BASIN, TIME).astype("float32", copy=False)
    infinite = np.isinf(values.values)
    if infinite.any():
        where = _first(values, infinite)
        raise InputError(f"{where}: {name} is infinite; make it NaN or correct it")
    return values


def _refuse_negative(values: xr.DataArray) -> None:
    negative = values.values < 0
    if negative.any():
        basin = int(np.argmax(negative.any(axis=1)))
        step = int(np.argmax(negative[basin]))
        first = f"{pd.Timestamp(values[TIME].values[step]):%Y-%m-%d}: {values.values[basin, step]:.3g}"
        raise InputError(
            f"basin {values[BASIN].values[basin]}: {values.name} is negative on {int(negative[basin].sum())} step(s) "
            f"(first {first} {values.attrs.get('units', '')}); mask them or correct the file"
        )


def _first(values: xr.DataArray, where: np.ndarray) -> str:
    """'basin 01022500, 1987-03-02' of the first true element of `where`, shaped (basin, time)."""
    basin, step = (int(index[0]) for index in np.nonzero(where))
    return f"basin {values[BASIN].values[basin]}, {date_label(values[TIME].values[step])}"
