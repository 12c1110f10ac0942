"""A training that is ready to run, its validation score, and what it leaves."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import DISCHARGE, TIME
from runoff_lstm.evaluation.metrics import evaluate
from runoff_lstm.inputs.device import products_in
from runoff_lstm.inputs.scaling import DischargeScale
from runoff_lstm.inputs.windows import Windows
from runoff_lstm.prediction.inference import simulate_windows
from runoff_lstm.prediction.trained_model import TrainedModel
from runoff_lstm.training.loop import fit, threads_of_update
from runoff_lstm.training.recipe import Progress, Recipe


@dataclass(frozen=True)
class Trained:
    """What a training leaves: the model, its history (a row each validation), and what was used of each period.

    `coverage`: index (period, gauge_id), columns as `Windows.coverage`.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> periods = rl.Periods(train=("2000-02-01", "2000-12-31"), validation=("2001-01-01", "2001-06-30"))
    >>> inputs = rl.Inputs(["rain", "temperature"], sequence_length=30)
    >>> recipe = rl.Recipe(steps=3, batch_size=16, validate_every=3)
    >>> form = rl.Architecture(hidden_sizes=4)
    >>> trained = rl.train(data, periods=periods, inputs=inputs, recipe=recipe, architecture=form, device="cpu")
    >>> trained.coverage.columns.tolist()
    ['steps', 'used', 'without_history', 'without_discharge']
    """

    model: TrainedModel
    history: pd.DataFrame
    coverage: pd.DataFrame


@dataclass(frozen=True)
class Training:
    """A training that is ready to run: everything is checked, scaled and laid out, nothing is learned yet.

    Attributes
    ----------
    model
        With fresh weights; trained in place by `run`.
    windows
        By period, "train" and, where there is one, "validation".
    scale, observed
        Of the training discharge, and the scaled discharge of the whole record, for validation.
    recipe, seed
        How to optimise, and the seed of windows and masks.
    """

    model: TrainedModel
    windows: Mapping[str, Windows]
    scale: DischargeScale
    observed: xr.DataArray
    recipe: Recipe
    seed: int

    def run(
        self, *, checkpoint: Path | None = None, resume: bool = False, observe: Callable[[Progress], None] = lambda _: None
    ) -> Trained:
        """Train; the arguments are those of `fit`."""
        history = fit(
            self.model.module,
            self.windows["train"],
            self.recipe,
            scale=self.scale,
            discharge_lags=self.model.discharge_lags,
            validate=self.validation_nse if "validation" in self.windows else None,
            seed=self.seed,
            checkpoint=checkpoint,
            resume=resume,
            observe=observe,
        )
        for parameter in self.model.module.parameters():
            parameter.requires_grad = True
        coverage = pd.concat({name: windows.coverage for name, windows in self.windows.items()}, names=["period"])
        model = self.model
        if model.scaler.root_transform:
            compared = self._pairs(self._simulated(self.windows.get("validation", self.windows["train"])))
            model = replace(model, residual_variance=tuple(self._residual_variance(*one) for one in compared))
        return Trained(model, history, coverage)

    @property
    def threads(self) -> int | None:
        """The number of threads that a training takes which is not resumed; None where it is found by trial."""
        chosen = threads_of_update(self.recipe.threads, self.model.module, self.recipe, self.windows["train"].device)
        return chosen.count if chosen.settled else None

    def validation_nse(self) -> float:
        """Median NSE over the basins that can be scored in the validation period, of the model as it stands.

        Of several lead times 1 - the geometric mean of 1 - NSE, as their losses are put together. NaN where what the
        model simulates is not finite.
        """
        windows = self.windows["validation"]
        simulated = self._simulated(windows)
        if not np.isfinite(simulated[windows.valid]).all():
            return math.nan
        errors = 1 - self._basin_nse(simulated)[:, self.scored]
        if len(errors) == 1:  # the geometric mean of one, without the rounding
            return float(np.median(1 - errors[0]))
        return float(np.median(1 - np.exp(np.mean(np.log(np.maximum(errors, 1e-12)), axis=0))))

    @cached_property
    def scored(self) -> np.ndarray:
        """(basin,) bool: the basins that have an NSE in the validation period, at every lead time, whatever is simulated.

        It takes two different values of discharge that are observed on steps that can be simulated.
        """
        windows = self.windows["validation"]
        flat = np.full((*windows.valid.shape, len(windows.leads)), np.nan, dtype=np.float32)
        flat[windows.valid] = 0.0
        scored: np.ndarray = np.isfinite(self._basin_nse(flat)).all(axis=0)
        return scored

    def _basin_nse(self, simulated: np.ndarray) -> np.ndarray:
        """(lead, basin) of what is simulated, (basin, time, lead) and scaled; NaN where it is not defined."""
        scores, scaler = [], self.model.scaler
        for observed, made in self._pairs(simulated):
            if scaler.root_transform:
                more = 1 + self._residual_variance(observed, made)
                observed, made = (scaler.invert(DISCHARGE, one) for one in (observed, made))  # noqa: PLW2901
                made = made * more  # noqa: PLW2901
            pair = (self.observed.copy(data=one) for one in (observed, made))
            scores.append(evaluate(observed=next(pair), simulated=next(pair), metrics=["NSE"])["NSE"].to_numpy())
        return np.stack(scores)

    def _simulated(self, windows: Windows) -> np.ndarray:
        """What the model as it stands makes of windows, scaled, (basin, time, lead)."""
        with products_in(self.recipe.precision, windows.device):
            return simulate_windows(self.model.module, windows, threads=self.recipe.threads_after)

    def _pairs(self, simulated: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each lead observed and simulated discharge (basin, time), scaled, at the step that the lead is counted from."""
        leads = self.model.inputs.leads
        return [(self.observed.shift({TIME: -lead}).values, simulated[..., place]) for place, lead in enumerate(leads)]

    def _residual_variance(self, observed: np.ndarray, simulated: np.ndarray) -> float:
        """Mean square of what the simulated root misses, over the mean square of the simulated root."""
        both = np.isfinite(observed) & np.isfinite(simulated)
        o, s = (np.sqrt(self.model.scaler.invert(DISCHARGE, one[both]).astype(np.float64)) for one in (observed, simulated))
        return float(((o - s) ** 2).sum() / (s**2).sum()) if s.any() else 0.0
