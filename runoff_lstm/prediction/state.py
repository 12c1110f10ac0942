"""State of a simulation: written to one file, read, and resumed with bit-identical results."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from runoff_lstm.data.names import BASIN, DISCHARGE, TIME
from runoff_lstm.data.times import date_label, times_of
from runoff_lstm.errors import InputError
from runoff_lstm.files import written_whole
from runoff_lstm.inputs.device import ThreadCount, Threads
from runoff_lstm.inputs.features import input_names, with_made_inputs
from runoff_lstm.models.recurrent import RecurrentModel
from runoff_lstm.models.stack import State
from runoff_lstm.prediction.inference import StreamState
from runoff_lstm.prediction.simulate import Simulator
from runoff_lstm.prediction.trained_model import TrainedModel

FORMAT = "runoff_lstm state 1"


def checksum(model: TrainedModel) -> str:
    """Compute the SHA-256 of weights and scaler; a state is valid only with both."""
    whole = hashlib.sha256(json.dumps(asdict(model.scaler), sort_keys=True).encode())
    for name, value in sorted(model.module.state_dict().items()):
        whole.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()


def write_state(path: str | Path, model: TrainedModel, state: StreamState) -> Path:
    """Write the state of a simulation as one safetensors file, whole or not at all.

    Raises
    ------
    InputError
        The state has no step yet, or the file cannot be written.
    """
    if state.layers is None:
        raise InputError("the state is empty, since no step has been taken; take one before writing it")
    tensors = {f"layers.{place}.{part}": one for place, layer in enumerate(state.layers) for part, one in enumerate(layer)}
    tensors["steps"] = torch.from_numpy(np.full(state.layers[0][0].shape[1], state.steps, dtype=np.int64))
    if state.observed is not None:
        tensors["observed"] = torch.from_numpy(state.observed)
    header = {
        "model": checksum(model),
        "gauge_ids": list(state.gauge_ids),
        "time": None if state.time is None else state.time.isoformat(),
    }
    with written_whole(Path(path)) as part_file:
        whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        save_file(whole, part_file, metadata={"format": FORMAT, "state": json.dumps(header)})
    return Path(path)


def read_state(path: str | Path, model: TrainedModel) -> StreamState:
    """Read a state written by `write_state` for the same model.

    Raises
    ------
    InputError
        The file is missing, truncated or damaged, is not a state, or belongs to a model with other weights.
    """
    if not Path(path).is_file():
        raise InputError(f"{path} not found; give a file written by write_state, or begin without a state")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not a whole safetensors file ({error}); begin without a state, or use an earlier one"
        ) from None
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path} is a safetensors file, but not the state of a simulation; give a file written by write_state")
    header = json.loads(metadata["state"])
    if header["model"] != checksum(model):
        raise InputError(f"{path} is the state of a model with other weights; give the model it was written with")
    device = next(model.module.parameters()).device
    n_parts = len({name.rpartition(".")[2] for name in tensors if name.startswith("layers.")})
    n_layers = sum(name.startswith("layers.") for name in tensors) // n_parts
    layers = tuple(
        tuple(tensors[f"layers.{place}.{part}"].to(device).clone() for part in range(n_parts)) for place in range(n_layers)
    )
    return StreamState(
        layers,
        tensors["steps"].numpy(),
        gauge_ids=tuple(header["gauge_ids"]),
        time=None if header["time"] is None else pd.Timestamp(header["time"]),
        observed=tensors["observed"].numpy() if "observed" in tensors else None,
    )


def simulate_from(
    model: Simulator,
    dataset: xr.Dataset,
    state: StreamState | None = None,
    *,
    until: str | pd.Timestamp | None = None,
    threads: Threads = None,
) -> tuple[xr.Dataset, StreamState]:
    """Simulate from a state; see `Simulator.simulate_from`."""
    inputs = _in_order(model._inputs(dataset, None), state)
    inputs = inputs.isel({TIME: _new_steps(times_of(inputs), state, until, step=model.time_step)})
    observed = _observed(model, inputs, state)
    forcing, fixed = _features(model, inputs, observed)
    before = state or StreamState()
    counted = ThreadCount(threads, model.module, len(forcing), device=forcing.device)
    scaled, layers, steps = _run(model.module, forcing, fixed, before, counted)
    scaled[_seen(forcing, before.steps) < model.sequence_length] = np.nan
    kept = observed[:, observed.shape[1] - _lag(model) :] if model.discharge_lags else None
    gauge_ids = tuple(map(str, inputs[BASIN].values))
    after = StreamState(layers, steps, gauge_ids=gauge_ids, time=times_of(inputs)[-1], observed=kept)
    discharge = model._discharge(scaled[..., None])[..., 0]  # one lead, 0
    return model._dataset(discharge, inputs[BASIN], inputs[TIME]), after


def _lag(model: TrainedModel) -> int:
    return max(model.discharge_lags, default=0)


def _in_order(inputs: xr.Dataset, state: StreamState | None) -> xr.Dataset:
    """Select the basins of the state from the inputs, in the order of the state."""
    if state is None:
        return inputs
    if not state.gauge_ids or state.time is None:
        raise InputError("the state does not say its basins and its last step; give gauge_ids and time to the first step")
    given = [str(one) for one in inputs[BASIN].values]
    for gauge_id in given:
        if gauge_id not in state.gauge_ids:
            raise InputError(f"basin {gauge_id} is not in the state; leave it out, or begin without a state")
    for gauge_id in state.gauge_ids:
        if gauge_id not in given:
            raise InputError(f"basin {gauge_id} of the state is not in the data; add it, or begin without a state")
    return inputs.sel({BASIN: list(state.gauge_ids)})


def _new_steps(
    times: pd.DatetimeIndex, state: StreamState | None, until: str | pd.Timestamp | None, *, step: pd.Timedelta
) -> slice:
    """Select the steps after the state up to `until`.

    Raises an error if there are none or the first one is missing.
    """
    first, stop = 0, len(times)
    if state is not None and state.time is not None:
        begin = state.time + step
        first = int(times.searchsorted(begin))
        if first == len(times) or times[first] != begin:
            raise InputError(
                f"the state ends on {date_label(state.time)} and goes on with {date_label(begin)}, which is not in the data, "
                f"{date_label(times[0])} to {date_label(times[-1])}; add it, or begin without a state"
            )
    if until is not None:
        stop = int(times.searchsorted(pd.Timestamp(until), side="right"))
    if stop <= first:
        raise InputError(f"until = {until} lies before the first step to simulate, {date_label(times[first])}; choose a later date")
    return slice(first, stop)


def _observed(model: TrainedModel, inputs: xr.Dataset, state: StreamState | None) -> np.ndarray:
    """Return observed discharge (basin, time), from `_lag` steps before the first.

    The shape is (basin, 0) if discharge is not an input.
    """
    if not model.discharge_lags:
        return np.zeros((inputs.sizes[BASIN], 0), dtype=np.float32)
    if state is None:
        before = np.full((inputs.sizes[BASIN], _lag(model)), np.nan, dtype=np.float32)
    elif state.observed is None:
        raise InputError("the state was made by step and has no observed discharge, which the model takes; go on with step")
    else:
        before = state.observed
    return np.concatenate([before, inputs[DISCHARGE].values.astype(np.float32)], axis=1)


def _features(model: TrainedModel, inputs: xr.Dataset, observed: np.ndarray) -> tuple[Tensor, Tensor]:
    """Build scaled features (basin, time, feature) and attributes (basin, attribute).

    NaN where the forcing is incomplete.
    """
    lag = _lag(model)
    if lag:
        times = times_of(inputs)
        earlier = pd.DatetimeIndex([times[0] - back * model.time_step for back in range(lag, 0, -1)])
        inputs = inputs.reindex({TIME: earlier.append(times)}).assign(
            {DISCHARGE: ((BASIN, TIME), observed, inputs[DISCHARGE].attrs)}
        )
    made = with_made_inputs(
        model.scaler.apply(inputs), model.discharge_lags, zero_flow=model.scaler.zero_flow, season=model.inputs.season
    ).isel({TIME: slice(lag, None)})
    names = [*model.forcing, *input_names(model.discharge_lags, season=model.inputs.season)]
    forcing = np.stack([made[name].values.astype(np.float32) for name in names], axis=2)
    fixed = np.zeros((made.sizes[BASIN], len(model.static_attributes)), dtype=np.float32)
    for place, name in enumerate(model.static_attributes):
        fixed[:, place] = made[name].values
    missing = np.argwhere(~np.isfinite(fixed))
    if len(missing):
        basin, place = missing[0]
        raise InputError(f"basin {made[BASIN].values[basin]}: attribute {model.static_attributes[place]} is missing; fill it in")
    device = next(model.module.parameters()).device
    return torch.from_numpy(forcing).to(device), torch.from_numpy(fixed).to(device)


@torch.no_grad()
def _run(
    module: nn.Module, forcing: Tensor, fixed: Tensor, state: StreamState, counted: ThreadCount
) -> tuple[np.ndarray, State, np.ndarray]:
    """Run the network step by step, all basins at once; reset a basin after missing forcing.

    The number of steps per call and the memory layout change the last digit of the results. Every call therefore has one step,
    copied to separate memory, and all basins. The series does not depend on where it was stopped.
    """
    assert isinstance(module, RecurrentModel)
    first = module.stack.first_state(forcing)
    layers = first if state.layers is None else tuple(tuple(one.clone() for one in layer) for layer in state.layers)
    complete = torch.isfinite(forcing).all(dim=2)
    filled, simulated = torch.where(complete[..., None], forcing, 0.0), []
    for step in range(forcing.shape[1]):
        with counted.one_pass():
            values, layers = module(filled[:, step : step + 1].clone(), fixed, layers)
        simulated.append(values.reshape(len(values)).float())
        if not bool(complete[:, step].all()):
            there = complete[:, step][None, :, None]
            layers = tuple(
                tuple(torch.where(there, one, begin) for one, begin in zip(layer, begins, strict=True))
                for layer, begins in zip(layers, first, strict=True)
            )
    return torch.stack(simulated, dim=1).cpu().numpy(), layers, _seen(forcing, state.steps)[:, -1]


def _seen(forcing: Tensor, before: int | np.ndarray) -> np.ndarray:
    """Count consecutive steps of complete forcing up to each step, (basin, time)."""
    count = np.broadcast_to(np.asarray(before, dtype=np.int64), len(forcing))
    seen = np.zeros(forcing.shape[:2], dtype=np.int64)
    for step, there in enumerate(torch.isfinite(forcing).all(dim=2).cpu().numpy().T):
        count = np.where(there, count + 1, 0)
        seen[:, step] = count
    return seen
