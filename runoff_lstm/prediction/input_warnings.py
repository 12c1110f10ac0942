"""Warnings about inputs outside the training, incomplete forcing and missing observed discharge."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import xarray as xr

from runoff_lstm.data.names import BASIN, DISCHARGE, TIME
from runoff_lstm.data.times import date_label, times_of
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.scaling import Scaler
from runoff_lstm.inputs.spec import Inputs

SHOWN = 5
"""Maximum number of basins with a separate warning."""


class IncompleteInputWarning(UserWarning):
    """Forcing is missing; the affected simulation or forecast steps are NaN.

    Examples
    --------
    >>> import warnings
    >>> import runoff_lstm as rl
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", rl.IncompleteInputWarning)  # where it is expected
    """


class SilentGaugeWarning(UserWarning):
    """Observed discharge is missing at an issue date; the forecast is made without it.

    Examples
    --------
    >>> import warnings
    >>> import runoff_lstm as rl
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", rl.SilentGaugeWarning)  # where it is expected
    """


class OutsideTrainingRangeWarning(UserWarning):
    """An input is outside the training range; the simulation there is an extrapolation.

    Examples
    --------
    >>> import warnings
    >>> import runoff_lstm as rl
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", rl.OutsideTrainingRangeWarning)  # where it is expected
    """


class UnseenBasinWarning(UserWarning):
    """A basin was not in the training data of the model.

    Examples
    --------
    >>> import warnings
    >>> import runoff_lstm as rl
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", rl.UnseenBasinWarning)  # where it is expected
    """


@contextmanager
def each_warning_once() -> Iterator[None]:
    """Collect warnings within the block and issue each text once at its end.

    Members of an ensemble and parts of a period repeat the same warnings.
    """
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield
    finally:
        for one in {(one.category, str(one.message)): one for one in caught}.values():
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


@contextmanager
def as_ungauged(*, on_purpose: bool) -> Iterator[None]:
    """Suppress `UnseenBasinWarning` for basins held out on purpose, to be scored as ungauged."""
    with warnings.catch_warnings():
        if on_purpose:
            warnings.simplefilter("ignore", UnseenBasinWarning)
        yield


def lost_to_gaps(seen: Inputs, data: xr.Dataset, steps: slice) -> tuple[list[str], bool]:
    """Describe the steps lost to missing forcing, and return whether any step is left.

    There is one sentence for each of the first basins. The record of a basin begins at its first step with any forcing; the first
    `sequence_length - 1` steps of the record do not count as lost.

    Parameters
    ----------
    seen, data
        Inputs of the model, and the data, dims (basin, time).
    steps
        The steps to simulate.
    """
    missing = {name: np.isnan(data[name].transpose(BASIN, TIME).values) for name in seen.forcing}
    there = ~np.logical_and.reduce(list(missing.values()))
    begin = np.where(there.any(axis=1), there.argmax(axis=1), there.shape[1])[:, None]
    position = np.arange(there.shape[1])
    asked = (position >= begin + seen.sequence_length - 1) & (position >= steps.start) & (position < steps.stop)
    lost = {name: asked & _within(gaps, seen.sequence_length) for name, gaps in missing.items()}
    any_lost = np.logical_or.reduce(list(lost.values()))
    basins, texts, times = np.flatnonzero(any_lost.any(axis=1)), [], times_of(data)
    for place, basin in enumerate(basins[:SHOWN]):
        reach = slice(max(steps.start - seen.sequence_length + 1, int(begin[basin, 0])), steps.stop)
        gaps = []
        for name in seen.forcing:
            if lost[name][basin].any():
                at = reach.start + np.flatnonzero(missing[name][basin, reach])
                gaps.append(f"{name} is missing at {len(at)} step(s), the first {date_label(times[at[0]])}")
        name = next(name for name in seen.forcing if lost[name][basin].any())
        cost = int(any_lost[basin].sum())
        texts.append(
            f"basin {data[BASIN].values[basin]}{_others(place, len(basins))}: {' and '.join(gaps)}, which costs "
            f"{cost} step(s), as each needs {seen.sequence_length} steps of complete forcing; fill the gap by "
            f"[data.fill.{name}] (in Python fill_by_interpolation)"
        )
    return texts, bool((asked & ~any_lost).any())


def _within(gaps: np.ndarray, length: int) -> np.ndarray:
    """Return (basin, time) bool: whether any of the `length` steps up to a step is a gap."""
    before = np.pad(np.cumsum(gaps, axis=1), ((0, 0), (length, 0)))
    within: np.ndarray = before[:, length:] > before[:, :-length]
    return within


def warn_unissued(seen: Inputs, data: xr.Dataset, steps: slice, *, made: np.ndarray) -> None:
    """Warn about basins without a forecast from some issue date."""
    failed = np.flatnonzero(~made.all(axis=1))
    for place, basin in enumerate(failed[:SHOWN]):
        dates = steps.start + np.flatnonzero(~made[basin])
        others = _others(place, len(failed))
        warnings.warn(
            f"basin {data[BASIN].values[basin]}{others}: no forecast from {len(dates)} issue date(s), the first "
            f"{why_unissued(seen, data, int(basin), int(dates[0]))}",
            IncompleteInputWarning,
            stacklevel=3,
        )


def why_unissued(seen: Inputs, data: xr.Dataset, basin: int, issued: int) -> str:
    """Describe forcing missing for a forecast: issue date, variable, dates and remedy.

    Empty if none.
    """
    times, begin = times_of(data), issued + 1 - seen.sequence_length
    if begin < 0:
        return (
            f"{date_label(times[issued])}: {seen.sequence_length} steps of complete forcing up to it are needed, and the "
            f"record begins on {date_label(times[0])}; issue the forecast later"
        )
    lacking = []
    for name in seen.forcing:
        missing = np.flatnonzero(np.isnan(data[name].values[basin, begin : issued + 1]))
        if missing.size:
            lacking.append(
                f"{name} is missing at {missing.size} of the {seen.sequence_length} steps up to it that are needed, last at "
                f"{date_label(times[begin + int(missing[-1])])}"
            )
    for name in seen.forecast_forcing:
        ahead = np.isnan(data[name].values[basin, issued + 1 : issued + 1 + seen.lead_times])
        known = int(np.argmax(ahead)) if ahead.any() else len(ahead)
        if known < seen.lead_times:
            first, last = (date_label(times[issued] + lead * (times[1] - times[0])) for lead in (known + 1, seen.lead_times))
            lacking.append(f"{name} is needed {seen.lead_times} steps ahead, to {last}, and is missing from {first}")
    remedy = "add it, fill it by [data.fill] (in Python fill_from_earlier), or issue the forecast on another date"
    return f"{date_label(times[issued])}: {' and '.join(lacking)}; {remedy}" if lacking else ""


def warn_silent(observed: xr.DataArray, steps: slice, *, made: np.ndarray) -> None:
    """Warn about issue dates without observed discharge."""
    there = observed.notnull().values
    silent = made & ~there[:, steps]
    basins = np.flatnonzero(silent.any(axis=1))
    for place, basin in enumerate(basins[:SHOWN]):
        dates = steps.start + np.flatnonzero(silent[basin])
        before = np.flatnonzero(there[basin, : dates[0]])
        last = f"last observed {date_label(observed.indexes[TIME][before[-1]])}" if before.size else "never observed before"
        others = _others(place, len(basins))
        warnings.warn(
            f"basin {observed[BASIN].values[basin]}{others}: no discharge is observed at {len(dates)} issue date(s), the first "
            f"{date_label(observed.indexes[TIME][dates[0]])} ({last}); the forecast goes on without it",
            SilentGaugeWarning,
            stacklevel=3,
        )


def warn_unseen(gauge_ids: Sequence[str], *, trained: Sequence[str], seen: Inputs, stacklevel: int) -> None:
    """Warn about basins not in training, and name the features that distinguish them."""
    known = set(trained)
    unseen = [gauge_id for gauge_id in gauge_ids if gauge_id not in known]
    if unseen:
        names = ", ".join(unseen[:3]) + (" ..." if len(unseen) > 3 else "")
        text = f"{len(unseen)} of {len(gauge_ids)} basin(s) were not in training ({names}); {_tells_apart(trained, seen)}"
        warnings.warn(text, UnseenBasinWarning, stacklevel=stacklevel)


def warn_unseen_rows(gauge_ids: Sequence[str] | None, rows: int, *, trained: Sequence[str], seen: Inputs) -> None:
    """Warn about basins of a step not in training, by gauge id or by their number."""
    if gauge_ids is not None and len(gauge_ids) != rows:
        raise InputError(f"{len(gauge_ids)} gauge id(s) are given for {rows} basin(s); give one for each")
    if gauge_ids is not None:
        warn_unseen(list(gauge_ids), trained=trained, seen=seen, stacklevel=5)
    elif rows > len(trained):
        text = f"at least {rows - len(trained)} of {rows} basin(s) were not in training; {_tells_apart(trained, seen)}"
        warnings.warn(text, UnseenBasinWarning, stacklevel=4)


def _tells_apart(trained: Sequence[str], seen: Inputs) -> str:
    """Describe the features that distinguish a new basin from those of the training."""
    if seen.static_attributes:
        names = ", ".join(seen.static_attributes[:3]) + (" ..." if len(seen.static_attributes) > 3 else "")
        return f"the model describes them by their static attributes alone ({names})"
    but = f" but by observed {DISCHARGE}" if seen.discharge_lags else ""
    if len(trained) == 1:
        only = trained[0]
        return f"the model has no static attributes and was trained on basin {only} alone: it takes every basin for that one{but}"
    return f"the model has no static attributes, so it cannot tell basins apart{but}"


def warn_outside(values: xr.DataArray, scaler: Scaler) -> None:
    """Warn about values outside the range of the training."""
    name = str(values.name)
    low, high = scaler.minimum[name], scaler.maximum[name]
    tolerance = 1e-6 * max(abs(low), abs(high))
    outside = (values < low - tolerance) | (values > high + tolerance)
    count = int(outside.sum())
    if count:
        units = values.attrs.get("units", "1")
        unit = "" if units in ("", "1") else f" {units}"
        warnings.warn(
            f"{name} leaves the training range {low:.4g} to {high:.4g}{unit} on {count} of {values.size} values "
            f"(they run from {float(values.min()):.4g} to {float(values.max()):.4g}); the simulation extrapolates there",
            OutsideTrainingRangeWarning,
            stacklevel=4,
        )


def _others(place: int, count: int) -> str:
    """Return the number of further basins as text, after the last named basin only."""
    return f" (and {count - SHOWN} more basins)" if place == SHOWN - 1 and count > SHOWN else ""
