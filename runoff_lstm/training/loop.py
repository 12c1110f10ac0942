"""Training loop: from windows and a model to trained weights, with checks, checkpoints and exact resume."""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from runoff_lstm.errors import InputError
from runoff_lstm.files import written_whole
from runoff_lstm.inputs.batch import Batch, Tiles
from runoff_lstm.inputs.device import Pace, ThreadCount, Threads, freed_memory_kept, log_threads, products_in, with_threads
from runoff_lstm.inputs.features import hide_observed_discharge
from runoff_lstm.inputs.scaling import DischargeScale
from runoff_lstm.inputs.windows import Windows
from runoff_lstm.models.forecasts.recursive import RecursiveForecast
from runoff_lstm.models.recurrent import OverLayers
from runoff_lstm.models.stack import State
from runoff_lstm.training.budget import BUDGETS, check_budget
from runoff_lstm.training.checkpoint import TrainingState, random_state, read_checkpoint, set_random_state, write_checkpoint
from runoff_lstm.training.losses import loss_of, name_of
from runoff_lstm.training.recipe import _OPTIMIZERS, Progress, Recipe, TrainingError
from runoff_lstm.training.schedules import has_settled, learning_rate

LOG = logging.getLogger(__name__)

HISTORY_COLUMNS = ["update", "epoch", "train_loss", "validation_NSE", "learning_rate", "seconds"]
KEPT = "kept"
"""Last column of the history: whether the training keeps the weights of this row."""

CHECKPOINT_SECONDS = 1.5
"""Time between two checkpoints in seconds; with the time of writing it stays below two seconds."""

LOOK_EVERY = 50
"""Updates between two transfers of losses from the GPU; a transfer at every update would stall it."""

DIVERGED = 1e4
"""Ratio of the loss to the first one (or 1) above which training has diverged."""


def fit(
    model: nn.Module,
    windows: Windows,
    recipe: Recipe,
    *,
    scale: DischargeScale,
    discharge_lags: Sequence[int] = (),
    validate: Callable[[], float] | None = None,
    seed: int = 0,
    checkpoint: Path | None = None,
    resume: bool = False,
    observe: Callable[[Progress], None] = lambda _: None,
) -> pd.DataFrame:
    """Train a model in place to the end of the budget.

    `Recipe.patience` describes which weights are kept.

    Parameters
    ----------
    model
        Called as `model(forcing, static_attributes, targets=k) -> (discharge, state)`, on the device of the windows; discharge is
        (batch, target, lead), as of `Batch`.
    windows
        Windows of the training period.
    recipe
        Settings of the optimisation.
    scale
        Scale of the training discharge, for the losses that need it.
    discharge_lags
        Lags of the observed discharge, if it forms the last features of the forcing; see `hide_observed_discharge`.
    validate
        Function that scores the current model; higher is better. The score enters the history and chooses weights where
        `Recipe.patience` says so. None: the last weights are kept.
    seed
        Seed of the order of the windows and of the dropout masks. The same seed gives the same run.
    checkpoint
        File for the state, written before the first update, at least every two seconds, and at the end.
    resume
        Whether to resume from that file. The final weights equal those of an uninterrupted run, bit for bit. The budget may be
        larger if the schedule does not depend on it.
    observe
        Called with a `Progress` after every update.

    Returns
    -------
    DataFrame
        One row per validation: update, epoch (from 1), train_loss (mean since the row before, scaled units), validation_NSE,
        learning_rate, seconds, and kept (true in the row of the model's final weights). `attrs["threads"]` is the number of
        threads of the last update.

    Raises
    ------
    TrainingError
        A batch holds a value that is not finite: the error names basin, day and variable, and the batch is saved beside the
        checkpoint. The loss diverges: the error names update, learning rate and gradient norm. A validation score is not finite.
    """
    training = _Training(
        model, windows, recipe, scale=scale, discharge_lags=discharge_lags, validate=validate, seed=seed, checkpoint=checkpoint
    )
    with freed_memory_kept(keep=recipe.keep_memory), torch.random.fork_rng(devices=_cuda(windows.device)):
        torch.manual_seed(seed)
        if resume and checkpoint is not None:
            training.restore(read_checkpoint(checkpoint))
        if not training.state.finished:
            training.choose_threads()
            with with_threads(training.threads.count):
                training.run(observe)
        training.conclude()
    state = training.state
    model.load_state_dict(state.best_weights or state.weights)
    model.eval()
    history = pd.DataFrame(state.history, columns=HISTORY_COLUMNS).astype({"update": int, "epoch": int})
    history[KEPT] = history["update"] == (state.best_update or state.update)
    history.attrs["threads"] = state.threads
    return history


def threads_of_update(threads: Threads, model: nn.Module, recipe: Recipe, device: torch.device) -> ThreadCount:
    """Choose the number of threads of an update from the setting `Recipe.threads`."""
    return ThreadCount(threads, model, recipe.batch_size, device=device, precision=recipe.precision)


@dataclass(frozen=True)
class _Seen:
    """Record of one update, not yet checked.

    Loss and gradient norm are still on the device.
    """

    update: int
    epoch: int
    position: int
    rate: float
    loss: Tensor
    norm: Tensor


class _Training:
    """The parts of one training and their state."""

    def __init__(
        self,
        model: nn.Module,
        windows: Windows,
        recipe: Recipe,
        *,
        scale: DischargeScale,
        validate: Callable[[], float] | None,
        seed: int,
        checkpoint: Path | None,
        discharge_lags: Sequence[int] = (),
    ) -> None:
        self.model, self.windows, self.recipe, self.validate = model, windows, recipe, validate
        self.predict: Callable[..., tuple[Tensor, State]] = model.next_step if isinstance(model, RecursiveForecast) else model
        self.seed, self.checkpoint, self.discharge_lags = seed, checkpoint, tuple(discharge_lags)
        self.warm_up = windows.sequence_length - (recipe.gradient_length or windows.sequence_length)
        if self.warm_up < 0:
            raise InputError(
                f"[training] gradient_length = {recipe.gradient_length} is longer than "
                f"sequence_length = {windows.sequence_length}; shorten it"
            )
        self.zero_flow = scale.zero_flow
        self.basin_std = torch.tensor(scale.basin_std, dtype=torch.float32, device=windows.device)[:, None]
        self.optimizer = _OPTIMIZERS[recipe.optimizer](
            [one for one in model.parameters() if one.requires_grad],
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            fused=windows.device.type == "cuda",
        )
        asked = json.loads(json.dumps({**recipe.learned_by(), "loss": name_of(recipe.loss), "seed": seed}))
        self.state = TrainingState(asked=asked, data=windows.fingerprint)
        self.unseen: list[_Seen] = []
        self.rate, self.progress = recipe.learning_rate, 0.0
        self.threads, self.pace = threads_of_update(recipe.threads, model, recipe, windows.device), Pace()

    def choose_threads(self) -> None:
        """Keep the number of threads of a resumed run, unless another one is given."""
        kept = self.state.threads
        if kept is not None and not isinstance(self.recipe.threads, int):
            self.threads = threads_of_update(kept, self.model, self.recipe, self.windows.device)
        if kept is not None and self.threads.count != kept:
            LOG.info("%d thread(s) in place of the %d before: the last digits may differ", self.threads.count, kept)
        self.note_threads()

    def note_threads(self) -> None:
        """Store and log the number of threads once it is settled."""
        if self.threads.settled:
            self.state.threads = self.threads.count
            log_threads(self.threads.count)

    def run(self, observe: Callable[[Progress], None]) -> None:
        """Run updates from the current state to the end of the budget."""
        state, recipe = self.state, self.recipe
        began = time.perf_counter() - state.seconds
        self.save()
        saved = time.perf_counter()
        for batch, share in self.batches():
            if recipe.patience is not None and state.stale >= recipe.patience:
                break
            self.rate = learning_rate(
                recipe.schedule, peak=recipe.learning_rate, progress=share, epoch=state.epoch + 1, milestones=recipe.milestones
            )
            started, trying = time.perf_counter(), not self.threads.settled
            with self.threads.one_pass():
                loss, norm = self.step(batch)
            self.progress = share
            self.unseen.append(_Seen(state.update + 1, state.epoch, state.position, self.rate, loss, norm))
            ended = time.perf_counter()
            state.update, state.position, state.seconds = state.update + 1, state.position + 1, ended - began
            if self.windows.device.type == "cpu":
                self.look()
                self.keep_pace(ended - started, trying=trying)
            elif len(self.unseen) >= LOOK_EVERY:
                self.look()
            if state.update % recipe.validate_every == 0:
                self.add_row()
            if time.perf_counter() - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = time.perf_counter()
            observe(Progress(state.update, share, self.recent_loss(), self.recent_score(), self.rate))
        state.finished = True
        self.save()

    def keep_pace(self, seconds: float, *, trying: bool) -> None:
        """Record the duration of an update, except while numbers of threads are timed."""
        if not trying:
            self.pace.add(seconds, update=self.state.update, threads=self.threads.count)
        elif self.threads.settled:
            self.note_threads()

    def conclude(self) -> None:
        """Validate the last weights if the budget does not end with a validation.

        The checkpoint does not hold this validation.
        """
        if not self.ends_with_a_row:
            self.add_row()

    @property
    def ends_with_a_row(self) -> bool:
        """Whether the last row of the history is of the last update."""
        return bool(self.state.history) and self.state.history[-1][0] == self.state.update

    def batches(self) -> Iterator[tuple[Batch, float]]:
        """Yield the remaining batches, each with the share of the budget done before it."""
        state, recipe = self.state, self.recipe
        while True:
            tiles = self.tiles(state.epoch)
            in_epoch = -(-len(tiles) // recipe.batch_size)
            for batch in self.windows.batches(tiles, recipe.batch_size, skip=state.position):
                if recipe.steps is not None:
                    share = state.update / recipe.steps
                else:
                    share = (state.epoch + state.position / in_epoch) / (recipe.epochs or 1)
                if share >= 1:
                    return
                yield batch, share
            state.epoch, state.position = state.epoch + 1, 0

    def tiles(self, epoch: int) -> Tiles:
        """Select the windows of an epoch, in order."""
        return self.windows.training_tiles(seed=self.seed, epoch=epoch, balanced=self.recipe.balance_basins)

    @torch.no_grad()
    def warm_state(self, batch: Batch) -> State | None:
        """Compute the state after the steps without gradient; None if there are none."""
        if not self.warm_up:
            return None
        return cast(OverLayers, self.model).remember(batch.forcing[:, : self.warm_up], batch.static_attributes)

    def step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Run one optimiser step; return the loss and the gradient norm before clipping."""
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        if self.discharge_lags and self.recipe.hide_discharge:
            seen = hide_observed_discharge(batch.forcing, self.discharge_lags, self.recipe.hide_discharge)
            batch = replace(batch, forcing=seen)
        known_ahead = {} if batch.future is None else {"future": batch.future}
        with products_in(self.recipe.precision, self.windows.device):
            simulated, _ = self.predict(
                batch.forcing[:, self.warm_up :],
                batch.static_attributes,
                self.warm_state(batch),
                targets=batch.discharge.shape[1],
                **known_ahead,
            )
        loss = self.loss(batch, simulated.float())
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.gradient_clip)
        self.optimizer.step()
        return loss.detach(), norm.detach()

    def loss(self, batch: Batch, simulated: Tensor) -> Tensor:
        """Compute the loss.

        For several lead times it is the geometric mean, weighted by 1 / lead time.

        Each lead time thus counts by its relative error. Long lead times have large errors and do not dominate the short ones.
        Lead times without an observation in the batch are left out.
        """
        measured = partial(loss_of(self.recipe.loss), basin_std=self.basin_std[batch.basin], zero_flow=self.zero_flow)
        if batch.discharge.shape[2] == 1:  # the geometric mean of one lead is its loss, here without rounding
            return measured(observed=batch.discharge[..., 0], simulated=simulated[..., 0])
        seen = (~torch.isnan(batch.discharge)).any(dim=0).any(dim=0)
        observed = torch.where(seen, batch.discharge, simulated.detach())
        leads = zip(observed.unbind(2), simulated.unbind(2), strict=True)
        losses = torch.stack([measured(observed=one, simulated=made) for one, made in leads])
        weights = seen / torch.arange(1, len(seen) + 1, device=seen.device)
        tiny = torch.finfo(losses.dtype).tiny
        return ((losses.clamp(min=tiny).log() * weights).sum() / weights.sum()).exp()

    def look(self) -> None:
        """Check losses and gradient norms since the last check.

        Raise if one is not finite or diverges.
        """
        if not self.unseen:
            return
        values = torch.stack([torch.stack((seen.loss, seen.norm)) for seen in self.unseen]).tolist()
        state = self.state
        for seen, (loss, norm) in zip(self.unseen, values, strict=True):
            state.first_loss = loss if state.first_loss is None else state.first_loss
            if not math.isfinite(loss + norm) or loss > DIVERGED * max(state.first_loss, 1.0):
                self.stop(seen, loss, norm)
            state.loss_sum, state.loss_count = state.loss_sum + loss, state.loss_count + 1
        self.unseen.clear()

    def stop(self, seen: _Seen, loss: float, norm: float) -> NoReturn:
        """Raise `TrainingError` with the cause.

        The cause is a value in the batch, or divergence of the training.
        """
        batch = next(self.windows.batches(self.tiles(seen.epoch), self.recipe.batch_size, skip=seen.position))
        where = self.windows.find_non_finite(batch)
        if where is None:
            raise TrainingError(
                f"training diverged at update {seen.update}: loss {loss:.3g}, learning rate {seen.rate:.3g}, "
                f"gradient norm {norm:.3g}; lower the learning rate (the last checkpoint is sound)"
            )
        saved = ""
        if self.checkpoint is not None:
            path = self.checkpoint.with_name("non_finite_batch.safetensors")
            with written_whole(path) as part:
                save_file({name: value.cpu().contiguous() for name, value in vars(batch).items() if value is not None}, part)
            saved = f" (the batch is saved in {path})"
        raise TrainingError(f"update {seen.update}: {where}; correct the data or leave the basin out{saved}")

    def add_row(self) -> None:
        """Validate and add a row to the history.

        Keep the best weights if validation chooses them.
        """
        self.look()
        state = self.state
        score = math.nan
        if self.validate is not None:
            self.model.eval()
            score = self.validate()
            if not math.isfinite(score):  # compares with no other score: must neither choose weights nor end the training
                raise TrainingError(
                    f"update {state.update}: the validation score is {score}, so what the model simulates is not finite; "
                    f"lower the learning rate ({self.rate:.3g})"
                )
            if self.chooses():
                self.choose(score)
        state.history.append([state.update, state.epoch + 1, self.recent_loss(), score, self.rate, state.seconds])
        state.loss_sum, state.loss_count = 0.0, 0

    def chooses(self) -> bool:
        """Whether the validation of this update may choose the weights.

        See `Recipe.patience`.
        """
        schedule, peak = self.recipe.schedule, self.recipe.learning_rate
        if schedule != "constant" and self.recipe.patience is None:
            return False
        return has_settled(schedule, rate=self.rate, peak=peak, progress=self.progress)

    def choose(self, score: float) -> None:
        """Keep the current weights if they are the best so far.

        Otherwise count one more stale validation.
        """
        state = self.state
        state.stale += 1
        if score > state.best_score:
            state.best_score, state.stale = score, 0
            state.best_update, state.best_weights = state.update, _copy(self.model)

    def recent_loss(self) -> float:
        """Compute the mean loss since the last row of the history."""
        if self.state.loss_count:
            return self.state.loss_sum / self.state.loss_count
        return self.state.history[-1][HISTORY_COLUMNS.index("train_loss")] if self.state.history else math.nan

    def recent_score(self) -> float:
        """Return the score of the last validation."""
        return self.state.history[-1][HISTORY_COLUMNS.index("validation_NSE")] if self.state.history else math.nan

    def save(self) -> None:
        """Update the state and write it to the checkpoint."""
        self.look()
        state = self.state
        state.weights, state.optimizer = _copy(self.model), self.optimizer.state_dict()
        state.random = random_state(self.windows.device)
        state.rate, state.progress = self.rate, self.progress
        if self.checkpoint is not None:
            write_checkpoint(state, self.checkpoint)

    def restore(self, state: TrainingState) -> None:
        """Restore a saved state; raise if its settings or data differ."""
        changed = [name for name in self.state.asked if state.asked.get(name) != self.state.asked[name]]
        changed += ["data"] * (state.data != self.state.data)
        if set(changed) - set(BUDGETS):
            raise InputError(f"{self.checkpoint} is of a training with other {', '.join(changed)}; train again in a new folder")
        before, self.state = self.state, state
        if changed:
            self.extend(before.asked)
        if state.rate is not None and state.progress is not None:
            self.rate, self.progress = state.rate, state.progress
        self.model.load_state_dict(state.weights)
        self.optimizer.load_state_dict(state.optimizer)
        set_random_state(state.random, self.windows.device)

    def extend(self, asked: dict[str, Any]) -> None:
        """Resume with a larger budget.

        Raise if the result would differ from this budget from the start.
        """
        state = self.state
        assert self.checkpoint is not None
        check_budget(state.asked, self.recipe, run=self.checkpoint)
        if state.finished and self.ends_with_a_row and state.update % self.recipe.validate_every:
            raise InputError(
                f"{self.checkpoint} was written by an earlier version, which validated where the budget ended, and cannot go on as "
                "if it had not; train again in a new folder"
            )
        state.asked, state.finished = asked, False


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
