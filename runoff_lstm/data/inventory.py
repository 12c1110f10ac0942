"""Inventory of a canonical Dataset: records, gaps and missing values of each basin, to select basins for training."""

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.names import BASIN, DISCHARGE, SET_MISSING, TIME
from runoff_lstm.data.times import times_of


def inventory(dataset: xr.Dataset) -> pd.DataFrame:
    """List record, gaps and missing values of each gauge, one row per gauge.

    Returns
    -------
    DataFrame
        Index `gauge_id`. With discharge in the data: its `first` and `last` day (NaT: none at all), `observed` and `missing` days
        between the two, `longest_gap` among these in steps, and `zero_flow`, the share of observed days without flow.
        `forcing_missing`: steps of the record with any forcing NaN. `set_missing`: values set to NaN by a reader (sentinels,
        negative flows). `attributes_missing`: attributes without a value. Counts of flags where the reader has some.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> rl.inventory(data)["observed"].tolist()
    [730, 730]
    """
    as_dataset(dataset)
    forcing = [str(name) for name, values in dataset.data_vars.items() if TIME in values.dims and name != DISCHARGE]
    fixed = [str(name) for name, values in dataset.data_vars.items() if values.dims == (BASIN,) and values.dtype.kind in "fiu"]
    rows: dict[str, np.ndarray] = {}
    if DISCHARGE in dataset:
        rows |= _record(dataset[DISCHARGE].values, times_of(dataset))
    incomplete = np.zeros((dataset.sizes[BASIN], dataset.sizes[TIME]), dtype=bool)
    for name in forcing:
        incomplete |= np.isnan(dataset[name].values)
    rows["forcing_missing"] = incomplete.sum(axis=1)
    if SET_MISSING in dataset.coords:
        rows["set_missing"] = dataset[SET_MISSING].values
    if "discharge_estimated" in dataset.coords:
        rows["discharge_estimated"] = dataset["discharge_estimated"].values
    if fixed:
        rows["attributes_missing"] = np.sum([np.isnan(dataset[name].values.astype(float)) for name in fixed], axis=0)
    return pd.DataFrame(rows, index=pd.Index([str(one) for one in dataset[BASIN].values], name="gauge_id"))


def _record(discharge: np.ndarray, times: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """Compute first and last observed step, and the counts between them.

    `discharge` is (basin, time).
    """
    there = np.isfinite(discharge)
    some, steps = there.any(axis=1), discharge.shape[1]
    first, last = there.argmax(axis=1), steps - 1 - there[:, ::-1].argmax(axis=1)
    place = np.arange(steps)
    between = (place >= first[:, None]) & (place <= last[:, None]) & some[:, None]
    gap = between & ~there
    run = np.where(gap, place + 1, 0) - np.maximum.accumulate(np.where(gap, 0, place + 1), axis=1)
    observed = there.sum(axis=1)
    with np.errstate(invalid="ignore"):
        zero = np.where(some, (discharge == 0).sum(axis=1) / observed, np.nan)
    stamps = times.to_numpy()
    return {
        "first": np.where(some, stamps[first], np.datetime64("NaT")),
        "last": np.where(some, stamps[last], np.datetime64("NaT")),
        "observed": observed,
        "missing": gap.sum(axis=1),
        "longest_gap": np.maximum(run, 0).max(axis=1),
        "zero_flow": zero,
    }
