"""From the files a hydrologist has to the canonical Dataset: one reader a source."""

from collections.abc import Callable

import xarray as xr

from runoff_lstm.data.readers.archive import OnMissing, check_on_missing, leave_out
from runoff_lstm.data.readers.camels_us import read_camels_us
from runoff_lstm.data.readers.caravan import read_caravan
from runoff_lstm.data.readers.csv import CsvForm, read_csv
from runoff_lstm.data.readers.netcdf import WRITTEN, read_netcdf, write_dataset

__all__ = [
    "ARCHIVES",
    "READERS",
    "WRITTEN",
    "CsvForm",
    "OnMissing",
    "check_on_missing",
    "leave_out",
    "read_camels_us",
    "read_caravan",
    "read_csv",
    "read_netcdf",
    "write_dataset",
]

READERS: dict[str, Callable[..., xr.Dataset]] = {
    "netcdf": read_netcdf,
    "zarr": read_netcdf,
    "csv": read_csv,
    "camels_us": read_camels_us,
    "caravan": read_caravan,
}
"""The reader of every `source`, by its name in the `[data]` table of an experiment file."""

ARCHIVES = {"camels_us": ("products", "attributes", "estimated"), "caravan": ("form", "units")}
"""Sources whose names and units are known; what can be said of them beside path, gauge ids, variables and `on_missing`."""
