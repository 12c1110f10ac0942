"""What it is worth to keep freed memory between the updates of an LSTM on a CPU: forward and backward of bare `nn.LSTM`, both ways.

python tests/benchmarks/memory.py [--threads N]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from brief import setting
from torch import nn

from runoff_lstm.inputs.device import Precision, freed_memory_kept, products_in, resolve_precision

ROUNDS, UPDATES = setting((7, 5), brief=(1, 1))
CASES: tuple[tuple[int, int, int, int, Precision], ...] = setting(  # batch, steps, inputs, hidden size, precision
    (
        (4, 729, 2, 64, "float32"),
        (16, 729, 4, 96, "float32"),
        (256, 365, 5, 64, "float32"),
        (256, 270, 32, 256, "float32"),
        (32, 456, 32, 256, "bfloat16"),
        (64, 456, 32, 256, "bfloat16"),
    ),
    brief=((2, 8, 2, 4, "float32"), (2, 8, 2, 4, "bfloat16")),
)
CPU = torch.device("cpu")


def update_of(batch: int, steps: int, inputs: int, hidden: int, precision: Precision) -> Callable[[], None]:
    """One forward and backward pass."""
    layer, sequence = nn.LSTM(inputs, hidden, batch_first=True), torch.randn(batch, steps, inputs)

    def update() -> None:
        with products_in(precision, CPU):
            output, _ = layer(sequence)
        torch.autograd.backward(output.float().square().mean())

    return update


def seconds(update: Callable[[], None]) -> float:
    """Median of a few updates, after one to warm up."""
    update()
    taken = []
    for _ in range(UPDATES):
        began = time.perf_counter()
        update()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    torch.set_num_threads(parser.parse_args().threads)
    print(f"{torch.get_num_threads()} thread(s), torch {torch.__version__}")
    for case in CASES:
        batch, steps, _, hidden, precision = case
        if resolve_precision(precision, CPU) != precision:
            continue
        update = update_of(*case)
        handed_back, kept = [], []
        for _ in range(ROUNDS):
            for keeping, times in ((nullcontext(), handed_back), (freed_memory_kept(), kept)):
                with keeping:
                    times.append(seconds(update))
        ratio = statistics.median(before / after for before, after in zip(handed_back, kept, strict=True))
        print(
            f"batch {batch:3d}, {steps} steps, hidden {hidden:3d}, {precision}: "
            f"{statistics.median(handed_back) * 1e3:6.0f} ms, kept {statistics.median(kept) * 1e3:6.0f} ms, ratio {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
