"""Jobs for `run_beside` that need next to nothing imported, so that a process is there at once."""

import atexit
import os
import signal
import sys
import time
from pathlib import Path


def report_sum(label, shared, asked, report):
    """What is asked, and the sum of the shared list."""
    for number in range(asked):
        report((number, sum(map(len, shared))))


def write_names(label, shared, asked, report):
    """Which modules of the parent's script are here, and which process this is."""
    Path(asked).with_name(label).write_text(f"{os.getpgrp()} {'SCRIPT' in vars(sys.modules['__main__'])}")
    print("no message")


def write_into(label, shared, asked, report):
    """Change the shared array, which no other job may see."""
    report(float(shared.sum()))
    shared[:] = 7


def refuse(label, shared, asked, report):
    from runoff_lstm.errors import InputError

    raise InputError(f"{asked} is not there")


def fail(label, shared, asked, report):
    raise KeyError(asked)


def die(label, shared, asked, report):
    """End from outside before, between or after the reports, or without a signal; wait where another one dies."""
    if asked == "wait":
        time.sleep(60)
    if asked == "middle":
        report("begun")
    if asked == "exit":
        os._exit(3)
    if asked == "end":
        report("begun")
        atexit.register(os.kill, os.getpid(), signal.SIGKILL)
        return
    os.kill(os.getpid(), signal.SIGKILL)
