"""Convert raw data to the canonical Dataset: the last steps of every reader. Every changed value is counted."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import (
    ALWAYS_KEPT,
    AREA,
    BASIN,
    DISCHARGE,
    FILLED,
    LATER,
    SET_MISSING,
    SOURCE,
    TIME,
    discharge_units,
    is_mask,
    is_precipitation,
    refuse_taken_names,
)
from runoff_lstm.data.readers.archive import OnMissing, check_gauge_ids, check_on_missing, leave_out
from runoff_lstm.data.readers.attributes import join_attributes, read_attributes
from runoff_lstm.data.readers.markers import MARKERS, is_number, markers_of, without_markers
from runoff_lstm.data.readers.options import ReaderOptions
from runoff_lstm.data.schema import check_basins
from runoff_lstm.data.times import date_label, step_label, time_step, times_of
from runoff_lstm.data.units import canonical_units, check_units, convert, discharge_to_depth
from runoff_lstm.errors import InputError, nearest

LOG = logging.getLogger("runoff_lstm")


LARGEST_AREA = 1e7
"""Upper limit of a basin's area, in km2 (the Amazon has about 6 million)."""

MOST = {"mm d-1": 5000.0, "mm h-1": 1000.0}
"""Upper limit of discharge and precipitation by unit, above any record (1,825 mm in a day, about 300 mm in an hour)."""


def to_canonical(
    raw: xr.Dataset,
    options: ReaderOptions,
    *,
    gauge_ids: Sequence[str] | None,
    called: Mapping[str, Any],
    attributes: pd.DataFrame | None = None,
) -> xr.Dataset:
    """Convert renamed raw data, dims (basin, time), to the canonical Dataset.

    Parameters
    ----------
    raw
        Values of the files under their final names.
    options
        See ReaderOptions.
    gauge_ids
        Basins to keep, in that order; None: all.
    called
        Call of the reader; kept as JSON in the attribute SOURCE.
    attributes
        Static attributes to join, index of gauge ids; None: those named in the options.

    Returns
    -------
    Dataset
        Checked by `check_basins`. The attribute `set_missing` of each variable counts the values set to NaN. The coordinate
        `set_missing` counts them for each basin over all variables.
    """
    markers = [*MARKERS, *(float(one) for one in markers_of(options) if is_number(one))]
    on_missing = options.get("on_missing", "refuse")
    check_on_missing(on_missing)
    raw = select_basins(raw, gauge_ids, on_missing=on_missing)
    if attributes is None and options.get("attributes"):
        attributes = read_attributes(Path(str(options["attributes"])))
    if attributes is not None:
        raw = join_attributes(raw, attributes, on_missing=on_missing)
    raw = _select_variables(raw, options.get("variables"))
    refuse_taken_names(raw)
    units = _source_units(raw, options.get("units", {}))
    raw = mend_times(raw.load()) if options.get("mend_time") else raw.load()
    step = time_step(_plain_times(raw))
    raw = _floor_to_days(raw, step)
    area = _area(raw, options.get("area_km2"), units)
    coords: dict[str, Any] = {BASIN: raw[BASIN], TIME: raw[TIME]}
    tidy: dict[str, Any] = {}
    set_missing = np.zeros(raw.sizes[BASIN], dtype=np.int64)
    for name in [str(one) for one in raw.data_vars]:
        values = raw[name]
        raw = raw.drop_vars(name)  # at most one variable is in memory twice
        if TIME in values.dims:
            tidy[name], count = _series(values, units, markers, area, step)
            set_missing += count
        else:
            tidy[name] = _attribute(values, markers)
        del values
    if area is not None:
        tidy[AREA] = area
    dataset = xr.Dataset(tidy, coords={**coords, SET_MISSING: ((BASIN,), set_missing)})
    dataset.attrs[SOURCE] = json.dumps(
        {key: value for key, value in called.items() if value not in (None, (), [], {}, False)}, default=_plain
    )
    return check_basins(dataset)


def rename_variables(raw: xr.Dataset, rename: Mapping[str, str]) -> xr.Dataset:
    """Rename variables, coordinates and dimensions.

    `rename` maps the new name to the name in the files.
    """
    known = [str(name) for name in {**raw.variables, **raw.sizes}]
    for ours, theirs in rename.items():
        if theirs not in known:
            raise InputError(f"rename: the data have no '{theirs}' to call '{ours}'; {nearest(theirs, known)}")
        if ours in known and ours not in rename.values():
            raise InputError(f"rename: the data have both '{theirs}' and '{ours}'; rename the other one too, or leave this out")
    return raw.rename({theirs: ours for ours, theirs in rename.items() if ours != theirs})


def select_basins(raw: xr.Dataset, gauge_ids: Sequence[str] | None, *, on_missing: OnMissing = "refuse") -> xr.Dataset:
    """Select the requested basins, with gauge ids as text."""
    ids = raw[BASIN].values
    if ids.dtype.kind == "S":
        ids = np.char.decode(ids, "utf-8")
    if ids.dtype.kind not in "UOT" or not all(isinstance(one, str) for one in ids.tolist()):
        raise InputError(
            f"gauge ids are numbers ({ids[:1].tolist()[0]!r} ...), so leading zeros may be lost; write them as text in the file"
        )
    raw = raw.assign_coords({BASIN: np.char.strip(ids.astype(str))})
    known = raw[BASIN].values.tolist()
    if len(set(known)) < len(known):
        raise InputError(f"basin {next(one for one in known if known.count(one) > 1)} is there twice; keep one")
    if gauge_ids is None:
        return raw
    check_gauge_ids(gauge_ids)
    place = {gauge_id: index for index, gauge_id in enumerate(known)}
    leave_out(
        [f"gauge id '{one}' is not in the data; {nearest(str(one), known)}" for one in gauge_ids if one not in place],
        on_missing=on_missing,
    )
    found = [place[gauge_id] for gauge_id in gauge_ids if gauge_id in place]
    if not found:
        raise InputError(f"none of the gauge ids asked for is in the data; {nearest(str(gauge_ids[0]), known)}")
    return raw.isel({BASIN: found})


def mend_times(raw: xr.Dataset) -> xr.Dataset:
    """Sort the time axis, drop equal duplicate rows, and add missing rows as NaN.

    Each change is logged.
    """
    times = _plain_times(raw)
    if not times.is_monotonic_increasing:
        LOG.info("mended: the rows were not in the order of time; sorted")
        raw = raw.isel({TIME: np.argsort(times.to_numpy(), kind="stable")})
        times = times_of(raw)
    repeated = times.duplicated()
    if repeated.any():
        _refuse_differing_rows(raw, repeated)
        LOG.info("mended: %d repeated row(s) dropped, the first of %s", int(repeated.sum()), times[repeated][0])
        raw = raw.isel({TIME: ~repeated})
        times = times_of(raw)
    if len(times) < 2:
        return raw
    step = pd.Timedelta(pd.Series(np.diff(times.to_numpy())).mode()[0])  # the most frequent step: robust to a stray row
    whole = pd.date_range(times[0], times[-1], freq=step)
    if not times.isin(whole).all():
        between = date_label(times[~times.isin(whole)][0])
        raise InputError(f"the time axis does not fit a step of {step_label(step)}: {between} lies between; correct the file")
    if len(whole) > len(times):
        LOG.info("mended: %d missing row(s) added as NaN, the first %s", len(whole) - len(times), whole.difference(times)[0])
        raw = raw.reindex({TIME: whole})
    return raw


def _select_variables(raw: xr.Dataset, wanted: Sequence[str] | None) -> xr.Dataset:
    if wanted is None:
        return raw
    known = [str(name) for name in raw.data_vars]
    for name in wanted:
        if name not in known:
            hint = nearest(name, known)
            raise InputError(
                f"the data have no variable '{name}'; {hint} (rename = {{{name} = \"...\"}} maps another name; an attribute may "
                'come from a table, attributes = "...")'
            )
    return raw[[name for name in known if name in ALWAYS_KEPT or name.removesuffix(FILLED) in wanted or name in wanted]]


def _plain_times(raw: xr.Dataset) -> pd.DatetimeIndex:
    """Return the time axis; raise unless it has plain dates."""
    times = raw.indexes[TIME]
    if not isinstance(times, pd.DatetimeIndex):
        raise InputError(
            f"the time axis holds {type(times[0]).__name__}, not dates of the standard calendar; convert it (a model calendar of "
            "360 or 365 days has no place for real observations)"
        )
    if times.tz is not None:
        raise InputError(f"the times carry a time zone ({times.tz}); write them in one time, without a zone")
    if times.hasnans:
        raise InputError(f"the time axis has {int(np.sum(times.isna()))} empty time(s); drop those rows")
    return times.as_unit("ns")


def _floor_to_days(raw: xr.Dataset, step: np.timedelta64) -> xr.Dataset:
    """Move daily time stamps up to noon to the start of their day.

    Stamps after noon raise an error: they may mean the next day.
    """
    times = times_of(raw)
    if step == np.timedelta64(1, "D") and (times != times.normalize()).any():
        if times[0].hour > 12:
            raise InputError(
                f"daily rows are stamped at {times[0]:%H:%M}: does that mean the day they lie in, or the next one in another "
                "time zone? Write the plain date of the day they are of"
            )
        LOG.info("daily rows stamped at %s are taken as the day they lie in", f"{times[0]:%H:%M}")
        times = times.normalize()
    return raw.assign_coords({TIME: times})


def _series(
    values: xr.DataArray, units: Mapping[str, str], markers: Sequence[float], area: xr.DataArray | None, step: np.timedelta64
) -> tuple[tuple[tuple[str, str], np.ndarray, dict[str, Any]], np.ndarray]:
    """Convert one variable to (basin, time) in its canonical unit.

    Also returns the count of values set to NaN, (basin,).
    """
    name = str(values.name)
    if set(values.dims) != {BASIN, TIME}:
        raise InputError(f"variable '{name}' has dims {values.dims}, not (basin, time); leave it out by variables = [...]")
    values = values.transpose(BASIN, TIME)
    numbers, count = without_markers(values, markers)
    source_units = units[name]
    if name == DISCHARGE:
        canonical = discharge_units(step)
        numbers = _discharge(numbers, source_units, area, values[BASIN].values, step)
    else:
        canonical = canonical_units(source_units, step)
        if canonical == "m s-1" and is_precipitation(name):
            canonical = discharge_units(step)
        numbers = numbers if canonical == source_units else convert(numbers, source_units, canonical)
    if name == DISCHARGE or is_precipitation(name):
        _refuse_more_than_ever_seen(values, numbers, canonical)
    attrs = {key: values.attrs[key] for key in ("long_name", "standard_name", LATER) if key in values.attrs}
    attrs |= {"units": canonical, "set_missing": int(count.sum())}
    return ((BASIN, TIME), numbers.astype(np.float32), attrs), count


def _attribute(values: xr.DataArray, markers: Sequence[float]) -> xr.DataArray:
    """Set missing markers of a static attribute to NaN."""
    if values.dtype.kind not in "fiu":
        return values
    marked = np.isin(values.values, markers)
    for gauge_id in np.atleast_1d(values[BASIN].values[marked] if values.dims == (BASIN,) else ()):
        LOG.info("basin %s: attribute %s is marked as missing", gauge_id, values.name)
    return values.where(~marked) if marked.any() else values


def _refuse_more_than_ever_seen(values: xr.DataArray, numbers: np.ndarray, units: str) -> None:
    """Raise on depths above any record: their unit is almost certainly wrong."""
    limit = MOST.get(units, np.inf)
    above = (numbers > limit) & np.isfinite(numbers)
    if above.any():
        basin, step = np.argwhere(above)[0]
        raise InputError(
            f"basin {values[BASIN].values[basin]}, {pd.Timestamp(values[TIME].values[step]):%Y-%m-%d}: {values.name} is "
            f"{numbers[basin, step]:.4g} {units}, more than any river carries or any sky has rained; check its unit"
        )


def _source_units(raw: xr.Dataset, given: Mapping[str, str]) -> dict[str, str]:
    """Collect the source units of all variables over time, and of the area.

    Raises if a variable over time has no unit or an unknown one.
    """
    known = {name: "1" for name in map(str, raw.data_vars) if is_mask(raw, name)}
    known |= {str(name): values.attrs["units"] for name, values in raw.data_vars.items() if "units" in values.attrs} | dict(given)
    series = {str(name): known.get(str(name)) for name, values in raw.data_vars.items() if TIME in values.dims}
    check_units(series)
    return {name: str(unit) for name, unit in (known | series).items()}


def _discharge(
    numbers: np.ndarray, units: str, area: xr.DataArray | None, gauge_ids: np.ndarray, step: np.timedelta64
) -> np.ndarray:
    try:
        return discharge_to_depth(numbers, units, area_km2=None if area is None else area.values, step=step)
    except InputError as error:
        raise InputError(f"basin {', '.join(gauge_ids[:3])}: {error}") from None


def _area(raw: xr.Dataset, given: Mapping[str, float] | float | None, units: Mapping[str, str]) -> xr.DataArray | None:
    """Return the area of every basin in km2, NaN if unknown.

    None if no area is known at all.
    """
    gauge_ids = raw[BASIN].values.tolist()
    attrs = {"units": "km2", "long_name": "area of the basin"}
    if given is not None:
        if isinstance(given, Mapping):
            absent = [gauge_id for gauge_id in gauge_ids if gauge_id not in given]
            if absent:
                raise InputError(f"area_km2 has no value for basin {', '.join(absent[:5])}; {nearest(absent[0], given)}")
        areas = [float(given[gauge_id]) if isinstance(given, Mapping) else float(given) for gauge_id in gauge_ids]
        return _checked_area(xr.DataArray(areas, {BASIN: gauge_ids}, (BASIN,), attrs=attrs))
    if AREA in raw:
        unit = units.get(AREA, "km2")
        return _checked_area(raw[AREA].copy(data=convert(raw[AREA].values, unit, "km2")).assign_attrs(attrs))
    return None


def _checked_area(area: xr.DataArray) -> xr.DataArray:
    bad = ~(np.isnan(area.values) | ((area.values > 0) & (area.values <= LARGEST_AREA)))
    if bad.any():
        raise InputError(
            f"basin {area[BASIN].values[bad][0]}: area_km2 is {area.values[bad][0]:g}; give an area in km2, above zero and below "
            f"{LARGEST_AREA:g}"
        )
    return area


def _refuse_differing_rows(raw: xr.Dataset, repeated: np.ndarray) -> None:
    times = times_of(raw)
    for time in times[repeated].unique():
        rows = raw.isel({TIME: np.flatnonzero(times == time)})
        for name, values in rows.data_vars.items():
            if TIME in values.dims and not all(
                values.isel({TIME: 0}).equals(values.isel({TIME: k})) for k in range(rows.sizes[TIME])
            ):
                raise InputError(f"{date_label(time)} is there twice with different {name}; keep the right row")


def _plain(value: Any) -> Any:
    """Convert a numpy number, an array or a path for JSON."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
