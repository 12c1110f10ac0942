"""Device, precision, threads and memory of the computation."""

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
    """Return the torch device of a name such as "cuda:1".

    "auto" takes the fastest available one.

    Raises
    ------
    InputError
        The name is unknown, or the device is not available.
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
    """Return a context for matrix products in a precision.

    Weights and sums stay float32.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=resolve_precision(precision, device) == "bfloat16")


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Return the precision, or float32 if the device has no bfloat16 (logged once)."""
    check_choice("precision", precision, get_args(Precision))
    return "bfloat16" if precision == "bfloat16" and _has_bfloat16(device.type) else "float32"


def precision_now(device: torch.device) -> Precision:
    """Return the precision of matrix products in the current context.

    See `products_in`.
    """
    return "bfloat16" if torch.is_autocast_enabled(device.type) else "float32"


@cache
def _has_bfloat16(device: str) -> bool:
    """Check whether an LSTM runs in bfloat16 on a device.

    Torch raises on a CPU with AVX2 only, for example.
    """
    try:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            nn.LSTM(1, 1, device=device)(torch.zeros(1, 1, 1, device=device))
    except RuntimeError:
        LOG.warning("this %s has no bfloat16: float32 is used instead, which is more exact and takes longer", device)
        return False
    return True


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # M_TRIM_THRESHOLD and so on of glibc's malloc.h


_AFTERWARDS = {_MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20, _MMAP_MAX: 65536}
"""Thresholds that glibc reaches in a process that has freed large blocks; after a manual setting they stay fixed."""


@contextmanager
def freed_memory_kept(*, keep: bool = True) -> Iterator[None]:
    """Keep freed memory in the C library, in the whole process.

    The end of the context returns it to the system.

    Without effect if `keep` is false (`Recipe.keep_memory`), if the environment variable RUNOFF_LSTM_KEEP_MEMORY is 0, or on
    systems other than Linux with glibc.

    An update of an LSTM on a CPU allocates and frees tens of megabytes. glibc returns each such block to the system and requests it
    again, and the system zeroes every page. This takes up to half of an update (see tests/benchmarks/README.md). Values do not
    change.
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
"""Minimum speed-up that more threads must reach on an idle machine. On a busy one threads wait for each other and take many times
as long."""


ONE_THREAD: dict[Precision, int] = {"float32": 1_000_000, "bfloat16": 10_000_000}
"""Weights times windows per thread, by precision. Up to these a second thread gains less than `GAIN` (see
tests/benchmarks/README.md). The steps of a sequence run one after the other, so their number has no effect."""


Threads = int | str | None
"""A number of threads; "auto": the first passes are timed; None: `threads_by_rule`."""


def check_threads(threads: Threads) -> None:
    """Raise if a value is not a number of threads."""
    if threads is None or threads == "auto" or (isinstance(threads, int) and not isinstance(threads, bool) and threads >= 1):
        return
    raise InputError(f'threads = {threads!r} is no number of threads; give a whole number from 1 on, such as 1, or "auto"')


def read_threads(text: str | None) -> Threads:
    """Parse a number of threads from the command line."""
    threads: Threads = int(text) if text is not None and text.isdecimal() else text
    check_threads(threads)
    return threads


def processors() -> int:
    """Count the processors of this process.

    These are the processors of its affinity, limited by the quota of its control group.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *map(int, _quotas())]))


_CGROUPS, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def _quotas() -> list[float]:
    """Read the CPU quotas of the control groups (versions 2 and 1) of this process up to the root, in processors."""
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
    """Read the quota of one control group, if it has one."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text() for name in names).split()
            if quota not in ("max", "-1"):
                return [int(quota) / int(period)]
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return []


_CAP: ContextVar[int | None] = ContextVar("cap", default=None)
"""Number of threads of torch before `with_threads` changed it: the default, or the number set by the user."""


def threads_available() -> int:
    """Return the largest number of threads.

    This is the minimum of `processors`, OMP_NUM_THREADS and the torch setting.
    """
    limits = [processors(), _CAP.get() or torch.get_num_threads()]
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    limits += [int(first)] if first.isdecimal() else []
    return max(1, min(limits))


def threads_by_rule(size: int, precision: Precision = "float32") -> int:
    """Choose one thread per `ONE_THREAD` of work, up to the available ones.

    The same work on the same machine takes the same number of threads under any load. The same seed thus gives the same run.

    Parameters
    ----------
    size
        Weights times windows computed at once.
    precision
        Precision of the device.
    """
    return max(1, min(threads_available(), -(-size // ONE_THREAD[precision])))


@contextmanager
def with_threads(count: int) -> Iterator[None]:
    """Set the number of threads of torch within this context."""
    before = torch.get_num_threads()
    token = _CAP.set(_CAP.get() or before)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _CAP.reset(token)


TRIES = 5
"""Passes that "auto" times for each number of threads, after one warm-up pass."""


class ThreadCount:
    """Number of threads of repeated passes.

    Parameters
    ----------
    threads
        Setting; limited to the available threads, which is logged.
    model, windows, device
        Network, number of windows computed at once, and device. Rule and timing apply to a CPU only.
    precision
        Precision of the matrix products.
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
        """Run one update or batch on these threads.

        While "auto" is undecided, the pass runs on the next number in turn.
        """
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
        """Whether the number is final."""
        return not self.trials

    def _settle(self) -> None:
        """Choose more threads only if they were `GAIN` times as fast as fewer."""
        medians = {count: statistics.median(taken[1:]) for count, taken in self.trials.items()}
        for count in sorted(medians):
            if medians[self.count] >= GAIN * medians[count]:
                self.count = count
        self.trials = {}


@cache
def _log_once(level: int, text: str) -> None:
    LOG.log(level, text)


def log_threads(count: int) -> None:
    """Log the number of threads, once for each number."""
    _log_once(logging.INFO, f"{count} thread(s), {threads_available()} available")


FIRST, LATEST = slice(5, 25), 20
"""First updates of a process as reference, and number of latest updates compared with them."""


BUSY, SECONDS_LOST = 4.0, 0.02
"""Updates count as slow at this multiple of the first ones and at this minimum delay in seconds."""


class Pace:
    """Monitor of update times that warns once if they are several times those of the first updates."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.latest: deque[float] = deque(maxlen=LATEST)
        self.told = False

    def add(self, seconds: float, *, update: int, threads: int) -> None:
        """Record the duration of an update."""
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
