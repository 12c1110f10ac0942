"""Features computed from the data: lagged observed discharge with a flag for missing values, and the time of the year.

An observation enters by its value and its logarithm; the logarithm resolves small rivers and low flows. A missing observation is 0
with the flag 0, so that simulations and forecasts run without it.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from runoff_lstm.data.names import BASIN, DISCHARGE, TIME
from runoff_lstm.data.times import times_of
from runoff_lstm.errors import InputError

_FORMS = ("", "_log", "_known")
"""Suffixes of the features computed from one observation."""

SEASON = ("season_sin", "season_cos")
"""Features of the time of the year: sine and cosine."""


def input_names(lags: Sequence[int], *, season: bool = False) -> list[str]:
    """List the names of the features that `with_made_inputs` adds.

    Order: the season, then for each lag the observation, its logarithm, its flag.

    >>> input_names([1])
    ['discharge_lag_1', 'discharge_lag_1_log', 'discharge_lag_1_known']
    """
    return [*(SEASON if season else ()), *(f"{DISCHARGE}_lag_{lag}{form}" for lag in lags for form in _FORMS)]


def check_lags(lags: Sequence[int], *, lead_times: int) -> None:
    """Raise on a lag that leaks the target discharge or later discharge."""
    for lag in lags:
        if lag < 0 or (lag == 0 and not lead_times):
            raise InputError(
                f"discharge_lags = {list(lags)}: a simulation may see the discharge of steps before its own, so from lag 1 on; "
                "lag 0 is for forecasts, whose issue date it is"
            )
    if len(set(lags)) < len(lags):
        raise InputError(f"discharge_lags = {list(lags)}: name each lag once")


def refuse_made_names(given: Iterable[str], made: Sequence[str]) -> None:
    """Raise if a variable of the data has the name of a computed feature."""
    for name in given:
        if name in made:
            setting = "season" if name in SEASON else "discharge_lags"
            raise InputError(
                f"the input '{name}' is made by {setting}, and the data have a variable of that name; give yours another name, "
                f'such as by rename = {{other = "{name}"}}, or leave {setting} out'
            )


def with_made_inputs(scaled: xr.Dataset, lags: Sequence[int], *, zero_flow: float, season: bool = False) -> xr.Dataset:
    """Add the features of `input_names` to a dataset, each (basin, time) float32 without NaN.

    Parameters
    ----------
    scaled
        Dataset with scaled `discharge` (basin, time), NaN where missing.
    lags
        Lags in steps: lag 1 is the discharge of the step before.
    zero_flow
        Scaled value of zero discharge.
    season
        Whether to add the sine and cosine of the time of the year.
    """
    added: dict[str, tuple[tuple[str, str], np.ndarray]] = {}
    if season:
        shape = (scaled.sizes[BASIN], scaled.sizes[TIME])
        for name, values in zip(SEASON, season_of(times_of(scaled)), strict=True):
            added[name] = ((BASIN, TIME), np.broadcast_to(values, shape))
    observed = scaled[DISCHARGE].values if lags else np.zeros((0, 0))
    for lag in lags:
        lagged = np.full(observed.shape, np.nan, dtype=np.float32)
        lagged[:, lag:] = observed[:, : observed.shape[1] - lag]
        made = observation_inputs(torch.from_numpy(lagged), zero_flow=zero_flow).numpy()
        for place, name in enumerate(input_names([lag])):
            added[name] = ((BASIN, TIME), made[..., place])
    return scaled.assign(added)


def season_of(times: pd.DatetimeIndex) -> np.ndarray:
    """Compute sine and cosine of the time of the year.

    The result is (2, time) float32, in the order of `SEASON`.
    """
    angle = 2 * np.pi * (times.day_of_year + times.hour / 24).to_numpy() / 365.25
    return np.stack([np.sin(angle), np.cos(angle)]).astype(np.float32)


def observation_inputs(scaled: Tensor, *, zero_flow: float) -> Tensor:
    """Compute value, log10(sqrt(u) + 0.05) and flag of observations along a new last dimension.

    All three are 0 where the observation is NaN. u is scaled discharge minus `zero_flow`, that is discharge in units of its
    standard deviation in training. Feng et al. (2020), doi:10.1029/2019WR026793, scale discharge by a logarithm of the root.
    """
    known = ~torch.isnan(scaled)
    logarithm = torch.log10(torch.sqrt((scaled - zero_flow).clamp(min=0)) + 0.05)
    return torch.stack([torch.where(known, scaled, 0.0), torch.where(known, logarithm, 0.0), known.to(scaled.dtype)], dim=-1)


def hide_observed_discharge(forcing: Tensor, lags: Sequence[int], share: float) -> Tensor:
    """Mask observed discharge over a random interval in a random share of windows.

    Trains the model for missing discharge.

    Parameters
    ----------
    forcing
        (batch, window, forcing); its last features are those of `input_names`, in order.
    lags
        Lags of these features.
    share
        Probability that a window has a masked interval, of random position and length.

    Returns
    -------
    Tensor
        A copy with observations and flags of the masked intervals set to 0 at every lag.
    """
    batch, steps, _ = forcing.shape
    chosen, begin, length = torch.rand(3, batch, 1, device=forcing.device)
    begin = (begin * steps).floor()
    stop = torch.where(chosen < share, begin + 1 + (length * steps).floor(), begin)
    step = torch.arange(steps, device=forcing.device)
    hidden = [(step - lag >= begin - max(lags)) & (step - lag < stop - max(lags)) for lag in lags for _ in _FORMS]
    observed = forcing[..., -len(hidden) :].masked_fill(torch.stack(hidden, dim=2), 0.0)
    return torch.cat([forcing[..., : -len(hidden)], observed], dim=2)
