"""Simulator: from a Dataset to simulated discharge, in one call or step by step; records gates and states of layers."""

import warnings
from collections.abc import Mapping, Sequence
from typing import cast, get_args

import numpy as np
import pandas as pd
import torch
import xarray as xr

from runoff_lstm.data.names import BASIN, DISCHARGE, TIME, without_counts
from runoff_lstm.data.periods import Period, as_single_period
from runoff_lstm.data.times import times_of
from runoff_lstm.errors import InputError, check_choice
from runoff_lstm.inputs.device import ThreadCount, Threads
from runoff_lstm.inputs.features import observation_inputs, season_of
from runoff_lstm.models.recurrent import RecurrentModel
from runoff_lstm.prediction.inference import (
    Mode,
    StreamState,
    dropout_kept_on,
    next_step,
    record_layer,
    simulate_continuously,
    simulate_windows,
)
from runoff_lstm.prediction.input_warnings import IncompleteInputWarning, lost_to_gaps, warn_unseen_rows
from runoff_lstm.prediction.trained_model import TrainedModel

_GATES: dict[str, dict[str, str]] = {
    "lstm": {"input": "i", "forget": "f", "candidate": "g", "output": "o"},
    "gru": {"reset": "r", "update": "z", "candidate": "n"},
    "rnn": {},
}


class Simulator(TrainedModel):
    """A trained model that simulates discharge from the forcing up to the same step.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> periods = rl.Periods(train=("2000-02-01", "2000-12-31"))
    >>> inputs = rl.Inputs(["rain", "temperature"], sequence_length=30)
    >>> recipe = rl.Recipe(steps=3, batch_size=16)
    >>> form = rl.Architecture(hidden_sizes=4)
    >>> trained = rl.train(data, periods=periods, inputs=inputs, recipe=recipe, architecture=form, device="cpu")
    >>> isinstance(trained.model, rl.Simulator), trained.model.lead_times
    (True, 0)
    """

    def simulate(
        self,
        dataset: xr.Dataset,
        *,
        period: Period | None = None,
        mode: Mode = "windows",
        mc_samples: int | None = None,
        seed: int = 0,
        threads: Threads = None,
    ) -> xr.Dataset:
        """Simulate discharge from forcing and attributes.

        Observed discharge is used only by a model with `discharge_lags`.

        Parameters
        ----------
        dataset
            dims (basin, time): the forcing of the training, in any convertible unit, and the static attributes.
        period
            Simulated period; forcing may begin earlier. None: the whole record.
        mode
            "windows": as in training. "continuous": one pass with a kept state, the same series as from `step`.
        mc_samples
            Number of simulations by Monte-Carlo dropout (Gal and Ghahramani 2016, arXiv:1506.02142). Each keeps the dropout of the
            training active, with separate masks for every window. The spread estimates model uncertainty by dropout alone; it does
            not include errors in the data.
        seed
            Seed of the dropout masks; the same seed gives the same members.
        threads
            CPU threads. None: a fixed rule from the size of the work. Otherwise a number, or "auto", which times the first passes.
            See `Recipe.threads`.

        Returns
        -------
        Dataset
            `simulated` (basin, time) in mm d-1 (mm h-1 for steps shorter than a day), never below zero. NaN where a step has less
            than `sequence_length` steps of complete forcing up to it. With `mc_samples`: (member, basin, time).

        Raises
        ------
        InputError
            A variable is missing (named, with the nearest) or has a unit that cannot be converted, the time step differs, the
            period is outside the data, or `mc_samples` is given for a model without dropout.

        Warns
        -----
        IncompleteInputWarning
            Forcing is missing and the affected steps are NaN; names gauge, variable, date and number of steps.
        UnseenBasinWarning
            A basin was not in training.
        OutsideTrainingRangeWarning
            An input is outside the range of the training period.
        """
        check_choice("mode", mode, get_args(Mode))
        period = None if period is None else as_single_period("period", period)
        if mc_samples is not None:
            self._check_samples(mc_samples)
        inputs = self._inputs(dataset, period)
        steps = slice(0, inputs.sizes[TIME]) if period is None else period.steps(times_of(inputs))
        if self.inputs.forcing:
            lost, left = lost_to_gaps(self.inputs, inputs, steps)
            if lost and not left:
                raise InputError(lost[0])
            for text in lost:
                warnings.warn(text, IncompleteInputWarning, stacklevel=2)
        windows = self.windows(self.scaler.apply(inputs), period=period)
        run = simulate_windows if mode == "windows" else simulate_continuously
        if mc_samples is None:
            scaled = run(self.module, windows, threads=threads)
        else:
            with dropout_kept_on(self.module, seed):
                scaled = np.stack([run(self.module, windows, threads=threads) for _ in range(mc_samples)])
        return self._dataset(self._discharge(scaled[..., steps, :])[..., 0], inputs[BASIN], inputs[TIME][steps])

    def record(self, dataset: xr.Dataset, *, layer: int = -1) -> xr.Dataset:
        """Record gates and states of a layer in one continuous pass.

        The pass covers the whole record.

        Parameters
        ----------
        dataset
            As for `simulate`.
        layer
            Number of the layer, from 0 at the input; -1: the last layer.

        Returns
        -------
        Dataset
            `gates` (basin, time, unit, gate), with gate "input", "forget", "candidate" and "output" (GRU: "reset", "update" and
            "candidate"; RNN: no gates). `cell_state` (LSTM) and `hidden_state` (basin, time, unit). Dimensionless; NaN where the
            continuous simulation is NaN.

        Raises
        ------
        InputError
            As for `simulate`; the layer does not exist; no step has enough history.
        """
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

    def simulate_from(
        self,
        dataset: xr.Dataset,
        state: StreamState | None = None,
        *,
        until: str | pd.Timestamp | None = None,
        threads: Threads = None,
    ) -> tuple[xr.Dataset, StreamState]:
        """Simulate continuously from a state; return the series and the final state.

        Parameters
        ----------
        dataset
            As for `simulate`, including the step after the state. Steps up to the state are ignored.
        state
            State from an earlier call, `step` or `read_state`; None: begin with the first step of the data.
        until
            The last step to simulate; None: the last step of the data.
        threads
            See `simulate`.

        Returns
        -------
        simulated, state
            Simulation of the steps after the state, as by `simulate` in mode "continuous", and the state after the last step.
            Stopping at any step and resuming gives bit-identical numbers on the same machine.

        Raises
        ------
        InputError
            As for `simulate`; the basins differ from those of the state, or the step after the state is missing.
        """
        from runoff_lstm.prediction.state import simulate_from

        return simulate_from(self, dataset, state, until=until, threads=threads)

    @torch.no_grad()
    def step(
        self,
        forcing: Mapping[str, np.ndarray | float],
        state: StreamState | None = None,
        *,
        attributes: Mapping[str, np.ndarray | float] | None = None,
        gauge_ids: Sequence[str] | None = None,
        time: str | pd.Timestamp | None = None,
    ) -> tuple[np.ndarray, StreamState]:
        """Simulate one step from its forcing and the previous state.

        Parameters
        ----------
        forcing
            By name, in the units of `self.forcing`: a number, or an array over basins. A model with `discharge_lags` also needs
            "discharge_lag_1" and so on, in `self.units`, NaN where discharge is missing.
        state
            State returned by the previous step; None at the start.
        attributes
            By name, arrays over basins; only for a model with static attributes.
        gauge_ids
            Gauge ids in the order of the basins. None: those of the state; at the first step those of the training are assumed if
            their number is the same.
        time
            Time of the step. None: one time step after the state. Required at the first step of a model with `season`.

        Returns
        -------
        discharge, state
            Discharge (basin,) in `self.units`, NaN before step number `sequence_length`; the state for the next step.

        Raises
        ------
        InputError
            A value or the time is missing or not finite, basins or time do not match the state, or the number of gauge ids differs
            from the number of basins.

        Warns
        -----
        UnseenBasinWarning
            At the first step: a basin was not in training.
        """
        now, basins = next_step(state, time, gauge_ids, step=self.time_step)
        if self.inputs.season and now is None:
            raise InputError('the model takes the time of the year; give the time of the step, such as time = "2024-05-01"')
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
            warn_unseen_rows(gauge_ids, max(len(today), len(fixed)), trained=self._ever_trained_on, seen=self.inputs)
        state = state or StreamState()
        if not bool(torch.isfinite(today).all()):
            raise InputError(
                "today's forcing has a missing or infinite value; fill it, or begin anew after the gap with state = None"
            )
        if not bool(torch.isfinite(fixed).all()):
            raise InputError("a static attribute is missing or infinite; fill it in")
        if self.inputs.season:
            season = torch.from_numpy(season_of(pd.DatetimeIndex([now]))).to(device)
            today = torch.cat([today, season.T.expand(len(today), -1)], dim=1)
        if lagged:
            for name in lagged:
                if np.any(np.isinf(forcing[name]) | (np.asarray(forcing[name]) < 0)):
                    raise InputError(f"{name} is negative or infinite; make it NaN or correct it")
            values = [self.scaler.scale(DISCHARGE, np.atleast_1d(np.asarray(forcing[name], dtype=np.float64))) for name in lagged]
            observed = torch.from_numpy(np.stack(np.broadcast_arrays(*values), axis=1)).to(device)
            made = observation_inputs(observed, zero_flow=self.scaler.zero_flow).flatten(1)
            today = torch.cat([today, made.expand(len(today), -1)], dim=1)
        with ThreadCount(None, self.module, len(today), device=device).one_pass():
            scaled, layers = self.module(today[:, None], fixed, state.layers)
        after = StreamState(layers, state.steps + 1, gauge_ids=basins, time=now)
        discharge = self._discharge(scaled[:, 0].float().cpu().numpy())[:, 0]
        return np.where(np.asarray(after.steps) >= self.sequence_length, discharge, np.float32(np.nan)), after

    def _check_samples(self, mc_samples: int) -> None:
        if mc_samples < 1:
            raise InputError(f"mc_samples = {mc_samples}: ask for at least 1")
        if not self.architecture.dropout.drops_anything:
            raise InputError(
                "the model was trained without dropout, so all Monte-Carlo samples would be the same; train it with some"
            )

    def _dataset(self, discharge: np.ndarray, basin: xr.DataArray, time: xr.DataArray) -> xr.Dataset:
        """Build the Dataset of simulated discharge, (basin, time) or (member, basin, time)."""
        attrs = {"units": self.units, "long_name": "simulated discharge"}
        dims = (BASIN, TIME) if discharge.ndim == 2 else ("member", BASIN, TIME)
        simulated = xr.Dataset({"simulated": (dims, discharge, attrs)}, coords={BASIN: without_counts(basin), TIME: time})
        if discharge.ndim == 3:
            simulated = simulated.assign_coords(member=("member", np.arange(len(discharge)), {"standard_name": "realization"}))
        return simulated
