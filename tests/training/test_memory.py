import ctypes
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from runoff_lstm.inputs.device import freed_memory_kept

MEGABYTE = 2**20
on_glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc"
)


def resident() -> float:
    """Megabytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def use_and_free(megabytes: int) -> None:
    torch.empty(megabytes * MEGABYTE, dtype=torch.uint8).fill_(1)


def in_a_fresh_process(test):
    """Run a test where no other has left holes in the heap."""

    @functools.wraps(test)
    def apart():
        here = str(Path(__file__).parent)
        code = f"import sys; sys.path.insert(0, {here!r}); import test_memory; test_memory.{test.__name__}.__wrapped__()"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return apart


@on_glibc
@in_a_fresh_process
def test_freed_memory_stays_while_it_lasts_and_goes_back_at_the_end():
    use_and_free(100)
    before = resident()
    with freed_memory_kept():
        use_and_free(100)
        assert resident() > before + 90
        for _ in range(20):  # holes of the heap may be passed over at first
            use_and_free(100)
        settled = resident()
        for _ in range(20):
            use_and_free(100)
        assert resident() < settled + 20
    assert resident() < before + 20


@on_glibc
@in_a_fresh_process
def test_memory_goes_back_at_the_end_of_a_failure_too():
    def fail():
        with freed_memory_kept():
            use_and_free(100)
            raise ZeroDivisionError

    before = resident()
    with pytest.raises(ZeroDivisionError):
        fail()
    assert resident() < before + 20


@pytest.mark.parametrize(("variable", "keep"), [("0", True), ("1", False), (None, False)])
def test_switched_off_the_c_library_is_left_alone(monkeypatch, variable, keep):
    if variable is not None:
        monkeypatch.setenv("RUNOFF_LSTM_KEEP_MEMORY", variable)
    monkeypatch.setattr(ctypes, "CDLL", None)
    with freed_memory_kept(keep=keep):
        use_and_free(1)


def test_where_there_is_no_such_library_nothing_happens(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", None)
    with freed_memory_kept():
        use_and_free(1)
