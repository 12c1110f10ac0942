"""From observed and simulated discharge of a batch, scaled, to one number to minimise; missing observations never count.

Every loss takes `observed` and `simulated` of dims (batch, target) in scaled units (NaN in `observed`: not counted), `basin_std`
of dims (batch, 1), the standard deviation of each window's basin over the training period in mm d-1, and `zero_flow`, the scaled
value of zero discharge.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

LossName = Literal["mse", "nse", "mae", "kge"]

NSE_EPSILON = 0.1
"""Added to the basin's standard deviation (mm d-1), so that the driest basins do not rule: Kratzert et al. 2019."""


def mse(*, observed: Tensor, simulated: Tensor, basin_std: Tensor, zero_flow: float) -> Tensor:  # noqa: ARG001 - one form for all
    """Mean squared error, in units of the variance of the training discharge."""
    error, count = _error(observed, simulated)
    return error.square().sum() / count


def mae(*, observed: Tensor, simulated: Tensor, basin_std: Tensor, zero_flow: float) -> Tensor:  # noqa: ARG001
    """Mean absolute error, in units of the standard deviation of the training discharge."""
    error, count = _error(observed, simulated)
    return error.abs().sum() / count


def nse(*, observed: Tensor, simulated: Tensor, basin_std: Tensor, zero_flow: float) -> Tensor:  # noqa: ARG001
    """Basin-weighted squared error NSE*: mean of ((simulated - observed) / (s_basin + 0.1))^2.

    The error is in scaled units, s_basin the basin's standard deviation over the training period in mm d-1,
    as the paper's code has it.

    References
    ----------
    Kratzert et al. (2019), Hydrol. Earth Syst. Sci. 23, 5089-5110, doi:10.5194/hess-23-5089-2019.
    """
    error, count = _error(observed, simulated)
    return (error / (basin_std + NSE_EPSILON)).square().sum() / count


def kge(*, observed: Tensor, simulated: Tensor, basin_std: Tensor, zero_flow: float) -> Tensor:  # noqa: ARG001
    """One minus the Kling-Gupta efficiency of all counted values of the batch together.

    Ratios of means need a true zero: values are counted from zero flow, which leaves r, alpha and beta as in mm d-1. Meant for one
    basin at a time; over several it weighs their pooled values.

    References
    ----------
    Gupta et al. (2009), J. Hydrol. 377, 80-91, doi:10.1016/j.jhydrol.2009.08.003.
    """
    counted = ~torch.isnan(observed)
    o, s = observed[counted] - zero_flow, simulated[counted] - zero_flow
    tiny = torch.finfo(o.dtype).eps
    o_std, s_std = o.std(correction=0), torch.sqrt(s.var(correction=0) + tiny)
    r = ((o - o.mean()) * (s - s.mean())).mean() / (o_std * s_std + tiny)
    alpha, beta = s_std / (o_std + tiny), s.mean() / (o.mean() + tiny)
    return torch.sqrt((r - 1) ** 2 + (alpha - 1) ** 2 + (beta - 1) ** 2 + tiny)


LOSSES: dict[LossName, Callable[..., Tensor]] = {"mse": mse, "nse": nse, "mae": mae, "kge": kge}


def _error(observed: Tensor, simulated: Tensor) -> tuple[Tensor, Tensor]:
    """Simulated minus observed, 0 where nothing was observed, and the number of observed values (at least 1)."""
    counted = ~torch.isnan(observed)
    error = torch.where(counted, simulated - torch.where(counted, observed, 0.0), 0.0)
    return error, counted.sum().clamp(min=1)
