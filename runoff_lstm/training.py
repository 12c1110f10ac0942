"""From a canonical Dataset and plain arguments to a trained model: split, scale, window, fit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
import xarray as xr

from runoff_lstm.bundle import TrainedModel
from runoff_lstm.evaluation import evaluate
from runoff_lstm.fitting import Progress, Recipe, fit
from runoff_lstm.models import Architecture, build_model
from runoff_lstm.periods import Periods
from runoff_lstm.sampling import Windows
from runoff_lstm.scaling import DischargeScale, Scaler
from runoff_lstm.schema import BASIN, DISCHARGE, InputError, check_basins, time_step, times_of
from runoff_lstm.simulation import simulate_windows

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Inputs:
    """What a model sees.

    Attributes
    ----------
    forcing, static_attributes
        Names of variables over (basin, time) and over (basin,), in the order the network takes them.
    sequence_length, targets_per_window
        Steps each prediction sees at least; steps each window predicts (1: strict many-to-one).
    """

    forcing: tuple[str, ...]
    static_attributes: tuple[str, ...] = ()
    sequence_length: int = 365
    targets_per_window: int = 1


@dataclass(frozen=True)
class Trained:
    """What a training leaves: the model, its history (a row each validation), and what was used of each period.

    `coverage`: index (period, gauge_id), columns as `Windows.coverage`.
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
            validate=self.validation_nse if "validation" in self.windows else None,
            seed=self.seed,
            checkpoint=checkpoint,
            resume=resume,
            observe=observe,
        )
        coverage = pd.concat({name: windows.coverage for name, windows in self.windows.items()}, names=["period"])
        return Trained(self.model, history, coverage)

    def validation_nse(self) -> float:
        """Median NSE over the basins in the validation period, of the model as it stands."""
        simulated = self.observed.copy(data=simulate_windows(self.model.module, self.windows["validation"]))
        return float(np.nanmedian(evaluate(observed=self.observed, simulated=simulated, metrics=["NSE"])["NSE"]))


def prepare(
    dataset: xr.Dataset,
    *,
    periods: Periods,
    inputs: Inputs,
    recipe: Recipe,
    architecture: Architecture | None = None,
    seed: int = 0,
    device: Device = "auto",
) -> Training:
    """Check, split, scale and lay out a training, and make the model it begins with.

    The scaler sees the training period alone, early stopping and the choice of the best weights the validation period; the test
    period is not looked at.

    Parameters
    ----------
    dataset
        Canonical Dataset (see `check_basins`), dims (basin, time).
    periods
        Train, and validation where the best weights are to be chosen by it.
    inputs
        What the model sees.
    recipe
        How to optimise.
    architecture
        Form of the model; None: one layer of 64.
    seed
        Of the weights, the order of the windows and the dropout masks.
    device
        "auto" takes a CUDA device, else Apple's MPS, else the CPU.

    Raises
    ------
    InputError
        Data, names or periods do not fit; the message says which and what to do.
    """
    dataset = check_basins(dataset)
    periods.check(times_of(dataset))
    if DISCHARGE not in dataset:
        raise InputError('the data have no discharge to learn from; name its column, such as rename = {discharge = "Qo"}')
    scaler = Scaler.fit(dataset, periods.train, forcing=inputs.forcing, static_attributes=inputs.static_attributes)
    scale = DischargeScale.fit(dataset, periods.train, scaler)
    scaled, place = scaler.apply(dataset), resolve_device(device)
    windows = {
        name: Windows(
            scaled,
            inputs.forcing,
            static_attributes=inputs.static_attributes,
            sequence_length=inputs.sequence_length,
            targets_per_window=inputs.targets_per_window,
            period=period,
            device=place,
        )
        for name, period in periods.named().items()
        if name != "test"
    }
    architecture = architecture or Architecture()
    sizes = {"n_forcings": len(inputs.forcing), "n_static_attributes": len(inputs.static_attributes)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build_model(architecture, **sizes, zero_flow=scale.zero_flow).to(place)
    model = TrainedModel(
        module=module,
        architecture=architecture,
        scaler=scaler,
        forcing={name: dataset[name].attrs["units"] for name in inputs.forcing},
        static_attributes=tuple(inputs.static_attributes),
        sequence_length=inputs.sequence_length,
        targets_per_window=inputs.targets_per_window,
        time_step=pd.Timedelta(time_step(times_of(dataset))),
        training_period=periods.train,
        gauge_ids=tuple(str(gauge_id) for gauge_id in dataset[BASIN].values),
    )
    return Training(model, windows, scale, scaled[DISCHARGE], recipe, seed)


def train(
    dataset: xr.Dataset,
    *,
    periods: Periods,
    inputs: Inputs,
    recipe: Recipe,
    architecture: Architecture | None = None,
    seed: int = 0,
    device: Device = "auto",
) -> Trained:
    """Train an LSTM that turns forcing into discharge; see `prepare` for the arguments, `fit` for what can stop it."""
    return prepare(
        dataset, periods=periods, inputs=inputs, recipe=recipe, architecture=architecture, seed=seed, device=device
    ).run()


def resolve_device(device: Device) -> torch.device:
    """The torch device of that name; "auto" takes the fastest there is.

    Raises
    ------
    InputError
        The device asked for is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, is_there in there.items() if is_there))
    if not there.get(device, False):
        raise InputError(f"device {device} is not there; choose {' or '.join(name for name in there if there[name])}")
    return torch.device(device)
