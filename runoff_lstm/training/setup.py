"""From a canonical Dataset and plain arguments to a trained model: split, scale, window, fit."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import nn

from runoff_lstm.data.checks import check_basins
from runoff_lstm.data.inventory import unusable_basins
from runoff_lstm.data.masks import measured, refuse_later
from runoff_lstm.data.periods import Periods
from runoff_lstm.data.schema import BASIN, DISCHARGE, TIME, step_label, time_step, times_of
from runoff_lstm.errors import InputError, nearest
from runoff_lstm.evaluation.metrics import evaluate
from runoff_lstm.inputs.features import check_lags, input_names, refuse_made_names
from runoff_lstm.inputs.scaling import DischargeScale, Scaler, check_names
from runoff_lstm.inputs.windows import Windows
from runoff_lstm.models import Architecture, Model, build_model
from runoff_lstm.prediction.inference import simulate_windows
from runoff_lstm.prediction.stages import Stage, check_unseen
from runoff_lstm.prediction.trained_model import TrainedModel
from runoff_lstm.training.loop import Progress, Recipe, fit
from runoff_lstm.training.precision import Device, products_in, resolve_device

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """What a model sees.

    Attributes
    ----------
    forcing, static_attributes
        Names of variables over (basin, time) and over (basin,), in the order the network takes them.
    sequence_length, targets_per_window
        Steps each prediction sees at least; steps each window predicts (1: strict many-to-one).
    discharge_lags
        Observed discharge as an input: how many steps before the step itself. With lead times lag 0, the discharge of the issue
        date, where nothing else is said.
    season
        Whether the time of the year is an input, as sine and cosine.
    root_transform
        Whether discharge is learned, and an input, by its root, which lets floods rule less. Losses see the root; what is
        simulated, and every score, is discharge: the root squared and, since the mean of a square is above the square of a mean,
        the variance of the root added to it (see `TrainedModel.residual_variance`).
    lead_times
        0: simulate. n: forecast discharge at lead times 1 to n from an issue date; a window's targets are then issue dates.
    forecast_forcing
        Names out of `forcing` that are known beyond the issue date too, up to the last lead.
    """

    forcing: tuple[str, ...]
    static_attributes: tuple[str, ...] = ()
    sequence_length: int = 365
    targets_per_window: int = 1
    discharge_lags: tuple[int, ...] = ()
    season: bool = False
    root_transform: bool = False
    lead_times: int = 0
    forecast_forcing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.lead_times and not self.discharge_lags:
            object.__setattr__(self, "discharge_lags", (0,))
        check_lags(self.discharge_lags, lead_times=self.lead_times)
        refuse_made_names((*self.forcing, *self.static_attributes), input_names(self.discharge_lags, season=self.season))
        if self.forecast_forcing and not self.lead_times:
            raise InputError(f"forecast_forcing = {list(self.forecast_forcing)} needs lead_times, such as lead_times = 7")
        for name in self.forecast_forcing:
            if name not in self.forcing:
                raise InputError(f"forecast_forcing: '{name}' is not among the forcing; {nearest(name, self.forcing)}")


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
        if not windows.lead_times:
            return float(np.median(1 - errors[0]))
        return float(np.median(1 - np.exp(np.mean(np.log(np.maximum(errors, 1e-12)), axis=0))))

    @cached_property
    def scored(self) -> np.ndarray:
        """(basin,) bool: the basins that have an NSE in the validation period, at every lead time, whatever is simulated.

        It takes two different values of discharge that are observed on steps that can be simulated.
        """
        windows = self.windows["validation"]
        leads = (windows.lead_times,) if windows.lead_times else ()
        flat = np.full((*windows.valid.shape, *leads), np.nan, dtype=np.float32)
        flat[windows.valid] = 0.0
        scored: np.ndarray = np.isfinite(self._basin_nse(flat)).all(axis=0)
        return scored

    def _basin_nse(self, simulated: np.ndarray) -> np.ndarray:
        """(lead, basin) of a scaled simulation, or of forecasts; NaN where it is not defined."""
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
        """What the model as it stands makes of windows, scaled, (basin, time) or (basin, time, lead)."""
        with products_in(self.recipe.precision, windows.device):
            return simulate_windows(self.model.module, windows)

    def _pairs(self, simulated: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Observed and simulated discharge (basin, time), scaled; of forecasts a pair for each lead time, at the issue dates."""
        if simulated.ndim == 2:
            return [(self.observed.values, simulated)]
        return [(self.observed.shift({TIME: -lead - 1}).values, simulated[..., lead]) for lead in range(simulated.shape[2])]

    def _residual_variance(self, observed: np.ndarray, simulated: np.ndarray) -> float:
        """Mean square of what the simulated root misses, over the mean square of the simulated root."""
        both = np.isfinite(observed) & np.isfinite(simulated)
        o, s = (np.sqrt(self.model.scaler.invert(DISCHARGE, one[both]).astype(np.float64)) for one in (observed, simulated))
        return float(((o - s) ** 2).sum() / (s**2).sum()) if s.any() else 0.0


def prepare(
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
) -> Training:
    """Check, split, scale and lay out a training, and make the model it begins with.

    The scaler sees the training period alone, early stopping and the choice of the best weights the validation period; the test
    period is not looked at.

    Parameters
    ----------
    dataset
        Canonical Dataset (see `check_basins`), dims (basin, time).
    periods
        Train, and validation where the best weights are to be chosen by it. The test period is looked at by none of this, and
        refused where `start_from` has seen it.
    inputs
        What the model sees.
    recipe
        How to optimise.
    architecture
        Form of the model; None: one layer of 64, or that of `start_from`.
    seed
        Of the weights, the order of the windows and the dropout masks.
    device
        "auto" takes a CUDA device, else Apple's MPS, else the CPU.
    start_from
        A trained model to go on from: its weights are the first ones, and its scaler is kept.
    frozen
        Parts of it that are not trained on, by the name of a parameter or the beginning of one of its parts: "stack", "layers.0",
        "weight_hh", "head".

    Raises
    ------
    InputError
        Data, names or periods do not fit; the message says which and what to do.
    """
    check_settings(inputs=inputs, periods=periods, recipe=recipe)
    dataset = check_basins(dataset)
    if start_from is None or architecture is not None:
        architecture = _with_forecast(architecture, inputs)
    check_inputs(dataset, periods, inputs)
    if inputs.discharge_lags:
        refuse_later(dataset, [DISCHARGE, *(inputs.forcing if inputs.lead_times else ())])
    with_filled, dataset = dataset, measured(dataset)  # filled discharge may be an input, and nothing else
    _refuse_unusable(dataset, periods, inputs)
    if frozen and start_from is None:
        raise InputError(
            f"frozen = {list(frozen)}: fresh weights have to be trained; name a model in start_from, or freeze nothing"
        )
    if start_from is None:
        scaler = Scaler.fit(
            dataset,
            periods.train,
            forcing=inputs.forcing,
            static_attributes=inputs.static_attributes,
            root_transform=inputs.root_transform,
        )
    else:
        _check_continues(start_from, dataset, inputs, architecture)
        check_periods_unseen(start_from, dataset[BASIN].values, periods)
        scaler, architecture = start_from.scaler.widened(dataset, periods.train), start_from.architecture
    architecture = architecture or Architecture()
    _check_truncation(recipe, architecture)
    scale = DischargeScale.fit(dataset, periods.train, scaler)
    place = resolve_device(device)
    module = _fresh(architecture, inputs, zero_flow=scale.zero_flow, seed=seed)
    if start_from is not None:
        module.load_state_dict(start_from.module.state_dict())
        _freeze(module, frozen)
    model = TrainedModel(
        module=module.to(place),
        architecture=architecture,
        scaler=scaler,
        forcing={name: str(dataset[name].attrs["units"]) for name in inputs.forcing},
        static_attributes=tuple(inputs.static_attributes),
        sequence_length=inputs.sequence_length,
        targets_per_window=inputs.targets_per_window,
        time_step=pd.Timedelta(time_step(times_of(dataset))),
        training_period=periods.train,
        gauge_ids=tuple(str(gauge_id) for gauge_id in dataset[BASIN].values),
        discharge_lags=inputs.discharge_lags,
        season=inputs.season,
        lead_times=inputs.lead_times,
        forecast_forcing=inputs.forecast_forcing,
    )
    observed = scaler.apply(dataset[[DISCHARGE]])[DISCHARGE]
    scaled = scaler.apply(with_filled)
    windows = {
        name: model.windows(scaled, period=period, target=observed, one_step=name == "train")
        for name, period in periods.named().items()
        if name != "test"
    }
    seen = [] if start_from is None else list(start_from.seen)
    seen.append(Stage("train", model.gauge_ids, periods.train))
    if periods.validation is not None:
        visited = np.array(model.gauge_ids)[windows["validation"].valid.any(axis=1)]
        seen.append(Stage("validation", tuple(map(str, visited)), periods.validation))
    training = Training(replace(model, seen=tuple(seen)), windows, scale, observed, recipe, seed)
    _check_used(training, periods)
    return training


def _fresh(architecture: Architecture, inputs: Inputs, *, zero_flow: float, seed: int) -> Model:
    """A model for these inputs, with the first weights of a seed; torch's own random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(
            architecture,
            n_forcings=len(inputs.forcing) + len(input_names(inputs.discharge_lags, season=inputs.season)),
            n_static_attributes=len(inputs.static_attributes),
            zero_flow=zero_flow,
            from_discharge=bool(inputs.discharge_lags),
            lead_times=inputs.lead_times,
            future=tuple(inputs.forcing.index(name) for name in inputs.forecast_forcing),
        )


def _with_forecast(architecture: Architecture | None, inputs: Inputs) -> Architecture | None:
    """The architecture with a way to forecast where there are lead times, which is "direct" where nothing else is said."""
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


def check_inputs(dataset: xr.Dataset, periods: Periods, inputs: Inputs) -> None:
    """Refuse a period that is not inside the data, data without discharge, and names that are not in the data."""
    periods.check(times_of(dataset))
    if DISCHARGE not in dataset:
        raise InputError('the data have no discharge to learn from; name its column, such as rename = {discharge = "Qo"}')
    check_names(
        dataset,
        forcing=inputs.forcing,
        static_attributes=inputs.static_attributes,
        from_discharge=bool(inputs.discharge_lags),
    )


def _refuse_unusable(dataset: xr.Dataset, periods: Periods, inputs: Inputs) -> None:
    """Refuse the first basin that cannot be trained on, with the number of the others."""
    faults = unusable_basins(dataset, periods.train, forcing=inputs.forcing, static_attributes=inputs.static_attributes)
    if faults:
        gauge_id, why = next(iter(faults.items()))
        others = f" (and {len(faults) - 1} more basins cannot be used)" if len(faults) > 1 else ""
        raise InputError(f'basin {gauge_id}: {why}{others}; leave such basins out, by hand or by on_missing = "skip"')


def check_settings(*, inputs: Inputs, periods: Periods, recipe: Recipe) -> None:
    """Refuse a setting that was given and would do nothing, for want of another; arguments as for `prepare`."""
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


def _check_used(training: Training, periods: Periods) -> None:
    """Refuse a validation period in which no basin has an NSE; log how many basins yield nothing, in either period."""
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


def _log_left_out(name: str, left_out: np.ndarray, basins: int, why: str) -> None:
    if left_out.size:
        LOG.warning("%s: %d of %d basins %s; the first is %s", name, left_out.size, basins, why, left_out[0])


def _check_continues(model: TrainedModel, dataset: xr.Dataset, inputs: Inputs, architecture: Architecture | None) -> None:
    """Refuse data or settings that the model to start from was not made for."""
    for kind, given, known in (
        ("forcing", list(inputs.forcing), list(model.forcing)),
        ("static_attributes", list(inputs.static_attributes), list(model.static_attributes)),
        ("discharge_lags", list(inputs.discharge_lags), list(model.discharge_lags)),
        ("season", [inputs.season], [model.season]),
        ("root_transform", [inputs.root_transform], [model.scaler.root_transform]),
        ("forecast_forcing", list(inputs.forecast_forcing), list(model.forecast_forcing)),
        ("lead_times", [inputs.lead_times], [model.lead_times]),
    ):
        if given != known:
            raise InputError(f"start_from: the model takes {kind} = {known}, in this order, not {given}; name the same")
    for name, units in model.forcing.items():
        if dataset[name].attrs["units"] != units:
            raise InputError(
                f"start_from: the model takes {name} in {units}, the data have {dataset[name].attrs['units']}; convert it"
            )
    if pd.Timedelta(time_step(times_of(dataset))) != model.time_step:
        raise InputError(f"start_from: the model takes a time step of {step_label(model.time_step)}; resample the data")
    if architecture not in (None, model.architecture):
        raise InputError(f"start_from: the model is {model.architecture}; leave [model] out, its form is kept")


def check_periods_unseen(model: TrainedModel, gauge_ids: Iterable[str], periods: Periods) -> None:
    """Refuse to go on from a model that has seen these basins in the years that are to score them.

    A validation period may choose again what it has chosen before, but never what was learned from it.
    """
    if periods.validation is not None:
        check_unseen(model.seen, gauge_ids, "validation", periods.validation, kinds=["train"])
    if periods.test is not None:
        check_unseen(model.seen, gauge_ids, "test", periods.test)


def _check_truncation(recipe: Recipe, architecture: Architecture) -> None:
    """Refuse a cut in the gradient where something has to be the same before and behind it, or is learned only before it."""
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


def _freeze(module: nn.Module, frozen: Sequence[str]) -> None:
    """Stop the gradient of the parameters whose dotted name has one of the names at the beginning of one of its parts."""
    parameters = dict(module.named_parameters())
    for name in frozen:
        matched = [one for one in parameters if f".{name}" in f".{one}"]
        if not matched:
            raise InputError(f"frozen: the model has no part '{name}'; {nearest(name, parameters)}")
        for one in matched:
            parameters[one].requires_grad = False
    if not any(one.requires_grad for one in parameters.values()):
        raise InputError(f"frozen = {list(frozen)}: nothing is left to train; leave a part free")


def train(
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
) -> Trained:
    """Train an LSTM that turns forcing into discharge; see `prepare` for the arguments, `fit` for what can stop it."""
    training = prepare(
        dataset,
        periods=periods,
        inputs=inputs,
        recipe=recipe,
        architecture=architecture,
        seed=seed,
        device=device,
        start_from=start_from,
        frozen=frozen,
    )
    return training.run()
