"""The short form of the benchmarks, which tests/test_benchmarks.py runs: all is gone through once, and no figure means anything."""

import os
from typing import TypeVar

Setting = TypeVar("Setting")

BRIEF = bool(os.environ.get("RUNOFF_LSTM_BRIEF"))


def setting(full: Setting, *, brief: Setting) -> Setting:
    """A setting of a benchmark, or where RUNOFF_LSTM_BRIEF is set that of its short form."""
    return brief if BRIEF else full
