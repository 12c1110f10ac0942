"""A converted store of the 531 basins, in a fresh process: opened, made ready, first update; then the simulation of ten years.

python tests/benchmarks/first_update.py STORE     (camels_us.nc or camels_us.zarr, as `runoff-lstm convert` writes them)
"""

import argparse
import time
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import hydroeval  # noqa: F401 - imports are not part of what is measured
import netCDF4  # noqa: F401
import torch
from brief import BRIEF

import runoff_lstm as rl
from runoff_lstm.experiment import read_experiment
from runoff_lstm.inputs.checks import check
from runoff_lstm.training.setup import prepare

CONFIG = Path(__file__).parents[2] / "catchments" / "camels_us" / "camels_us.toml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    store = parser.parse_args().store
    warnings.filterwarnings("ignore", category=rl.OutsideTrainingRangeWarning)
    overrides = ["model.hidden_sizes=[4]", "training.batch_size=2"] if BRIEF else []
    arguments = read_experiment(CONFIG, overrides=overrides).arguments()
    inputs, periods = arguments["inputs"], arguments["periods"]
    began = time.perf_counter()
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])  # the first optimiser of a process imports a large part of torch
    imports = time.perf_counter() - began
    times = [time.perf_counter()]
    dataset = rl.read_netcdf(store, variables=[*inputs.forcing, *inputs.static_attributes, "discharge"])
    times.append(time.perf_counter())
    training = prepare(
        check(dataset, inputs, rl.Periods(train=periods.train)),
        recipe=replace(arguments["recipe"], steps=1),
        architecture=arguments["architecture"],
        device="cpu",
    )
    times.append(time.perf_counter())
    trained = training.run(observe=lambda _: times.append(time.perf_counter()))  # told of the update, before all that follows it
    times.append(time.perf_counter())
    simulated = trained.model.simulate(dataset, period=periods.test)["simulated"]
    times.append(time.perf_counter())
    read, ready, update, variance, simulation = (after - before for before, after in pairwise(times))
    print(f"read {read:.2f} s, made ready {ready:.2f} s, first update {update:.2f} s: {times[3] - times[0]:.2f} s")
    print(f"imports that torch makes with its first optimiser, left out: {imports:.2f} s")
    print(f"variance of the root, from a simulation of the training period: {variance:.1f} s")
    print(f"simulation of {simulated.sizes['basin']} basins, {simulated.sizes['time']} days: {simulation:.1f} s")


if __name__ == "__main__":
    main()
