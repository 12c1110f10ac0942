"""From the files a hydrologist has to the canonical Dataset: one reader a source."""

from collections.abc import Callable

import xarray as xr

from runoff_lstm.readers.csv import CsvForm, read_csv
from runoff_lstm.readers.netcdf import read_netcdf, write_dataset

__all__ = ["READERS", "CsvForm", "read_csv", "read_netcdf", "write_dataset"]

READERS: dict[str, Callable[..., xr.Dataset]] = {"netcdf": read_netcdf, "zarr": read_netcdf, "csv": read_csv}
