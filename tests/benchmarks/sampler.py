"""Windows gathered a second on one thread, memory of the index, and a training update against a bare nn.LSTM on ready tensors.

python tests/benchmarks/sampler.py
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
import xarray as xr
from brief import setting

from runoff_lstm.inputs.scaling import DischargeScale
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.inputs.windows import Windows
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.build import build_model
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.training.loop import fit
from runoff_lstm.training.recipe import Progress, Recipe

FORCING = ["prcp", "srad", "tmax", "tmin", "vp"]
BATCH, LENGTH, HIDDEN = setting((256, 365, 64), brief=(8, 30, 4))
RECORDS = setting(((1, 14_610), (531, 10_593)), brief=((1, 400), (3, 200)))
ROUNDS, BATCHES = setting((10, 100), brief=(1, 2))
PAIRS, WARM_UP = setting((30, 2), brief=(2, 1))


def made_up(basins: int, days: int) -> xr.Dataset:
    """Noise in the shape of a scaled Dataset."""
    random = np.random.default_rng(0)
    values = {name: (("basin", "time"), random.normal(size=(basins, days)).astype("float32")) for name in [*FORCING, "discharge"]}
    return xr.Dataset(
        values, coords={"basin": [f"{n:08d}" for n in range(basins)], "time": pd.date_range("1980-01-01", periods=days)}
    )


def windows_per_second(windows: Windows) -> float:
    """Median over rounds of many batches."""
    tiles = windows.training_tiles(seed=0, epoch=0)
    rounds = []
    for _ in range(ROUNDS):
        start, count = time.perf_counter(), 0
        for batch in windows.batches(tiles[: BATCHES * BATCH], BATCH):
            count += len(batch.basin)
        rounds.append(count / (time.perf_counter() - start))
    return statistics.median(rounds)


def bare_update(windows: Windows) -> Callable[[], None]:
    """Forward, backward and Adam of nn.LSTM and a linear layer on one batch that is ready."""
    layer, linear = torch.nn.LSTM(len(FORCING), HIDDEN, batch_first=True), torch.nn.Linear(HIDDEN, 1)
    parameters = [*layer.parameters(), *linear.parameters()]
    optimizer = torch.optim.Adam(parameters)
    batch = windows.gather(windows.training_tiles(seed=0, epoch=0)[:BATCH])

    def update() -> None:
        loss = (linear(layer(batch.forcing)[0][:, -1]) - batch.discharge[..., 0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return update


def update_ratios(windows: Windows) -> list[float]:
    """Seconds of a whole update of training (gather, forward, backward, clip, Adam, look at the loss) over those of a bare one.

    The bare update runs between two updates of `fit`, so that both meet the machine in the same state.
    """
    model = build_model(Architecture(hidden_sizes=(HIDDEN,), dropout=Dropout(output=0.4)), Inputs(tuple(FORCING)))
    bare, ratios = bare_update(windows), []
    ended = time.perf_counter()

    def run_bare(_: Progress) -> None:
        nonlocal ended
        ours = time.perf_counter() - ended
        start = time.perf_counter()
        bare()
        ended = time.perf_counter()
        ratios.append(ours / (ended - start))

    steps = WARM_UP + PAIRS
    recipe = Recipe(steps=steps, batch_size=BATCH, schedule="constant", validate_every=steps)
    fit(model, windows, recipe, scale=DischargeScale(0.0, np.ones(len(windows.gauge_ids))), observe=run_bare)
    return ratios[WARM_UP:]


def print_rates(when: str) -> None:
    """Windows a second of one long record and of the 531 basins of the benchmark, on one thread."""
    torch.set_num_threads(1)
    for basins, days in RECORDS:
        windows = Windows(made_up(basins, days), FORCING, sequence_length=LENGTH)
        tiles = windows.training_tiles(seed=0, epoch=0)
        index = sum(one.nbytes for one in vars(tiles).values()) / len(tiles)
        rate = windows_per_second(windows) / 1e6
        print(f"{when}, {basins} basin(s): {rate:.2f} million windows/s on one thread, index {index:.0f} bytes a window")


def print_update_ratio() -> None:
    """A strict many-to-one update against bare nn.LSTM, in turn."""
    torch.set_num_threads(2)
    windows = Windows(made_up(*RECORDS[0]), FORCING, sequence_length=LENGTH)
    ratio = statistics.median(update_ratios(windows))
    print(f"strict update, hidden {HIDDEN}, batch {BATCH}: {ratio:.3f} times bare nn.LSTM (median of {PAIRS} pairs)")


def main() -> None:
    print_rates("fresh process")  # each batch is new memory from the system, page by page
    print_update_ratio()
    print_rates("after updates")  # as in training: the allocator keeps its pages


if __name__ == "__main__":
    main()
