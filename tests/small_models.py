"""Small models with fresh weights, of a few made-up basins."""

from dataclasses import replace

import pandas as pd
import torch

from runoff_lstm.data.periods import Period
from runoff_lstm.inputs.scaling import Scaler
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.build import build_model
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.prediction.trained_model import (
    TrainedModel,
)

FORCING = ["rain", "temperature"]


WHOLE = Period("2000-01-01", "2001-11-30")


FORM = Architecture(hidden_sizes=(8, 4), dropout=Dropout(output=0.4))


def model_for(dataset, architecture=FORM, attributes=("leak",)):
    scaler = Scaler.fit(dataset, WHOLE, forcing=FORCING, static_attributes=attributes)
    zero = scaler.zero_flow
    torch.manual_seed(4)
    return TrainedModel(
        module=build_model(architecture, n_forcings=2, n_static_attributes=len(attributes), zero_flow=zero).eval(),
        architecture=architecture,
        scaler=scaler,
        forcing={"rain": "mm d-1", "temperature": "degC"},
        static_attributes=tuple(attributes),
        sequence_length=20,
        targets_per_window=10,
        time_step=pd.Timedelta(1, "D"),
        training_period=WHOLE,
        gauge_ids=tuple(dataset["basin"].values),
    )


def lagged_model(dataset, lags=(1, 3), **options):
    """A model whose inputs hold the discharge observed before."""
    plain = model_for(dataset, attributes=())
    torch.manual_seed(4)
    form = replace(FORM, forecast="direct") if options.get("lead_times") else FORM
    module = build_model(form, n_forcings=2 + 3 * len(lags), from_discharge=True, lead_times=options.get("lead_times", 0)).eval()
    return replace(plain, module=module, architecture=form, discharge_lags=lags, **options)


def with_rain_ahead(dataset):
    """A model that takes the rain of three lead times."""
    form = replace(FORM, forecast="direct")
    module = build_model(form, n_forcings=5, from_discharge=True, lead_times=3, future=(0,)).eval()
    return replace(lagged_model(dataset, lags=(0,), lead_times=3), module=module, architecture=form, forecast_forcing=("rain",))
