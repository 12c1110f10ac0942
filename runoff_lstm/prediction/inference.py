"""Simulate a series with a model: in windows as trained, or in one continuous pass with a kept state."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch import nn

from runoff_lstm.data.times import date_label
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.device import ThreadCount, Threads, precision_now
from runoff_lstm.inputs.windows import Windows
from runoff_lstm.models.recurrent import RecurrentModel
from runoff_lstm.models.stack import State

Mode = Literal["windows", "continuous"]

STEPS_AT_ONCE = 256
"""Steps per call of a continuous pass. It limits memory: layers store the hidden state of every step. The series is the same."""


@dataclass(frozen=True)
class StreamState:
    """State of a model between two steps.

    Attributes
    ----------
    layers
        State of the layers; None at the start.
    steps
        Number of consecutive steps with complete forcing up to this state, per basin (basin,) or one for all.
    gauge_ids, time
        Gauge ids in the order of the basins, and time of the last step; empty and None if not given.
    observed
        Observed discharge of the last steps (basin, lag), for a model with discharge lags; None after `step`.
    """

    layers: State | None = None
    steps: int | np.ndarray = 0
    gauge_ids: tuple[str, ...] = ()
    time: pd.Timestamp | None = None
    observed: np.ndarray | None = None


def next_step(
    state: StreamState | None, time: str | pd.Timestamp | None, gauge_ids: Sequence[str] | None, *, step: pd.Timedelta
) -> tuple[pd.Timestamp | None, tuple[str, ...]]:
    """Return time and basins of the step after a state.

    Raises an error if the given ones differ.
    """
    now, known = None if time is None else pd.Timestamp(time), () if state is None else state.gauge_ids
    if state is not None and state.time is not None:
        expected = state.time + step
        if now is not None and now != expected:
            raise InputError(f"time = {date_label(now)}: the state goes on with {date_label(expected)}; give that step")
        now = expected
    if known and gauge_ids is not None and tuple(gauge_ids) != known:
        raise InputError(f"gauge_ids = {list(gauge_ids)[:5]}: the state is of {list(known)[:5]}; give those, in that order")
    return now, known or tuple(gauge_ids or ())


@torch.no_grad()
def simulate_windows(model: nn.Module, windows: Windows, *, batch_size: int = 256, threads: Threads = None) -> np.ndarray:
    """Simulate in windows, as in training.

    Every window begins with an empty state and `sequence_length` steps of history. A model with lead times forecasts from every
    valid step as an issue date.

    Parameters
    ----------
    model
        In evaluation mode, on the device of the windows.
    windows
        Their valid steps are simulated. With several targets per window, window borders lie on a fixed calendar.
    batch_size
        Windows per pass.
    threads
        See `Recipe.threads`; "auto" times the first passes.

    Returns
    -------
    ndarray
        dims (basin, time, lead), scaled, over the whole time axis. For forecasts time is the issue date; a simulation has one lead,
        0. NaN where a step has too little history or lies outside the period.
    """
    simulated = np.full((len(windows.gauge_ids), len(windows.times), len(windows.leads)), np.nan, dtype=np.float32)
    tiles = windows.calendar_tiles()
    counted = _thread_count(threads, model, min(batch_size, len(tiles)))
    for start in range(0, len(tiles), batch_size):
        some = tiles[start : start + batch_size]
        batch = windows.gather(some)
        known_ahead = {} if batch.future is None else {"future": batch.future}
        with counted.one_pass():
            values, _ = model(batch.forcing, batch.static_attributes, targets=windows.targets_per_window, **known_ahead)
        place = np.arange(windows.targets_per_window)
        window, target = np.nonzero((place >= some.begin[:, None]) & (place < some.stop[:, None]))
        simulated[some.basin[window], some.first[window] + target] = values.float().cpu().numpy()[window, target]
    simulated[:, ~windows.in_period] = np.nan  # steps between stretches, simulated as part of a window
    return simulated


@torch.no_grad()
def simulate_continuously(model: nn.Module, windows: Windows, *, threads: Threads = None) -> np.ndarray:
    """Simulate in one pass with a kept state, reset after each gap in the forcing.

    Models trained on windows never have states older than the window in training. Compare with `simulate_windows` first.

    Returns
    -------
    ndarray
        dims (basin, time, lead), scaled, over the whole time axis, with one lead, 0. NaN on the first `sequence_length - 1` steps
        of each unbroken stretch, and after the end of the period.
    """
    simulated = np.full((len(windows.gauge_ids), len(windows.times), len(windows.leads)), np.nan, dtype=np.float32)
    warm_up = windows.sequence_length - 1
    for basin, first, batch in windows.runs():
        counted = _thread_count(threads, model, len(batch.forcing))
        length, state = batch.forcing.shape[1], None
        at_once = length if model.training else STEPS_AT_ONCE  # dropout draws its masks for a whole sequence
        for begin in range(0, length, at_once):
            with counted.one_pass():
                values, state = model(batch.forcing[:, begin : begin + at_once], batch.static_attributes, state)
            simulated[basin, first + begin : first + begin + values.shape[1]] = values.float().cpu().numpy()
        simulated[basin, first : first + warm_up] = np.nan
    return simulated


def _thread_count(threads: Threads, model: nn.Module, at_once: int) -> ThreadCount:
    """Choose threads for a pass over `at_once` windows or basins, in the current precision."""
    device = next(model.parameters()).device
    return ThreadCount(threads, model, at_once, device=device, precision=precision_now(device))


@contextmanager
def dropout_kept_on(model: nn.Module, seed: int) -> Iterator[None]:
    """Keep dropout active within the context, with masks drawn from `seed`.

    The random state of torch is restored at the end. Every window draws separate masks; masks of weights apply to a whole pass.
    """
    devices = sorted({one.device.index or 0 for one in model.parameters() if one.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        model.train()
        try:
            yield
        finally:
            model.eval()


@torch.no_grad()
def record_layer(model: RecurrentModel, windows: Windows, layer: int, *, threads: Threads = None) -> dict[str, np.ndarray]:
    """Record states and gates of one layer in the pass of `simulate_continuously`.

    Returns
    -------
    dict
        Fields of the cell's step, such as "h", "c" and the gates "i", "f", "g", "o", dims (basin, time, unit), float32. NaN at the
        same steps as the continuous pass.
    """
    shape = (len(windows.gauge_ids), len(windows.times))
    recorded: dict[str, np.ndarray] = {}
    warm_up = windows.sequence_length - 1
    for basin, first, batch in windows.runs():
        with _thread_count(threads, model, len(batch.forcing)).one_pass():
            seen = model.record(batch.forcing, batch.static_attributes)[layer]
        for name, values in seen._asdict().items():
            whole = recorded.setdefault(name, np.full((*shape, values.shape[2]), np.nan, dtype=np.float32))
            whole[basin, first + warm_up : first + values.shape[1]] = values[:, warm_up:].cpu().numpy()
    return recorded
