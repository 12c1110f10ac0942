"""Small series for the tests of what is done to them."""

import numpy as np
import pandas as pd
import xarray as xr
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

NAN = np.nan
UNITS = {"rain": "mm", "precipitation": "mm d-1", "discharge": "mm d-1", "swe": "mm", "pressure": "Pa"}


def of(start="2001-01-01", freq="D", basin="01013500", units=None, **series) -> xr.Dataset:
    """One basin of the given series, or several where a series is a list of lists."""
    rows = {name: np.atleast_2d(np.asarray(values, np.float32)) for name, values in series.items()}
    shape = next(iter(rows.values())).shape
    gauge_ids = [basin, "01022500", "02064000"][: shape[0]]
    known = UNITS | (units or {})
    return xr.Dataset(
        {name: (("basin", "time"), values, {"units": known.get(name, "degC")}) for name, values in rows.items()},
        coords={"basin": gauge_ids, "time": pd.date_range(start, periods=shape[1], freq=freq)},
    )


def row(dataset, name, basin=0):
    return dataset[name].values[basin].tolist()


def equal(values, expected):
    np.testing.assert_array_equal(np.asarray(values, np.float32), np.asarray(expected, np.float32))


def gappy(shape=(2, 40)):
    numbers = st.one_of(st.just(np.float32(NAN)), st.floats(0, 50, width=32))
    return arrays.arrays(np.float32, shape, elements=numbers)
