"""Resample to a longer time step: sum, mean, minimum or maximum by the kind of each variable."""

import logging
import re

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.masks import has_mask, mask_of, sees_later, with_mask
from runoff_lstm.data.names import BASIN, DAY, TIME, is_mask
from runoff_lstm.data.schema import check_all_units
from runoff_lstm.data.times import Span, date_label, span, step_label, time_step, times_in_order
from runoff_lstm.data.units import convert, is_amount, kept_units
from runoff_lstm.errors import InputError

LOG = logging.getLogger(__name__)

_EXTREME = re.compile(r"(?<!\d)(?<!\d_)(min|max)(imum)?(?![a-z])", re.IGNORECASE)
_STATE = re.compile(r"swe|snw|snow_?(depth|pack|water)|water_equivalent|soil_?(water|moisture)|storage|level|stage", re.IGNORECASE)


def resample(dataset: xr.Dataset, step: Span, *, share: float = 1.0) -> xr.Dataset:
    """Resample the data to a longer time step.

    Variables named as extremes (tmin, temperature_2m_max) take minimum or maximum. Amounts per step (mm) are summed. All others are
    averaged: rates, discharge, temperature, radiation, pressure, speed, and states in mm by their name (swe, snow_depth, storage,
    level). Rates per hour become rates per day if the new step is a day or longer.

    Parameters
    ----------
    dataset
        At a regular step; a time stamp marks the start of its step.
    step
        Minutes, hours, days, weeks or a month: "6h", "1D", "1W", "MS". Days begin at midnight and weeks on Monday. Steps of several
        days or hours begin at the first midnight of the record. Months differ in length: models cannot be trained on monthly data.
    share
        Required share of steps with a value within a new step, in (0, 1]; below it the new step is NaN. The first and last new step
        may be incomplete: steps outside the record count as missing. A sum over some of the steps is scaled up to all of them, by
        one over their share.

    Returns
    -------
    Dataset
        Variables over (basin,) are unchanged. Masks of filled values are 1 where any step within the new one was filled.

    Raises
    ------
    InputError
        The step is shorter than the step of the data or not a multiple of it, the old steps straddle the new ones, the time axis is
        not regular or has a time zone, a variable has no unit, or share is not in (0, 1].

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> dict(rl.resample(data, "1W", share=0.5).sizes)["basin"]
    2
    """
    times = times_in_order(dataset)
    if not 0 < share <= 1:
        raise InputError(
            f"resample: share = {share} is not understood; give the share of steps that must have a value, above 0 and up to 1"
        )
    check_all_units(dataset)  # units decide between sum and mean
    old = pd.Timedelta(time_step(times))
    labels, lengths = _new_steps(times, step, old)
    starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
    parts, new_step = (lengths[starts] / old).to_numpy().round(), lengths[0].to_timedelta64()
    resampled = dataset.drop_dims(TIME).assign_coords({TIME: (TIME, labels[starts], dataset[TIME].attrs)})
    for name, values in ((str(one), values) for one, values in dataset.data_vars.items() if TIME in values.dims):
        if is_mask(dataset, name):
            continue
        kind, units = _kind(name, values, new_step)
        made = _aggregate(values.transpose(BASIN, TIME).values, starts, parts, share=share, kind=kind)
        made = made if units == values.attrs["units"] else convert(made, values.attrs["units"], units)
        attrs = {**values.attrs, "units": units, "cell_methods": f"time: {kind}"}
        resampled[name] = ((BASIN, TIME), made.astype(np.float32), attrs)
        LOG.info("%s: resampled to %s by %s, in %s; %d step(s) missing", name, step, kind, units, int(np.isnan(made).sum()))
        if has_mask(dataset, name):
            filled = np.logical_or.reduceat(mask_of(dataset, name), starts, axis=1)
            resampled = with_mask(resampled, name, filled & ~np.isnan(made), later=sees_later(dataset, name))
    return resampled


def _kind(name: str, values: xr.DataArray, step: np.timedelta64) -> tuple[str, str]:
    """Choose the aggregation of a variable and its unit afterwards.

    The aggregation is "sum", "mean", "minimum" or "maximum".
    """
    canonical = kept_units(name, str(values.attrs["units"]), step)
    extreme = _EXTREME.search(name)
    if extreme:
        return f"{extreme[1].lower()}imum", canonical
    return ("sum" if is_amount(canonical) and not _STATE.search(name) else "mean"), canonical


def _aggregate(values: np.ndarray, starts: np.ndarray, parts: np.ndarray, *, share: float, kind: str) -> np.ndarray:
    """Aggregate runs of steps to new steps, (basin, new time).

    A run begins at each of `starts`; a complete run has `parts` steps.
    """
    there = ~np.isnan(values)
    count = np.add.reduceat(there, starts, axis=1, dtype=np.int64)
    if kind in ("minimum", "maximum"):
        made = (np.fmin if kind == "minimum" else np.fmax).reduceat(values, starts, axis=1)
    else:
        made = np.add.reduceat(np.where(there, values, 0), starts, axis=1, dtype=np.float64) / np.maximum(count, 1)
        made = made * parts if kind == "sum" else made
    return np.where((count > 0) & (count >= share * parts - 1e-9), made, np.nan)


def _new_steps(times: pd.DatetimeIndex, step: Span, old: pd.Timedelta) -> tuple[pd.DatetimeIndex, pd.TimedeltaIndex]:
    """Compute start and length of the new step around each old step."""
    length, midnight = span(step), times[0].normalize()
    month = length == pd.DateOffset(months=1)
    if month:
        length = pd.Timedelta(DAY)
    if not isinstance(length, pd.Timedelta):
        raise InputError(f"resample: the step {step} is not understood; give minutes, hours, days, weeks or one month, such as 1D")
    if length < old or length % old:
        raise InputError(
            f"resample: the data have a step of {step_label(old)}, of which {step} is no multiple; choose a longer step that is one"
        )
    if length % pd.Timedelta(weeks=1) == pd.Timedelta(0):
        midnight -= pd.Timedelta(midnight.weekday(), "D")
    if (times[0] - midnight) % old:
        raise InputError(
            f"resample: steps of {step_label(old)} that begin at {date_label(times[0])} straddle those of {step}; "
            "shift the times to whole steps"
        )
    if month:
        return times.normalize() - pd.to_timedelta(times.day - 1, "D"), pd.to_timedelta(times.days_in_month, "D")
    labels = midnight + (times - midnight) // length * length
    return labels, pd.TimedeltaIndex(np.full(len(times), length.to_timedelta64()))
