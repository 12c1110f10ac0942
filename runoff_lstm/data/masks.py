"""Masks beside filled variables: measured or filled, and filled from values after the gap or not."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import xarray as xr

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.names import BASIN, DISCHARGE, FILLED, LATER, TIME, is_mask, refuse_taken_names
from runoff_lstm.errors import InputError


def measured(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset with measured discharge only, for targets and scores.

    Filled discharge becomes NaN, and its mask is dropped.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> rl.measured(data)["discharge"].equals(data["discharge"])
    True
    """
    if not has_mask(as_dataset(dataset), DISCHARGE):
        return dataset
    kept = dataset[DISCHARGE].transpose(BASIN, TIME)
    return dataset.assign({DISCHARGE: kept.where(~mask_of(dataset, DISCHARGE))}).drop_vars(DISCHARGE + FILLED)


def has_mask(dataset: xr.Dataset, name: str) -> bool:
    """Return whether a variable over time has a mask beside it."""
    return name + FILLED in dataset.data_vars and is_mask(dataset, name + FILLED)


def mask_of(dataset: xr.Dataset, name: str) -> npt.NDArray[np.bool_]:
    """Return the mask of a variable, (basin, time): true where it was filled."""
    if not has_mask(dataset, name):
        return np.zeros((dataset.sizes[BASIN], dataset.sizes[TIME]), dtype=bool)
    refuse_taken_names(dataset[[name, name + FILLED]])
    filled: npt.NDArray[np.bool_] = dataset[name + FILLED].transpose(BASIN, TIME).values > 0
    return filled


def with_mask(dataset: xr.Dataset, name: str, filled: npt.NDArray[np.bool_], *, later: bool = False) -> xr.Dataset:
    """Add the mask of a variable, (basin, time).

    `later`: values after a gap were used to fill it.
    """
    attrs = {"units": "1", "long_name": f"1 where {name} was filled", **({LATER: 1} if later else {})}
    return dataset.assign({name + FILLED: ((BASIN, TIME), filled.astype(np.int8), attrs)})


def sees_later(dataset: xr.Dataset, name: str) -> bool:
    """Return whether a variable has values filled from measurements after the gap."""
    return has_mask(dataset, name) and bool(dataset[name + FILLED].attrs.get(LATER, 0)) and bool(mask_of(dataset, name).any())


def refuse_later(dataset: xr.Dataset, names: Iterable[str]) -> None:
    """Raise on variables filled from later values.

    As input of a forecast they would leak the future.
    """
    for name in names:
        if sees_later(dataset, name):
            raise InputError(
                f"{name} was filled from values after its gaps (by interpolation), which nobody has before a gap ends; "
                'fill it by method = "earlier" or "climatology", or leave the gaps'
            )
