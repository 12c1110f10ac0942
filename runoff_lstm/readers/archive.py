"""From the many files of an archive, one or more a basin, to one raw Dataset: read side by side, gaps counted, nothing guessed."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.schema import BASIN, DAY, TIME, InputError

LOG = logging.getLogger("runoff_lstm")

OnMissing = Literal["refuse", "skip"]
Observe = Callable[[int, int], None]
"""Told after every basin: how many are read, and of how many."""


@dataclass(frozen=True)
class BasinSeries:
    """The daily series of one basin as its files have them.

    Attributes
    ----------
    first
        The first day.
    columns
        By variable, float32, one value a day from `first` on; NaN on days that the file leaves out.
    fixed
        One number by name, such as the area.
    """

    first: np.datetime64
    columns: Mapping[str, np.ndarray]
    fixed: Mapping[str, float] = field(default_factory=dict)

    @property
    def last(self) -> np.datetime64:
        """The last day."""
        return self.first + (len(next(iter(self.columns.values()))) - 1) * DAY


def read_side_by_side(
    gauge_ids: Sequence[str],
    read_one: Callable[[str], BasinSeries],
    *,
    on_missing: OnMissing,
    observe: Observe | None,
) -> dict[str, BasinSeries]:
    """Read every basin, as many at a time as there are processors.

    With `on_missing = "skip"` a basin whose files are absent or damaged is left out and told; else the first such basin is refused,
    with the number of the others.
    """
    check_on_missing(on_missing)
    found: dict[str, BasinSeries] = {}
    faults: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, one in enumerate(pool.map(lambda gauge_id: _fault_or(read_one, gauge_id), gauge_ids)):
            if isinstance(one, InputError):
                faults.append(str(one))
            else:
                found[gauge_ids[number]] = one
            if observe is not None:
                observe(number + 1, len(gauge_ids))
    leave_out(faults, on_missing=on_missing)
    if not found:
        raise InputError(f"no basin is left: {faults[0] if faults else 'the list of basins is empty'}")
    return found


def leave_out(faults: Sequence[str], *, on_missing: OnMissing) -> None:
    """Tell of the basins that are left out, a sentence each, or refuse the first of them."""
    if faults and on_missing == "refuse":
        others = f" (so do {len(faults) - 1} more basins)" if len(faults) > 1 else ""
        raise InputError(f'{faults[0]}{others}; mend the archive, or have such basins left out: on_missing = "skip"')
    for fault in faults:
        LOG.info("left out: %s", fault)


def check_on_missing(on_missing: str) -> None:
    """Refuse anything but the two words."""
    if on_missing not in ("refuse", "skip"):
        raise InputError(f'on_missing = "{on_missing}": choose "refuse" or "skip"')


def one_series(
    days: np.ndarray, columns: Mapping[str, np.ndarray], path: Path, fixed: Mapping[str, float] | None = None
) -> BasinSeries:
    """Rows of a file as a series without holes: days that the file leaves out (February 29 in some) become NaN and are told.

    Raises
    ------
    InputError
        There is no row, or a day is there twice or out of order.
    """
    if not len(days):
        raise InputError(f"{path} holds no row")
    ahead = np.diff(days)
    if (ahead <= np.timedelta64(0, "D")).any():
        day = days[int(np.argmax(ahead <= np.timedelta64(0, "D"))) + 1]
        raise InputError(f"{path}: the day {day} is there twice or out of order")
    place = (days - days[0]).astype(np.int64)
    if place[-1] + 1 == len(days):
        return BasinSeries(days[0], columns, fixed or {})
    absent = np.setdiff1d(np.arange(place[-1] + 1), place)
    LOG.info("%s leaves out %d day(s), the first %s: they are missing", path, len(absent), days[0] + absent[0])
    whole = {}
    for name, values in columns.items():
        whole[name] = np.full(place[-1] + 1, np.nan, np.float32)
        whole[name][place] = values
    return BasinSeries(days[0], whole, fixed or {})


def joined(one: BasinSeries, other: BasinSeries) -> BasinSeries:
    """Two series of one basin beside each other, over the days of the first; days the second does not have are NaN."""
    length = len(next(iter(one.columns.values())))
    return BasinSeries(one.first, {**one.columns, **_shifted(other, one.first, length)}, {**other.fixed, **one.fixed})


def stacked(series: Mapping[str, BasinSeries], attrs: Mapping[str, Mapping[str, str]]) -> xr.Dataset:
    """All basins as one raw Dataset (basin, time), over the days they span together; `attrs` by variable."""
    first, last = min(one.first for one in series.values()), max(one.last for one in series.values())
    length = int((last - first) / DAY) + 1
    names = list(dict.fromkeys(name for one in series.values() for name in one.columns))
    variables: dict[str, Any] = {}
    for name in names:
        block = np.full((len(series), length), np.nan, np.float32)
        for place, one in enumerate(series.values()):
            if name in one.columns:
                begin = int((one.first - first) / DAY)
                block[place, begin : begin + len(one.columns[name])] = one.columns[name]
        variables[name] = ((BASIN, TIME), block, dict(attrs.get(name, {})))
    for name in dict.fromkeys(name for one in series.values() for name in one.fixed):
        values = [one.fixed.get(name, np.nan) for one in series.values()]
        variables[name] = ((BASIN,), np.asarray(values), dict(attrs.get(name, {})))
    times = pd.date_range(first, periods=length, freq="D")
    return xr.Dataset(variables, coords={BASIN: list(series), TIME: times})


def _shifted(series: BasinSeries, first: np.datetime64, length: int) -> dict[str, np.ndarray]:
    """The columns of a series over `length` days from `first`."""
    offset = int((series.first - first) / DAY)
    shifted = {}
    for name, values in series.columns.items():
        shifted[name] = np.full(length, np.nan, np.float32)
        begin, stop = max(offset, 0), min(offset + len(values), length)
        if stop > begin:
            shifted[name][begin:stop] = values[begin - offset : stop - offset]
    return shifted


def _fault_or(read_one: Callable[[str], BasinSeries], gauge_id: str) -> BasinSeries | InputError:
    try:
        return read_one(gauge_id)
    except InputError as error:
        return InputError(f"basin {gauge_id}: {error}")
    except OSError as error:
        return InputError(f"basin {gauge_id}: {error.filename} cannot be read ({error.strerror})")
