"""Every kind of dropout against bare torch.nn.LSTM, forward and backward, in turn.

python tests/benchmarks/dropout.py [DEVICE] [THREADS]
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

from runoff_lstm.models import Dropout, Stack

BATCH, STEPS, FEATURES, HIDDEN = 64, 729, 3, 64
ROUNDS = 15

KINDS = {
    "none": Dropout(),
    "output": Dropout(output=0.4),
    "non_recurrent": Dropout(kind="non_recurrent", input=0.1, output=0.4),
    "variational, inputs alone": Dropout(kind="variational", input=0.2, output=0.4),
    "weight_drop": Dropout(kind="weight_drop", recurrent=0.3),
    "weight_drop, rows": Dropout(kind="weight_drop", recurrent=0.3, rows=True),
    "weight_drop, all": Dropout(kind="weight_drop", weights="all", input=0.5, recurrent=0.5),
    "naive": Dropout(kind="naive", recurrent=0.2),
    "variational": Dropout(kind="variational", recurrent=0.2),
    "variational, untied": Dropout(kind="variational", recurrent=0.2, tied=False),
    "rnndrop": Dropout(kind="rnndrop", recurrent=0.2),
    "recurrent, per step": Dropout(kind="recurrent", recurrent=0.2),
    "recurrent, per sequence": Dropout(kind="recurrent", recurrent=0.2, per="sequence"),
}


def timed(run: Callable[[], None], device: torch.device) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else torch.get_num_threads())
    sequence = torch.randn(BATCH, STEPS, FEATURES, device=device)
    weight = torch.randn(BATCH, STEPS, HIDDEN, device=device)
    layers = {"bare nn.LSTM": nn.LSTM(FEATURES, HIDDEN, batch_first=True).to(device)}
    layers |= {name: Stack(FEATURES, [HIDDEN], dropout=dropout).to(device) for name, dropout in KINDS.items()}

    def update(layer: nn.Module) -> None:
        layer.zero_grad()
        (layer(sequence)[0] * weight).sum().backward()

    times: dict[str, list[float]] = {name: [] for name in layers}
    for layer in layers.values():
        update(layer)
    for _ in range(ROUNDS):
        for name, layer in layers.items():
            times[name].append(timed(lambda layer=layer: update(layer), device))
    print(f"hidden {HIDDEN}, batch {BATCH}, {STEPS} steps, {device}, {torch.get_num_threads()} threads, median of {ROUNDS} rounds")
    for name, some in times.items():
        ratio = statistics.median(one / bare for one, bare in zip(some, times["bare nn.LSTM"], strict=True))
        print(f"{name:28s} {statistics.median(some) * 1e3:7.1f} ms  {ratio:5.2f}")


if __name__ == "__main__":
    main()
