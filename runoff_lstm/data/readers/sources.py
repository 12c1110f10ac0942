"""Table of sources; a new archive is one new file beside this one and one row here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import xarray as xr

from runoff_lstm.data.readers.camels_us import Estimated, read_camels_us
from runoff_lstm.data.readers.caravan import Form, read_caravan
from runoff_lstm.data.readers.csv import CsvForm, read_csv
from runoff_lstm.data.readers.netcdf import read_netcdf
from runoff_lstm.data.readers.options import SHARED_OPTIONS
from runoff_lstm.files import is_archive, is_zarr


@dataclass(frozen=True, eq=False)
class Source:
    """Reader of one source and its options.

    Attributes
    ----------
    read
        The reader: a path and keywords in, the canonical Dataset out. A reader that reports progress has the keyword `observe`.
    options
        Type by name of every keyword of the reader, except `gauge_ids`, `variables` and `on_missing`. `[data]` may have these keys.
    recognise
        Returns whether a path has data of this source.
    help
        One line for lists of sources.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> sorted(rl.SOURCES["camels_us"].options)
    ['attributes', 'estimated', 'products']
    """

    read: Callable[..., xr.Dataset]
    options: Mapping[str, Any]
    recognise: Callable[[Path], bool]
    help: str

    @property
    def reports_progress(self) -> bool:
        """Whether the reader reports progress by basin."""
        return "observe" in signature(self.read).parameters


SOURCES: dict[str, Source] = {
    "netcdf": Source(read_netcdf, SHARED_OPTIONS, lambda _: True, "a netCDF file"),
    "zarr": Source(read_netcdf, SHARED_OPTIONS, lambda path: path.is_dir() and is_zarr(path), "a Zarr store"),
    "csv": Source(
        read_csv,
        {**SHARED_OPTIONS, "csv": CsvForm},
        lambda path: (path.is_dir() and not is_zarr(path)) or path.suffix.lower() == ".csv",
        "a CSV file, or a folder of one a gauge",
    ),
    "camels_us": Source(
        read_camels_us,
        {"products": list[str], "attributes": str, "estimated": Estimated},
        lambda path: is_archive(path, "camels_us"),
        "the folder of CAMELS-US",
    ),
    "caravan": Source(
        read_caravan,
        {"form": Form, "units": dict[str, str]},
        lambda path: is_archive(path, "caravan"),
        "the folder of Caravan or of an extension",
    ),
}
"""Sources by the value of `source` in the `[data]` table of an experiment file; later rows are tried first on a path."""

READERS: dict[str, Callable[..., xr.Dataset]] = {name: source.read for name, source in SOURCES.items()}
"""Readers by the value of `source` in the `[data]` table of an experiment file."""


def source_of(path: Path) -> str:
    """Return the name of the source that matches a path."""
    return next(name for name, source in reversed(SOURCES.items()) if source.recognise(path))
