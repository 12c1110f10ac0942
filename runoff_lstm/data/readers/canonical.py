"""From what a file holds to the canonical Dataset: the steps every reader ends with. Nothing is changed without being counted."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.checks import check_basins
from runoff_lstm.data.readers.archive import OnMissing, check_gauge_ids, check_on_missing, leave_out
from runoff_lstm.data.readers.attributes import join_attributes, read_attributes
from runoff_lstm.data.schema import (
    ALWAYS_KEPT,
    AREA,
    BASIN,
    DISCHARGE,
    FILLED,
    LATER,
    SET_MISSING,
    SOURCE,
    TIME,
    check_keywords,
    date_label,
    discharge_units,
    is_mask,
    is_precipitation,
    refuse_taken_names,
    step_label,
    time_step,
    times_of,
)
from runoff_lstm.data.units import canonical_units, check_units, convert, discharge_to_depth
from runoff_lstm.errors import InputError, nearest

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
"""Sizes of numbers that often mean missing; refused where they stand far off all other values of a basin."""

LARGE_SUSPECT = 888.0
"""From this size on a suspect is refused where it is the only value, too."""

LARGEST_AREA = 1e7
"""More km2 than any basin has (the Amazon has about 6 million)."""

MOST = {"mm d-1": 5000.0, "mm h-1": 1000.0}
"""More than any discharge or precipitation on record (1,825 mm in a day, about 300 mm in an hour), by its unit."""


class ReaderOptions(TypedDict, total=False):
    """What every reader takes beside the path and the gauge ids.

    Attributes
    ----------
    variables
        Names (after renaming) to keep; left out: all. `area_km2` is kept where it is there.
    rename
        Name to have by the name in the files: `{"discharge": "QObs", "time": "date", "basin": "gauge"}` has QObs as discharge.
    units
        Unit that the files have a variable in, by its name after renaming; takes the place of what the files say.
    area_km2
        Area of each basin by gauge id, or of all of them, for discharge in m3 s-1 and the like; left out: `area_km2` of the data,
        else of the attributes.
    missing
        Further markers of missing values, text or numbers, beside NaN, empty cells, -999, -9999 and -99999.
    attributes
        CSV file of static attributes: the first column (or `gauge_id`) is the gauge id, each other column an attribute; or a folder
        of such files, whose columns are joined.
    on_missing
        "refuse" (as when left out) a gauge id that the data do not have and a basin that the attributes do not have, or "skip" such
        basins, told one by one.
    mend_time
        Sort the rows, drop repeated equal ones, and add missing ones as NaN, where the time axis would else be refused.
    """

    variables: Sequence[str] | None
    rename: Mapping[str, str]
    units: Mapping[str, str]
    area_km2: Mapping[str, float] | float | None
    missing: Sequence[float | str]
    attributes: str | Path | None
    on_missing: OnMissing
    mend_time: bool


def check_options(where: str, options: Mapping[str, Any], *, beside: Sequence[str] = ()) -> None:
    """Refuse a keyword that is neither of `ReaderOptions` nor of the reader itself, and an unknown `on_missing`."""
    check_keywords(where, options, [*beside, *ReaderOptions.__annotations__])
    check_on_missing(options.get("on_missing", "refuse"))


def to_canonical(
    raw: xr.Dataset,
    options: ReaderOptions,
    *,
    gauge_ids: Sequence[str] | None,
    called: Mapping[str, Any],
    attributes: pd.DataFrame | None = None,
) -> xr.Dataset:
    """Turn renamed raw data, dims (basin, time), into the canonical Dataset.

    Parameters
    ----------
    raw
        As the files have it, under its final names.
    options
        See ReaderOptions.
    gauge_ids
        Basins to keep, in that order; None: all.
    called
        How the reader was called; kept as the attribute SOURCE, as JSON.
    attributes
        Static attributes to join, index of gauge ids; None: those that the options name.

    Returns
    -------
    Dataset
        Checked by `check_basins`; each variable's attribute `set_missing` counts the values that were made NaN, and so does the
        coordinate `set_missing` for each basin, over all variables.
    """
    markers = [*MARKERS, *(float(one) for one in markers_of(options) if _is_number(one))]
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
        raw = raw.drop_vars(name)  # so that no more than one variable is there twice
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
    """Give variables, coordinates and dimensions their own names; `rename` maps the name to have to the name in the files."""
    known = [str(name) for name in {**raw.variables, **raw.sizes}]
    for ours, theirs in rename.items():
        if theirs not in known:
            raise InputError(f"rename: the data have no '{theirs}' to call '{ours}'; {nearest(theirs, known)}")
        if ours in known and ours not in rename.values():
            raise InputError(f"rename: the data have both '{theirs}' and '{ours}'; rename the other one too, or leave this out")
    return raw.rename({theirs: ours for ours, theirs in rename.items() if ours != theirs})


def select_basins(raw: xr.Dataset, gauge_ids: Sequence[str] | None, *, on_missing: OnMissing = "refuse") -> xr.Dataset:
    """The basins asked for, with gauge ids as text."""
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
    """Sort the time axis, drop repeated rows that are equal, and add missing rows as NaN; what was done is logged."""
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
    step = pd.Timedelta(pd.Series(np.diff(times.to_numpy())).mode()[0])  # the usual one: a stray row does not set it
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
            raise InputError(f"the data have no variable '{name}'; {hint} (rename = {{{name} = \"...\"}} maps another name)")
    return raw[[name for name in known if name in ALWAYS_KEPT or name.removesuffix(FILLED) in wanted or name in wanted]]


def _plain_times(raw: xr.Dataset) -> pd.DatetimeIndex:
    """The time axis, if it is one of plain dates."""
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
    """Daily steps stamped up to noon, moved to the start of their day; later stamps may mean the next day, and are refused."""
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
    """One variable over (basin, time) in its canonical unit, with what was made NaN and how often, (basin,)."""
    name = str(values.name)
    if set(values.dims) != {BASIN, TIME}:
        raise InputError(f"variable '{name}' has dims {values.dims}, not (basin, time); leave it out by variables = [...]")
    values = values.transpose(BASIN, TIME)
    numbers, count = _without_markers(values, markers)
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
    """One static attribute with missing markers as NaN."""
    if values.dtype.kind not in "fiu":
        return values
    marked = np.isin(values.values, markers)
    for gauge_id in np.atleast_1d(values[BASIN].values[marked] if values.dims == (BASIN,) else ()):
        LOG.info("basin %s: attribute %s is marked as missing", gauge_id, values.name)
    return values.where(~marked) if marked.any() else values


def _refuse_more_than_ever_seen(values: xr.DataArray, numbers: np.ndarray, units: str) -> None:
    """Refuse depths beyond any on record: the unit they were read in is almost surely not theirs."""
    limit = MOST.get(units, np.inf)
    above = (numbers > limit) & np.isfinite(numbers)
    if above.any():
        basin, step = np.argwhere(above)[0]
        raise InputError(
            f"basin {values[BASIN].values[basin]}, {pd.Timestamp(values[TIME].values[step]):%Y-%m-%d}: {values.name} is "
            f"{numbers[basin, step]:.4g} {units}, more than any river carries or any sky has rained; check its unit"
        )


def _without_markers(values: xr.DataArray, markers: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers as float64 with missing markers (and negative discharge) as NaN, and how many there were, (basin,)."""
    if values.dtype.kind not in "fiu":
        raise InputError(f"variable '{values.name}' holds {values.dtype}, not numbers; convert it, or leave it out")
    numbers = values.values.astype(np.float64)
    with np.errstate(over="ignore"):  # as float32, for that is how most files have -99.9
        marked = np.isin(numbers.astype(np.float32), np.asarray(markers, np.float32))
    _tell(values, marked, "marked as missing")
    if values.name == DISCHARGE:
        negative = (numbers < 0) & np.isfinite(numbers) & ~marked
        _tell(values, negative, "negative, taken as missing")
        marked |= negative
    numbers[marked] = np.nan
    extremes = np.stack([np.fmin.reduce(numbers, axis=1), np.fmax.reduce(numbers, axis=1)], axis=1)
    for basin in np.flatnonzero(_looks_like_a_marker(extremes).any(axis=1)):
        _refuse_suspects(f"basin {values[BASIN].values[basin]}", str(values.name), values[TIME].values, numbers[basin])
    return numbers, marked.sum(axis=1)


def _tell(values: xr.DataArray, where: np.ndarray, what: str) -> None:
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


def _looks_like_a_marker(numbers: np.ndarray) -> np.ndarray:
    """Where a number has a size that often means missing."""
    sizes = np.abs(numbers)
    marked: np.ndarray = (sizes >= 1e10) | np.isclose(sizes[..., None], SUSPECTS, rtol=1e-6).any(axis=-1)
    return marked


def _refuse_suspects(where: str, name: str, times: np.ndarray, numbers: np.ndarray) -> None:
    """Refuse a lone extreme of a basin that looks like a marker nobody has named; it would pass for its wettest or driest day."""
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


def _source_units(raw: xr.Dataset, given: Mapping[str, str]) -> dict[str, str]:
    """The unit that the files have every variable over time in, and the area; refused where one is missing or not known."""
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
    """Area of every basin in km2, NaN where not known; None where no area is known at all."""
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
    """What JSON can hold, of a numpy number, an array or a path."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


def markers_of(options: ReaderOptions) -> Sequence[float | str]:
    """The markers of missing values that were given; a bare text would be taken letter by letter."""
    given = options.get("missing", ())
    if not isinstance(given, list | tuple):
        raise InputError(f"missing = {given!r}: give a list, such as missing = [-888]")
    return given


def _is_number(text: float | str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
