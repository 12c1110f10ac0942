"""Checks of fine-tuning: start model, data, periods and frozen parts."""

from collections.abc import Iterable, Sequence
from dataclasses import fields

import pandas as pd
import xarray as xr
from torch import nn

from runoff_lstm.data.splits import Periods
from runoff_lstm.data.times import step_label, time_step, times_of
from runoff_lstm.errors import InputError, nearest
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.prediction.stages import check_unseen
from runoff_lstm.prediction.trained_model import TrainedModel

OF_WINDOWS = ("sequence_length", "targets_per_window")
"""Settings of `Inputs` that fine-tuning may change: the length of windows."""


def check_continues(model: TrainedModel, dataset: xr.Dataset, inputs: Inputs, architecture: Architecture | None) -> None:
    """Raise on data or settings that differ from those of the start model."""
    for setting in fields(Inputs):
        given, known = (getattr(one, setting.name) for one in (inputs, model.inputs))
        if given != known and setting.name not in OF_WINDOWS:
            order = ", in this order" if isinstance(known, tuple) else ""
            known, given = (list(one) if isinstance(one, tuple) else one for one in (known, given))
            raise InputError(f"start_from: the model takes {setting.name} = {known}{order}, not {given}; name the same")
    for name, units in model.forcing.items():
        if dataset[name].attrs["units"] != units:
            raise InputError(
                f"start_from: the model takes {name} in {units}, the data have {dataset[name].attrs['units']}; convert it"
            )
    if pd.Timedelta(time_step(times_of(dataset))) != model.time_step:
        raise InputError(f"start_from: the model takes a time step of {step_label(model.time_step)}; resample the data")
    if architecture not in (None, model.architecture):
        raise InputError(f"start_from: the model is {model.architecture}; leave [model] out, its form is kept")


def freeze(module: nn.Module, frozen: Sequence[str]) -> None:
    """Freeze parameters by name or by the beginning of a part of their dotted name."""
    parameters = dict(module.named_parameters())
    for name in frozen:
        matched = [one for one in parameters if f".{name}" in f".{one}"]
        if not matched:
            raise InputError(f"frozen: the model has no part '{name}'; {nearest(name, parameters)}")
        for one in matched:
            parameters[one].requires_grad = False
    if not any(one.requires_grad for one in parameters.values()):
        raise InputError(f"frozen = {list(frozen)}: nothing is left to train; leave a part free")


def check_periods_unseen(model: TrainedModel, gauge_ids: Iterable[str], periods: Periods) -> None:
    """Raise if the start model used these basins in the validation or test period.

    A validation period may overlap earlier validation periods, but no earlier training period.
    """
    if periods.validation is not None:
        check_unseen(model.seen, gauge_ids, "validation", periods.validation, kinds=["train"])
    if periods.test is not None:
        check_unseen(model.seen, gauge_ids, "test", periods.test)
