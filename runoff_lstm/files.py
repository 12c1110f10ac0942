"""From a path, a table or a Dataset to a file that is written whole or not at all, and never over what is read."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from runoff_lstm.schema import InputError


def check_target(path: Path, *, endings: Sequence[str], inputs: Iterable[str | Path] = (), force: bool = False) -> None:
    """Refuse an output before anything is read: another format, no folder, a place among the inputs, or one that is taken.

    Parameters
    ----------
    path
        The file, or Zarr store, to be written.
    endings
        Those that its name may have, such as ".nc".
    inputs
        Files and folders that are read. The output may be none of them, lie in none and hold none, by whatever link, and whatever
        `force` says. Into a folder of CSV files only what would be read as one of them is refused.
    force
        Whether an output that exists may be replaced.

    Raises
    ------
    InputError
        The output is refused; the message says why.
    """
    if path.suffix not in endings:
        raise InputError(f"{path}: let the name end in {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}; make it first")
    for given in map(Path, inputs):
        if any(_touches(one, given) for one in (path, beside(path, "part"), beside(path, "old"))):
            raise InputError(f"{path} would be written over or into the input {given}; choose another place for the output")
    if path.is_dir() and not (path.suffix == ".zarr" and (is_zarr(path) or not any(path.iterdir()))):
        raise InputError(f"{path} is a folder{' and no Zarr store' if path.suffix == '.zarr' else ''}; choose another name")
    if path.suffix == ".zarr" and path.is_file():
        raise InputError(f"{path} is a file and no Zarr store; choose another name")
    if not force and (path.exists() or path.is_symlink()):
        raise InputError(f"{path} is there already; choose another name, or replace it by --force (in Python force=True)")


def beside(path: Path, what: str) -> Path:
    """The hidden name in the folder of `path` under which its new content ("part"), or its old one ("old"), lies meanwhile."""
    return path.with_name(f".{path.stem}.{what}{path.suffix}")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store."""
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))


def is_archive(folder: Path, name: str) -> bool:
    """Whether a folder is an archive, "camels_us" or "caravan", by the subfolder that its series lie in."""
    return (folder / {"camels_us": "basin_mean_forcing", "caravan": "timeseries"}[name]).is_dir()


def _touches(target: Path, given: Path) -> bool:
    """Whether `target` is, lies in or holds `given`, or is, by whatever link, something in the folder `given`."""
    there, source = target.resolve(), given.resolve()
    if source in there.parents and _is_folder_of_tables(source):
        if there.parent == source and target.suffix == ".csv":
            return True
    elif _is_related(target, given):
        return True
    if not target.exists() or not given.is_dir():
        return False
    entries = (Path(folder) / name for folder, folders, files in os.walk(given) for name in (*folders, *files))
    return any(_is_related(target, one) for one in entries)


def _is_folder_of_tables(folder: Path) -> bool:
    """Whether the CSV files that lie in a folder are read, and nothing below it."""
    whole = is_zarr(folder) or is_archive(folder, "camels_us") or is_archive(folder, "caravan")
    return not whole and any(folder.glob("*.csv"))


def _is_related(target: Path, given: Path) -> bool:
    there, source = target.resolve(), given.resolve()
    if there == source or source in there.parents or there in source.parents:
        return True
    return target.exists() and given.exists() and target.samefile(given)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to: it takes the place of `path` on success and is gone on any failure.

    At any moment, a full disk or a killed process included, `path` is the old file or the new one, whole.

    Raises
    ------
    InputError
        The file cannot be written; the message says why.
    """
    part = beside(path, "part")
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
