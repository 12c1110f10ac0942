"""From observed and simulated discharge to signatures of the flow duration curve and of the peaks, one value per basin.

Here is also the one way from two series to the steps that they share in a basin, for all of `evaluation`, where the
conventions of all metrics stand. In the formulas o is observed, s simulated discharge.
"""

import numpy as np
import numpy.typing as npt
import xarray as xr

from runoff_lstm.evaluation.matching import Positions, Series, SharedDays, per_basin

LOWEST_FLOW = 1e-6


def high_flow_bias(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Bias of the peak segment of the flow duration curve, FHV: the highest 2 % of flows, each series sorted by itself.

    100 sum (s - o) / sum o over these, in percent. Range: [-100, inf) where no flow is negative; best: 0; positive is too
    much water. NaN where 2 % are no whole step (up to 25 steps) or these observations are zero.

    References
    ----------
    Yilmaz et al. (2008), Water Resour. Res. 44, W09417, doi:10.1029/2007WR006716.
    """
    return per_basin(_high_flow_bias, observed=observed, simulated=simulated)


def low_flow_bias(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Bias of the low segment of the flow duration curve, FLV: the lowest 30 % of flows, each series sorted by itself.

    -100 (S - O) / O in percent, where S = sum (ln s - ln min s) and O likewise over these, flows below 1e-6 raised to 1e-6.
    Range: (-inf, 100]; best: 0; positive is a lower-lying simulated curve. NaN where these observations are all equal.
    Reference: Yilmaz et al. (2008), see `high_flow_bias`.
    """
    return per_basin(_low_flow_bias, observed=observed, simulated=simulated)


def mid_slope_bias(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Bias of the slope of the flow duration curve between 20 and 70 % exceedance, FMS.

    100 [(ln s20 - ln s70) - (ln o20 - ln o70)] / (ln o20 - ln o70) in percent, flows below 1e-6 raised to 1e-6. Range:
    [-100, inf); best: 0; positive is a simulation too flashy. NaN where the two observed flows are equal.
    Reference: Yilmaz et al. (2008), see `high_flow_bias`.
    """
    return per_basin(_slope_bias, observed=observed, simulated=simulated)


def peak_timing(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Mean absolute lag, in time steps, between observed peaks and the simulated maximum near them.

    Observed peaks are at least 100 days apart with a prominence of one standard deviation; the simulated maximum is searched
    within 3 days before and after (12 hours for hourly data), and a simulated local maximum at the very step is no lag.
    Peaks near a gap or an end of the record are left out. Range: [0, 3] (hourly [0, 12]); best: 0. NaN without a peak.

    References
    ----------
    Kratzert et al. (2021), Hydrol. Earth Syst. Sci. 25, 2685-2703, doi:10.5194/hess-25-2685-2021.
    """
    return per_basin(_peak_lag, observed=observed, simulated=simulated)


def missed_peaks(*, observed: xr.DataArray, simulated: xr.DataArray) -> xr.DataArray:
    """Fraction of observed peaks without a simulated peak within one day (12 hours for hourly data).

    A peak reaches the 80th percentile of its own series, and peaks are at least 30 days apart. Peaks near a gap or an end
    of the record are left out. Range: [0, 1]; best: 0. NaN without a peak. Reference: see `peak_timing`.
    """
    return per_basin(_missed_peak_fraction, observed=observed, simulated=simulated)


def find_peaks(flow: Series, *, position: Positions, distance: int, height: float = -np.inf) -> Positions:
    """Local maxima of at least `height`, thinned from the highest down until all are `distance` steps apart.

    Returns
    -------
    array
        Indices into `flow`, rising. Of equal maxima too close to each other the first is kept.
    """
    left = local_maxima(flow)
    left = left[flow[left] >= height]
    kept: list[np.int64] = []
    while left.size:
        highest = left[np.argmax(flow[left])]
        kept.append(highest)
        left = left[np.abs(position[left] - position[highest]) >= distance]
    return np.sort(np.array(kept, dtype=np.int64))


def local_maxima(flow: Series) -> Positions:
    """Indices of values higher than both neighbours; a level top counts once, in its middle; the ends never count."""
    first = np.flatnonzero(np.r_[True, np.diff(flow) != 0])
    last = np.r_[first[1:], flow.size] - 1
    level = flow[first]
    top = np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] > level[2:])) + 1
    return np.asarray((first[top] + last[top]) // 2, dtype=np.int64)


def prominences(flow: Series, peaks: Positions) -> Series:
    """How far each peak stands above the higher of the two lowest points on the way to higher ground or to the ends."""
    found = np.empty(peaks.size)
    for index, peak in enumerate(peaks):
        higher = np.flatnonzero(flow > flow[peak])
        split = int(np.searchsorted(higher, peak))
        start = higher[split - 1] + 1 if split > 0 else 0
        stop = higher[split] if split < higher.size else flow.size
        found[index] = flow[peak] - max(flow[start : peak + 1].min(), flow[peak:stop].min())
    return found


def _high_flow_bias(days: SharedDays, share: float = 0.02) -> float:
    """Percent bias of the highest `share` of flows, each series sorted by itself; NaN where the share rounds to no step."""
    count = round(share * days.observed.size)
    if count == 0:
        return np.nan
    observed, simulated = np.sort(days.observed)[-count:], np.sort(days.simulated)[-count:]
    return float(100 * np.sum(simulated - observed) / np.sum(observed))


def _low_flow_bias(days: SharedDays, share: float = 0.3) -> float:
    """Percent bias of the volume under the log flow duration curve, above its minimum, over the lowest `share` of flows."""
    count = round(share * days.observed.size)
    if count == 0:
        return np.nan

    def volume(discharge: Series) -> np.float64:
        logs = np.log(np.maximum(np.sort(discharge)[:count], LOWEST_FLOW))
        return np.float64(np.sum(logs - logs[0]))

    observed = volume(days.observed)
    return float(-100 * (volume(days.simulated) - observed) / observed)


def _slope_bias(days: SharedDays, upper: float = 0.2, lower: float = 0.7) -> float:
    """Percent bias of the slope of the log flow duration curve between two shares of exceedance."""

    def slope(discharge: Series) -> np.float64:
        falling = np.maximum(np.sort(discharge)[::-1], LOWEST_FLOW)
        return np.float64(np.log(falling[round(upper * falling.size)]) - np.log(falling[round(lower * falling.size)]))

    observed = slope(days.observed)
    return float(100 * (slope(days.simulated) - observed) / observed)


def _peak_lag(days: SharedDays) -> float:
    """Mean absolute lag in steps of the simulated behind or ahead of the observed peaks; NaN without a peak.

    Observed peaks lie 100 days apart and stand one standard deviation out. A simulated local maximum at the very step is
    no lag; otherwise the largest simulated value counts, among 3 steps (at least 12 hours) before and after. Peaks whose
    window leaves the record or meets a gap are left out.
    """
    window = max(3, round(days.steps_per_day / 2))
    peaks = find_peaks(days.observed, position=days.position, distance=_steps(100, days))
    peaks = peaks[prominences(days.observed, peaks) >= np.std(days.observed)]
    maxima = local_maxima(days.simulated)
    lags = [
        0 if peak in maxima else abs(int(np.argmax(days.simulated[peak - window : peak + window + 1])) - window)
        for peak in peaks[_window_is_whole(peaks, days.position, window)]
    ]
    return float(np.mean(lags)) if lags else np.nan


def _missed_peak_fraction(days: SharedDays) -> float:
    """Fraction of the observed peaks with no simulated peak within one step (at least 12 hours); NaN without a peak.

    Peaks of either series lie 30 days apart and reach the 80th percentile of their own series. Peaks whose window leaves
    the record or meets a gap are left out.
    """
    window = max(1, round(days.steps_per_day / 2))
    observed, simulated = (
        find_peaks(flow, position=days.position, distance=_steps(30, days), height=float(np.percentile(flow, 80)))
        for flow in (days.observed, days.simulated)
    )
    observed = observed[_window_is_whole(observed, days.position, window)]
    if observed.size == 0:
        return np.nan
    apart = np.abs(days.position[observed][:, None] - days.position[simulated][None, :])
    return float(np.mean(~(apart <= window).any(axis=1)))


def _steps(days_apart: int, days: SharedDays) -> int:
    return max(1, round(days_apart * days.steps_per_day))


def _window_is_whole(peaks: Positions, position: Positions, window: int) -> npt.NDArray[np.bool_]:
    """True for the peaks with `window` steps before and after them in the record and no gap among these."""
    inside = (peaks >= window) & (peaks + window < position.size)
    before, after = np.maximum(peaks - window, 0), np.minimum(peaks + window, position.size - 1)
    return np.asarray(inside & (position[after] - position[before] == 2 * window))
