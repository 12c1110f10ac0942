"""A text archive of CAMELS-US: read, converted to netCDF and to Zarr, opened again, and the first update of a training.

python tests/benchmarks/archives.py FOLDER [--product maurer_extended]

FOLDER holds basin_mean_forcing and usgs_streamflow. Peak memory is that of this process, interpreter and libraries included.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pandas as pd
import xarray as xr
from brief import setting

from runoff_lstm.data.readers import read_camels_us, read_netcdf, write_dataset

Result = TypeVar("Result")

FORCING = ("prcp", "srad", "tmax", "tmin", "vp")
TRAIN = ("1999-10-01", "2008-09-30")
HIDDEN = setting(256, brief=4)


class Table:
    """A row a step: seconds on the wall and of the processor, and the most memory the process has had until then."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []

    def time(self, step: str, do: Callable[[], Result]) -> Result:
        wall, processor = time.perf_counter(), time.process_time()
        result = do()
        self.rows.append(
            {
                "step": step,
                "wall s": f"{time.perf_counter() - wall:.2f}",
                "CPU s": f"{time.process_time() - processor:.2f}",
                "peak MiB": f"{peak_memory():.0f}",
            }
        )
        return result


def peak_memory() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def size(dataset: xr.Dataset) -> float:
    """MiB of the series as float32."""
    return sum(values.size for values in dataset.data_vars.values() if "time" in values.dims) * 4 / 2**20


def first_update(dataset: xr.Dataset) -> None:
    """Everything from a Dataset to the first update of a training on all basins: check, scale, lay out, one step."""
    from runoff_lstm.data.periods import Period
    from runoff_lstm.data.splits import Periods
    from runoff_lstm.inputs.checks import check
    from runoff_lstm.inputs.spec import Inputs
    from runoff_lstm.models.architecture import Architecture
    from runoff_lstm.training.recipe import Recipe
    from runoff_lstm.training.setup import prepare

    training = prepare(
        check(dataset, Inputs(FORCING, sequence_length=365, targets_per_window=365), Periods(train=Period(*TRAIN))),
        recipe=Recipe(steps=1, batch_size=32, schedule="constant"),
        architecture=Architecture(hidden_sizes=(HIDDEN,)),
        device="cpu",
    )
    training.run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--product", default="maurer_extended")
    arguments = parser.parse_args()
    table = Table()
    dataset = table.time("read the text", lambda: read_camels_us(arguments.folder, products=[arguments.product]))
    series, ratio = size(dataset), peak_memory() / size(dataset)
    with tempfile.TemporaryDirectory() as folder:
        netcdf, zarr = Path(folder) / "archive.nc", Path(folder) / "archive.zarr"
        table.time("write netCDF", lambda: write_dataset(dataset, netcdf))
        table.time("write Zarr", lambda: write_dataset(dataset, zarr))
        table.time("open netCDF", lambda: read_netcdf(netcdf))
        opened = table.time("open Zarr", lambda: read_netcdf(zarr))
        table.time("first update", lambda: first_update(opened))
    print(pd.DataFrame(table.rows).to_string(index=False))
    print(
        f"{dataset.sizes['basin']} basins, {dataset.sizes['time']} days, {series:.0f} MiB of series as float32; "
        f"reading has taken {ratio:.2f} times that at most"
    )


if __name__ == "__main__":
    main()
