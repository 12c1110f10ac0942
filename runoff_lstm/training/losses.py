"""Losses of scaled observed and simulated discharge of a batch; missing observations do not count.

Every loss takes `observed` and `simulated`, dims (batch, target), in scaled units; NaN in `observed` is not counted. `basin_std`,
dims (batch, 1), is the standard deviation of the basin of each window over the training period in mm d-1. `zero_flow` is the
scaled value of zero discharge.
"""

import inspect
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from runoff_lstm.errors import InputError, check_choice

LossName = Literal["mse", "nse", "mae", "kge"]

NSE_EPSILON = 0.1
"""Added to the standard deviation of a basin (mm d-1) to limit the weight of the driest basins: Kratzert et al. 2019."""


def mse(*, observed: Tensor, simulated: Tensor, basin_std: Tensor, zero_flow: float) -> Tensor:  # noqa: ARG001 - one form for all
    """Compute the mean squared error.

    It is in units of the variance of the training discharge.
    """
    error, count = _error(observed, simulated)
    return error.square().sum() / count


def mae(*, observed: Tensor, simulated: Tensor, basin_std: Tensor, zero_flow: float) -> Tensor:  # noqa: ARG001
    """Compute the mean absolute error.

    It is in units of the standard deviation of the training discharge.
    """
    error, count = _error(observed, simulated)
    return error.abs().sum() / count


def nse(*, observed: Tensor, simulated: Tensor, basin_std: Tensor, zero_flow: float) -> Tensor:  # noqa: ARG001
    """Compute the basin-weighted squared error NSE*.

    NSE* is the mean of ((simulated - observed) / (s_basin + 0.1))^2. The error is in scaled units. s_basin is the standard
    deviation of the basin over the training period in mm d-1, as in the code of the paper.

    References
    ----------
    Kratzert et al. (2019), Hydrol. Earth Syst. Sci. 23, 5089-5110, doi:10.5194/hess-23-5089-2019.
    """
    error, count = _error(observed, simulated)
    return (error / (basin_std + NSE_EPSILON)).square().sum() / count


def kge(*, observed: Tensor, simulated: Tensor, basin_std: Tensor, zero_flow: float) -> Tensor:  # noqa: ARG001
    """Compute one minus the Kling-Gupta efficiency of all counted values of the batch.

    Ratios of means need a true zero. Values are relative to zero flow, so r, alpha and beta equal those in mm d-1. Intended for a
    single basin; for several basins the values are pooled.

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


Loss = LossName | Callable[..., Tensor]
"""A loss by its name, or a function with the common signature of losses."""


def loss_of(loss: Loss) -> Callable[..., Tensor]:
    """Return the function of a loss."""
    return LOSSES[loss] if isinstance(loss, str) else loss


def name_of(loss: object) -> str:
    """Return the name of a loss for provenance, or the qualified name of a custom function.

    >>> name_of("mse"), name_of(kge)
    ('mse', 'runoff_lstm.training.losses.kge')
    """
    if isinstance(loss, str):
        return loss
    named = loss if hasattr(loss, "__qualname__") else type(loss)
    return f"{named.__module__}.{named.__qualname__}"


def check_loss(loss: object) -> None:
    """Raise on a name not in `LOSSES`, and on an object without the signature of losses."""
    if isinstance(loss, str) and "." in loss and loss not in LOSSES:
        raise InputError(f'loss = "{loss}" is a function, which a file cannot hold; give it in Python: Recipe(loss=...)')
    if isinstance(loss, str) or not callable(loss):
        check_choice("loss", loss, LOSSES)
        return
    try:
        inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss).bind(
            observed=None, simulated=None, basin_std=None, zero_flow=None
        )
    except (TypeError, ValueError):
        raise InputError(
            f"loss = {name_of(loss)} cannot be called as losses are; write a function loss(*, observed, simulated, basin_std, "
            f"zero_flow), or choose of {', '.join(LOSSES)}"
        ) from None


LOSSES: dict[LossName, Callable[..., Tensor]] = {"mse": mse, "nse": nse, "mae": mae, "kge": kge}


def _error(observed: Tensor, simulated: Tensor) -> tuple[Tensor, Tensor]:
    """Compute simulated minus observed, 0 where missing, and the number of observed values (at least 1)."""
    counted = ~torch.isnan(observed)
    error = torch.where(counted, simulated - torch.where(counted, observed, 0.0), 0.0)
    return error, counted.sum().clamp(min=1)
