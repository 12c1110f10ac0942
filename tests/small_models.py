"""Trained models with random weights, for the tests of what is done with them."""

from dataclasses import replace

import pandas as pd
import torch

from runoff_lstm.data.periods import Period
from runoff_lstm.inputs.scaling import Scaler
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.build import build_model
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.prediction.kinds import kind_of
from runoff_lstm.prediction.stages import Stage

FORCING = ["rain", "temperature"]
WHOLE = Period("2000-01-01", "2001-11-30")


FORM = Architecture(hidden_sizes=(8, 4), dropout=Dropout(output=0.4))


def model_for(dataset, architecture=FORM, attributes=("leak",), **seen):
    """A model with random weights; `seen` are further fields of its Inputs."""
    inputs = Inputs(tuple(FORCING), tuple(attributes), sequence_length=20, targets_per_window=10, **seen)
    scaler = Scaler.fit(dataset, WHOLE, forcing=FORCING, static_attributes=attributes)
    torch.manual_seed(4)
    return kind_of(inputs)(
        module=build_model(architecture, inputs, zero_flow=scaler.zero_flow).eval(),
        architecture=architecture,
        inputs=inputs,
        scaler=scaler,
        forcing={"rain": "mm d-1", "temperature": "degC"},
        time_step=pd.Timedelta(1, "D"),
        trained_on=Stage("train", tuple(map(str, dataset["basin"].values)), WHOLE),
    )


def lagged_model(dataset, lags=(1, 3), **seen):
    """A model whose inputs hold the discharge observed before."""
    form = replace(FORM, forecast="direct") if seen.get("lead_times") else FORM
    return model_for(dataset, form, attributes=(), discharge_lags=lags, **seen)


def with_rain_ahead(dataset):
    """A model that takes the rain of three lead times."""
    return lagged_model(dataset, lags=(0,), lead_times=3, forecast_forcing=("rain",))
