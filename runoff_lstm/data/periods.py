"""Periods with both ends included, of one stretch or several, from dates in any common form."""

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from runoff_lstm.data.times import Labels, date_label
from runoff_lstm.errors import InputError

Date = str | datetime.date | pd.Timestamp | np.datetime64

_WHOLE_DATE = re.compile(r"\s*\d{4}-\d{2}-\d{2}(?!\d)")
"""Required start of a date in text. Pandas would read a year alone as its first day, and 01/10/1999 as the tenth of January."""

FIRST_YEAR, LAST_YEAR = 1678, 2261
"""First and last whole year of times in nanoseconds."""


@dataclass(frozen=True, init=False)
class Period:
    """A stretch of time, both ends included.

    An end date without a time of day includes its whole day.

    Parameters
    ----------
    start, end
        Dates (text as 1999-10-01 or 1999-10-01 06:00, date, Timestamp or datetime64) without time zone.

    Raises
    ------
    InputError
        A date is invalid or has a time zone, or the end comes before the start.

    Examples
    --------
    >>> str(Period("1972-10-01", "1977-09-30"))
    '1972-10-01 to 1977-09-30'
    """

    start: pd.Timestamp
    end: pd.Timestamp

    def __init__(self, start: Date, end: Date) -> None:
        object.__setattr__(self, "start", _timestamp(start))
        object.__setattr__(self, "end", _timestamp(end))
        if self.end < self.start:
            raise InputError(f"the period {self} ends before it starts; swap the two dates")

    @classmethod
    def of_steps(cls, times: pd.DatetimeIndex, steps: slice) -> "Period":
        """Make the period of exactly these steps of a time axis.

        With hourly data, an end at midnight means that step, not its whole day.

        >>> hours = pd.date_range("2000-01-01", periods=48, freq="h")
        >>> Period.of_steps(hours, slice(0, 25)).steps(hours)
        slice(0, 25, None)
        """
        last = times[steps.stop - 1]
        within_days = times[1] - times[0] < pd.Timedelta(1, "D")
        return cls(times[steps.start], last + pd.Timedelta(1, "s") if within_days and last == last.normalize() else last)

    def __str__(self) -> str:
        return f"{date_label(self.start)} to {date_label(self.end)}"

    @property
    def last_moment(self) -> pd.Timestamp:
        """The last moment of the period: the end of the day if `end` is a bare date."""
        if self.end == self.end.normalize():
            return self.end + pd.Timedelta(1, "D") - pd.Timedelta(1, "s")
        return self.end

    @property
    def label_slice(self) -> slice:
        """The period as labels, for `dataset.sel(time=period.label_slice)`."""
        return slice(self.start, self.last_moment)

    def overlaps(self, other: "Period | Stretches") -> bool:
        """Return whether the two share a moment."""
        return any(self.start <= one.last_moment and one.start <= self.last_moment for one in other.parts)

    @property
    def parts(self) -> "tuple[Period, ...]":
        """The period as a tuple of one, like the parts of `Stretches`."""
        return (self,)

    def labels(self, times: pd.DatetimeIndex) -> slice:  # noqa: ARG002 - those of stretches depend on the times
        """Return `label_slice`; same name as in `Stretches`."""
        return self.label_slice

    def positions(self, times: pd.DatetimeIndex) -> np.ndarray:
        """Return positions of the period's steps on a sorted time axis, (step,).

        Raises as `steps`.
        """
        steps = self.steps(times)
        return np.arange(steps.start, steps.stop)

    def steps(self, times: pd.DatetimeIndex) -> slice:
        """Return positions of the period's steps on a sorted time axis, as a slice.

        Raises
        ------
        InputError
            The period begins before or ends after the record.
        """
        first = int(times.searchsorted(self.start, side="left"))
        stop = int(times.searchsorted(self.last_moment, side="right"))
        step = times[1] - times[0]
        if self.start < times[0] or self.last_moment >= times[-1] + step or first >= stop:
            raise InputError(
                f"the period {self} is not inside the data, which run from {date_label(times[0])} to {date_label(times[-1])}; "
                "choose dates inside"
            )
        return slice(first, stop)


@dataclass(frozen=True)
class Stretches:
    """Several periods as one, for training periods with gaps.

    For example, all years but the test years.

    Parameters
    ----------
    parts
        At least two periods, in order of time. A step belongs to the stretches if it belongs to one part.

    Raises
    ------
    InputError
        There are fewer than two parts, or they overlap or are out of order.

    Examples
    --------
    >>> str(Stretches([("1980-10-01", "1989-09-30"), ("1999-10-01", "2008-09-30")]))
    '1980-10-01 to 1989-09-30 and 1999-10-01 to 2008-09-30'
    """

    parts: Sequence[Period]

    def __post_init__(self) -> None:
        if not isinstance(self.parts, Iterable) or isinstance(self.parts, str | Period):
            raise InputError(f"parts = {self.parts} must be a list of periods, such as parts = [Period(...), Period(...)]")
        object.__setattr__(self, "parts", tuple(as_single_period("parts", one) for one in self.parts))
        if len(self.parts) < 2:
            raise InputError("stretches are two periods or more; give a single one as [first day, last day]")
        for one, after in pairwise(self.parts):
            if after.start <= one.last_moment:
                raise InputError(f"the stretch {after} does not come after {one}; put them in order, without overlap")

    def __str__(self) -> str:
        return " and ".join(map(str, self.parts))

    @property
    def last_moment(self) -> pd.Timestamp:
        """The last moment of the last part."""
        return self.parts[-1].last_moment

    def overlaps(self, other: "Period | Stretches") -> bool:
        """Return whether the two share a moment."""
        return any(one.overlaps(other) for one in self.parts)

    def labels(self, times: pd.DatetimeIndex) -> pd.DatetimeIndex:
        """Return the steps of all parts as labels, for `dataset.sel(time=...)`."""
        return times[self.positions(times)]

    def positions(self, times: pd.DatetimeIndex) -> np.ndarray:
        """Return positions of the steps of all parts, (step,); raises as `Period.steps`."""
        return np.concatenate([one.positions(times) for one in self.parts])


AnyPeriod = Period | Stretches


def period_of(dates: Sequence[Any]) -> AnyPeriod:
    """Make a period of [first day, last day], or of a list of such pairs.

    >>> str(period_of([["1980-10-01", "1989-09-30"], ["1999-10-01", "2008-09-30"]]))
    '1980-10-01 to 1989-09-30 and 1999-10-01 to 2008-09-30'
    """
    if not isinstance(dates[0], list | tuple):
        return Period(*dates)
    return Period(*dates[0]) if len(dates) == 1 else Stretches(tuple(Period(*one) for one in dates))


def as_period(name: str, value: object) -> AnyPeriod:
    """Convert an argument to a period.

    Parameters
    ----------
    name
        Name of the argument, at the start of error messages.
    value
        A period, (first day, last day), a list of such pairs, or a slice of dates.

    Examples
    --------
    >>> str(as_period("period", ("1999-10-01", "2000-09-30"))), str(as_period("period", slice("1999-10-01", "2000-09-30")))
    ('1999-10-01 to 2000-09-30', '1999-10-01 to 2000-09-30')
    """
    if isinstance(value, Period | Stretches):
        return value
    if isinstance(value, slice):
        value = [value.start, value.stop]
    if not isinstance(value, list | tuple) or len(value) == 0:
        raise InputError(f'{name} = {value!r} is no period; write {name} = Period("1999-10-01", "2008-09-30")')
    pairs = value if all(isinstance(one, list | tuple | Period) for one in value) else [value]
    if any(not isinstance(one, Period) and len(one) != 2 for one in pairs):
        raise InputError(f'{name} = {value!r} has not two dates; write {name} = Period("1999-10-01", "2008-09-30")')
    try:
        parts = [one if isinstance(one, Period) else Period(*one) for one in pairs]
        return parts[0] if len(parts) == 1 else Stretches(parts)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def as_labels(name: str, value: object, times: pd.DatetimeIndex) -> Labels:
    """Convert an argument to labels for `dataset.sel(time=...)`.

    A slice or an index of times is returned unchanged; anything else is read by `as_period`.
    """
    return value if isinstance(value, slice | pd.DatetimeIndex) else as_period(name, value).labels(times)


def as_single_period(name: str, value: object) -> Period:
    """Convert an argument to a period as `as_period`; raise on several stretches."""
    period = as_period(name, value)
    if isinstance(period, Stretches):
        raise InputError(f"{name} is {period}, and only a training period may have several stretches; give a single one")
    return period


def _timestamp(date: Date) -> pd.Timestamp:
    try:
        if not isinstance(date, str | datetime.date | np.datetime64) or (isinstance(date, str) and not _WHOLE_DATE.match(date)):
            raise ValueError
        moment = pd.Timestamp(date)
    except (ValueError, OverflowError):
        raise InputError(f"{repr(date)[:100]} is not a date; write it as 1999-10-01") from None
    if pd.isna(moment):
        raise InputError("a period has an empty date; write it as 1999-10-01")
    if moment.tzinfo is not None:
        raise InputError(f"the date {date} carries a time zone; give it in the time of the data, without one")
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise InputError(
            f"the date {str(date)[:100]} is outside the years {FIRST_YEAR} to {LAST_YEAR}, which times can be in; correct it"
        )
    return moment
