"""Synthetic data of two basins for examples."""

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import BASIN, DISCHARGE, TIME


def example_basins(days: int = 730) -> xr.Dataset:
    """Generate synthetic daily data of two basins.

    Discharge comes from a linear reservoir with rain as inflow and evaporation by temperature. The same number of days gives the
    same data. No value is measured: use the data to try calls, not to judge a model.

    Parameters
    ----------
    days
        Length of the record; it starts on 2000-01-01.

    Returns
    -------
    Dataset
        Canonical: `rain` and `discharge` in mm d-1, `temperature` in degC, the attribute `leak`.

    Examples
    --------
    >>> dict(example_basins(days=365).sizes)
    {'basin': 2, 'time': 365}
    """
    random = np.random.default_rng(7)
    rain = random.gamma(0.3, 10.0, (2, days)) * (random.random((2, days)) < 0.4)
    temperature = 10 - 10 * np.cos(2 * np.pi * np.arange(days) / 365) + random.normal(0, 2, (2, days))
    leak, store, flow = np.array([0.05, 0.2]), np.zeros(2), np.zeros((2, days))
    for day in range(days):
        store = store + rain[:, day]
        flow[:, day] = leak * store
        store = store - flow[:, day] - np.minimum(0.03 * store, 0.1 * np.maximum(temperature[:, day], 0))
    units = {"rain": "mm d-1", "temperature": "degC", DISCHARGE: "mm d-1"}
    series = {"rain": rain, "temperature": temperature, DISCHARGE: flow}
    return xr.Dataset(
        {name: ((BASIN, TIME), values.astype(np.float32), {"units": units[name]}) for name, values in series.items()}
        | {"leak": ((BASIN,), leak.astype(np.float32), {"units": "1"})},
        {BASIN: ["01013500", "01022500"], TIME: pd.date_range("2000-01-01", periods=days)},
    )
