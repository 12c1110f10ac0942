"""The table of sources: a new archive is one new file beside this one and one row here."""

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
    """How the data of one source are read.

    Attributes
    ----------
    read
        The reader: a path and keywords in, the canonical Dataset out. One that reports its progress has the keyword `observe`.
    options
        Type of every keyword that the reader takes beside `gauge_ids`, `variables` and `on_missing`, by name; so `[data]` may have
        these keys.
    recognise
        Whether a path holds such data.
    help
        A line for lists of sources.

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
        """Whether the reader can be observed basin by basin."""
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
"""How data are read, by the name that `source` has in the `[data]` table of an experiment file; later rows are recognised first."""

READERS: dict[str, Callable[..., xr.Dataset]] = {name: source.read for name, source in SOURCES.items()}
"""The reader of every `source`, by its name in the `[data]` table of an experiment file."""


def source_of(path: Path) -> str:
    """The source that a path is recognised as."""
    return next(name for name, source in reversed(SOURCES.items()) if source.recognise(path))
