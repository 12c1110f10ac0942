"""The masks beside filled variables: what was measured, what was not, and what was filled from values after the gap."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import xarray as xr

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.names import BASIN, DISCHARGE, FILLED, LATER, TIME, is_mask, refuse_taken_names
from runoff_lstm.errors import InputError


def measured(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with discharge as it was measured, for targets and scores: NaN where it was filled, and without its mask.

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
    """Whether a variable over time has a mask beside it."""
    return name + FILLED in dataset.data_vars and is_mask(dataset, name + FILLED)


def mask_of(dataset: xr.Dataset, name: str) -> npt.NDArray[np.bool_]:
    """Where a variable was filled, (basin, time)."""
    if not has_mask(dataset, name):
        return np.zeros((dataset.sizes[BASIN], dataset.sizes[TIME]), dtype=bool)
    refuse_taken_names(dataset[[name, name + FILLED]])
    filled: npt.NDArray[np.bool_] = dataset[name + FILLED].transpose(BASIN, TIME).values > 0
    return filled


def with_mask(dataset: xr.Dataset, name: str, filled: npt.NDArray[np.bool_], *, later: bool = False) -> xr.Dataset:
    """The dataset with the mask of a variable, (basin, time); `later`: whether values after a gap have filled it."""
    attrs = {"units": "1", "long_name": f"1 where {name} was filled", **({LATER: 1} if later else {})}
    return dataset.assign({name + FILLED: ((BASIN, TIME), filled.astype(np.int8), attrs)})


def sees_later(dataset: xr.Dataset, name: str) -> bool:
    """Whether a variable holds values that were filled from what was measured after the gap."""
    return has_mask(dataset, name) and bool(dataset[name + FILLED].attrs.get(LATER, 0)) and bool(mask_of(dataset, name).any())


def refuse_later(dataset: xr.Dataset, names: Iterable[str]) -> None:
    """Refuse variables of these names that see later values: as input of a forecast they would show it the future."""
    for name in names:
        if sees_later(dataset, name):
            raise InputError(
                f"{name} was filled from values after its gaps (by interpolation), which nobody has before a gap ends; "
                'fill it by method = "earlier" or "climatology", or leave the gaps'
            )
