"""A trained model with all it needs: from a bare Dataset to simulated or forecast discharge, gates, states and embeddings."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast, get_args

import numpy as np
import pandas as pd
import torch
import xarray as xr

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.masks import refuse_later
from runoff_lstm.data.names import BASIN, DISCHARGE, TIME, discharge_units, without_counts
from runoff_lstm.data.periods import AnyPeriod, Period, as_single_period
from runoff_lstm.data.schema import check_basins
from runoff_lstm.data.times import date_label, step_label, time_step, times_of
from runoff_lstm.data.units import convert
from runoff_lstm.errors import InputError, check_choice, nearest
from runoff_lstm.inputs.checks import check_names
from runoff_lstm.inputs.features import input_names, observation_inputs, with_made_inputs
from runoff_lstm.inputs.scaling import Scaler
from runoff_lstm.inputs.windows import Windows
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.build import Model
from runoff_lstm.models.ealstm import EALSTM
from runoff_lstm.models.recurrent import RecurrentModel
from runoff_lstm.prediction.forecast import forecast_dataset, last_observed
from runoff_lstm.prediction.inference import (
    Mode,
    StreamState,
    dropout_kept_on,
    record_layer,
    simulate_continuously,
    simulate_windows,
)
from runoff_lstm.prediction.stages import Stage

_GATES: dict[str, dict[str, str]] = {
    "lstm": {"input": "i", "forget": "f", "candidate": "g", "output": "o"},
    "gru": {"reset": "r", "update": "z", "candidate": "n"},
    "rnn": {},
}


SHOWN = 5
"""Basins that are named in warnings of their own."""


class IncompleteInputWarning(UserWarning):
    """A forecast could not be made for want of history or of forecast forcing; it is NaN."""


class SilentGaugeWarning(UserWarning):
    """No discharge was observed at an issue date; the forecast goes on without."""


class OutsideTrainingRangeWarning(UserWarning):
    """An input lies outside what the model was trained on; its simulation there is an extrapolation."""


class UnseenBasinWarning(UserWarning):
    """A basin was not among those that the model was trained on."""


@contextmanager
def each_warning_once() -> Iterator[None]:
    """Give each warning of one text once, at the end, however many members of an ensemble or parts of a period give it."""
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield
    finally:
        for one in {(one.category, str(one.message)): one for one in caught}.values():
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


@contextmanager
def as_ungauged(*, on_purpose: bool) -> Iterator[None]:
    """Give no `UnseenBasinWarning` where basins are left out of training on purpose, to be scored as ungauged."""
    with warnings.catch_warnings():
        if on_purpose:
            warnings.simplefilter("ignore", UnseenBasinWarning)
        yield


@dataclass(frozen=True)
class TrainedModel:
    """A model with all it needs to simulate discharge from a bare Dataset.

    Attributes
    ----------
    module
        The network, in evaluation mode.
    architecture
        Its form.
    scaler
        Of the training period.
    forcing
        Unit of every forcing variable, by name, in the order the network takes them.
    static_attributes
        Names, in order.
    sequence_length, targets_per_window
        The windows it was trained on.
    time_step
        Length of one time step.
    training_period, gauge_ids
        What it was trained on; where it went on from another model, in the last training.
    discharge_lags
        Steps back of the observed discharge it takes as an input; empty: it needs no observations.
    season
        Whether it takes the time of the year.
    residual_variance
        Of a model that has learned the root of discharge: the variance of the root about the simulated one in the validation period
        (the training period where there was none), as a share of the squared root, for each lead time. A simulation is the squared
        root times 1 + this: the mean of a square is the square of the mean and the variance (Miller 1984, The American
        Statistician 38, 124-126). Empty: discharge itself was learned.
    lead_times, forecast_forcing
        0: it simulates; else how many lead times it forecasts, and the forcing it takes beyond the issue date.
    seen
        All that its weights were learned from and chosen by, from the first training of the first of the models that it goes on
        from to its own validation; left out: `training_period` of `gauge_ids`. A score there means nothing.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> periods = rl.Periods(train=("2000-02-01", "2000-12-31"), validation=("2001-01-01", "2001-06-30"))
    >>> inputs = rl.Inputs(["rain", "temperature"], sequence_length=30)
    >>> recipe = rl.Recipe(steps=3, batch_size=16, validate_every=3)
    >>> form = rl.Architecture(hidden_sizes=4)
    >>> trained = rl.train(data, periods=periods, inputs=inputs, recipe=recipe, architecture=form, device="cpu")
    >>> trained.model.simulate(data, period=("2000-03-01", "2000-03-31"))["simulated"].shape
    (2, 31)
    """

    module: Model
    architecture: Architecture
    scaler: Scaler
    forcing: Mapping[str, str]
    static_attributes: tuple[str, ...]
    sequence_length: int
    targets_per_window: int
    time_step: pd.Timedelta
    training_period: AnyPeriod
    gauge_ids: tuple[str, ...]
    discharge_lags: tuple[int, ...] = ()
    season: bool = False
    residual_variance: tuple[float, ...] = ()
    lead_times: int = 0
    forecast_forcing: tuple[str, ...] = ()
    seen: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        if not self.seen:
            object.__setattr__(self, "seen", (Stage("train", self.gauge_ids, self.training_period),))

    @property
    def units(self) -> str:
        """Unit of the simulated discharge."""
        return discharge_units(self.time_step.to_timedelta64())

    def simulate(
        self,
        dataset: xr.Dataset,
        *,
        period: Period | None = None,
        mode: Mode = "windows",
        mc_samples: int | None = None,
        seed: int = 0,
    ) -> xr.Dataset:
        """Simulate discharge from forcing and attributes; observations are looked at only by a model with `discharge_lags`.

        Parameters
        ----------
        dataset
            dims (basin, time): the forcing the model was trained on, in any unit that converts, and its static attributes.
        period
            Limits the simulated days; forcing may reach back before it. None: the whole record.
        mode
            "windows": as trained. "continuous": one pass with a kept state, the same series that `step` gives.
        mc_samples
            Monte-Carlo dropout (Gal and Ghahramani 2016, arXiv:1506.02142): this many simulations, each with the dropout of the
            training kept on and masks of its own for every window. Their spread is what the dropout makes of the model's
            uncertainty; it knows nothing of errors in the data.
        seed
            Of those masks; with the same one the same members come out.

        Returns
        -------
        Dataset
            `simulated` (basin, time) in mm d-1 (mm h-1 where the step is shorter than a day), never below zero; NaN where a step
            has less than `sequence_length` steps of complete forcing up to it. With `mc_samples`: (member, basin, time).

        Raises
        ------
        InputError
            A variable is missing (named, with the nearest), has a unit that cannot be converted, the time step is another, the
            period is outside the data, or Monte-Carlo samples are asked of a model without dropout.

        Warns
        -----
        UnseenBasinWarning
            A basin was not in training.
        OutsideTrainingRangeWarning
            An input leaves the range of the training period.
        """
        self._refuse_lead_times("simulate")
        check_choice("mode", mode, get_args(Mode))
        if mc_samples is not None:
            self._check_samples(mc_samples)
        period = None if period is None else as_single_period("period", period)
        inputs = self._inputs(dataset, period)
        windows = self.windows(self.scaler.apply(inputs), period=period)
        run = simulate_windows if mode == "windows" else simulate_continuously
        if mc_samples is None:
            scaled = run(self.module, windows)
        else:
            with dropout_kept_on(self.module, seed):
                scaled = np.stack([run(self.module, windows) for _ in range(mc_samples)])
        steps = slice(None) if period is None else period.steps(windows.times)
        return self._dataset(scaled[..., steps], inputs[BASIN], inputs[TIME][steps])

    def forecast(self, dataset: xr.Dataset, *, period: Period | None = None) -> xr.Dataset:
        """Forecast discharge from every issue date of a period, of what comes after it using nothing but `forecast_forcing`.

        Parameters
        ----------
        dataset
            dims (basin, time): forcing and observed discharge up to the issue date (NaN where a gauge was silent),
            `forecast_forcing` up to the last lead, and the static attributes.
        period
            Of the issue dates; None: the last step at which discharge is observed in any basin, see `last_observed`.

        Returns
        -------
        Dataset
            `forecast` (basin, issue_date, lead_time) in mm d-1 (mm h-1), never below zero; `lead_time` is in days (hours where the
            step is shorter), the first one step after the issue date. NaN where an issue date has less than `sequence_length` steps
            of complete forcing up to it, or an incomplete `forecast_forcing`.

        Raises
        ------
        InputError
            The model simulates, a variable is missing or has another unit or time step, the issue dates are outside the data, or no
            issue date has enough history or forecast forcing.

        Warns
        -----
        IncompleteInputWarning
            From an issue date no forecast could be made for a basin, which is NaN.
        SilentGaugeWarning
            No discharge is observed at an issue date; the forecast goes on without.
        UnseenBasinWarning
            A basin was not in training.
        OutsideTrainingRangeWarning
            An input leaves the range of the training period.
        """
        if not self.lead_times:
            raise InputError("the model simulates, and knows no lead times; train one with lead_times, or simulate")
        if period is None:
            self._checked(dataset)
            period = last_observed(dataset)
        period = as_single_period("period", period)
        _check_issue_dates(times_of(as_dataset(dataset)), period)
        inputs = self._inputs(dataset, period)
        steps = period.steps(times_of(inputs))
        try:
            windows = self.windows(self.scaler.apply(inputs), period=period)
        except InputError:
            why = self._why_unissued(inputs, 0, steps.start)
            if why:
                raise InputError(f"basin {inputs[BASIN].values[0]}: no forecast from {why}") from None
            raise
        scaled = simulate_windows(self.module, windows)[:, steps]
        made = ~np.isnan(scaled[:, :, 0])
        self._warn_unissued(inputs, steps, made=made)
        self._warn_silent(inputs[DISCHARGE], steps, made=made)
        return forecast_dataset(
            self._discharge(scaled), basin=inputs[BASIN], issue_dates=windows.times[steps], units=self.units, step=self.time_step
        )

    def _warn_unissued(self, inputs: xr.Dataset, steps: slice, *, made: np.ndarray) -> None:
        """Warn of the basins for which a forecast was asked and could not be made."""
        failed = np.flatnonzero(~made.all(axis=1))
        for place, basin in enumerate(failed[:SHOWN]):
            dates = steps.start + np.flatnonzero(~made[basin])
            others = _others(place, len(failed))
            warnings.warn(
                f"basin {inputs[BASIN].values[basin]}{others}: no forecast from {len(dates)} issue date(s), the first "
                f"{self._why_unissued(inputs, int(basin), int(dates[0]))}",
                IncompleteInputWarning,
                stacklevel=3,
            )

    def _why_unissued(self, inputs: xr.Dataset, basin: int, issued: int) -> str:
        """An issue date, which forcing a forecast from it lacks, when, and the remedy; empty where nothing is lacking."""
        times, begin = times_of(inputs), issued + 1 - self.sequence_length
        if begin < 0:
            return (
                f"{date_label(times[issued])}: {self.sequence_length} steps of complete forcing up to it are needed, and the "
                f"record begins on {date_label(times[0])}; issue the forecast later"
            )
        lacking = []
        for name in self.forcing:
            missing = np.flatnonzero(np.isnan(inputs[name].values[basin, begin : issued + 1]))
            if missing.size:
                lacking.append(
                    f"{name} is missing at {missing.size} of the {self.sequence_length} steps up to it that are needed, last at "
                    f"{date_label(times[begin + int(missing[-1])])}"
                )
        for name in self.forecast_forcing:
            ahead = np.isnan(inputs[name].values[basin, issued + 1 : issued + 1 + self.lead_times])
            known = int(np.argmax(ahead)) if ahead.any() else len(ahead)
            if known < self.lead_times:
                first, last = (date_label(times[issued] + lead * self.time_step) for lead in (known + 1, self.lead_times))
                lacking.append(f"{name} is needed {self.lead_times} steps ahead, to {last}, and is missing from {first}")
        remedy = "add it, or issue the forecast on another date"
        return f"{date_label(times[issued])}: {' and '.join(lacking)}; {remedy}" if lacking else ""

    def _warn_silent(self, observed: xr.DataArray, steps: slice, *, made: np.ndarray) -> None:
        """Warn of the issue dates at which nothing was observed."""
        there = observed.notnull().values
        silent = made & ~there[:, steps]
        basins = np.flatnonzero(silent.any(axis=1))
        for place, basin in enumerate(basins[:SHOWN]):
            dates = steps.start + np.flatnonzero(silent[basin])
            before = np.flatnonzero(there[basin, : dates[0]])
            last = f"last observed {date_label(observed.indexes[TIME][before[-1]])}" if before.size else "never observed before"
            others = _others(place, len(basins))
            warnings.warn(
                f"basin {observed[BASIN].values[basin]}{others}: no discharge is observed at {len(dates)} issue date(s), the first "
                f"{date_label(observed.indexes[TIME][dates[0]])} ({last}); the forecast goes on without it",
                SilentGaugeWarning,
                stacklevel=3,
            )

    def _warn_unseen(self, gauge_ids: Sequence[str], *, stacklevel: int) -> None:
        """Warn of basins that were not in training, with what the model can tell them apart by."""
        trained = set(self.gauge_ids)
        unseen = [gauge_id for gauge_id in gauge_ids if gauge_id not in trained]
        if unseen:
            names = ", ".join(unseen[:3]) + (" ..." if len(unseen) > 3 else "")
            text = f"{len(unseen)} of {len(gauge_ids)} basin(s) were not in training ({names}); {self._tells_apart()}"
            warnings.warn(text, UnseenBasinWarning, stacklevel=stacklevel)

    def _warn_unseen_rows(self, gauge_ids: Sequence[str] | None, rows: int) -> None:
        """Warn of rows of a step that are, or must be, basins that were not in training."""
        if gauge_ids is not None and len(gauge_ids) != rows:
            raise InputError(f"{len(gauge_ids)} gauge id(s) are given for {rows} basin(s); give one for each")
        if gauge_ids is not None:
            self._warn_unseen(list(gauge_ids), stacklevel=5)
        elif rows > len(self.gauge_ids):
            text = f"at least {rows - len(self.gauge_ids)} of {rows} basin(s) were not in training; {self._tells_apart()}"
            warnings.warn(text, UnseenBasinWarning, stacklevel=4)

    def _tells_apart(self) -> str:
        """What the model has to tell a basin it has not seen from those it has."""
        if self.static_attributes:
            names = ", ".join(self.static_attributes[:3]) + (" ..." if len(self.static_attributes) > 3 else "")
            return f"the model describes them by their static attributes alone ({names})"
        but = f" but by observed {DISCHARGE}" if self.discharge_lags else ""
        if len(self.gauge_ids) == 1:
            only = self.gauge_ids[0]
            return (
                f"the model has no static attributes and was trained on basin {only} alone: it takes every basin for that one{but}"
            )
        return f"the model has no static attributes, so it cannot tell basins apart{but}"

    def _refuse_lead_times(self, what: str) -> None:
        if self.lead_times:
            raise InputError(f"the model forecasts {self.lead_times} lead time(s) and does not {what}; use forecast")

    def record(self, dataset: xr.Dataset, *, layer: int = -1) -> xr.Dataset:
        """See what a layer remembers: its gates and states over the whole record, in one continuous pass.

        Parameters
        ----------
        dataset
            As for `simulate`.
        layer
            Counted from 0 at the input; -1: the last one.

        Returns
        -------
        Dataset
            `gates` (basin, time, unit, gate), gate being "input", "forget", "candidate" and "output" (of a GRU "reset", "update"
            and "candidate"; an RNN has none); `cell_state` (LSTM) and `hidden_state` (basin, time, unit); without unit; NaN where
            the continuous simulation is.

        Raises
        ------
        InputError
            As for `simulate`; the model has no such layer; no day has enough history.
        """
        self._refuse_lead_times("record")
        layers = len(self.architecture.hidden_sizes)
        if not -layers <= layer < layers:
            raise InputError(f"the model has {layers} layer(s), not a layer {layer}; count from 0")
        inputs = self._inputs(dataset, None)
        made = record_layer(cast(RecurrentModel, self.module), self.windows(self.scaler.apply(inputs)), layer)
        dims = (BASIN, TIME, "unit")
        states = {"hidden_state": "h", "cell_state": "c"}
        recorded = xr.Dataset(
            {name: (dims, made[letter]) for name, letter in states.items() if letter in made},
            coords={BASIN: without_counts(inputs[BASIN]), TIME: inputs[TIME]},
        )
        gates = _GATES[self.architecture.layer_type]
        if gates:
            values = np.stack([made[letter] for letter in gates.values()], axis=3)
            recorded = recorded.assign(gates=((*dims, "gate"), values)).assign_coords(gate=list(gates))
        return recorded

    @torch.no_grad()
    def embedding(self, dataset: xr.Dataset) -> xr.DataArray:
        """The input gate that an entity-aware LSTM gives every basin: what it has learned to tell basins apart by.

        Parameters
        ----------
        dataset
            With the static attributes of the model over (basin,); nothing else is looked at.

        Returns
        -------
        DataArray
            (basin, unit), each value in (0, 1); basins with similar rows are alike to the model.

        Raises
        ------
        InputError
            The model is of another type, or an attribute is missing.
        """
        stack = self.module.stack
        if not isinstance(stack, EALSTM):
            raise InputError(f'an embedding of basins is made by type = "ealstm", not by "{self.architecture.type}"; train one')
        absent = [name for name in self.static_attributes if name not in dataset]
        if absent:
            raise InputError(f"the data have no static attribute '{absent[0]}'; {nearest(absent[0], map(str, dataset.data_vars))}")
        names = list(self.static_attributes)
        rows = self._row({name: dataset[name].values for name in names}, names).to(next(self.module.parameters()).device)
        missing = ~torch.isfinite(rows).cpu().numpy()
        if missing.any():
            basin, place = np.argwhere(missing)[0]
            raise InputError(f"basin {dataset[BASIN].values[basin]}: attribute {names[place]} is missing; fill it in")
        gate = stack.input_gate(rows).cpu().numpy()
        attrs = {"long_name": "input gate, set by the static attributes", "units": "1"}
        return xr.DataArray(gate, {BASIN: without_counts(dataset[BASIN])}, (BASIN, "unit"), name="embedding", attrs=attrs)

    def windows(
        self, scaled: xr.Dataset, *, period: AnyPeriod | None = None, target: xr.DataArray | None = None, one_step: bool = False
    ) -> Windows:
        """Scaled data cut as the model takes them.

        Parameters
        ----------
        scaled
            What the model's scaler makes of the inputs.
        period, target
            See `Windows`; the target lies apart, so that no input is ever mistaken for it.
        one_step
            For training: a recursive model learns one step ahead, and the forcing it will not know with it.
        """
        recursive = one_step and self.architecture.forecast == "recursive"
        return Windows(
            with_made_inputs(scaled, self.discharge_lags, zero_flow=self.scaler.zero_flow, season=self.season),
            [*self.forcing, *input_names(self.discharge_lags, season=self.season)],
            target=target,
            static_attributes=self.static_attributes,
            sequence_length=self.sequence_length,
            targets_per_window=self.targets_per_window,
            lead_times=1 if recursive else self.lead_times,
            future_forcing=self.forecast_forcing,
            also_predict=[name for name in self.forcing if name not in self.forecast_forcing] if recursive else [],
            period=period,
            device=next(self.module.parameters()).device,
        )

    @torch.no_grad()
    def step(
        self,
        forcing: Mapping[str, np.ndarray | float],
        state: StreamState | None = None,
        *,
        attributes: Mapping[str, np.ndarray | float] | None = None,
        gauge_ids: Sequence[str] | None = None,
    ) -> tuple[np.ndarray, StreamState]:
        """Take one step: today's forcing in, today's discharge and the new state out.

        Parameters
        ----------
        forcing
            By name, in the units of `self.forcing`: a number, or an array over basins. A model with `discharge_lags` takes
            "discharge_lag_1" and so on too, in `self.units`, NaN where nothing was observed.
        state
            What the step before returned; None at the start.
        attributes
            By name, arrays over basins; only where the model has static attributes.
        gauge_ids
            Of the basins, in their order. None: taken to be those of the training where there are as many.

        Returns
        -------
        discharge, state
            (basin,) in `self.units`, NaN until `sequence_length` steps have been seen; the state for the next step.

        Raises
        ------
        InputError
            The model does not step, a value lacks or is not finite, or there are more or fewer gauge ids than basins.

        Warns
        -----
        UnseenBasinWarning
            At the first step: a basin was not in training.
        """
        self._refuse_lead_times("step")
        if self.season:
            raise InputError("the model takes the time of the year, which a step does not know; simulate instead")
        lagged = [f"{DISCHARGE}_lag_{lag}" for lag in self.discharge_lags]
        missing = [
            name for name in (*self.forcing, *lagged, *self.static_attributes) if name not in {**forcing, **(attributes or {})}
        ]
        if missing:
            raise InputError(f"today's input lacks {', '.join(missing)}; give a value for each")
        device = next(self.module.parameters()).device
        today = self._row(forcing, list(self.forcing)).to(device)
        fixed = self._row(attributes or {}, list(self.static_attributes), rows=len(today)).to(device)
        if state is None:
            self._warn_unseen_rows(gauge_ids, max(len(today), len(fixed)))
        state = state or StreamState()
        if not bool(torch.isfinite(today).all()):
            raise InputError(
                "today's forcing has a missing or infinite value; fill it, or begin anew after the gap with state = None"
            )
        if not bool(torch.isfinite(fixed).all()):
            raise InputError("a static attribute is missing or infinite; fill it in")
        if lagged:
            for name in lagged:
                if np.any(np.isinf(forcing[name]) | (np.asarray(forcing[name]) < 0)):
                    raise InputError(f"{name} is negative or infinite; make it NaN or correct it")
            values = [self.scaler.scale(DISCHARGE, np.atleast_1d(np.asarray(forcing[name], dtype=np.float64))) for name in lagged]
            observed = torch.from_numpy(np.stack(np.broadcast_arrays(*values), axis=1)).to(device)
            made = observation_inputs(observed, zero_flow=self.scaler.zero_flow).flatten(1)
            today = torch.cat([today, made.expand(len(today), -1)], dim=1)
        scaled, layers = self.module(today[:, None], fixed, state.layers)
        after = StreamState(layers, state.steps + 1)
        discharge = self._discharge(scaled[:, 0].float().cpu().numpy())
        return (discharge if after.steps >= self.sequence_length else np.full_like(discharge, np.nan)), after

    def _row(self, values: Mapping[str, np.ndarray | float], names: list[str], rows: int = 1) -> torch.Tensor:
        """(basin, feature), scaled."""
        columns = [self.scaler.scale(name, np.atleast_1d(np.asarray(values[name], dtype=np.float64))) for name in names]
        table = np.stack(np.broadcast_arrays(*columns), axis=1) if columns else np.zeros((rows, 0), dtype=np.float32)
        return torch.from_numpy(np.ascontiguousarray(table))

    def _discharge(self, scaled: np.ndarray) -> np.ndarray:
        """`scaled` ends with the lead times where there are some."""
        discharge: np.ndarray = np.maximum(self.scaler.invert(DISCHARGE, scaled), 0.0)  # NaN stays NaN
        if self.residual_variance:
            discharge *= 1 + np.asarray(self.residual_variance, dtype=np.float32)
        return discharge

    def _check_samples(self, mc_samples: int) -> None:
        if mc_samples < 1:
            raise InputError(f"mc_samples = {mc_samples}: ask for at least 1")
        if not self.architecture.dropout.drops_anything:
            raise InputError(
                "the model was trained without dropout, so all Monte-Carlo samples would be the same; train it with some"
            )

    def _dataset(self, scaled: np.ndarray, basin: xr.DataArray, time: xr.DataArray) -> xr.Dataset:
        """`scaled` is (basin, time), or (member, basin, time)."""
        attrs = {"units": self.units, "long_name": "simulated discharge"}
        dims = (BASIN, TIME) if scaled.ndim == 2 else ("member", BASIN, TIME)
        simulated = xr.Dataset(
            {"simulated": (dims, self._discharge(scaled), attrs)}, coords={BASIN: without_counts(basin), TIME: time}
        )
        if scaled.ndim == 3:
            simulated = simulated.assign_coords(member=("member", np.arange(len(scaled)), {"standard_name": "realization"}))
        return simulated

    def _inputs(self, dataset: xr.Dataset, period: Period | None) -> xr.Dataset:
        """The inputs alone, checked, in the units the model was trained in; warns of basins and values beyond the training."""
        inputs = self._checked(dataset)
        self._warn_unseen(inputs[BASIN].values.tolist(), stacklevel=4)
        steps = slice(None) if period is None else period.steps(times_of(inputs))
        for name in (*self.forcing, *([DISCHARGE] if self.discharge_lags else [])):
            self._warn_outside(inputs[name][:, steps])
        for name in self.static_attributes:
            self._warn_outside(inputs[name])
        return inputs

    def _checked(self, dataset: xr.Dataset) -> xr.Dataset:
        """The inputs alone, checked, in the units the model was trained in."""
        observed = [DISCHARGE] if self.discharge_lags else []
        check_names(
            as_dataset(dataset), forcing=list(self.forcing), static_attributes=self.static_attributes, from_discharge=bool(observed)
        )
        if observed and DISCHARGE not in dataset:
            raise InputError(
                "the data have no discharge, and the model takes what was observed as an input; add it, NaN where missing"
            )
        refuse_later(dataset, [*observed, *(self.forcing if self.lead_times else ())])
        inputs = check_basins(dataset[[*self.forcing, *self.static_attributes, *observed]])
        step = pd.Timedelta(time_step(times_of(inputs)))
        if step != self.time_step:
            raise InputError(
                f"the data have a time step of {step_label(step)}, the model was trained on {step_label(self.time_step)}; "
                "resample the data"
            )
        for name, units in self.forcing.items():
            given = str(inputs[name].attrs["units"])
            if given != units:
                inputs[name] = inputs[name].copy(data=convert(inputs[name].values, given, units).astype(np.float32))
        return inputs

    def _warn_outside(self, values: xr.DataArray) -> None:
        name = str(values.name)
        low, high = self.scaler.minimum[name], self.scaler.maximum[name]
        tolerance = 1e-6 * max(abs(low), abs(high))
        outside = (values < low - tolerance) | (values > high + tolerance)
        count = int(outside.sum())
        if count:
            units = values.attrs.get("units", "1")
            unit = "" if units in ("", "1") else f" {units}"
            warnings.warn(
                f"{name} leaves the training range {low:.4g} to {high:.4g}{unit} on {count} of {values.size} values "
                f"(they run from {float(values.min()):.4g} to {float(values.max()):.4g}); the simulation extrapolates there",
                OutsideTrainingRangeWarning,
                stacklevel=4,
            )


def _others(place: int, count: int) -> str:
    """After the last basin that is named: how many more there are."""
    return f" (and {count - SHOWN} more basins)" if place == SHOWN - 1 and count > SHOWN else ""


def _check_issue_dates(times: pd.DatetimeIndex, period: Period) -> None:
    """Refuse issue dates that are not inside the data."""
    for date in (period.start, period.end):
        if not times[0] <= date < times[-1] + (times[1] - times[0]):
            raise InputError(
                f"the issue date {date_label(date)} is outside the data, which run from {date_label(times[0])} to "
                f"{date_label(times[-1])}; choose one inside"
            )
