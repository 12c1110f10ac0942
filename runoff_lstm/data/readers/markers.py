"""Markers of missing values: known markers become NaN, suspected ones raise an error."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import BASIN, DISCHARGE, TIME
from runoff_lstm.data.readers.options import ReaderOptions
from runoff_lstm.errors import InputError

LOG = logging.getLogger("runoff_lstm")


MARKERS = (-999.0, -9999.0, -99999.0)
"""Numbers that always mean missing."""


SUSPECTS = (
    99.0,
    99.9,
    99.99,
    888.0,
    999.0,
    999.9,
    999.99,
    6999.0,
    8888.0,
    9998.0,
    9999.0,
    9999.9,
    32767.0,
    32768.0,
    65535.0,
    99999.0,
    999999.0,
)
"""Absolute values that often mean missing; they raise an error if far off all other values of a basin."""


LARGE_SUSPECT = 888.0
"""From this absolute value on, a suspect raises an error also if it is the only value."""


def markers_of(options: ReaderOptions) -> Sequence[float | str]:
    """Return the given markers of missing values.

    A bare text raises an error: it would be split into letters.
    """
    given = options.get("missing", ())
    if not isinstance(given, list | tuple):
        raise InputError(f"missing = {given!r}: give a list, such as missing = [-888]")
    return given


def is_number(text: float | str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def log_missing(values: xr.DataArray, where: np.ndarray, what: str) -> None:
    for basin in np.flatnonzero(where.any(axis=1)):
        first = int(np.argmax(where[basin]))
        LOG.info(
            "basin %s: %s: %d value(s) %s, the first %s on %s",
            values[BASIN].values[basin],
            values.name,
            int(where[basin].sum()),
            what,
            values.values[basin, first],
            f"{pd.Timestamp(values[TIME].values[first]):%Y-%m-%d}",
        )


def without_markers(values: xr.DataArray, markers: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Set missing markers and negative discharge to NaN.

    Returns the numbers as float64 and the count of values set to NaN, (basin,).
    """
    if values.dtype.kind not in "fiu":
        raise InputError(f"variable '{values.name}' holds {values.dtype}, not numbers; convert it, or leave it out")
    numbers = values.values.astype(np.float64)
    with np.errstate(over="ignore"):  # compared as float32: most files store -99.9 so
        marked = np.isin(numbers.astype(np.float32), np.asarray(markers, np.float32))
    log_missing(values, marked, "marked as missing")
    if values.name == DISCHARGE:
        negative = (numbers < 0) & np.isfinite(numbers) & ~marked
        log_missing(values, negative, "negative, taken as missing")
        marked |= negative
    numbers[marked] = np.nan
    extremes = np.stack([np.fmin.reduce(numbers, axis=1), np.fmax.reduce(numbers, axis=1)], axis=1)
    for basin in np.flatnonzero(_looks_like_a_marker(extremes).any(axis=1)):
        refuse_suspects(f"basin {values[BASIN].values[basin]}", str(values.name), values[TIME].values, numbers[basin])
    return numbers, marked.sum(axis=1)


def _looks_like_a_marker(numbers: np.ndarray) -> np.ndarray:
    """Return where the absolute value of a number often means missing."""
    sizes = np.abs(numbers)
    marked: np.ndarray = (sizes >= 1e10) | np.isclose(sizes[..., None], SUSPECTS, rtol=1e-6).any(axis=-1)
    return marked


def refuse_suspects(where: str, name: str, times: np.ndarray, numbers: np.ndarray) -> None:
    """Raise on a lone extreme of a basin that looks like an undeclared marker.

    Unmarked, it would count as the wettest or driest day.
    """
    finite = numbers[np.isfinite(numbers)]
    if finite.size == 0:
        return
    for extreme in (finite.min(), finite.max()):
        if not _looks_like_a_marker(extreme):
            continue
        others = finite[finite != extreme]
        if others.size:
            lone = np.abs(others - extreme).min() > others.max() - others.min()
            far = f", far off all other values ({others.min():g} to {others.max():g})"
        else:
            lone, far = finite.size > 1 and abs(extreme) >= LARGE_SUSPECT, " and nothing else"
        if lone:
            date = pd.Timestamp(times[np.argmax(numbers == extreme)])
            raise InputError(
                f"{where}, {date:%Y-%m-%d}: {name} is {extreme:g} ({int((finite == extreme).sum())} "
                f"times){far}: it looks like a marker; add missing = [{extreme:g}], or correct the file"
            )
