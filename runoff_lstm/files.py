"""Write tables and Datasets to files: each file is written whole or not at all, and never over an input.

Checks names and paths from foreign text too.
"""

import itertools
import os
import re
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from runoff_lstm.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
"""Lock file in a run folder, held by the process that writes there; a killed process leaves it unlocked."""

_PART = re.compile(r"\.[0-9a-f]{16}\.part(\..*)?")
"""Name of an unfinished file: hidden, drawn at random, with the ending of the final file."""

_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\s]+')
"""Characters not allowed in a file name on some system: separators, characters forbidden on Windows, blanks."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Device names reserved by Windows."""

LONGEST_NAME = 100
"""Longest name of a folder, in bytes; leaves room for a suffix."""


def check_target(path: Path, *, endings: Sequence[str], inputs: Iterable[str | Path] = (), force: bool = False) -> None:
    """Check an output path before anything is read.

    Raises on another format, a missing folder, a place among the inputs, or an existing output.

    Parameters
    ----------
    path
        The file or Zarr store to write.
    endings
        Allowed endings of its name, such as ".nc".
    inputs
        Files and folders that are read. The output must not be one of them, lie in one or contain one, links included and
        regardless of `force`. In a folder of CSV files, only an output that would be read as one of them raises.
    force
        Whether an existing output may be replaced.

    Raises
    ------
    InputError
        The output is not allowed; the message gives the reason.
    """
    if path.suffix not in endings:
        raise InputError(f"{path}: let the name end in {' or '.join(endings)}")
    if path.suffix == ".nc":
        check_netcdf_path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}; make it first")
    for given in map(Path, inputs):
        if _touches(path, given):
            raise InputError(f"{path} would be written over or into the input {given}; choose another place for the output")
    if path.is_dir() and not (path.suffix == ".zarr" and (is_zarr(path) or not any(path.iterdir()))):
        raise InputError(f"{path} is a folder{' and no Zarr store' if path.suffix == '.zarr' else ''}; choose another name")
    if path.suffix == ".zarr" and path.is_file():
        raise InputError(f"{path} is a file and no Zarr store; choose another name")
    if not force and (path.exists() or path.is_symlink()):
        raise InputError(f"{path} is there already; choose another name, or replace it by --force (in Python force=True)")


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr store."""
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))


def is_archive(folder: Path, name: str) -> bool:
    """Return whether a folder is the archive "camels_us" or "caravan".

    The subfolder of its series identifies an archive.
    """
    return (folder / {"camels_us": "basin_mean_forcing", "caravan": "timeseries"}[name]).is_dir()


def _touches(target: Path, given: Path) -> bool:
    """Return whether `target` is, lies in or contains `given`.

    True too where `target` is a link to something in the folder `given`.
    """
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
    """Return whether a folder is read as CSV files, without its subfolders."""
    whole = is_zarr(folder) or is_archive(folder, "camels_us") or is_archive(folder, "caravan")
    return not whole and any(folder.glob("*.csv"))


def _is_related(target: Path, given: Path) -> bool:
    there, source = target.resolve(), given.resolve()
    if there == source or source in there.parents or there in source.parents:
        return True
    return target.exists() and given.exists() and target.samefile(given)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` on success.

    It lies beside `path` and is removed on failure. At any moment `path` is the whole old file or the whole new one, also after a
    full disk or a killed process. The temporary name is unique, so two writers never share it. It holds an empty file; a writer of
    folders, such as Zarr stores, removes it first. The file gets the permissions of the umask, regardless of the writer.

    Raises
    ------
    InputError
        The file cannot be written; the message gives the reason.
    """
    part = part_of(path)
    try:
        with part.open("xb") as empty:  # fails on an existing file or link
            rights = stat.S_IMODE(os.fstat(empty.fileno()).st_mode)
        yield part
        if part.is_file():
            with part.open("rb+") as written:
                os.fsync(written.fileno())
            if stat.S_IMODE(part.stat().st_mode) != rights:  # safetensors makes a file readable by its owner alone
                part.chmod(rights)
        _take_place(part, path)
    except (OSError, RuntimeError) as error:  # torch and netCDF4 report a full disk as RuntimeError
        raise InputError(f"{path} could not be written ({error}); make room or choose another place") from error
    finally:
        remove(part)


def _take_place(part: Path, path: Path) -> None:
    """Move the written part to `path`.

    An old folder is removed after the new one is in place.
    """
    if not (part.is_dir() and path.exists()):
        part.replace(path)
        return
    old = path.with_name(f".{secrets.token_hex(8)}.old{path.suffix}")  # not named as a part: `remove_parts` must keep it
    path.replace(old)
    try:
        part.replace(path)
    except OSError:
        old.replace(path)
        raise
    remove(old)


def part_of(path: Path) -> Path:
    """Return a hidden random path beside `path`.

    It is for temporary files; see `remove_parts`.
    """
    return path.with_name(f".{secrets.token_hex(8)}.part{path.suffix}")


def remove(path: Path) -> None:
    """Remove a file or a folder if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove the unfinished files of a killed process.

    No other process may write to the folder.
    """
    for one in folder.iterdir():
        if _PART.fullmatch(one.name):
            remove(one)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder for this process.

    The lock ends with the process, also when it is killed. Systems and disks without such locks skip the lock.

    Raises
    ------
    InputError
        Another process has locked the folder.
    """
    if fcntl is None:
        yield
        return
    descriptor = _lock(folder / LOCK)
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(descriptor)


def _lock(path: Path) -> int:
    """Lock the file at `path` and return its descriptor.

    Checks that the path still names the locked file.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
            os.close(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            raise InputError(
                f"{path.parent} is in use by another train or resume; wait for its end, or choose another --run-dir"
            ) from None
        except FileNotFoundError:  # the previous holder has just removed it
            os.close(descriptor)
        except OSError:  # a disk without locks
            return descriptor


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table with six digits, whole or not at all."""
    with written_whole(path) as part:
        table.to_csv(part, float_format="%.6g")


def write_netcdf(dataset: xr.Dataset, path: Path, *, encoding: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Write a Dataset as netCDF, whole or not at all.

    Text, such as gauge ids, is written as characters: every netCDF reader supports them. With strings, netCDF4 1.7.3 to 1.7.5
    crashes the process when xarray opens a file that is already open, as notebooks do.
    """
    text: dict[str, Mapping[str, Any]] = {
        str(name): {"dtype": "S1"} for name, values in dataset.variables.items() if values.dtype.kind in "OU"
    }
    check_netcdf_path(path)
    with written_whole(path) as part:
        dataset.to_netcdf(part, encoding={**text, **(encoding or {})})


def check_netcdf_path(path: Path) -> None:
    """Raise on a path that the netCDF library misreads: one with a backslash on POSIX."""
    if os.name == "posix" and "\\" in str(path.absolute()):
        raise InputError(
            f"{path}: netCDF neither reads nor writes where a path has a backslash; rename that, or choose another path"
        )


def folder_name(text: str) -> str:
    """Turn any text into a folder name.

    The name is valid on every system, has no path separators, and is never mistaken for a command-line option.

    >>> [folder_name(text) for text in ("leaf", "Upper Rhine: daily", "../../escaped", "  ", "C:/data")]
    ['leaf', 'Upper-Rhine-daily', 'escaped', 'run', 'C-data']
    """
    name = _NOT_IN_NAMES.sub("-", "".join(one if one.isprintable() else "-" for one in text)).strip(".-~")
    name = name.encode()[:LONGEST_NAME].decode(errors="ignore").rstrip(".-") or "run"
    return f"run-{name}" if _RESERVED.fullmatch(name) else name


def new_folder(path: Path) -> Path:
    """Make a new folder at `path`, or at the first free one of path-2, path-3 ...

    No other process gets the same folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            chosen = path if number == 1 else path.with_name(f"{path.name}-{number}")
            with suppress(FileExistsError):
                chosen.mkdir()
                break
    except OSError as error:
        raise InputError(f"{path} cannot be made ({error.strerror}); choose another --run-dir") from None
    return chosen


def expand_path(text: str, folder: Path) -> Path:
    """Expand a path of a config.

    The path is relative to `folder`. `~` and `$VARIABLE` or `${VARIABLE}` are expanded; `$$` is a literal `$`.

    >>> expand_path("data/a$$b.nc", Path("/home")).as_posix()
    '/home/data/a$b.nc'
    """

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name is None:
            return "$"
        if name not in os.environ:
            raise InputError(
                f"the path {text} names the variable {name}, which is not set; set it with export {name}=..., or write $$ for a $"
            )
        return os.environ[name]

    try:
        expanded = re.sub(r"\$(?:\$|\{(\w+)\}|(\w+))", value, text)
        return (folder / Path(expanded).expanduser()).resolve()
    except InputError:
        raise
    except (ValueError, OSError, RuntimeError) as error:  # a NUL, a loop of links, an unknown user
        raise InputError(f"the path {text!r} cannot be read ({error}); correct it") from None


def literal_path(path: str | Path) -> str:
    """Escape a path for `expand_path`, which then returns the same path.

    >>> literal_path("/data/a$b.nc")
    '/data/a$$b.nc'
    """
    return str(path).replace("$", "$$")


def check_name(name: str) -> str:
    """Check the name of an experiment.

    Raises if titles, tables and files cannot show the name.
    """
    if not name.strip() or len(name) > LONGEST_TITLE:
        raise InputError(f"the name of the experiment has {len(name)} characters; give 1 to {LONGEST_TITLE}, not all blank")
    odd = next((one for one in name if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")), None)
    if odd is not None:
        raise InputError(f"the name of the experiment holds {odd!r}, which cannot be printed; leave that out")
    return name


LONGEST_TITLE = 200
"""Longest name of an experiment, in characters."""
