"""Schedules: learning rate as a function of progress only; resuming needs no saved state."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from runoff_lstm.errors import check_choice

ScheduleName = Literal["constant", "step", "cosine", "one_cycle"]

WARM_UP = 0.3
START_FRACTION, END_FRACTION = 1 / 25, 1e-4

SETTLED = 0.5
"""Share of the peak rate at and below which validations are comparable with each other."""


def constant(progress: float) -> float:  # noqa: ARG001 - one form for all
    """Return the full rate at any progress."""
    return 1.0


def cosine(progress: float) -> float:
    """Decrease from the full rate to zero along half a cosine.

    >>> cosine(0.0), cosine(0.5), cosine(1.0)
    (1.0, 0.5, 0.0)
    """
    return round(0.5 * (1 + math.cos(math.pi * progress)), 15)


def one_cycle(progress: float) -> float:
    """Rise from 1/25 of the rate over the first 30 % of updates, then fall to nearly zero.

    Both follow half a cosine.

    References
    ----------
    Smith and Topin (2018), Super-convergence, arXiv:1708.07120.
    """
    if progress < WARM_UP:
        return 1.0 + (START_FRACTION - 1.0) * cosine(progress / WARM_UP)
    return END_FRACTION + (1.0 - END_FRACTION) * cosine((progress - WARM_UP) / (1 - WARM_UP))


SCHEDULES: dict[ScheduleName, Callable[[float], float]] = {
    "constant": constant,
    "step": constant,
    "cosine": cosine,
    "one_cycle": one_cycle,
}


def learning_rate(
    schedule: ScheduleName, *, peak: float, progress: float, epoch: int, milestones: Sequence[tuple[int, float]] = ()
) -> float:
    """Compute the learning rate of one update.

    Parameters
    ----------
    schedule, peak
        Shape of the schedule, and its peak rate.
    progress
        Share of the updates done, in [0, 1].
    epoch, milestones
        Epoch counted from 1 and, for "step", pairs (epoch, rate): from that epoch on, that rate.

    Examples
    --------
    >>> [learning_rate("step", peak=1e-3, progress=0, epoch=n, milestones=[(11, 5e-4), (21, 1e-4)]) for n in (1, 10, 11, 30)]
    [0.001, 0.001, 0.0005, 0.0001]
    """
    check_choice("schedule", schedule, SCHEDULES)
    if schedule == "step":
        reached = [rate for first, rate in sorted(milestones) if epoch >= first]
        return reached[-1] if reached else peak
    return peak * SCHEDULES[schedule](progress)


def depends_on_budget(schedule: ScheduleName) -> bool:
    """Whether the rate of an update depends on how many there are to be.

    >>> [depends_on_budget(schedule) for schedule in ("constant", "step", "cosine", "one_cycle")]
    [False, False, True, True]
    """
    return SCHEDULES[schedule] is not constant


def has_settled(schedule: ScheduleName, *, rate: float, peak: float, progress: float) -> bool:
    """Check whether a validation at this rate may choose weights.

    At a constant rate every validation may. At a falling rate, scores near the peak rate are noisy. The best of many is then
    selected by noise and is too high in the validation period only.

    >>> [has_settled("one_cycle", rate=rate, peak=1.0, progress=done) for rate, done in ((0.04, 0.0), (0.81, 0.5), (0.4, 0.7))]
    [False, False, True]
    """
    if schedule == "constant":
        return True
    return rate <= SETTLED * peak and (schedule != "one_cycle" or progress > WARM_UP)
