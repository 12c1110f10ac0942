"""The mean of each calendar day."""

import numpy as np
import pandas as pd

from runoff_lstm.data.units import Values


def calendar_day_means(values: np.ndarray, *, times: pd.DatetimeIndex, at: pd.DatetimeIndex) -> Values:
    """Compute the mean of each calendar day at other times.

    Shapes: (basin, at), from (basin, time). Sub-daily data are averaged by calendar day and hour. NaN is left out. February 29
    without a value gets the mean of February 28 and March 1; any other calendar day without a value is NaN.
    """
    keys, wanted = (np.asarray(one.month * 10_000 + one.day * 100 + one.hour, dtype=np.int64) for one in (times, at))
    mean = pd.DataFrame(values.T.astype(np.float64)).groupby(keys).mean()
    found = mean.reindex(wanted).to_numpy(copy=True)
    leap = wanted // 100 == 229
    before, after = (mean.reindex(day * 100 + wanted[leap] % 100).to_numpy() for day in (228, 301))
    found[leap] = np.where(np.isnan(found[leap]), (before + after) / 2, found[leap])
    return found.T
