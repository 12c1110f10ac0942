"""The [data] tables of an experiment file as calls of resample, derive and the fills."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import xarray as xr

from runoff_lstm.data.derived import derive
from runoff_lstm.data.filling import fill_by_climatology, fill_by_interpolation, fill_from_earlier
from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.names import SOURCE
from runoff_lstm.data.periods import AnyPeriod
from runoff_lstm.data.resampling import resample
from runoff_lstm.errors import InputError, check_choice, nearest

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
    """Resample, fill and derive, as the tables of an experiment file say.

    What is derived is derived from filled variables, and may be filled itself.

    Parameters
    ----------
    dataset
        Canonical.
    derive
        By the name of the new variable: `{"temperature": {"formula": "(tmin + tmax) / 2", "units": "degC"}}`; one may use another
        that stands before it.
    resample
        `{"step": "1D", "share": 0.9}`.
    fill
        By the name of the variable: `{"precipitation": {"method": "earlier", "limit": 3, "period": "1 day", "tries": 1}}`, or a
        list of such, one after the other; the methods are those of `FILLS`.
    train
        The training period, for the method "climatology".

    Returns
    -------
    Dataset
        Its attribute SOURCE tells the tables, so that a run can repeat them.

    Raises
    ------
    InputError
        A table has an unknown setting or lacks one, there is no training period for climatology, the data were mended before, or a
        step finds a fault.

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


_derive, _resample = derive, resample  # under the names that mend gives to its tables


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
    """Call a function with the settings of a table, whose keys must be those of its other parameters."""
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
