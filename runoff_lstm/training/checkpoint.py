"""Checkpoint: the state of a training in one file, written atomically, loaded without running code."""

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
"""Formats that can be read; format 2 lacks the number of threads."""


@dataclass
class TrainingState:
    """Everything that the next update depends on, and the history of the previous ones.

    Attributes
    ----------
    asked, data
        Settings of the training as plain values, and a fingerprint of its data; a resumed run must have the same.
    update, epoch, position
        Updates done; current epoch from 0; batches done in it.
    weights, optimizer, random
        State of the model, the optimiser and the random generators of torch ("cpu" and that of the device).
    best_weights, best_score, best_update, stale
        Weights, score and update of the best validation that may choose weights, and the number of such validations since. Weights
        are empty and the update is 0 if no validation may choose.
    first_loss, loss_sum, loss_count
        Training loss of the first update; sum and count of the losses since the last row of the history.
    rate, progress
        Learning rate of the last update, and the share of the budget before it; None before the first update.
    seconds
        Time spent in training.
    history
        One row per validation.
    finished
        Whether the budget is used up, or patience has ended the training. If the budget does not end with a validation, the state
        is that before the final one. The training can then resume as if uninterrupted.
    threads
        Number of threads, kept by a resumed run; None while "auto" is timing them.
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
    """Write the state atomically.

    The file is always either the complete old or the complete new one.
    """
    with written_whole(path) as temporary:
        torch.save({"format": FORMAT, **{one.name: getattr(state, one.name) for one in fields(state)}}, temporary)


def read_checkpoint(path: Path) -> TrainingState:
    """Read a state written by `write_checkpoint`, tensors on the CPU.

    Raises
    ------
    InputError
        The file is missing, truncated, or not a checkpoint of this package.
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
    except Exception as error:  # torch.load raises many kinds of errors on a damaged archive
        raise InputError(f"{path} is not a whole checkpoint of runoff_lstm ({type(error).__name__}); train again") from None


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the random generators of CPU and device, by device type."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Restore the result of `random_state`; generators not in it stay unchanged."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
