"""Apply the `[data]` tables of an experiment file: resample, derive and fill."""

import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from runoff_lstm.data.derived import derive, formula_names
from runoff_lstm.data.filling import fill_by_climatology, fill_by_interpolation, fill_from_earlier
from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.names import AREA, BASIN, DISCHARGE, SOURCE, TIME
from runoff_lstm.data.periods import AnyPeriod
from runoff_lstm.data.readers import SOURCES, source_of, stated_units
from runoff_lstm.data.resampling import resample
from runoff_lstm.data.times import date_label, times_of
from runoff_lstm.errors import InputError, check_choice, nearest

LOG = logging.getLogger("runoff_lstm")

MENDED = ("resample", "derive", "fill")
"""Tables of `[data]` that are applied after reading."""

_OF_ANY_SOURCE = {"attributes", "area_km2", "mend_time", "on_missing", *MENDED}
"""Keys of a preparation that hold for every source: they concern basins and model, not the form of files."""

FILLS: dict[str, Callable[..., xr.Dataset]] = {
    "earlier": fill_from_earlier,
    "interpolation": fill_by_interpolation,
    "climatology": fill_by_climatology,
}


def mend(
    dataset: xr.Dataset,
    *,
    derive: Mapping[str, Mapping[str, str]] | None = None,
    resample: Mapping[str, Any] | None = None,
    fill: Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]] | None = None,
    train: AnyPeriod | None = None,
) -> xr.Dataset:
    """Resample, fill and derive by the tables of an experiment file.

    Derived variables use filled variables, and may be filled too.

    Parameters
    ----------
    dataset
        Canonical.
    derive
        By the name of the new variable: `{"temperature": {"formula": "(tmin + tmax) / 2", "units": "degC"}}`. A formula may use
        variables derived before it.
    resample
        `{"step": "1D", "share": 0.9}`.
    fill
        By the name of the variable: `{"precipitation": {"method": "earlier", "limit": 3, "period": "1 day", "tries": 1}}`, or a
        list of such tables, applied in order. The methods are those of `FILLS`.
    train
        The training period, for the method "climatology".

    Returns
    -------
    Dataset
        With the tables in its attribute SOURCE, for a run to repeat them.

    Raises
    ------
    InputError
        A table has an unknown setting or lacks one, there is no training period for climatology, the same table was applied before,
        or a step raises.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> sorted(rl.mend(data, derive={"melt": {"formula": "max(temperature, 0)", "units": "degC"}}).data_vars)
    ['discharge', 'leak', 'melt', 'rain', 'temperature']
    """
    tables = {"derive": derive, "resample": resample, "fill": fill}
    given = {key: _without_none(table) for key, table in tables.items() if table}
    source = json.loads(as_dataset(dataset).attrs.get(SOURCE, "{}"))
    for key in given.keys() & source.keys():
        raise InputError(f"{key}: the data were mended before, which a run could not repeat; read them again and mend them at once")
    if resample:
        dataset = _call(_resample, dataset, table=given["resample"], where="resample")
    derived, fills = given.get("derive", {}), given.get("fill", {})
    for name, settings in fills.items():
        if name not in derived:
            dataset = _fill_as(dataset, name, settings, train)
    for name, table in derived.items():
        dataset = _call(_derive, dataset, name, table=table, where=f"derive {name}")
        dataset = _fill_as(dataset, name, fills.get(name, []), train)
    return dataset.assign_attrs({SOURCE: json.dumps({**source, **given}, default=str)})


_derive, _resample = derive, resample  # `mend` uses the names for its tables


def _fill_as(
    dataset: xr.Dataset, name: str, tables: Mapping[str, Any] | Sequence[Mapping[str, Any]], train: AnyPeriod | None
) -> xr.Dataset:
    for table in [tables] if isinstance(tables, Mapping) else tables:
        where = f"fill {name}"
        method = check_choice(f"{where}: method", table.get("method"), FILLS)
        settings = {key: value for key, value in table.items() if key != "method"}
        if method == "climatology":
            if train is None or "period" in settings:
                raise InputError(f"{where}: climatology is the mean over the training period; give the period train, and no other")
            settings["period"] = train
        dataset = _call(FILLS[method], dataset, name, table=settings, where=where)
    return dataset


def _call(function: Callable[..., xr.Dataset], *given: Any, table: Mapping[str, Any], where: str) -> xr.Dataset:
    """Call a function with the settings of a table.

    The keys must match the remaining parameters of the function.
    """
    parameters = dict(list(inspect.signature(function).parameters.items())[len(given) :])
    for key in table:
        if key not in parameters:
            raise InputError(f"{where} has no setting '{key}'; {nearest(key, parameters)}")
    for key, parameter in parameters.items():
        if parameter.default is parameter.empty and key not in table:
            raise InputError(f"{where} has no {key}; add it")
    return function(*given, **table)


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _without_none(one) if isinstance(one, Mapping) else one for key, one in table.items() if one is not None}


def needed_variables(wanted: Sequence[str], derived: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """List the variables to read, and the derived ones, for the wanted variables.

    `derived` holds the formulas by name.
    """
    needed, made = list(dict.fromkeys(wanted)), []
    for name, formula in reversed(list(derived.items())):  # an input may itself be derived before it
        if name in needed:
            needed.remove(name)
            made.append(name)
            needed += [one for one in formula_names(formula) if one not in needed]
    return needed, made


def read_as(
    preparation: Mapping[str, Any],
    path: str | Path,
    *,
    forcing: Sequence[str],
    static_attributes: Sequence[str],
    needs_discharge: bool,
    overrides: Mapping[str, Any] | None = None,
    trained_on: Sequence[str] = (),
    train: AnyPeriod | None = None,
    read: Callable[..., xr.Dataset] | None = None,
) -> xr.Dataset:
    """Read new data and prepare them as the training data.

    Applies the same reader options, fills and derived variables.

    Parameters
    ----------
    preparation
        Preparation of the training data: the keys of `[data]` except the path, the gauge ids and the inputs of the model.
    path
        The new data.
    forcing, static_attributes, needs_discharge
        Inputs of the model. If it needs no discharge, settings of discharge and area are not applied.
    overrides
        Keys of `[data]` that replace those of the preparation, tables key by key; an empty table removes one.
    trained_on
        Gauge ids of the training; a single `area_km2` applies to these only.
    train
        Training period, for the means of the method "climatology".
    read
        Called with source, path and the keywords of the reader; None: the reader of `SOURCES`.

    Raises
    ------
    InputError
        The data lack something, state a unit other than in training, or cannot be filled as in training.
    """
    asked = dict(overrides or {})
    source = check_choice("source", asked.pop("source", None) or source_of(Path(path)), SOURCES)
    wanted = [*forcing, *static_attributes, *([DISCHARGE] if needs_discharge else [])]
    recorded = _applicable(preparation, source, trained_on)
    settings = _laid_over(recorded, asked)
    variables, made = needed_variables(wanted, _formulas(settings))
    for key in ("rename", "units"):
        own = settings.get(key, {})
        kept = {*variables, TIME, BASIN, *([AREA] if needs_discharge else []), *asked.get(key, {})}
        settings[key] = {name: value for name, value in own.items() if name in kept}
    if not needs_discharge and AREA not in asked:
        settings.pop(AREA, None)
    if not static_attributes and not needs_discharge and "attributes" not in asked:
        settings.pop("attributes", None)
    _check_attributes(settings, asked)
    _check_units(settings, asked, source, Path(path))
    mending = {key: settings.pop(key, None) for key in MENDED}
    options = {key: value for key, value in settings.items() if value not in (None, {}, [], "", False)}
    call = read or (lambda source, path, given: SOURCES[source].read(path, **given))
    dataset = call(source, path, {**options, "variables": variables})
    return _mended_as(dataset, mending, needed={*variables, *made}, made=made, train=train, path=path)


def _applicable(preparation: Mapping[str, Any], source: str, trained_on: Sequence[str]) -> dict[str, Any]:
    """Select the keys of a preparation that apply to data of a source.

    The others are logged.
    """
    of_files = {"source", "path", "gauge_ids", "forcing", "static_attributes", "variables"}
    recorded = {key: value for key, value in preparation.items() if key not in of_files and value not in (None, {}, [])}
    before = preparation.get("source", source)
    alike = SOURCES[before].read is SOURCES[source].read if before in SOURCES else before == source
    if not alike:
        kept = _OF_ANY_SOURCE & {*SOURCES[source].options, "on_missing", *MENDED}
        lost = sorted(set(recorded) - kept)
        if lost:
            LOG.info("the model was trained on %s data; their %s say nothing of %s data", before, ", ".join(lost), source)
        recorded = {key: value for key, value in recorded.items() if key in kept}
    area = recorded.get(AREA)
    if area is not None and not isinstance(area, Mapping) and trained_on:
        recorded[AREA] = dict.fromkeys(trained_on, area)
    return recorded


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two tables key by key.

    `above` wins, and an empty table in `above` removes the one in `below`.
    """
    joined = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], Mapping) and isinstance(above[key], Mapping) and above[key]:
            joined[key] = {**below[key], **above[key]}
    return joined


def _formulas(settings: Mapping[str, Any]) -> dict[str, str]:
    return {name: table["formula"] for name, table in settings.get("derive", {}).items()}


def _check_attributes(settings: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise if the attribute table of the training is not found."""
    table = settings.get("attributes")
    if table and "attributes" not in asked and not Path(table).exists():
        raise InputError(
            f"the attributes of the training were read from {table}, which is not there; give --attributes, or --set "
            'data.attributes="" where the data have them (in Python overrides={"attributes": ...})'
        )


def _check_units(settings: Mapping[str, Any], asked: Mapping[str, Any], source: str, path: Path) -> None:
    """Raise if the new data state a unit other than in training."""
    recorded = {name: unit for name, unit in settings.get("units", {}).items() if name not in asked.get("units", {})}
    stated = stated_units(path) if recorded and SOURCES[source].read is SOURCES["netcdf"].read else {}
    for name, unit in recorded.items():
        own = stated.get(settings.get("rename", {}).get(name, name), unit)
        if own != unit:
            raise InputError(
                f"{path} states the unit {own} of {name}, and the data of the training were read in {unit}; say which is right: "
                f'--unit {name}="{own}" or --unit {name}="{unit}" (in Python overrides={{"units": ...}})'
            )


def _mended_as(
    dataset: xr.Dataset,
    mending: dict[str, Any],
    *,
    needed: set[str],
    made: Sequence[str],
    train: AnyPeriod | None,
    path: str | Path,
) -> xr.Dataset:
    """Resample, fill and derive as in training, for the variables of the model only."""
    tables: dict[str, Any] = {"resample": mending["resample"]}
    tables["derive"] = {name: one for name, one in (mending["derive"] or {}).items() if name in made}
    tables["fill"] = {name: one for name, one in (mending["fill"] or {}).items() if name in needed}
    for name, one in tables["fill"].items():
        if any(table["method"] == "climatology" for table in ([one] if isinstance(one, Mapping) else one)):
            _check_climatology(dataset, name, train, path)
    return mend(dataset, **tables, train=train) if any(tables.values()) else dataset


def _check_climatology(dataset: xr.Dataset, name: str, train: AnyPeriod | None, path: str | Path) -> None:
    """Raise if the data do not cover the training period, whose means the fill needs."""
    times = times_of(dataset)
    if train is not None and times[0] <= train.parts[0].start and train.parts[-1].end < times[-1].normalize() + pd.Timedelta("1D"):
        return
    raise InputError(
        f"the model fills {name} by the mean of the calendar day over {train or 'the training period'}, and {path} reaches from "
        f"{date_label(times[0])} to {date_label(times[-1])}; add those years, or leave {name} as it is: --set data.fill={{}} "
        '(in Python overrides={"fill": {}})'
    )
