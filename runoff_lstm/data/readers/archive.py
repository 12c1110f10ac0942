"""Read the many files of an archive, one or more per basin, in parallel into one raw Dataset; missing days are logged."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import BASIN, DAY, TIME
from runoff_lstm.errors import InputError, check_choice

LOG = logging.getLogger("runoff_lstm")

OnMissing = Literal["refuse", "skip"]
Observe = Callable[[int, int], None]
"""Called after every basin with the number of basins read and their total."""


@dataclass(frozen=True)
class BasinSeries:
    """Daily series of one basin in the units of its files.

    Attributes
    ----------
    first
        The first day.
    columns
        Values by variable, float32, one per day from `first` on; NaN on days that are not in the file.
    fixed
        Single numbers by name, such as the area.
    """

    first: np.datetime64
    columns: Mapping[str, np.ndarray]
    fixed: Mapping[str, float] = field(default_factory=dict)

    @property
    def last(self) -> np.datetime64:
        """The last day."""
        return self.first + (len(next(iter(self.columns.values()))) - 1) * DAY


def wanted_basins(gauge_ids: Sequence[str] | None, known: Iterable[str]) -> list[str]:
    """Return the requested gauge ids, checked to be unique text; None: all known ones."""
    if gauge_ids is None:
        return sorted(known)
    check_gauge_ids(gauge_ids)
    return list(gauge_ids)


def check_gauge_ids(gauge_ids: Sequence[str]) -> None:
    """Raise on gauge ids that are not a list, empty, not text or duplicate."""
    if isinstance(gauge_ids, str):
        raise InputError(f'gauge_ids is the text "{gauge_ids}"; give a list, ["{gauge_ids}"]')
    if len(gauge_ids) == 0:
        raise InputError("gauge_ids is an empty list; name a basin, or leave it out for all")
    seen: set[str] = set()
    for gauge_id in gauge_ids:
        if not isinstance(gauge_id, str):
            raise InputError(f'gauge id {gauge_id} is a number, so leading zeros may be lost; write it as text, "{gauge_id}"')
        if gauge_id in seen:
            raise InputError(f"gauge id '{gauge_id}' is asked for twice; name it once")
        seen.add(gauge_id)


def read_side_by_side(
    gauge_ids: Sequence[str],
    read_one: Callable[[str], BasinSeries],
    *,
    on_missing: OnMissing,
    observe: Observe | None,
) -> xr.Dataset:
    """Read every basin into one raw Dataset (basin, time) over the days they span.

    Reads as many basins at a time as there are processors. Basins with absent or damaged files are left out and logged with
    `on_missing = "skip"`. Otherwise the first of them raises an error with the number of the others.
    """
    check_on_missing(on_missing)
    found: list[str] = []
    faults: list[str] = []
    stack = _Stack(len(gauge_ids))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, one in enumerate(pool.map(lambda gauge_id: _fault_or(read_one, gauge_id), gauge_ids)):
            if isinstance(one, InputError):
                faults.append(str(one))
            else:
                stack.add(one)
                found.append(gauge_ids[number])
            if observe is not None:
                observe(number + 1, len(gauge_ids))
    leave_out(faults, on_missing=on_missing)
    if not found:
        raise InputError(f"no basin is left: {faults[0] if faults else 'the list of basins is empty'}")
    return stack.dataset(found)


def leave_out(faults: Sequence[str], *, on_missing: OnMissing) -> None:
    """Log every basin that is left out, or raise on the first one."""
    check_on_missing(on_missing)
    if faults and on_missing == "refuse":
        others = f"; {len(faults) - 1} more have faults" if len(faults) > 1 else ""
        raise InputError(f'{faults[0]}{others}; mend the data, or have such basins left out: on_missing = "skip"')
    for fault in faults:
        LOG.info("left out: %s", fault)


def check_on_missing(on_missing: str) -> None:
    """Raise on anything but the values of `OnMissing`."""
    check_choice("on_missing", on_missing, get_args(OnMissing))


def one_series(
    days: np.ndarray, columns: Mapping[str, np.ndarray], path: Path, fixed: Mapping[str, float] | None = None
) -> BasinSeries:
    """Turn rows of a file into a series of consecutive days.

    Days that are not in the file (February 29 in some) become NaN and are logged.

    Raises
    ------
    InputError
        There is no row, or a day is duplicate or out of order.
    """
    if not len(days):
        raise InputError(f"{path} holds no row; fetch it again")
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
    """Join two series of one basin over the days of the first.

    Days not in the second are NaN.
    """
    length = len(next(iter(one.columns.values())))
    return BasinSeries(one.first, {**one.columns, **_shifted(other, one.first, length)}, {**other.fixed, **one.fixed})


def the_only(files: Mapping[str, Sequence[Path]], gauge_id: str, what: str) -> Path:
    """Return the basin's file; copies in several folders must be identical."""
    if gauge_id not in files:
        raise InputError(f"the archive has no {what} of it")
    first, *others = files[gauge_id]
    differing = [other for other in others if other.read_bytes() != first.read_bytes()]
    if differing:
        raise InputError(f"{first} and {differing[0]} differ; keep the right one")
    return first


def first_line(error: Exception) -> str:
    """Return the first line of an error, cut to 150 characters.

    Some libraries add advice below it.
    """
    text = str(error).strip().partition("\n")[0]
    return text if len(text) <= 150 else f"{text[:150]} ..."


class _Stack:
    """Series stacked as they are read, so that each basin is in memory once."""

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0
        self.first, self.last = np.datetime64("NaT", "D"), np.datetime64("NaT", "D")
        self.blocks: dict[str, np.ndarray] = {}
        self.fixed: dict[str, np.ndarray] = {}

    def add(self, one: BasinSeries) -> None:
        """Add one basin as the next row."""
        self._span(one.first, one.last)
        begin = int((one.first - self.first) / DAY)
        for name, values in one.columns.items():
            if name not in self.blocks:
                self.blocks[name] = np.full((self.most, int((self.last - self.first) / DAY) + 1), np.nan, np.float32)
            self.blocks[name][self.count, begin : begin + len(values)] = values
        for name, value in one.fixed.items():
            self.fixed.setdefault(name, np.full(self.most, np.nan))[self.count] = value
        self.count += 1

    def dataset(self, gauge_ids: Sequence[str]) -> xr.Dataset:
        """Return the stacked series by gauge id."""
        variables: dict[str, Any] = {name: ((BASIN, TIME), block[: self.count]) for name, block in self.blocks.items()}
        variables |= {name: ((BASIN,), values[: self.count]) for name, values in self.fixed.items()}
        return xr.Dataset(variables, coords={BASIN: list(gauge_ids), TIME: pd.date_range(self.first, self.last, freq="D")})

    def _span(self, first: np.datetime64, last: np.datetime64) -> None:
        """Extend all blocks to cover `first` to `last`; new days are NaN."""
        before = self.first
        self.first, self.last = np.fmin(self.first, first), np.fmax(self.last, last)
        length = int((self.last - self.first) / DAY) + 1
        for name, block in self.blocks.items():
            if block.shape[1] < length:
                begin = int((before - self.first) / DAY)
                self.blocks[name] = np.full((self.most, length), np.nan, np.float32)
                self.blocks[name][:, begin : begin + block.shape[1]] = block


def _shifted(series: BasinSeries, first: np.datetime64, length: int) -> dict[str, np.ndarray]:
    """Return the columns of a series over `length` days from `first`.

    Days outside the series are NaN.
    """
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
