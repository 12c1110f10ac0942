"""Where and how the arithmetic runs: device, precision, threads and memory."""

import ctypes
import logging
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import nn

from runoff_lstm.errors import InputError, check_choice

LOG = logging.getLogger(__name__)


Precision = Literal["float32", "bfloat16"]


Device = Literal["auto", "cpu", "cuda", "mps"]


def resolve_device(device: str | torch.device) -> torch.device:
    """The torch device of that name, or of one such as "cuda:1"; "auto" takes the fastest that is available.

    Raises
    ------
    InputError
        The name is not known, or this machine does not have the device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    kind, _, number = str(device).partition(":")
    check_choice("device", kind, get_args(Device))
    if kind == "auto":
        return torch.device(next(name for name, is_there in there.items() if is_there))
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not there[kind] or (number and not (number.isdecimal() and int(number) < count)):
        raise InputError(f"device {device} is not available; choose {' or '.join(name for name in there if there[name])}")
    return torch.device(str(device))


def products_in(precision: Precision, device: torch.device) -> torch.autocast:
    """A context in which a model takes its matrix products in that precision; weights and sums stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=resolve_precision(precision, device) == "bfloat16")


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """The precision that is used where this one is asked for: float32 where the device has no bfloat16, which is logged once."""
    check_choice("precision", precision, get_args(Precision))
    return "bfloat16" if precision == "bfloat16" and _has_bfloat16(device.type) else "float32"


def precision_now(device: torch.device) -> Precision:
    """The precision of the matrix products in the context around; see `products_in`."""
    return "bfloat16" if torch.is_autocast_enabled(device.type) else "float32"


@cache
def _has_bfloat16(device: str) -> bool:
    """Whether an LSTM runs in bfloat16 there: on a CPU with AVX2 alone, say, torch has none and raises."""
    try:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            nn.LSTM(1, 1, device=device)(torch.zeros(1, 1, 1, device=device))
    except RuntimeError:
        LOG.warning("this %s has no bfloat16: float32 is used instead, which is more exact and takes longer", device)
        return False
    return True


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # M_TRIM_THRESHOLD and so on of glibc's malloc.h


_AFTERWARDS = {_MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20, _MMAP_MAX: 65536}
"""Where the thresholds end up by themselves in a process that has freed large blocks; once set by hand they no longer move."""


@contextmanager
def freed_memory_kept(*, keep: bool = True) -> Iterator[None]:
    """While it lasts, the C library keeps what is freed, in the whole process; at the end it hands it back.

    Nothing happens with `keep` false (`Recipe.keep_memory`) or where the environment variable RUNOFF_LSTM_KEEP_MEMORY is 0.

    An update of an LSTM on a CPU takes and frees tens of megabytes. glibc gives each such block back to the system and asks for it
    anew, and the system zeroes every page of it: that is up to half of an update (see tests/benchmarks/README.md). Values do
    not change. Elsewhere than on Linux with glibc nothing happens.
    """
    keep = keep and os.environ.get("RUNOFF_LSTM_KEEP_MEMORY", "1") != "0"
    library = ctypes.CDLL(None) if keep and sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        for option, value in _AFTERWARDS.items():
            library.mallopt(option, value)
        library.malloc_trim(0)


GAIN = 1.3
"""How many times as quick more threads have to be on a quiet machine: on a busy one they wait for each other, and take many times
as long."""


ONE_THREAD: dict[Precision, int] = {"float32": 1_000_000, "bfloat16": 10_000_000}
"""Weights times windows that one thread takes, by precision; up to these a second one gains less than `GAIN` (see
tests/benchmarks/README.md). The steps of a sequence come one after the other, so that their number changes nothing."""


Threads = int | str | None
"""A number of threads; "auto": the first passes are timed; None: `threads_by_rule`."""


def check_threads(threads: Threads) -> None:
    """Refuse what is no number of threads."""
    if threads is None or threads == "auto" or (isinstance(threads, int) and not isinstance(threads, bool) and threads >= 1):
        return
    raise InputError(f'threads = {threads!r} is no number of threads; give a whole number from 1 on, such as 1, or "auto"')


def read_threads(text: str | None) -> Threads:
    """A number of threads as it is written on the command line."""
    threads: Threads = int(text) if text is not None and text.isdecimal() else text
    check_threads(threads)
    return threads


def processors() -> int:
    """The processors that this process may use: those of its affinity, and no more than the quota of its control group."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *map(int, _quotas())]))


_CGROUPS, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def _quotas() -> list[float]:
    """Processors' worth of time that the control groups of this process allow, of version 2 and 1, from its own to the root."""
    try:
        lines = [line.split(":", 2) for line in _OWN_CGROUPS.read_text().splitlines()]
    except OSError:
        return []
    found = []
    for _, names, path in (line for line in lines if len(line) == 3):
        kinds = names.split(",")
        if names and "cpu" not in kinds:
            continue
        for root in [_CGROUPS, _CGROUPS / "unified"] if not names else [_CGROUPS / names, _CGROUPS / "cpu"]:
            own = root / path.lstrip("/")
            for folder in (own, *own.parents):
                if folder.is_relative_to(root):
                    found += _quota(folder)
    return found


def _quota(folder: Path) -> list[float]:
    """The quota of one control group, where it has one."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            if quota not in ("max", "-1"):
                return [int(quota) / int(period)]
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return []


_CAP: ContextVar[int | None] = ContextVar("cap", default=None)
"""What torch's number of threads was before `with_threads` changed it: its own default, or what the user has set."""


def threads_available() -> int:
    """The most threads that are used: `processors`, the variable OMP_NUM_THREADS, and what torch was set to by the user."""
    limits = [processors(), _CAP.get() or torch.get_num_threads()]
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    limits += [int(first)] if first.isdecimal() else []
    return max(1, min(limits))


def threads_by_rule(size: int, precision: Precision = "float32") -> int:
    """One thread for every `ONE_THREAD` of the work, as far as they are available, however busy the machine is.

    The same work on the same machine so takes the same number, and the same seed gives the same run.

    Parameters
    ----------
    size
        Weights times windows that are computed at once.
    precision
        That the device uses.
    """
    return max(1, min(threads_available(), -(-size // ONE_THREAD[precision])))


@contextmanager
def with_threads(count: int) -> Iterator[None]:
    """Within this context torch takes so many threads."""
    before = torch.get_num_threads()
    token = _CAP.set(_CAP.get() or before)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _CAP.reset(token)


TRIES = 5
"""Passes by which "auto" judges each number of threads, after one that warms up."""


class ThreadCount:
    """How many threads a piece of work takes, pass after pass.

    Parameters
    ----------
    threads
        What was asked for; more than are available are not used, which is logged.
    model, windows, device
        The network, the windows that it computes at once, and where; the rule and the trial are for a CPU.
    precision
        Of its matrix products.
    """

    def __init__(
        self, threads: Threads, model: nn.Module, windows: int, *, device: torch.device, precision: Precision = "float32"
    ) -> None:
        check_threads(threads)
        most = threads_available()
        self.trials: dict[int, list[float]] = {}
        if device.type != "cpu":
            self.count = most
        elif isinstance(threads, int):
            self.count = min(threads, most)
            if threads > most:
                _log_once(logging.WARNING, f"threads = {threads}: {most} are available to this process, and no more are used")
        elif threads == "auto":
            self.count = 1
            self.trials = {2**power: [] for power in range(most.bit_length()) if most > 1}
        else:
            size = windows * sum(one.numel() for one in model.parameters())
            self.count = threads_by_rule(size, resolve_precision(precision, device))

    @contextmanager
    def one_pass(self) -> Iterator[None]:
        """One update, or one batch of a simulation, on these threads; while "auto" is undecided, on the next number in turn."""
        if not self.trials:
            with with_threads(self.count):
                yield
            return
        count = min(self.trials, key=lambda one: len(self.trials[one]))
        with with_threads(count):
            began = time.perf_counter()
            yield
            self.trials[count].append(time.perf_counter() - began)
        if min(map(len, self.trials.values())) > TRIES:
            self._settle()

    @property
    def settled(self) -> bool:
        """Whether the number will stay as it is."""
        return not self.trials

    def _settle(self) -> None:
        """Take more threads only where they were `GAIN` times as quick as fewer."""
        medians = {count: statistics.median(taken[1:]) for count, taken in self.trials.items()}
        for count in sorted(medians):
            if medians[self.count] >= GAIN * medians[count]:
                self.count = count
        self.trials = {}


@cache
def _log_once(level: int, text: str) -> None:
    LOG.log(level, text)


def log_threads(count: int) -> None:
    """Say how many threads are used, once for each number."""
    _log_once(logging.INFO, f"{count} thread(s), {threads_available()} available")


FIRST, LATEST = slice(5, 25), 20
"""Updates of a process that set its pace, and how many of the latest ones are held against them."""


BUSY, SECONDS_LOST = 4.0, 0.02
"""How many times as slow as the first updates the latest ones are called slow, and how much later at least each has to be."""


class Pace:
    """Notices once where updates come several times slower than the first ones of this process."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.latest: deque[float] = deque(maxlen=LATEST)
        self.told = False

    def add(self, seconds: float, *, update: int, threads: int) -> None:
        """Note what an update took."""
        if len(self.first) < FIRST.stop:
            self.first.append(seconds)
            return
        self.latest.append(seconds)
        if self.told or len(self.latest) < LATEST:
            return
        usual, now = statistics.median(self.first[FIRST]), statistics.median_low(self.latest)
        if now >= BUSY * usual and now - usual >= SECONDS_LOST:
            self.told = True
            helps = "fewer programs or --workers at a time help"
            if threads > 1:
                helps = "stop, and resume with --threads 1 (in Python Recipe(threads=1)): one thread waits for no other"
            LOG.warning(
                "update %d: updates take %.2g s, the first ones took %.2g s: the machine is busy; %s", update, now, usual, helps
            )
