"""Where and how the arithmetic runs: device, precision, threads and memory."""

import ctypes
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
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
def freed_memory_kept() -> Iterator[None]:
    """While it lasts, the C library keeps what is freed; at the end it hands it back.

    An update of an LSTM on a CPU takes and frees tens of megabytes. glibc gives each such block back to the system and asks for it
    anew, and the system zeroes every page of it: that is up to half of an update (see tests/benchmarks/README.md). Values do
    not change. Elsewhere than on Linux with glibc nothing happens.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
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


ONE_THREAD = 150_000
"""Weights times windows of an update up to which a CPU is fastest on one thread; more threads would wait for each other, and many
times as long on a machine that has other work to do."""


@contextmanager
def with_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
