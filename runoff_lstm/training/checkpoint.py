"""From the state of a training to one file and back: written whole or not at all, loaded without running code."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runoff_lstm.errors import InputError
from runoff_lstm.files import written_whole

FORMAT = 3
READABLE = (2, FORMAT)
"""Of format 2 the number of threads is not known."""


@dataclass
class TrainingState:
    """All that the next update depends on, and the record of those before.

    Attributes
    ----------
    asked, data
        What the training was asked to do, as plain values, and a fingerprint of its data; a resumed run must have the same.
    update, epoch, position
        Updates done; the current epoch from 0, and the batches of it that are done.
    weights, optimizer, random
        State of the model, of the optimiser and of torch's random generators ("cpu", and the device's).
    best_weights, best_score, best_update, stale
        Weights of the best validation that could choose so far, its score and update, and the validations since; empty and 0 where
        none could choose.
    first_loss, loss_sum, loss_count
        Training loss of the first update, and since the last row of the history.
    rate, progress
        Learning rate of the last update, and the share of the budget before it; None before the first.
    seconds
        Time spent in training.
    history
        One row a validation.
    finished
        Whether the budget is spent, or patience has ended it. The state is then that before the last validation, where the budget
        does not end with one, so that a training can go on from it as if it had never stopped.
    threads
        That it runs on, which a resumed run keeps; None while they are being tried.
    """

    asked: dict[str, Any]
    data: int
    update: int = 0
    epoch: int = 0
    position: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    random: dict[str, Tensor] = field(default_factory=dict)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    best_score: float = float("-inf")
    best_update: int = 0
    stale: int = 0
    first_loss: float | None = None
    loss_sum: float = 0.0
    loss_count: int = 0
    rate: float | None = None
    progress: float | None = None
    seconds: float = 0.0
    history: list[list[float]] = field(default_factory=list)
    finished: bool = False
    threads: int | None = None


def write_checkpoint(state: TrainingState, path: Path) -> None:
    """Write the state so that the file is, at any moment, either the old one or the new one, whole."""
    with written_whole(path) as temporary:
        torch.save({"format": FORMAT, **{one.name: getattr(state, one.name) for one in fields(state)}}, temporary)


def read_checkpoint(path: Path) -> TrainingState:
    """Read a state that `write_checkpoint` wrote, tensors on the CPU.

    Raises
    ------
    InputError
        The file is missing, cut short, or not a checkpoint of this package.
    """
    if not path.exists():
        raise InputError(f"{path} is not there: the run was stopped before its first checkpoint; train again")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") not in READABLE:
            raise InputError(f"{path} was written by another version of runoff_lstm; resume it with that version, or train again")
        return TrainingState(**content)
    except InputError:
        raise
    except Exception as error:  # torch.load raises whatever a damaged archive leads it to
        raise InputError(f"{path} is not a whole checkpoint of runoff_lstm ({type(error).__name__}); train again") from None


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's random generators, that of the CPU and the device's own, by the device's type."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Take up what `random_state` gave; a generator that it does not know stays as it is."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
