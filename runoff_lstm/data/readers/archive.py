"""From the many files of an archive, one or more a basin, to one raw Dataset: read side by side, gaps counted, nothing guessed."""

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


def wanted_basins(gauge_ids: Sequence[str] | None, known: Iterable[str]) -> list[str]:
    """The gauge ids asked for, each once and as text; None: all that are known."""
    if gauge_ids is None:
        return sorted(known)
    check_gauge_ids(gauge_ids)
    return list(gauge_ids)


def check_gauge_ids(gauge_ids: Sequence[str]) -> None:
    """Refuse a list of gauge ids that is empty, no list, has a number in it or an id twice."""
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
    """Read every basin, as many at a time as there are processors, to one raw Dataset (basin, time) over the days they span.

    With `on_missing = "skip"` a basin whose files are absent or damaged is left out and told; else the first such basin is refused,
    with the number of the others.
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
    """Tell of the basins that are left out, a sentence each, or refuse the first of them."""
    check_on_missing(on_missing)
    if faults and on_missing == "refuse":
        others = f"; {len(faults) - 1} more have faults" if len(faults) > 1 else ""
        raise InputError(f'{faults[0]}{others}; mend the data, or have such basins left out: on_missing = "skip"')
    for fault in faults:
        LOG.info("left out: %s", fault)


def check_on_missing(on_missing: str) -> None:
    """Refuse anything but the words of `OnMissing`."""
    check_choice("on_missing", on_missing, get_args(OnMissing))


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
    """Two series of one basin beside each other, over the days of the first; days the second does not have are NaN."""
    length = len(next(iter(one.columns.values())))
    return BasinSeries(one.first, {**one.columns, **_shifted(other, one.first, length)}, {**other.fixed, **one.fixed})


def the_only(files: Mapping[str, Sequence[Path]], gauge_id: str, what: str) -> Path:
    """The basin's file; where several folders have one, they must hold the same."""
    if gauge_id not in files:
        raise InputError(f"the archive has no {what} of it")
    first, *others = files[gauge_id]
    differing = [other for other in others if other.read_bytes() != first.read_bytes()]
    if differing:
        raise InputError(f"{first} and {differing[0]} differ; keep the right one")
    return first


def first_line(error: Exception) -> str:
    """What an error says, without the advice that some libraries add below, nor all of a long cell."""
    text = str(error).strip().partition("\n")[0]
    return text if len(text) <= 150 else f"{text[:150]} ..."


class _Stack:
    """Series laid one below the other as they are read, so that no basin is there twice."""

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0
        self.first, self.last = np.datetime64("NaT", "D"), np.datetime64("NaT", "D")
        self.blocks: dict[str, np.ndarray] = {}
        self.fixed: dict[str, np.ndarray] = {}

    def add(self, one: BasinSeries) -> None:
        """Lay one more basin below the others."""
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
        """What has been laid down, by gauge id."""
        variables: dict[str, Any] = {name: ((BASIN, TIME), block[: self.count]) for name, block in self.blocks.items()}
        variables |= {name: ((BASIN,), values[: self.count]) for name, values in self.fixed.items()}
        return xr.Dataset(variables, coords={BASIN: list(gauge_ids), TIME: pd.date_range(self.first, self.last, freq="D")})

    def _span(self, first: np.datetime64, last: np.datetime64) -> None:
        """Have all blocks reach from `first` to `last` at least, as NaN on days that are new."""
        before = self.first
        self.first, self.last = np.fmin(self.first, first), np.fmax(self.last, last)
        length = int((self.last - self.first) / DAY) + 1
        for name, block in self.blocks.items():
            if block.shape[1] < length:
                begin = int((before - self.first) / DAY)
                self.blocks[name] = np.full((self.most, length), np.nan, np.float32)
                self.blocks[name][:, begin : begin + block.shape[1]] = block


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
