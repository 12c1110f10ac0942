"""Recipe: checked settings of the optimisation; Progress: the current state of a training."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch

from runoff_lstm.errors import InputError, as_flag, as_integer, as_number, check_choice
from runoff_lstm.inputs.device import Precision, Threads, check_threads
from runoff_lstm.training.losses import Loss, check_loss
from runoff_lstm.training.schedules import SCHEDULES, ScheduleName

_OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


class TrainingError(InputError):
    """Error that stops training; the message names the update and the faulty value.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> issubclass(rl.TrainingError, rl.InputError)
    True
    """


@dataclass(frozen=True)
class Recipe:
    """Settings of the optimisation.

    Attributes
    ----------
    steps, epochs
        Budget: number of updates, or of passes over all valid days. Set exactly one.
    batch_size
        Windows per update.
    learning_rate, schedule, milestones
        Peak rate; schedule ("constant", "step", "cosine", "one_cycle"); for "step", pairs (first epoch, from 1; rate from then on).
    optimizer, weight_decay
        "adam", or "adamw" with its decay.
    gradient_clip
        Largest norm of the gradient.
    loss
        "mse", "nse" (basin-weighted), "mae" or "kge"; or a custom function with the signature of those in
        `runoff_lstm.training.losses`. A run folder stores only its name, so such a run can be resumed from Python only.
    precision
        "float32" or "bfloat16". bfloat16 applies to matrix products; weights and sums stay float32. Devices without bfloat16 use
        float32, and this is logged.
    validate_every
        Updates between two validations and between two rows of the history.
    gradient_length
        Minimum number of steps that the gradient of a target reaches back (truncated backpropagation). Earlier steps of the window
        run forward only and still set the state. None: all `sequence_length` steps. Saves up to a third of the time.
    hide_discharge
        Share of windows in which observed discharge is masked over a random interval, where it is an input. Trains the model for
        missing discharge.
    balance_basins
        Whether windows of basins with short records are repeated, so that all basins have equal numbers of windows per epoch.
    patience
        Number of validations without a better NSE after which training stops; None: never. With the schedule it also decides
        which weights are kept. Constant rate: the best validated ones. Falling rate: the last ones; with `patience`, the best of
        the validations below half the peak rate. Only these validations count towards `patience`.
    threads
        Number of CPU threads for training, validation and the final scores. None: a fixed rule from the size of the work, so that
        the same seed gives the same run on a busy machine too (see `runoff_lstm.inputs.device.threads_by_rule`). A number: that
        many, at most as many as the process may use. "auto": chosen by timing the first updates; runs may choose different
        numbers and differ in last digits. A resumed run keeps its number unless another one is given.
    keep_memory
        Whether the C library keeps freed memory, in the whole process; this is faster. See
        `runoff_lstm.inputs.device.freed_memory_kept`. The environment variable RUNOFF_LSTM_KEEP_MEMORY=0 turns it off globally.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> rl.Recipe(steps=240, schedule="one_cycle", learning_rate=9e-3).batch_size
    256
    """

    steps: int | None = None
    epochs: int | None = None
    batch_size: int = 256
    learning_rate: float = 1e-3
    schedule: ScheduleName = "constant"
    milestones: Sequence[tuple[int, float]] = ()
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0
    gradient_clip: float = 1.0
    loss: Loss = "mse"
    precision: Precision = "float32"
    validate_every: int = 20
    gradient_length: int | None = None
    hide_discharge: float = 0.1
    balance_basins: bool = False
    patience: int | None = None
    threads: Threads = None
    keep_memory: bool = True

    def __post_init__(self) -> None:
        check_loss(self.loss)
        check_choice("optimizer", self.optimizer, _OPTIMIZERS)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, get_args(Precision))
        self._coerce()
        check_threads(self.threads)
        if (self.steps is None) == (self.epochs is None):
            raise InputError("[training] needs a budget: either steps (updates) or epochs (visits of every day), not both")
        for name in (
            "steps",
            "epochs",
            "batch_size",
            "learning_rate",
            "gradient_clip",
            "validate_every",
            "gradient_length",
            "patience",
        ):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"[training] {name} = {value} must be above zero")
        if not 0 <= self.hide_discharge < 1:
            raise InputError(
                f"[training] hide_discharge = {self.hide_discharge} is not a share of windows; choose from 0 to below 1"
            )
        if (self.schedule == "step") != bool(self.milestones):
            raise InputError('[training] schedule = "step" and milestones = [[epoch, rate], ...] go together')

    @property
    def threads_after(self) -> int | None:
        """Number of threads for validation and scores: the number set, or None for the rule."""
        return self.threads if isinstance(self.threads, int) else None

    def learned_by(self) -> dict[str, Any]:
        """Return the settings that determine the weights, as plain values.

        Threads and memory are excluded.
        """
        return {name: value for name, value in asdict(self).items() if name not in ("threads", "keep_memory")}

    def _coerce(self) -> None:
        """Convert numbers to int or float and milestones to tuples.

        Raise on other types, with the name.
        """
        coerced: dict[str, object] = {"balance_basins": as_flag("balance_basins", self.balance_basins)}
        for name in ("batch_size", "validate_every", "steps", "epochs", "gradient_length", "patience"):
            if getattr(self, name) is not None or type(self).__dataclass_fields__[name].default is not None:
                coerced[name] = as_integer(name, getattr(self, name))
        for name in ("learning_rate", "weight_decay", "gradient_clip", "hide_discharge"):
            coerced[name] = as_number(name, getattr(self, name))
        coerced["milestones"] = _milestones(self.milestones)
        for name, value in coerced.items():
            object.__setattr__(self, name, value)


def _milestones(given: object) -> tuple[tuple[int, float], ...]:
    try:
        pairs = [(epoch, rate) for epoch, rate in given]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise InputError(f"milestones = {given!r} must be pairs (epoch, rate), such as milestones = [(10, 5e-4)]") from None
    return tuple((as_integer("milestones: epoch", epoch), as_number("milestones: rate", rate)) for epoch, rate in pairs)


@dataclass(frozen=True)
class Progress:
    """Progress of a training, reported after every update.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> rl.Progress(update=1, share=0.5, loss=0.9, validation_nse=0.1, learning_rate=1e-3).share
    0.5
    """

    update: int
    share: float
    loss: float
    validation_nse: float
    learning_rate: float
