"""From a path, or a table, to a file that is written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

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
