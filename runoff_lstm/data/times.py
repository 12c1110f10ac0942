"""The time axis: its step, its checks, and time spans and dates as text."""

import datetime
import re

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.names import TIME
from runoff_lstm.errors import InputError


def date_label(moment: pd.Timestamp | np.datetime64) -> str:
    """Format a date, with the time of day if it is not midnight."""
    moment = pd.Timestamp(moment)
    return f"{moment:%Y-%m-%d}" if moment == moment.normalize() else f"{moment:%Y-%m-%d %H:%M}"


def step_label(step: pd.Timedelta | np.timedelta64) -> str:
    """Format the length of a time step.

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
    """Return the time axis as a DatetimeIndex."""
    return pd.DatetimeIndex(dataset.indexes[TIME]).as_unit("ns")


def times_in_order(dataset: xr.Dataset) -> pd.DatetimeIndex:
    """Return the time axis of a Dataset.

    Raises InputError unless it has at least two plain dates in order.
    """
    times = as_dataset(dataset).indexes.get(TIME)
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
    """Compute the step of a regular time axis.

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


Span = str | datetime.timedelta | np.timedelta64 | pd.DateOffset
"""A length of time: "1 day", "6h", "1D", "1W", "MS" (a month), "1 year", or an object of datetime, numpy or pandas."""


_SPANS = {"min": "minute", "h": "hour", "d": "day", "w": "week", "ms": "month"}


def span(text: Span) -> pd.Timedelta | pd.DateOffset:
    """Parse a length of time; months and years become an offset.

    >>> span("6h"), span("2 days"), span("1 year")
    (Timedelta('0 days 06:00:00'), Timedelta('2 days 00:00:00'), <DateOffset: months=12>)
    """
    if isinstance(text, pd.DateOffset):
        return text
    length = text if isinstance(text, datetime.timedelta | np.timedelta64) else None
    parts = re.fullmatch(r"(\d{0,4})\s*([a-z]+)", str(text)[:100].strip().lower(), re.ASCII)
    number, unit = (int(parts[1] or 1), _SPANS.get(parts[2], parts[2].removesuffix("s"))) if parts else (0, "")
    if number and unit in ("month", "year"):
        return pd.DateOffset(months=number * (12 if unit == "year" else 1))
    if number and unit in ("minute", "hour", "day", "week"):
        length = datetime.timedelta(**{f"{unit}s": number})
    try:
        if length is not None and not pd.isna(pd.Timedelta(length).as_unit("ns")):  # the resolution of all times
            return pd.Timedelta(length)
    except (ValueError, OverflowError):  # hundreds of years, or numpy years of varying length
        pass
    raise InputError(f"'{str(text)[:100]}' is no length of time; write it as 6h, 1D, 1W, MS, '1 day' or '1 year'")
