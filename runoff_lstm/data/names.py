"""Names of dimensions, fixed variables and attributes of the canonical Dataset, and the canonical unit of discharge."""

import re
from typing import TypeVar

import numpy as np
import xarray as xr

from runoff_lstm.errors import InputError

BASIN = "basin"


TIME = "time"


DISCHARGE = "discharge"


AREA = "area_km2"


ALWAYS_KEPT = (AREA, "gauge_lat", "gauge_lon")
"""Variables over (basin,) kept in every selection of variables, if present: the area and the coordinates of the gauge."""


FILLED = "_filled"
"""Suffix of a mask over (basin, time): 1 where the variable was filled, 0 where measured or still missing."""


LATER = "uses_later_values"
"""Attribute of such a mask, 1: the variable has values filled from measurements after a gap."""


SET_MISSING = "set_missing"
"""Coordinate over (basin,): number of values set to NaN by a reader."""


OUTPUTS = ("observed", "simulated", "forecast", "issue_date", "lead_time", "member")
"""Names of outputs; coordinates of these names in the data would clash with them, and are dropped."""


SOURCE = "runoff_lstm_source"
"""Attribute of a Dataset with the call of its reader as JSON, for a run to read the same data again."""


DAY = np.timedelta64(1, "D")


HOUR = np.timedelta64(1, "h")


Counted = TypeVar("Counted", xr.Dataset, xr.DataArray)


COUNTS = (SET_MISSING, "discharge_estimated")
"""Coordinates over (basin,) with counts of readers; they describe the data read, not any output."""


def without_counts(data: Counted) -> Counted:
    """Drop the counts of readers, for outputs and tables."""
    return data.drop_vars([name for name in COUNTS if name in data.coords])


_PRECIPITATION = re.compile(r"(p|pr|prcp|pcp|tp|rain\w*?|precip\w*?|total_precipitation\w*?)(_.*)?", re.IGNORECASE)


def is_precipitation(name: str) -> bool:
    """Return whether a name is a common name of precipitation.

    >>> [is_precipitation(name) for name in ("prcp_daymet", "precipitation", "P", "potential_evapotranspiration", "pressure")]
    [True, True, True, False, False]
    """
    return _PRECIPITATION.fullmatch(name) is not None


def discharge_units(step: np.timedelta64) -> str:
    """Return the canonical unit of discharge.

    'mm d-1' for daily and longer steps, 'mm h-1' for shorter ones.
    """
    return "mm d-1" if step >= DAY else "mm h-1"


ISSUE_DATE = "issue_date"


LEAD_TIME = "lead_time"


def is_mask(dataset: xr.Dataset, name: str) -> bool:
    """Return whether a name is reserved for the mask of a variable over time.

    The mask need not be present.
    """
    masked = name.removesuffix(FILLED)
    return masked != name and masked in dataset.data_vars and TIME in dataset[masked].dims


def refuse_mask(dataset: xr.Dataset, name: str, kind: str) -> None:
    """Raise if the name of a mask is given to something else."""
    if is_mask(dataset, name):
        masked = name.removesuffix(FILLED)
        raise InputError(f"{kind}: the name '{name}' is kept for the mask of {masked}; choose another name, {_renamed(name)}")


def _is_zero_or_one(values: np.ndarray) -> bool:
    """Return whether all values are 0, 1 or NaN."""
    return values.dtype.kind in "fiub" and not np.any((values != 0) & (values != 1) & ~np.isnan(values))


def refuse_taken_names(dataset: xr.Dataset) -> None:
    """Raise on a variable with a reserved name.

    Reserved are the names of masks, the discharge, attributes of `ALWAYS_KEPT` and counts.
    """
    for name in map(str, dataset.data_vars):
        wanted = _wanted_under(name, dataset)
        if wanted is not None:
            raise InputError(f"the name '{name}' is kept for {wanted}; give this variable another name, {_renamed(name)}")


def _wanted_under(name: str, dataset: xr.Dataset) -> str | None:
    """Describe the variable that a reserved name must have, for an error.

    None if the variable is the right one or the name is not reserved.
    """
    values = dataset[name]
    over_time = TIME in values.dims
    if name == SET_MISSING:
        return "the number of values that a reader has made NaN"
    if name in ALWAYS_KEPT and over_time:
        return "an attribute with one value a basin"
    if name == DISCHARGE and not over_time:
        return "the observed discharge over (basin, time)"
    if is_mask(dataset, name) and not (over_time and _is_zero_or_one(values.values)):
        return f"the mask of {name.removesuffix(FILLED)}, 1 where that was filled and else 0"
    return None


def _renamed(name: str) -> str:
    return f'such as by rename = {{other = "{name}"}}'
