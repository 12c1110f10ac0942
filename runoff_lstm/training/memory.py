"""Memory that large tensors free, kept for the next ones instead of handed back to the system at every update."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
