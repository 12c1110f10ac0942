"""Small made-up basins: rain into a leaking bucket, so that there is something to learn within a second."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import settings

from runoff_lstm.data.periods import Period
from runoff_lstm.data.splits import Periods
from runoff_lstm.inputs.checks import check
from runoff_lstm.inputs.device import resolve_precision
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.build import build_model
from runoff_lstm.models.recurrent import RecurrentModel
from runoff_lstm.training import setup
from runoff_lstm.training.validation import Training

# A worker of pytest-xdist, a command and the kernel of a notebook take one thread each, or they wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

settings.register_profile("patient", settings.default, deadline=None)  # a busy machine is no failure
settings.load_profile("patient")

with_bfloat16 = pytest.mark.skipif(
    resolve_precision("bfloat16", torch.device("cpu")) == "float32", reason="this CPU has no bfloat16"
)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process where a file or a test is named; for the whole suite a worker for each processor, at most four."""
    named = any(Path(argument.split("::")[0]).is_file() for argument in config.args)
    return 0 if named else min(os.cpu_count() or 1, 4)


@pytest.fixture(scope="session")
def large_data() -> Path:
    folder = os.environ.get("RUNOFF_LSTM_DATA")
    if not folder:
        pytest.skip("RUNOFF_LSTM_DATA is not set")
    return Path(folder)


@pytest.fixture(autouse=True)
def _one_seed() -> None:
    torch.manual_seed(0)


def make_basins(*gauge_ids: str, days: int = 700, start: str = "2000-01-01", freq: str = "D") -> xr.Dataset:
    """Canonical Dataset of as many basins, dims (basin, time), without a gap; a copy of its own for each caller."""
    return _basins(gauge_ids, days, start, freq).copy(deep=True)


@cache
def _basins(gauge_ids: tuple[str, ...], days: int, start: str, freq: str) -> xr.Dataset:
    random = np.random.default_rng(7)
    times = pd.date_range(start, periods=days, freq=freq)
    shape = (len(gauge_ids), days)
    rain = random.gamma(0.3, 10.0, shape) * (random.random(shape) < 0.4)
    temperature = 10 - 10 * np.cos(2 * np.pi * np.arange(days) / 365) + random.normal(0, 2, shape)
    leak = np.linspace(0.05, 0.2, len(gauge_ids))
    store, flow = np.zeros(len(gauge_ids)), np.zeros(shape)
    for day in range(days):
        store += rain[:, day]
        flow[:, day] = leak * store
        store -= flow[:, day] + np.minimum(0.03 * store, 0.1 * np.maximum(temperature[:, day], 0))
    dims = ("basin", "time")
    units = "mm d-1" if freq == "D" else "mm h-1"
    return xr.Dataset(
        {
            "rain": (dims, rain.astype("float32"), {"units": units}),
            "temperature": (dims, temperature.astype("float32"), {"units": "degC"}),
            "discharge": (dims, flow.astype("float32"), {"units": units}),
            "leak": (("basin",), leak.astype("float32")),
            "slope": (("basin",), np.linspace(1, 4, len(gauge_ids)).astype("float32") ** 2),
        },
        coords={"basin": list(gauge_ids), "time": times},
    )


@pytest.fixture
def basin() -> xr.Dataset:
    return make_basins("01013500")


@pytest.fixture
def basins() -> xr.Dataset:
    return make_basins("01013500", "01022500", "02064000")


@pytest.fixture
def periods() -> Periods:
    return Periods(
        train=Period("2000-03-01", "2000-12-31"),
        validation=Period("2001-01-01", "2001-05-31"),
        test=Period("2001-06-01", "2001-11-30"),
    )


def prepare(dataset: xr.Dataset, *, periods: Periods, inputs: Inputs, **others) -> Training:
    """A training of a Dataset that is not checked yet."""
    return setup.prepare(check(dataset, inputs, periods), **others)


def model_of(n_forcings: int, n_static_attributes: int = 0, *, zero_flow: float = 0.0, **form) -> RecurrentModel:
    """A fresh model by the fields of its Architecture."""
    return build_model(Architecture(**form), inputs_of(n_forcings, n_static_attributes), zero_flow=zero_flow)


def inputs_of(n_forcings: int, n_static_attributes: int = 0, *, n_ahead: int = 0, **options) -> Inputs:
    """Inputs of that many variables, the first of them known ahead."""
    forcing = tuple(f"forcing_{place}" for place in range(n_forcings))
    attributes = tuple(f"attribute_{place}" for place in range(n_static_attributes))
    return Inputs(forcing, attributes, forecast_forcing=forcing[:n_ahead], **options)
