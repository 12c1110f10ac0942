"""From a path, a table or a Dataset to a file that is written whole or not at all."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from runoff_lstm.schema import InputError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to: it takes the place of `path` on success and is gone on any failure.

    At any moment, a full disk or a killed process included, `path` is the old file or the new one, whole.

    Raises
    ------
    InputError
        The file cannot be written; the message says why.
    """
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        part.touch()  # with the rights that the user's umask gives, whatever the writer would set
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch and netCDF4 tell of a full disk by a RuntimeError
        raise InputError(f"{path} could not be written ({error}); make room or choose another place") from error
    finally:
        part.unlink(missing_ok=True)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table with six digits, whole or not at all."""
    with written_whole(path) as part:
        table.to_csv(part, float_format="%.6g")


def write_netcdf(dataset: xr.Dataset, path: Path, *, encoding: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Write a Dataset as netCDF, whole or not at all; text, such as gauge ids, as characters.

    Every reader of netCDF knows characters. With the other kind, strings, versions 1.7.3 to 1.7.5 of netCDF4 end the whole process
    when xarray opens a file a second time while the first is open, as notebooks do.
    """
    text: dict[str, Mapping[str, Any]] = {
        str(name): {"dtype": "S1"} for name, values in dataset.variables.items() if values.dtype.kind in "OU"
    }
    with written_whole(path) as part:
        dataset.to_netcdf(part, encoding={**text, **(encoding or {})})
