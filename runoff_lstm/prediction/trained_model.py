"""TrainedModel: a network with its scaler, inputs and units; `Simulator` and `TrainedForecaster` run it on a Dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.masks import refuse_later
from runoff_lstm.data.names import BASIN, DISCHARGE, discharge_units, without_counts
from runoff_lstm.data.periods import AnyPeriod, Period
from runoff_lstm.data.schema import check_basins
from runoff_lstm.data.times import step_label, time_step, times_of
from runoff_lstm.data.units import convert
from runoff_lstm.errors import InputError, nearest
from runoff_lstm.inputs.checks import check_names
from runoff_lstm.inputs.device import Threads
from runoff_lstm.inputs.features import with_made_inputs
from runoff_lstm.inputs.scaling import Scaler
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.inputs.windows import Windows
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.build import Model
from runoff_lstm.models.ealstm import EALSTM
from runoff_lstm.models.forecasts.recursive import RecursiveForecast
from runoff_lstm.prediction.inference import Mode, StreamState
from runoff_lstm.prediction.input_warnings import warn_outside, warn_unseen
from runoff_lstm.prediction.stages import Stage


@dataclass(frozen=True, repr=False)
class TrainedModel:
    """A trained network with its architecture, inputs, scaler and units.

    A model is a `Simulator` or a `TrainedForecaster`. Methods that the class does not support raise an error.

    Attributes
    ----------
    module
        The network, in evaluation mode.
    architecture
        Its layers and sizes.
    inputs
        Forcing, attributes and other features that it takes.
    scaler
        Fitted to the training period.
    forcing
        Unit of every forcing variable, by name, in the order of `inputs`.
    time_step
        Length of one time step.
    trained_on
        Basins and period of the last training.
    residual_variance
        For a model trained on the root of discharge, one value per lead: the variance of the root about the simulated root, as a
        share of the squared root. Computed over the validation period, without one over the training period. The simulated
        discharge is the squared root times 1 + this value: the mean of a square is the squared mean plus the variance (Miller 1984,
        The American Statistician 38, 124-126). Empty: the model was trained on discharge itself.
    seen
        Training and validation stages of this model and of all models it was fine-tuned from, in order. Default: `trained_on`
        alone. Scores on these basins and periods are not valid.
    preparation
        Reading and preparation of the training data, JSON-compatible; may be empty.
    calibration
        Reserved for parameters fitted to the predictions later, JSON-compatible; empty.

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
    inputs: Inputs
    scaler: Scaler
    forcing: Mapping[str, str]
    time_step: pd.Timedelta
    trained_on: Stage
    residual_variance: tuple[float, ...] = ()
    seen: tuple[Stage, ...] = ()
    preparation: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.seen:
            object.__setattr__(self, "seen", (self.trained_on,))

    def __repr__(self) -> str:
        sizes = ", ".join(map(str, self.architecture.hidden_sizes))
        ahead = f", {self.lead_times} lead time(s)" if self.lead_times else ""
        return (
            f"<{type(self).__name__}: {self.architecture.type} of {sizes}, {len(self.forcing)} forcing, "
            f"{len(self.static_attributes)} attributes{ahead}, step of {step_label(self.time_step)}, "
            f"trained on {len(self.gauge_ids)} basin(s)>"
        )

    def summary(self) -> str:
        """Describe the model, its inputs and its training, one line each."""
        form, inputs = self.architecture, self.inputs
        sizes, count = ", ".join(map(str, form.hidden_sizes)), sum(one.numel() for one in self.module.parameters())
        given = [*([f"discharge {list(inputs.discharge_lags)} steps back"] if inputs.discharge_lags else [])]
        given += ["time of the year"] if inputs.season else []
        seen = f"{inputs.sequence_length} steps of {step_label(self.time_step)}"
        gauge_ids = ", ".join(self.gauge_ids[:3]) + (" ..." if len(self.gauge_ids) > 3 else "")
        lines = {
            "form": f"{form.type} of {sizes}, {count} weights",
            "forcing": ", ".join(f"{name} ({units})" for name, units in self.forcing.items()) or "none",
            "attributes": ", ".join(inputs.static_attributes) or "none",
            "features": ", ".join(given) or "none",
            "sees": seen,
            "predicts": f"discharge ({self.units})" + (f" at lead times 1 to {self.lead_times}" if self.lead_times else ""),
            "ahead": ", ".join(inputs.forecast_forcing) or "none",
            "trained on": f"{len(self.gauge_ids)} basin(s) ({gauge_ids}), {self.training_period}",
        }
        return "\n".join([type(self).__name__, *(f"  {name}: {text}" for name, text in lines.items())])

    @property
    def units(self) -> str:
        """Unit of the predicted discharge."""
        return discharge_units(self.time_step.to_timedelta64())

    @property
    def static_attributes(self) -> tuple[str, ...]:
        """Names of the static attributes, in order."""
        return tuple(self.inputs.static_attributes)

    @property
    def sequence_length(self) -> int:
        """Minimum number of antecedent steps of each prediction."""
        return self.inputs.sequence_length

    @property
    def discharge_lags(self) -> tuple[int, ...]:
        """Lags in steps of observed discharge among the inputs.

        Empty: no observations needed.
        """
        return tuple(self.inputs.discharge_lags)

    @property
    def lead_times(self) -> int:
        """Number of forecast lead times; 0: a simulation."""
        return self.inputs.lead_times

    @property
    def training_period(self) -> AnyPeriod:
        """The period of the last training."""
        return self.trained_on.period

    @property
    def gauge_ids(self) -> tuple[str, ...]:
        """The basins of the last training."""
        return self.trained_on.gauge_ids

    @property
    def _ever_trained_on(self) -> tuple[str, ...]:
        """Basins of every training, including those of the models it was fine-tuned from."""
        earlier = [gauge_id for stage in self.seen if stage.kind == "train" for gauge_id in stage.gauge_ids]
        return tuple(dict.fromkeys([*self.gauge_ids, *earlier]))

    def save(self, path: str | Path) -> Path:
        """Write the model as one file, whole or not at all; see `load_model`."""
        from runoff_lstm.prediction.bundle import write_bundle  # circular import: bundle imports TrainedModel

        return write_bundle(self, path)

    def simulate(
        self,
        dataset: xr.Dataset,  # noqa: ARG002
        *,
        period: Period | None = None,  # noqa: ARG002
        mode: Mode = "windows",  # noqa: ARG002
        mc_samples: int | None = None,  # noqa: ARG002
        seed: int = 0,  # noqa: ARG002
        threads: Threads = None,  # noqa: ARG002
    ) -> xr.Dataset:
        """See `Simulator.simulate`."""
        raise InputError(self._only_forecasts("simulate"))

    def record(self, dataset: xr.Dataset, *, layer: int = -1) -> xr.Dataset:  # noqa: ARG002
        """See `Simulator.record`."""
        raise InputError(self._only_forecasts("record"))

    def simulate_from(
        self,
        dataset: xr.Dataset,  # noqa: ARG002
        state: StreamState | None = None,  # noqa: ARG002
        *,
        until: str | pd.Timestamp | None = None,  # noqa: ARG002
        threads: Threads = None,  # noqa: ARG002
    ) -> tuple[xr.Dataset, StreamState]:
        """See `Simulator.simulate_from`."""
        raise InputError(
            f"the model forecasts {self.lead_times} lead time(s) and keeps no state: each forecast reads the "
            f"{self.sequence_length} steps up to its issue date anew; use forecast"
        )

    def step(
        self,
        forcing: Mapping[str, np.ndarray | float],  # noqa: ARG002
        state: StreamState | None = None,  # noqa: ARG002
        *,
        attributes: Mapping[str, np.ndarray | float] | None = None,  # noqa: ARG002
        gauge_ids: Sequence[str] | None = None,  # noqa: ARG002
        time: str | pd.Timestamp | None = None,  # noqa: ARG002
    ) -> tuple[np.ndarray, StreamState]:
        """See `Simulator.step`."""
        raise InputError(self._only_forecasts("step"))

    def forecast(
        self,
        dataset: xr.Dataset,  # noqa: ARG002
        *,
        period: Period | None = None,  # noqa: ARG002
        threads: Threads = None,  # noqa: ARG002
    ) -> xr.Dataset:
        """See `TrainedForecaster.forecast`."""
        raise InputError("the model simulates, and knows no lead times; train one with lead_times, or simulate")

    def _only_forecasts(self, what: str) -> str:
        return f"the model forecasts {self.lead_times} lead time(s) and does not {what}; use forecast"

    @torch.no_grad()
    def embedding(self, dataset: xr.Dataset) -> xr.DataArray:
        """Compute the input gate of an entity-aware LSTM for every basin.

        The gate depends on the static attributes alone and serves as an embedding of the basins.

        Parameters
        ----------
        dataset
            Static attributes of the model, dims (basin,); other variables are ignored.

        Returns
        -------
        DataArray
            dims (basin, unit), in (0, 1). Similar rows mean basins that the model treats alike.

        Raises
        ------
        InputError
            The model is not an EA-LSTM, or an attribute is missing.
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
        """Cut scaled data into windows of the model.

        Parameters
        ----------
        scaled
            Inputs after scaling by the model's scaler.
        period, target
            See `Windows`. The target is passed separately to keep it out of the inputs.
        one_step
            For training: a recursive model is trained to predict discharge and the forcing without forecast one step ahead.
        """
        recursive = one_step and isinstance(self.module, RecursiveForecast)
        inputs = self.inputs
        return Windows(
            with_made_inputs(scaled, inputs.discharge_lags, zero_flow=self.scaler.zero_flow, season=inputs.season),
            inputs.features,
            target=target,
            static_attributes=inputs.static_attributes,
            sequence_length=inputs.sequence_length,
            targets_per_window=inputs.targets_per_window,
            lead_times=1 if recursive else inputs.lead_times,
            future_forcing=inputs.forecast_forcing,
            also_predict=[name for name in inputs.forcing if name not in inputs.forecast_forcing] if recursive else [],
            period=period,
            device=next(self.module.parameters()).device,
        )

    def _row(self, values: Mapping[str, np.ndarray | float], names: list[str], rows: int = 1) -> torch.Tensor:
        """Scale values and arrange them as (basin, feature)."""
        columns = [self.scaler.scale(name, np.atleast_1d(np.asarray(values[name], dtype=np.float64))) for name in names]
        table = np.stack(np.broadcast_arrays(*columns), axis=1) if columns else np.zeros((rows, 0), dtype=np.float32)
        return torch.from_numpy(np.ascontiguousarray(table))

    def _discharge(self, scaled: np.ndarray) -> np.ndarray:
        """Convert scaled output to discharge in `units`; the last dimension is the lead."""
        discharge: np.ndarray = np.maximum(self.scaler.invert(DISCHARGE, scaled), 0.0)  # NaN stays NaN
        if self.residual_variance:
            discharge *= 1 + np.asarray(self.residual_variance, dtype=np.float32)
        return discharge

    def _inputs(self, dataset: xr.Dataset, period: Period | None) -> xr.Dataset:
        """Select, check and convert the inputs.

        Warn of new basins and values out of range.
        """
        inputs = self._checked(dataset)
        warn_unseen(inputs[BASIN].values.tolist(), trained=self._ever_trained_on, seen=self.inputs, stacklevel=4)
        steps = slice(None) if period is None else period.steps(times_of(inputs))
        for name in (*self.forcing, *([DISCHARGE] if self.discharge_lags else [])):
            warn_outside(inputs[name][:, steps], self.scaler)
        for name in self.static_attributes:
            warn_outside(inputs[name], self.scaler)
        return inputs

    def _checked(self, dataset: xr.Dataset) -> xr.Dataset:
        """Select and check the inputs and convert them to the units of the training."""
        observed = [DISCHARGE] if self.discharge_lags else []
        dataset = as_dataset(dataset)
        check_names(dataset, forcing=list(self.forcing), static_attributes=self.static_attributes, from_discharge=bool(observed))
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
