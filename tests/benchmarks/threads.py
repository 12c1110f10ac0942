"""What a second thread gains, by the size of the work: bare `nn.LSTM` with one thread and with more, in turn in one process.

python tests/benchmarks/threads.py [--threads N] [--seconds S]

The size is weights times windows. Ratios are one thread's time over that of N: of the medians, and of the quickest passes, which
are the nearest to a quiet machine. The load is shown first and last.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from brief import setting
from torch import nn

from runoff_lstm.inputs.device import Precision, freed_memory_kept, products_in, resolve_precision, with_threads

INPUTS, STEPS = setting((32, 100), brief=(2, 4))
HIDDEN, WINDOWS = setting(((16, 64, 128, 256), (4, 16, 64, 256)), brief=((4,), (2,)))
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
PAIRS = setting(40, brief=1)
CPU = torch.device("cpu")


def passes_of(hidden: int, windows: int, precision: Precision) -> tuple[int, Callable[[], None], Callable[[], None]]:
    """The size of the work, an update (forward and backward), and a simulation (forward)."""
    layer, sequence = nn.LSTM(INPUTS, hidden, batch_first=True), torch.randn(windows, STEPS, INPUTS)

    def update() -> None:
        with products_in(precision, CPU):
            output, _ = layer(sequence)
        torch.autograd.backward(output.float().square().mean())

    @torch.no_grad()
    def simulation() -> None:
        with products_in(precision, CPU):
            layer(sequence)

    return windows * sum(one.numel() for one in layer.parameters()), update, simulation


def in_turn(run: Callable[[], None], more: int, *, budget: float) -> tuple[list[float], list[float]]:
    """Seconds on one thread and on `more`, pair by pair, as long as the budget lasts."""
    one: list[float] = []
    several: list[float] = []
    ends = time.perf_counter() + budget
    while len(one) <= PAIRS and (len(one) < 2 or time.perf_counter() < ends):  # the first pair warms up
        for count, taken in ((1, one), (more, several)):
            with with_threads(count):
                began = time.perf_counter()
                run()
                taken.append(time.perf_counter() - began)
    return one[1:], several[1:]


def load() -> str:
    """The load of the machine, and the processors that share it."""
    now = Path("/proc/loadavg").read_text().split()[0] if Path("/proc/loadavg").exists() else "unknown"
    return f"load {now} on {os.cpu_count()} processor(s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=setting(2.0, brief=0.0), help="for each row")
    asked = parser.parse_args()
    print(f"1 and {asked.threads} threads, torch {torch.__version__}, {load()}")
    print(f"{'precision':9} {'hidden':>6} {'windows':>7} {'size':>11} {'pass':10} {'one, ms':>8} {'ratio':>6} {'quickest':>8}")
    for precision in PRECISIONS:
        if resolve_precision(precision, CPU) != precision:
            continue
        for hidden in HIDDEN:
            for windows in WINDOWS:
                size, update, simulation = passes_of(hidden, windows, precision)
                for name, run in (("update", update), ("simulation", simulation)):
                    with freed_memory_kept():
                        one, more = in_turn(run, asked.threads, budget=asked.seconds)
                    ratio, quickest = (kind(one) / kind(more) for kind in (statistics.median, min))
                    ms = statistics.median(one) * 1e3
                    print(f"{precision:9} {hidden:6} {windows:7} {size:11,} {name:10} {ms:8.1f} {ratio:6.2f} {quickest:8.2f}")
    print(load())


if __name__ == "__main__":
    main()
