"""From observed and simulated discharge to one table of metrics per basin.

Every metric takes `observed=` and `simulated=`, both discharge with dims (basin, time), the same coordinates and the same
unit, and returns a DataArray with dims (basin,), computed in float64. Steps that are NaN in either are left out of both.
A metric is NaN, never infinite, where fewer than two steps are shared or where it divides by zero; what else leaves it
undefined stands in its docstring, as do its range and best value. In the formulas o is observed, s simulated discharge.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import hydroeval
import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import BASIN, TIME
from runoff_lstm.errors import InputError, as_instance, as_names, as_text, nearest
from runoff_lstm.evaluation import signatures
from runoff_lstm.evaluation.matching import Series, SeriesLike, SharedDays, check_pair, per_basin

GAUGE_ID = "gauge_id"


class MetricFunction(Protocol):
    """A metric of every basin: discharge (basin, time), observed and simulated, to a value (basin,)."""

    def __call__(self, *, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
        """Compute the metric."""
        ...


@dataclass(frozen=True)
class Metric:
    """A metric and what is needed to read its values.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> rl.METRICS["NSE"].best
    1.0
    """

    function: MetricFunction
    units: str
    range: str
    best: float


def nash_sutcliffe_efficiency(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Nash-Sutcliffe efficiency: one minus the squared error over the squared spread of the observations.

    1 - sum (s - o)^2 / sum (o - mean o)^2. Range: (-inf, 1]; best: 1; 0 is no better than the observed mean.
    NaN for constant observations.

    References
    ----------
    Nash and Sutcliffe (1970), J. Hydrol. 10, 282-290, doi:10.1016/0022-1694(70)90255-6.
    """
    return per_basin(_nse, observed=observed, simulated=simulated)


def kling_gupta_efficiency(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Kling-Gupta efficiency of 2009: one minus the distance of correlation, variability and bias from a perfect fit.

    1 - sqrt((r - 1)^2 + (alpha - 1)^2 + (beta - 1)^2), with the three parts as columns of their own. Range: (-inf, 1];
    best: 1; the observed mean flow has 1 - sqrt 2 = -0.41. NaN where either series is constant or the observed mean is zero.

    References
    ----------
    Gupta et al. (2009), J. Hydrol. 377, 80-91, doi:10.1016/j.jhydrol.2009.08.003.
    Knoben et al. (2019), Hydrol. Earth Syst. Sci. 23, 4323-4331, doi:10.5194/hess-23-4323-2019.
    """
    return per_basin(lambda days: _kge_part(days, 0), observed=observed, simulated=simulated)


def kge_correlation(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Correlation part r of the Kling-Gupta efficiency: Pearson's correlation of o and s.

    Range: [-1, 1]; best: 1. NaN where either series is constant. Reference: see `kling_gupta_efficiency`.
    """
    return per_basin(lambda days: _kge_part(days, 1), observed=observed, simulated=simulated)


def kge_variability_ratio(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Variability part alpha of the Kling-Gupta efficiency of 2009: sd s / sd o.

    Range: [0, inf); best: 1. NaN for constant observations. Reference: see `kling_gupta_efficiency`.
    """
    return per_basin(_alpha, observed=observed, simulated=simulated)


def kge_bias_ratio(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Bias part beta of the Kling-Gupta efficiency: mean s / mean o.

    Range: (-inf, inf), from 0 where no flow is negative; best: 1; above 1 is too much water. NaN where the observed mean
    is zero. Reference: see `kling_gupta_efficiency`.
    """
    return per_basin(lambda days: _hydroeval(hydroeval.kge, days)[3], observed=observed, simulated=simulated)


def kling_gupta_efficiency_2012(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Kling-Gupta efficiency KGE' of 2012: the ratio of the coefficients of variation in the place of alpha.

    1 - sqrt((r - 1)^2 + (gamma - 1)^2 + (beta - 1)^2), gamma = (sd s / mean s) / (sd o / mean o), so that a bias does not
    count as variability. Range: (-inf, 1]; best: 1. NaN where either series is constant or either mean is zero.

    References
    ----------
    Kling et al. (2012), J. Hydrol. 424-425, 264-277, doi:10.1016/j.jhydrol.2012.01.011.
    """

    def measure(days: SharedDays) -> float:
        undefined = _is_constant(days.observed) or _is_constant(days.simulated)
        return np.nan if undefined else float(_hydroeval(hydroeval.kgeprime, days)[0])

    return per_basin(measure, observed=observed, simulated=simulated)


def root_mean_square_error(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Root mean square error, sqrt(mean (s - o)^2), in the unit of discharge. Range: [0, inf); best: 0."""
    return per_basin(lambda days: _hydroeval(hydroeval.rmse, days)[0], observed=observed, simulated=simulated)


def mean_absolute_error(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Mean absolute error, mean |s - o|, in the unit of discharge. Range: [0, inf); best: 0."""
    # hydroeval has it only relative to the observed mean, which is undefined for a dry river.
    return per_basin(lambda days: float(np.mean(np.abs(days.simulated - days.observed))), observed=observed, simulated=simulated)


def percent_bias(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Percent bias in hydroeval's sign, observed minus simulated: positive means the simulation has too little water.

    100 sum (o - s) / sum o, in percent. Range: (-inf, inf), up to 100 where no flow is negative; best: 0. NaN where the
    observations sum to zero. Several other packages have the opposite sign.

    References
    ----------
    Gupta et al. (1999), J. Hydrol. Eng. 4, 135-143, doi:10.1061/(ASCE)1084-0699(1999)4:2(135).
    """
    return per_basin(lambda days: _hydroeval(hydroeval.pbias, days)[0], observed=observed, simulated=simulated)


def log_nash_sutcliffe_efficiency(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Nash-Sutcliffe efficiency of ln(discharge + mean o / 100): weighs low flows as much as floods.

    Range: (-inf, 1]; best: 1. Negative flows count as zero. NaN where the observations are constant.

    References
    ----------
    Pushpalatha et al. (2012), J. Hydrol. 420-421, 171-182, doi:10.1016/j.jhydrol.2011.11.055.
    """

    def measure(days: SharedDays) -> float:
        epsilon = np.mean(days.observed) / 100
        observed, simulated = (np.log(np.maximum(flow, 0) + epsilon) for flow in (days.observed, days.simulated))
        return _nse(SharedDays(observed, simulated, days.position, days.steps_per_day))

    return per_basin(measure, observed=observed, simulated=simulated)


def alpha_nse(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Variability part of the decomposed Nash-Sutcliffe efficiency: sd s / sd o, equal to the alpha of KGE.

    Range: [0, inf); best: 1. NaN for constant observations. Reference: Gupta et al. (2009), see `kling_gupta_efficiency`.
    """
    return per_basin(_alpha, observed=observed, simulated=simulated)


def beta_nse(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Bias part of the decomposed Nash-Sutcliffe efficiency: (mean s - mean o) / sd o.

    Range: (-inf, inf); best: 0; positive is too much water, unlike `percent_bias`. NaN for constant observations.
    Reference: Gupta et al. (2009), see `kling_gupta_efficiency`.
    """

    def measure(days: SharedDays) -> float:
        if _is_constant(days.observed):
            return np.nan
        return float((np.mean(days.simulated) - np.mean(days.observed)) / np.std(days.observed))

    return per_basin(measure, observed=observed, simulated=simulated)


METRICS: dict[str, Metric] = {
    "NSE": Metric(nash_sutcliffe_efficiency, "1", "(-inf, 1]", 1.0),
    "KGE": Metric(kling_gupta_efficiency, "1", "(-inf, 1]", 1.0),
    "KGE_r": Metric(kge_correlation, "1", "[-1, 1]", 1.0),
    "KGE_alpha": Metric(kge_variability_ratio, "1", "[0, inf)", 1.0),
    "KGE_beta": Metric(kge_bias_ratio, "1", "(-inf, inf)", 1.0),
    "KGE_prime": Metric(kling_gupta_efficiency_2012, "1", "(-inf, 1]", 1.0),
    "RMSE": Metric(root_mean_square_error, "as discharge", "[0, inf)", 0.0),
    "MAE": Metric(mean_absolute_error, "as discharge", "[0, inf)", 0.0),
    "PBIAS": Metric(percent_bias, "%", "(-inf, inf)", 0.0),
    "log_NSE": Metric(log_nash_sutcliffe_efficiency, "1", "(-inf, 1]", 1.0),
    "alpha_NSE": Metric(alpha_nse, "1", "[0, inf)", 1.0),
    "beta_NSE": Metric(beta_nse, "1", "(-inf, inf)", 0.0),
    "FHV": Metric(signatures.high_flow_bias, "%", "[-100, inf)", 0.0),
    "FLV": Metric(signatures.low_flow_bias, "%", "(-inf, 100]", 0.0),
    "FMS": Metric(signatures.mid_slope_bias, "%", "[-100, inf)", 0.0),
    "peak_timing": Metric(signatures.peak_timing, "time steps", "[0, 3], hourly [0, 12]", 0.0),
    "missed_peaks": Metric(signatures.missed_peaks, "1", "[0, 1]", 0.0),
}
"""Every metric by its name: function, unit, range and best value."""


def evaluate(*, observed: SeriesLike, simulated: SeriesLike, metrics: Sequence[str] | str = tuple(METRICS)) -> pd.DataFrame:
    """Metrics of every basin as a table.

    Parameters
    ----------
    observed, simulated
        Discharge, dims (basin, time) or (time,), same coordinates, same unit: a DataArray, a pandas Series, a DataFrame with a
        column for each gauge, or numbers, which take gauge ids and dates from the other series (see `as_series`). Steps that are
        NaN in either are left out of both.
    metrics
        Names from `METRICS`, or one.

    Returns
    -------
    DataFrame
        Index `gauge_id`, the metrics in the order given, then `days`, the number of shared time steps. NaN is undefined.

    Raises
    ------
    InputError
        A metric is not known, or the two series differ in dims, basins, times or unit.

    Examples
    --------
    >>> times = pd.date_range("2000-01-01", periods=4)
    >>> observed = xr.DataArray([[1.0, 2.0, 3.0, 2.0]], {"basin": ["01022500"], "time": times}, ("basin", "time"))
    >>> evaluate(observed=observed, simulated=observed - 0.5, metrics=["NSE", "RMSE", "PBIAS"])  # doctest: +NORMALIZE_WHITESPACE
              NSE  RMSE  PBIAS  days
    gauge_id
    01022500  0.5   0.5   25.0     4
    >>> float(evaluate(observed=[1.0, 2.0, 3.0, 2.0], simulated=[0.5, 1.5, 2.5, 1.5], metrics="NSE")["NSE"].iloc[0])
    0.5
    """
    metrics = check_metrics(metrics)
    observed, simulated = check_pair(observed=observed, simulated=simulated)
    columns = {name: METRICS[name].function(observed=observed, simulated=simulated).values for name in metrics}
    days = (observed.notnull() & simulated.notnull()).sum(TIME).values
    gauge_ids = pd.Index(observed[BASIN].values.astype(str).tolist(), dtype="str", name=GAUGE_ID)
    return pd.DataFrame({**columns, "days": days}, index=gauge_ids)


def register_metric(name: str, metric: Metric) -> None:
    """Add a metric of your own to `METRICS`, so that `evaluate`, tables and pictures know it by its name.

    It lasts as long as the process does: register it in each script that scores.

    Parameters
    ----------
    name
        Of its column.
    metric
        Function, unit, range and best value; see the docstring of `runoff_lstm.evaluation.metrics`.

    Raises
    ------
    InputError
        The name is taken, or the function does not take `observed=` and `simulated=` or give a value for each basin.

    Examples
    --------
    >>> def largest_error(*, observed, simulated):
    ...     return abs(simulated - observed).max("time")
    >>> register_metric("largest_error", Metric(largest_error, "as discharge", "[0, inf)", 0.0))
    >>> float(evaluate(observed=[1.0, 2.0], simulated=[1.0, 4.0], metrics="largest_error")["largest_error"].iloc[0])
    2.0
    >>> del METRICS["largest_error"]
    """
    if known_metric(as_text("name", name)) is not None or folded(name) in ("", "days", folded(GAUGE_ID)):
        raise InputError(f"name = '{name}' is taken among metrics and columns; choose another")
    as_instance("metric", metric, Metric, 'metric = Metric(function, "1", "(-inf, 1]", 1.0)')
    tried = xr.DataArray([[1.0, 2.0, 4.0]] * 2, {BASIN: ["a", "b"], TIME: pd.date_range("2000-01-01", periods=3)}, (BASIN, TIME))
    try:
        found = metric.function(observed=tried, simulated=tried + 1.0)
    except TypeError as error:
        raise InputError(f"metric '{name}' cannot be called as function(observed=..., simulated=...): {error}") from None
    if not isinstance(found, xr.DataArray) or found.dims != (BASIN,):
        form = found.dims if isinstance(found, xr.DataArray) else type(found).__name__
        raise InputError(f"metric '{name}' gives {form}, not a DataArray with dims ('basin',); reduce over time alone")
    METRICS[name] = metric


def check_metrics(metrics: Sequence[str] | str) -> tuple[str, ...]:
    """The names as a tuple, one text as one name; refuse one that is not in `METRICS` or comes twice, and none at all."""
    metrics = as_names("metrics", metrics)
    if not metrics:
        raise InputError('metrics is empty; name at least one, such as metrics = ["NSE"]')
    for name in metrics:
        if list(metrics).count(name) > 1:
            raise InputError(f"metric '{name}' is named twice; name it once")
        if name not in METRICS:
            raise InputError(f"metric '{name}' is not known; {nearest(str(name), METRICS)}")
    return metrics


def known_metric(name: str) -> str | None:
    """The key of `METRICS` that a name means, whatever its letter case and its `_`, `-` or blanks; None where there is none.

    >>> known_metric("alpha_nse"), known_metric("Beta-NSE"), known_metric("MSE")
    ('alpha_NSE', 'beta_NSE', None)
    """
    return next((key for key in METRICS if folded(key) == folded(name)), None)


def folded(name: str) -> str:
    """A name without letter case, `_`, `-` and blanks, so that two spellings of it are equal."""
    return re.sub(r"[\s_-]", "", name.casefold())


def _hydroeval(objective: Callable[..., Series], days: SharedDays) -> Series:
    """All values that an objective function of hydroeval returns, flat; hydroeval wants the simulation first."""
    return np.asarray(hydroeval.evaluator(objective, days.simulated, days.observed), dtype=np.float64).ravel()


def _is_constant(flow: Series) -> bool:
    """Whether the spread is exactly zero; rounding of the mean would let a division by it pass as a huge number."""
    return bool(np.ptp(flow) == 0)


def _nse(days: SharedDays) -> float:
    return np.nan if _is_constant(days.observed) else float(_hydroeval(hydroeval.nse, days)[0])


def _kge_part(days: SharedDays, part: int) -> float:
    """KGE (0) or its correlation (1), NaN where either series is constant and has no correlation."""
    undefined = _is_constant(days.observed) or _is_constant(days.simulated)
    return np.nan if undefined else float(_hydroeval(hydroeval.kge, days)[part])


def _alpha(days: SharedDays) -> float:
    return np.nan if _is_constant(days.observed) else float(_hydroeval(hydroeval.kge, days)[2])
