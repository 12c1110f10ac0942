"""Every kind of dropout against the bare layer of torch, forward and backward, in turn.

python tests/benchmarks/dropout.py [--type gru] [--device cuda] [--threads 1]
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable

import torch
from brief import setting
from torch import nn

from runoff_lstm.errors import InputError
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.models.stack import Stack

BATCH, STEPS, FEATURES, HIDDEN = setting((64, 729, 3, 64), brief=(2, 8, 3, 4))
ROUNDS = setting(15, brief=1)
BARE = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}

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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--type", choices=BARE, default="lstm")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    device = asked.device
    torch.set_num_threads(asked.threads)
    sequence = torch.randn(BATCH, STEPS, FEATURES, device=device)
    weight = torch.randn(BATCH, STEPS, HIDDEN, device=device)
    layers: dict[str, nn.Module] = {"bare": BARE[asked.type](FEATURES, HIDDEN, batch_first=True)}
    for name, dropout in KINDS.items():
        with contextlib.suppress(InputError):  # a kind that such a layer does not have
            layers[name] = Stack(FEATURES, [HIDDEN], layer_type=asked.type, dropout=dropout)
    for layer in layers.values():
        layer.to(device)

    def update(layer: nn.Module) -> None:
        layer.zero_grad()
        (layer(sequence)[0] * weight).sum().backward()

    times: dict[str, list[float]] = {name: [] for name in layers}
    for layer in layers.values():
        update(layer)
    for _ in range(ROUNDS):
        for name, layer in layers.items():
            times[name].append(timed(lambda layer=layer: update(layer), device))
    print(
        f"{asked.type}, hidden {HIDDEN}, batch {BATCH}, {STEPS} steps, {device}, {asked.threads} threads, median of {ROUNDS} rounds"
    )
    for name, some in times.items():
        ratio = statistics.median(one / bare for one, bare in zip(some, times["bare"], strict=True))
        print(f"{name:28s} {statistics.median(some) * 1e3:7.1f} ms  {ratio:5.2f}")


if __name__ == "__main__":
    main()
