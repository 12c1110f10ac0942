"""From a path, a table or a Dataset to a file that is written whole or not at all, and never over what is read.

Names and paths of foreign text are checked here too.
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
"""The file in a run folder that the process which writes there holds; a killed process leaves it, unlocked."""

_PART = re.compile(r"\.[0-9a-f]{16}\.part(\..*)?")
"""The name of an unfinished file: hidden, drawn at random, with the ending of the file it becomes."""

_NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\s]+')
"""What some system does not take in a file's name: separators, what Windows refuses, blanks."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices."""

LONGEST_NAME = 100
"""Bytes of the name of a folder, so that what is put behind it has room."""


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

    At any moment, a full disk or a killed process included, `path` is the old file or the new one, whole. The path to write to has
    a name of its own, so that two writers never share it, and holds an empty file; a writer of folders, such as Zarr stores,
    removes that first. The file has the rights that the umask gives, whatever the writer sets.

    Raises
    ------
    InputError
        The file cannot be written; the message says why.
    """
    part = part_of(path)
    try:
        with part.open("xb") as empty:  # never an existing file, nor the target of a link
            rights = stat.S_IMODE(os.fstat(empty.fileno()).st_mode)
        yield part
        if part.is_file():
            with part.open("rb+") as written:
                os.fsync(written.fileno())
            if stat.S_IMODE(part.stat().st_mode) != rights:  # safetensors makes a new file that nobody else may read
                part.chmod(rights)
        _take_place(part, path)
    except (OSError, RuntimeError) as error:  # torch and netCDF4 tell of a full disk by a RuntimeError
        raise InputError(f"{path} could not be written ({error}); make room or choose another place") from error
    finally:
        remove(part)


def _take_place(part: Path, path: Path) -> None:
    """Put what is written in the place of what was there; a folder that is replaced is removed once the new one is there."""
    if not (part.is_dir() and path.exists()):
        part.replace(path)
        return
    old = path.with_name(f".{secrets.token_hex(8)}.old{path.suffix}")  # no part: nothing may clear it away
    path.replace(old)
    try:
        part.replace(path)
    except OSError:
        old.replace(path)
        raise
    remove(old)


def part_of(path: Path) -> Path:
    """A hidden name beside `path`, drawn at random, for what is not there to stay; see `remove_parts`."""
    return path.with_name(f".{secrets.token_hex(8)}.part{path.suffix}")


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove what a killed process has left unfinished in a folder that no other process writes to."""
    for one in folder.iterdir():
        if _PART.fullmatch(one.name):
            remove(one)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone; the lock ends with the process, however that ends.

    A system or a disk without such locks holds nothing.

    Raises
    ------
    InputError
        Another process holds the folder.
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
    """The descriptor of a lock file that this process holds, and that is still the file of that name."""
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
        except FileNotFoundError:  # whoever held it has just removed it
            os.close(descriptor)
        except OSError:  # a disk without locks
            return descriptor


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
    check_netcdf_path(path)
    with written_whole(path) as part:
        dataset.to_netcdf(part, encoding={**text, **(encoding or {})})


def check_netcdf_path(path: Path) -> None:
    """Refuse a path that the netCDF library takes for another one."""
    if os.name == "posix" and "\\" in str(path.absolute()):
        raise InputError(
            f"{path}: netCDF neither reads nor writes where a path has a backslash; rename that, or choose another path"
        )


def folder_name(text: str) -> str:
    """Any text as a name that every system takes for a single new folder, and that no command takes for an option.

    >>> [folder_name(text) for text in ("leaf", "Upper Rhine: daily", "../../escaped", "  ", "C:/data")]
    ['leaf', 'Upper-Rhine-daily', 'escaped', 'run', 'C-data']
    """
    name = _NOT_IN_NAMES.sub("-", "".join(one if one.isprintable() else "-" for one in text)).strip(".-~")
    name = name.encode()[:LONGEST_NAME].decode(errors="ignore").rstrip(".-") or "run"
    return f"run-{name}" if _RESERVED.fullmatch(name) else name


def new_folder(path: Path) -> Path:
    """Make a folder of this name, or of the first of path-2, path-3 ... that is not there; no other process gets the same one."""
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
    """A path of a config: relative to `folder`, with `~` and `$VARIABLE` or `${VARIABLE}` expanded; `$$` is the sign itself.

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
    except (ValueError, OSError, RuntimeError) as error:  # a NUL, a loop of links, no such user
        raise InputError(f"the path {text!r} cannot be read ({error}); correct it") from None


def literal_path(path: str | Path) -> str:
    """The text by which `expand_path` finds this very path.

    >>> literal_path("/data/a$b.nc")
    '/data/a$$b.nc'
    """
    return str(path).replace("$", "$$")


def check_name(name: str) -> str:
    """The name of an experiment, for titles, tables and files; refused where they cannot show it."""
    if not name.strip() or len(name) > LONGEST_TITLE:
        raise InputError(f"the name of the experiment has {len(name)} characters; give 1 to {LONGEST_TITLE}, not all blank")
    odd = next((one for one in name if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")), None)
    if odd is not None:
        raise InputError(f"the name of the experiment holds {odd!r}, which cannot be printed; leave that out")
    return name


LONGEST_TITLE = 200
"""Characters of the name of an experiment."""
