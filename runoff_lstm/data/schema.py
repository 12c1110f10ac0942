"""Check a Dataset of basins against the canonical form, and return it tidied or raise one clear error.

The check of form and units lives here only; names are defined in `names`, units in `units`.
"""

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.names import (
    AREA,
    BASIN,
    DISCHARGE,
    OUTPUTS,
    TIME,
    discharge_units,
    is_mask,
    is_precipitation,
    refuse_taken_names,
)
from runoff_lstm.data.times import date_label, time_step
from runoff_lstm.data.units import check_units
from runoff_lstm.errors import InputError


def check_form(dataset: xr.Dataset) -> xr.Dataset:
    """Check the form of a Dataset and return it tidied.

    Runs all checks of `check_basins` except those of units.
    """
    as_dataset(dataset)
    for dim in (BASIN, TIME):
        if dim not in dataset.dims or dim not in dataset.indexes:
            raise InputError(
                f"the dataset has no dimension '{dim}' with a coordinate (it has {', '.join(map(str, dataset.dims)) or 'none'}); "
                f"rename yours to '{dim}'"
            )
    _check_gauge_ids(dataset)
    refuse_taken_names(dataset)
    times = dataset.indexes[TIME]
    if not isinstance(times, pd.DatetimeIndex):
        raise InputError(f"the time axis is of type {times.dtype}, not dates of the standard calendar; convert it to datetime64")
    if times.hasnans:
        raise InputError(f"the time axis has {int(np.sum(times.isna()))} empty time(s); drop those rows")
    step = time_step(times)
    variables = {str(name): _check_variable(str(name), dataset[name]) for name in dataset.data_vars}
    tidy = dataset.assign(variables).drop_vars([name for name in OUTPUTS if name in dataset.coords and name not in dataset.dims])
    for name in variables:
        if name == DISCHARGE or (is_precipitation(name) and TIME in tidy[name].dims):
            _refuse_negative(tidy[name])
    if DISCHARGE in tidy and tidy[DISCHARGE].attrs.get("units") != discharge_units(step):
        raise InputError(
            f"discharge has the unit {tidy[DISCHARGE].attrs.get('units')!r}, not '{discharge_units(step)}'; read it with "
            'units = {discharge = "..."} so that it is converted'
        )
    if AREA in tidy and bool((tidy[AREA] <= 0).any()):
        gauge_id = tidy[BASIN].values[(tidy[AREA] <= 0).values][0]
        raise InputError(f"basin {gauge_id}: area_km2 is not positive; correct the area or leave the basin out")
    return tidy


def _check_gauge_ids(dataset: xr.Dataset) -> None:
    gauge_ids = dataset[BASIN].values
    if not all(isinstance(gauge_id, str) for gauge_id in gauge_ids.tolist()):
        raise InputError(
            f"gauge ids are {gauge_ids.dtype}, such as {gauge_ids.tolist()[0]!r}; they must be strings, so leading zeros stay"
        )
    unique, count = np.unique(gauge_ids, return_counts=True)
    if (count > 1).any():
        raise InputError(f"basin {unique[count > 1][0]} is there {count.max()} times; keep one")


def _check_variable(name: str, values: xr.DataArray) -> xr.DataArray:
    """Return a variable over time as float32 with dims (basin, time).

    Raises on infinite values and non-numbers. A variable without a time dimension is returned unchanged.
    """
    if TIME not in values.dims:
        return values
    if set(values.dims) != {BASIN, TIME}:
        raise InputError(f"variable '{name}' has dims {values.dims}; (basin, time) or (basin,) are understood")
    if values.dtype.kind not in "fiu":
        raise InputError(f"variable '{name}' holds {values.dtype}, not numbers; convert it or leave it out")
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite
        values = values.transpose(BASIN, TIME).astype("float32", copy=False)
    infinite = np.isinf(values.values)
    if infinite.any():
        where = _first(values, infinite)
        raise InputError(f"{where}: {name} is infinite; make it NaN or correct it")
    return values


def _refuse_negative(values: xr.DataArray) -> None:
    negative = values.values < 0
    if negative.any():
        basin = int(np.argmax(negative.any(axis=1)))
        step = int(np.argmax(negative[basin]))
        first = f"{pd.Timestamp(values[TIME].values[step]):%Y-%m-%d}: {values.values[basin, step]:.3g}"
        raise InputError(
            f"basin {values[BASIN].values[basin]}: {values.name} is negative on {int(negative[basin].sum())} step(s) "
            f"(first {first} {values.attrs.get('units', '')}); mask them or correct the file"
        )


def _first(values: xr.DataArray, where: np.ndarray) -> str:
    """Format basin and date of the first true element of `where`, (basin, time).

    The form is 'basin 01022500, 1987-03-02'.
    """
    basin, step = (int(index[0]) for index in np.nonzero(where))
    return f"basin {values[BASIN].values[basin]}, {date_label(values[TIME].values[step])}"


def check_basins(dataset: xr.Dataset) -> xr.Dataset:
    """Check a Dataset against the canonical form and return it tidied.

    Parameters
    ----------
    dataset
        dims (basin, time), basin coordinate of gauge ids as str, time coordinate datetime64 at a regular step. Forcing variables
        and `discharge` over (basin, time), each with the attribute `units` ("1" if dimensionless). Static attributes and `area_km2`
        over (basin,). NaN is the only missing value.

    Returns
    -------
    Dataset
        The same data, dims in the order (basin, time), floating variables over time as float32.

    Raises
    ------
    InputError
        A dimension is missing, gauge ids are not unique strings, the time axis is not regular, a value is infinite, discharge is
        negative or not in `discharge_units`, a variable over time has no unit or an unknown one, an area is not positive, or a name
        is reserved. The message names gauge, variable and date.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> dict(rl.check_basins(data).sizes)
    {'basin': 2, 'time': 730}
    """
    tidy = check_form(dataset)
    check_all_units(tidy)
    return tidy


def check_all_units(dataset: xr.Dataset) -> None:
    """Raise on variables over time without a unit or with an unknown one.

    One error names all of them. Masks need no unit.
    """
    series = {str(name): values.attrs.get("units") for name, values in dataset.data_vars.items() if TIME in values.dims}
    check_units({name: units for name, units in series.items() if not is_mask(dataset, name)})
