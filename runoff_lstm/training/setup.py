"""Set-up of a training: split, scale and window a canonical Dataset, then fit a model."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import nn

from runoff_lstm.data.masks import refuse_later
from runoff_lstm.data.names import BASIN, DISCHARGE, SOURCE
from runoff_lstm.data.splits import Periods
from runoff_lstm.data.times import time_step, times_of
from runoff_lstm.errors import InputError, as_instance, as_integer, as_names
from runoff_lstm.inputs.checks import Checked, check
from runoff_lstm.inputs.device import Device, resolve_device
from runoff_lstm.inputs.scaling import DischargeScale, Scaler
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.build import Model, build_model
from runoff_lstm.models.own import OwnModel
from runoff_lstm.prediction.kinds import kind_of
from runoff_lstm.prediction.stages import Stage
from runoff_lstm.prediction.trained_model import TrainedModel
from runoff_lstm.training.fine_tuning import check_continues, check_periods_unseen, freeze
from runoff_lstm.training.recipe import Progress, Recipe
from runoff_lstm.training.validation import Trained, Training

LOG = logging.getLogger(__name__)


def prepare(
    checked: Checked,
    *,
    recipe: Recipe,
    architecture: Architecture | None = None,
    seed: int = 0,
    device: Device = "auto",
    start_from: TrainedModel | None = None,
    frozen: Sequence[str] = (),
    module: nn.Module | None = None,
) -> Training:
    """Prepare a training: split and scale the data, build windows and the initial model.

    The scaler uses the training period only. Early stopping and the choice of weights use the validation period only. The test
    period is not used.

    Parameters
    ----------
    checked
        Data, inputs and periods, see `check`. Periods: train, and validation to choose the best weights. The test period is not
        used; a test period that `start_from` was trained or validated on raises an error.
    recipe
        Settings of the optimisation.
    architecture
        Form of the model; None: one layer of 64, or that of `start_from`.
    seed
        Seed of the weights, the order of the windows and the dropout masks.
    device
        "auto" takes a CUDA device, else Apple's MPS, else the CPU.
    start_from
        A trained model to fine-tune: its weights are the initial weights, and its scaler is kept.
    frozen
        Parts of `start_from` that are not trained further, by the name of a parameter or the beginning of one of its parts:
        "stack", "layers.0", "weight_hh", "head".
    module
        A custom network instead of an `architecture`, called as described in `Network`; trained in place. Such a model cannot be
        written as a bundle.

    Raises
    ------
    InputError
        Data, names or periods do not fit; the message names the fault and the remedy.
    """
    inputs, periods, dataset = checked.inputs, checked.periods, checked.measured
    check_settings(inputs=inputs, periods=periods, recipe=recipe, architecture=architecture, start_from=start_from)
    seed, frozen = as_integer("seed", seed, least=0), as_names("frozen", frozen)
    preparation = _preparation(checked.dataset)
    if module is not None:
        _check_own(module, recipe, architecture=architecture, start_from=start_from)
    if start_from is None or architecture is not None:
        architecture = _with_forecast(architecture, inputs)
    if inputs.discharge_lags:
        refuse_later(checked.dataset, [DISCHARGE, *(inputs.forcing if inputs.lead_times else ())])
    checked.refuse_unusable()
    if frozen and start_from is None:
        raise InputError(
            f"frozen = {list(frozen)}: fresh weights have to be trained; name a model in start_from, or freeze nothing"
        )
    if start_from is None:
        scaler = Scaler.of(checked)
    else:
        check_continues(start_from, dataset, inputs, architecture)
        check_periods_unseen(start_from, dataset[BASIN].values, periods)
        scaler, architecture = start_from.scaler.widened(dataset, periods.train), start_from.architecture
    architecture = architecture or Architecture()
    _check_truncation(recipe, architecture)
    scale = DischargeScale.fit(dataset, periods.train, scaler)
    place = resolve_device(device)
    network = (
        _fresh(architecture, inputs, zero_flow=scale.zero_flow, seed=seed)
        if module is None
        else OwnModel(module, lead_times=inputs.lead_times)
    )
    if start_from is not None:
        network.load_state_dict(start_from.module.state_dict())
        freeze(network, frozen)
    gauge_ids = tuple(str(gauge_id) for gauge_id in dataset[BASIN].values)
    model = kind_of(inputs)(
        module=network.to(place),
        architecture=architecture,
        inputs=inputs,
        scaler=scaler,
        forcing={name: str(dataset[name].attrs["units"]) for name in inputs.forcing},
        time_step=pd.Timedelta(time_step(times_of(dataset))),
        trained_on=Stage("train", gauge_ids, periods.train),
        preparation=preparation,
    )
    scaled = scaler.apply(checked.dataset)
    observed = scaled[DISCHARGE].where(dataset[DISCHARGE].notnull())
    windows = {
        name: model.windows(scaled, period=period, target=observed, one_step=name == "train")
        for name, period in periods.named().items()
        if name != "test"
    }
    seen = [] if start_from is None else list(start_from.seen)
    seen.append(model.trained_on)
    if periods.validation is not None:
        visited = np.array(model.gauge_ids)[windows["validation"].valid.any(axis=1)]
        seen.append(Stage("validation", tuple(map(str, visited)), periods.validation))
    training = Training(replace(model, seen=tuple(seen)), windows, scale, observed, recipe, seed)
    check_used(training, periods)
    return training


def _preparation(dataset: xr.Dataset) -> dict[str, Any]:
    """Read how the data were prepared from the source, without gauge ids and path."""
    source = json.loads(dataset.attrs.get(SOURCE, "{}"))
    return {name: value for name, value in source.items() if name not in ("path", "gauge_ids")}


def _check_own(module: nn.Module, recipe: Recipe, *, architecture: Architecture | None, start_from: TrainedModel | None) -> None:
    """Raise on settings that a custom network excludes."""
    OwnModel(module)
    for name, given in {"architecture": architecture, "start_from": start_from}.items():
        if given is not None:
            raise InputError(f"module and {name} exclude each other; leave {name} out, or module")
    if recipe.gradient_length is not None:
        raise InputError("gradient_length cuts the state of a network of ours; leave it out where module is given")


def _fresh(architecture: Architecture, inputs: Inputs, *, zero_flow: float, seed: int) -> Model:
    """Build a model with the initial weights of a seed.

    The random state of torch is unchanged.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(architecture, inputs, zero_flow=zero_flow)


def _with_forecast(architecture: Architecture | None, inputs: Inputs) -> Architecture | None:
    """Add the forecast method to the architecture if there are lead times.

    The default is "direct".
    """
    if not inputs.lead_times:
        if architecture is not None and architecture.forecast is not None:
            raise InputError(f'forecast = "{architecture.forecast}" needs lead_times, such as lead_times = 7')
        return architecture
    method = (architecture and architecture.forecast) or "direct"
    if method == "recursive" and inputs.root_transform:
        raise InputError(
            'forecast = "recursive" is learned one step ahead and cannot tell the spread of later ones; leave out root_transform'
        )
    if method == "recursive" and (inputs.discharge_lags != (0,) or inputs.season):
        raise InputError('forecast = "recursive" feeds back discharge of lag 0 alone; leave out discharge_lags and season')
    return replace(architecture or Architecture(), forecast=method)


def check_settings(
    *,
    inputs: Inputs,
    periods: Periods,
    recipe: Recipe,
    architecture: Architecture | None = None,
    start_from: TrainedModel | None = None,
) -> None:
    """Raise on an argument of another class and on a setting without effect.

    Arguments as for `prepare`.
    """
    check_kinds(inputs=inputs, periods=periods, recipe=recipe, architecture=architecture, start_from=start_from)
    if recipe.patience is not None and periods.validation is None:
        raise InputError(
            f"patience = {recipe.patience} waits for a better validation score, and there is no validation period; "
            "name one, or leave patience out"
        )
    if not inputs.discharge_lags and recipe.hide_discharge not in (0, Recipe.hide_discharge):
        raise InputError(
            f"hide_discharge = {recipe.hide_discharge} hides the observed discharge among the inputs, and there is none; "
            "set discharge_lags or lead_times, or leave hide_discharge out"
        )


KINDS: dict[str, tuple[type, str]] = {
    "periods": (Periods, 'periods = Periods(train=("1999-10-01", "2008-09-30"))'),
    "inputs": (Inputs, 'inputs = Inputs(["precipitation"])'),
    "recipe": (Recipe, "recipe = Recipe(steps=240)"),
    "architecture": (Architecture, "architecture = Architecture(hidden_sizes=[64])"),
    "start_from": (TrainedModel, 'start_from = load_model("model.safetensors")'),
}
"""Class of each argument that is not a plain value, and an example of its construction."""


def check_kinds(**given: object) -> None:
    """Raise on an argument of another class than in `KINDS`.

    Only `periods` and `inputs` must not be None.
    """
    for name, value in given.items():
        if name in KINDS and (value is not None or name in ("periods", "inputs")):
            as_instance(name, value, *KINDS[name])


def check_used(training: Training, periods: Periods) -> None:
    """Raise if no basin has an NSE in the validation period.

    Log the number of unused basins of each period.
    """
    gauge_ids = np.array(training.windows["train"].gauge_ids)
    learned = np.asarray(training.windows["train"].valid.any(axis=1))
    _log_left_out("train", gauge_ids[~learned], learned.size, "have no step to learn from")
    if periods.validation is None:
        return
    if not training.scored.any():
        raise InputError(
            f"in the validation period {periods.validation} no basin has two different values of discharge on steps that can be "
            f"simulated (with {training.model.sequence_length} steps of complete forcing), so there is no NSE to go by; "
            "choose a longer one, or leave it out"
        )
    why = "have no two different values of discharge on steps that can be simulated, and no score"
    _log_left_out("validation", gauge_ids[~training.scored], learned.size, why)


def _log_coverage(name: str, coverage: pd.DataFrame) -> None:
    """Log how many steps of a period are not used, and why.

    Log nothing if all are used.
    """
    steps, used, history, discharge = (
        int(coverage[column].sum()) for column in ("steps", "used", "without_history", "without_discharge")
    )
    if used < steps:
        LOG.info(
            "%s: %d of %d steps are used; %d have too little history of complete forcing, %d no observed discharge",
            name,
            used,
            steps,
            history,
            discharge,
        )


def _log_left_out(name: str, left_out: np.ndarray, basins: int, why: str) -> None:
    if left_out.size:
        LOG.warning("%s: %d of %d basins %s; the first is %s", name, left_out.size, basins, why, left_out[0])


def _check_truncation(recipe: Recipe, architecture: Architecture) -> None:
    """Raise if `gradient_length` conflicts with the architecture.

    It excludes dropout masks, a recursive forecast and a learned initial state.
    """
    if recipe.gradient_length is None:
        return
    if architecture.dropout.kind is not None:
        raise InputError(
            "[training] gradient_length cuts each window in two, and the masks of [model.dropout] kind = "
            f'"{architecture.dropout.kind}" have to last the whole window; leave one of the two out (output dropout alone is fine)'
        )
    if architecture.forecast == "recursive":
        raise InputError('[training] gradient_length is not for forecast = "recursive"; leave one of the two out')
    if architecture.initial_state == "learned":
        raise InputError('[training] gradient_length lets no gradient reach initial_state = "learned"; leave one of the two out')


def train(  # noqa: PLR0913 - plain arguments
    dataset: xr.Dataset,
    *,
    periods: Periods,
    inputs: Inputs,
    recipe: Recipe,
    architecture: Architecture | None = None,
    seed: int = 0,
    device: Device = "auto",
    start_from: TrainedModel | None = None,
    frozen: Sequence[str] = (),
    module: nn.Module | None = None,
    observe: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train an LSTM that turns forcing into discharge.

    The scaler uses the training period only. Early stopping and the choice of weights use the validation period only. The test
    period is not used.

    Parameters
    ----------
    dataset
        Canonical Dataset (see `check_basins`), dims (basin, time).
    periods
        Train, and validation to choose the best weights.
    inputs
        Inputs of the model.
    recipe
        Settings of the optimisation: budget, rate, loss.
    architecture
        Form of the model; None: one layer of 64, or that of `start_from`.
    seed
        Seed of the weights, the order of the windows and the dropout masks; the same seed gives the same model.
    device
        "auto" takes a CUDA device, else Apple's MPS, else the CPU.
    start_from
        A trained model to fine-tune: its weights are the initial weights, and its scaler is kept.
    frozen
        Parts of `start_from` that are not trained further, by the name of a parameter or the beginning of one of its parts:
        "stack", "head".
    module
        A custom network instead of an `architecture`, called as described in `Network`; trained in place.
    observe
        Called with a `Progress` after every update: update, share of the budget, loss, validation NSE, rate.

    Returns
    -------
    Trained
        The model, its history (one row per validation), and the steps used of each period.

    Raises
    ------
    InputError
        Data, names or periods do not fit; the message names the fault and the remedy.
    TrainingError
        The loss or the validation score is not finite.

    See Also
    --------
    train_run : train, score the test period and write a run folder.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> periods = rl.Periods(train=("2000-02-01", "2000-12-31"), validation=("2001-01-01", "2001-06-30"))
    >>> inputs = rl.Inputs(["rain", "temperature"], sequence_length=30)
    >>> recipe = rl.Recipe(steps=3, batch_size=16, validate_every=3)
    >>> form = rl.Architecture(hidden_sizes=4)
    >>> trained = rl.train(data, periods=periods, inputs=inputs, recipe=recipe, architecture=form, device="cpu")
    >>> len(trained.history)
    1
    """
    check_kinds(inputs=inputs, periods=periods, recipe=recipe, architecture=architecture, start_from=start_from)
    training = prepare(
        check(dataset, inputs, periods),
        recipe=recipe,
        architecture=architecture,
        seed=seed,
        device=device,
        start_from=start_from,
        frozen=frozen,
        module=module,
    )
    for name, windows in training.windows.items():
        _log_coverage(name, windows.coverage)
    return training.run() if observe is None else training.run(observe=observe)
