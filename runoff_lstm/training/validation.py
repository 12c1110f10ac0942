"""A prepared training, its validation score and its result."""

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
    """Result of a training: model, history and coverage.

    `history`: one row per validation. `coverage`: the steps used of each period, index (period, gauge_id), columns as
    `Windows.coverage`.

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
    """A prepared training, not yet run: data checked, scaled and laid out.

    Attributes
    ----------
    model
        Model with initial weights; trained in place by `run`.
    windows
        Windows by period: "train" and, if there is one, "validation".
    scale, observed
        Scale of the training discharge; scaled discharge of the whole record, for validation.
    recipe, seed
        Settings of the optimisation; seed of windows and masks.
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
        """Number of threads of a training that is not resumed.

        It is None where it is found by timing.
        """
        chosen = threads_of_update(self.recipe.threads, self.model.module, self.recipe, self.windows["train"].device)
        return chosen.count if chosen.settled else None

    def validation_nse(self) -> float:
        """Compute the median validation NSE of the current model over the scored basins.

        For several lead times: 1 - the geometric mean of 1 - NSE, the same combination as in the loss. NaN if a simulated
        value is not finite.
        """
        windows = self.windows["validation"]
        simulated = self._simulated(windows)
        if not np.isfinite(simulated[windows.valid]).all():
            return math.nan
        errors = 1 - self._basin_nse(simulated)[:, self.scored]
        if len(errors) == 1:  # the geometric mean of one value, without rounding
            return float(np.median(1 - errors[0]))
        return float(np.median(1 - np.exp(np.mean(np.log(np.maximum(errors, 1e-12)), axis=0))))

    @cached_property
    def scored(self) -> np.ndarray:
        """Basins with a defined NSE in the validation period at every lead time, (basin,) bool.

        Independent of the simulated values. Requires two different values of observed discharge on steps that can be simulated.
        """
        windows = self.windows["validation"]
        flat = np.full((*windows.valid.shape, len(windows.leads)), np.nan, dtype=np.float32)
        flat[windows.valid] = 0.0
        scored: np.ndarray = np.isfinite(self._basin_nse(flat)).all(axis=0)
        return scored

    def _basin_nse(self, simulated: np.ndarray) -> np.ndarray:
        """Compute the NSE (lead, basin) of scaled simulated values (basin, time, lead).

        The result is NaN where undefined.
        """
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
        """Simulate windows with the current model; scaled, (basin, time, lead)."""
        with products_in(self.recipe.precision, windows.device):
            return simulate_windows(self.model.module, windows, threads=self.recipe.threads_after)

    def _pairs(self, simulated: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pair scaled observed and simulated discharge of each lead.

        Arrays are (basin, time), at the step from which the lead counts.
        """
        leads = self.model.inputs.leads
        return [(self.observed.shift({TIME: -lead}).values, simulated[..., place]) for place, lead in enumerate(leads)]

    def _residual_variance(self, observed: np.ndarray, simulated: np.ndarray) -> float:
        """Compute the relative error variance of the root.

        It is the mean squared error of the simulated root over the mean square of the simulated root.
        """
        both = np.isfinite(observed) & np.isfinite(simulated)
        o, s = (np.sqrt(self.model.scaler.invert(DISCHARGE, one[both]).astype(np.float64)) for one in (observed, simulated))
        return float(((o - s) ** 2).sum() / (s**2).sum()) if s.any() else 0.0
