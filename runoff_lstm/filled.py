"""The masks beside filled variables: what was measured, and what was not."""

import numpy as np
import numpy.typing as npt
import xarray as xr

from runoff_lstm.schema import BASIN, DISCHARGE, FILLED, TIME


def measured(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with discharge as it was measured, for targets and scores: NaN where it was filled, and without its mask."""
    if DISCHARGE + FILLED not in dataset:
        return dataset
    kept = dataset[DISCHARGE].transpose(BASIN, TIME)
    return dataset.assign({DISCHARGE: kept.where(~mask_of(dataset, DISCHARGE))}).drop_vars(DISCHARGE + FILLED)


def mask_of(dataset: xr.Dataset, name: str) -> npt.NDArray[np.bool_]:
    """Where a variable was filled, (basin, time)."""
    if name + FILLED not in dataset:
        return np.zeros((dataset.sizes[BASIN], dataset.sizes[TIME]), dtype=bool)
    filled: npt.NDArray[np.bool_] = dataset[name + FILLED].transpose(BASIN, TIME).values > 0
    return filled


def with_mask(dataset: xr.Dataset, name: str, filled: npt.NDArray[np.bool_]) -> xr.Dataset:
    """The dataset with the mask of a variable, (basin, time)."""
    attrs = {"units": "1", "long_name": f"1 where {name} was filled"}
    return dataset.assign({name + FILLED: ((BASIN, TIME), filled.astype(np.int8), attrs)})
