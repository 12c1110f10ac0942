import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from conftest import prepare
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_models import lagged_model, model_for

from runoff_lstm.data.names import SOURCE
from runoff_lstm.data.periods import Period
from runoff_lstm.data.splits import Periods
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.prediction.bundle import checksum, load_model, write_bundle
from runoff_lstm.prediction.forecast import TrainedForecaster
from runoff_lstm.prediction.simulate import Simulator
from runoff_lstm.prediction.stages import Stage
from runoff_lstm.training.recipe import Recipe

OLD = Path(__file__).parents[1] / "data"
WARNINGS = pytest.mark.filterwarnings("ignore::UserWarning")


def header_of(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def rewritten(path, header, *, sealed=True):
    """The bundle with another header, and the checksum of a file that was written so."""
    weights, text = load_file(path), json.dumps(header)
    metadata = {**header_of(path), "model": text}
    if sealed:
        metadata["checksum"] = checksum(text, weights)
    path.unlink()
    save_file(weights, path, metadata=metadata)
    return path


@pytest.fixture
def path(basins, tmp_path):
    return write_bundle(model_for(basins), tmp_path / "model.safetensors")


def changed(header, where, value):
    *above, last = where.split(".")
    for name in above:
        header = header[name]
    if value is None:
        del header[last]
    else:
        header[last] = value


def old_data():
    """What the bundles of format 1 were made of, and what the package of then made of it."""
    made = json.loads((OLD / "format_1.json").read_text())
    over_time = {"rain": "mm d-1", "temperature": "degC", "discharge": "mm d-1"}
    series = {name: (("basin", "time"), np.array(made[name], dtype="float32"), {"units": unit}) for name, unit in over_time.items()}
    times = pd.date_range(made["start"], periods=len(made["rain"][0]))
    dataset = xr.Dataset({**series, "leak": (("basin",), made["leak"])}, coords={"basin": made["basin"], "time": times})
    return dataset, {name: np.array(made[name], dtype="float32") for name in ("simulation", "forecast")}


@WARNINGS
def test_a_simulator_of_format_1_simulates_as_it_did():
    dataset, expected = old_data()
    model = load_model(OLD / "format_1_simulation.safetensors")
    assert isinstance(model, Simulator)
    assert model.inputs == Inputs(
        ("rain", "temperature"), ("leak",), sequence_length=8, targets_per_window=4, season=True, root_transform=True
    )
    assert model.trained_on == Stage("train", ("01", "02"), Period("2001-01-10", "2001-02-10"))
    assert model.seen == (model.trained_on,)  # no more stages were written then
    np.testing.assert_allclose(model.simulate(dataset)["simulated"], expected["simulation"], rtol=1e-4, atol=1e-5)


@WARNINGS
def test_a_forecaster_of_format_1_forecasts_as_it_did_and_can_be_written_again(tmp_path):
    dataset, expected = old_data()
    model = load_model(OLD / "format_1_forecast.safetensors")
    assert isinstance(model, TrainedForecaster)
    for one in (model, load_model(model.save(tmp_path / "again.safetensors"))):
        made = one.forecast(dataset, period=Period("2001-02-26", "2001-03-15"))["forecast"].values
        np.testing.assert_allclose(made.reshape(2, -1), expected["forecast"], rtol=1e-4, atol=1e-5)
    assert json.loads(header_of(tmp_path / "again.safetensors")["model"])["format"] == 2


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("shape", 3, r"unknown key 'shape' .*; it was written by runoff_lstm .*, and this is"),
        ("scaler.discharge_power", 0.5, "unknown key 'scaler.discharge_power'"),
        ("architecture.dropout.inputs", 0.5, r"unknown key 'architecture.dropout.inputs' \(did you mean 'input'\?\)"),
        ("inputs.lead", 3, "unknown key 'inputs.lead'"),
        ("scaler", None, "its header has no 'scaler'"),
        ("inputs.season", None, "its header has no 'inputs.season'"),
        ("architecture.head", "softplux", "has architecture.head = 'softplux', expected one of linear, softplus"),
        ("architecture.hidden_sizes", [8, 4.5], r"has architecture.hidden_sizes\[1\] = 4.5, expected a whole number"),
        ("architecture.hidden_sizes", 8, "has architecture.hidden_sizes = 8, expected a list"),
        ("architecture.dropout.output", 1.5, "1.5"),
        ("inputs.season", 1, "has inputs.season = 1, expected true or false"),
        ("inputs.sequence_length", True, "has inputs.sequence_length = True, expected a whole number"),
        ("inputs.sequence_length", 0, "sequence_length = 0 must be 1 or more"),
        ("scaler.std.rain", 0.0, "has scaler.std.rain = 0.0, expected a number above 0"),
        ("scaler.std.rain", float("nan"), "has scaler.std.rain = nan, expected a finite number"),
        ("scaler.mean.rain", "1.0", "has scaler.mean.rain = '1.0', expected a finite number"),
        ("scaler.mean.rain", None, r"has scaler.mean = \[.*\], expected a number for each of"),
        ("scaler.minimum.rain", 1e9, "has scaler.minimum.rain = 1000000000.0, expected at most"),
        ("residual_variance", [float("nan")], r"has residual_variance\[0\] = nan, expected a finite number"),
        ("residual_variance", [0.1, 0.1], "has residual_variance = .*, expected no number, or 1 of"),
        ("forcing.rain", 3, "has forcing.rain = 3, expected a text"),
        ("forcing.rain", None, "has forcing = .*, expected a unit for each of"),
        ("step_seconds", 0, "has step_seconds = 0.0, expected a number above 0"),
        ("step_seconds", 1e300, "has step_seconds = 1e[+]300, expected .* at most"),
        ("trained_on.period", [], r"has trained_on.period = \[\], expected at least one pair of dates"),
        ("architecture.hidden_sizes", [10**9, 4], "the model its header describes cannot be built"),
        ("trained_on.period", [["1999-10-01"]], "has trained_on.period.* expected a list of 2"),
        ("trained_on.period", [["1999-13-01", "2000-01-01"]], "'1999-13-01' is not a date"),
        ("trained_on.kind", "trained", "has trained_on.kind = 'trained', expected one of train, validation"),
        ("format", "2", "has format = '2', expected a whole number"),
    ],
)
def test_a_header_that_is_not_as_it_was_written_is_refused(path, where, value, message):
    header = json.loads(header_of(path)["model"])
    changed(header, where, value)
    with pytest.raises(InputError, match=message) as refused:
        load_model(rewritten(path, header))
    assert str(refused.value).startswith(str(path))


def test_an_unknown_key_of_format_1_is_refused(tmp_path):
    path = tmp_path / "old.safetensors"
    path.write_bytes((OLD / "format_1_simulation.safetensors").read_bytes())
    header = json.loads(header_of(path)["model"])
    header["discharge_power"] = 0.5
    with pytest.raises(InputError, match="unknown key 'discharge_power'"):
        load_model(rewritten(path, header, sealed=False))


def test_a_newer_format_is_refused_with_both_versions(path):
    header = json.loads(header_of(path)["model"]) | {"format": 3, "version": "9.1", "new": {}}
    with pytest.raises(InputError, match=r"a bundle of format 3, written by runoff_lstm 9\.1, and this is runoff_lstm .*update"):
        load_model(rewritten(path, header))


def test_one_changed_byte_of_weights_or_header_is_refused(path):
    whole = path.read_bytes()
    for place in (len(whole) - 30, whole.index(b"mm d-1")):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(InputError, match="checksum does not fit"):
            load_model(path)


@pytest.mark.parametrize("spoil", [lambda one: one.to(torch.int32), lambda one: one * torch.nan, lambda one: one.double()])
def test_weights_that_are_not_finite_float32_are_refused(path, spoil):
    weights, metadata = load_file(path), header_of(path)
    weights["head.linear.bias"] = spoil(weights["head.linear.bias"])
    path.unlink()
    save_file(weights, path, metadata={**metadata, "checksum": checksum(metadata["model"], weights)})
    with pytest.raises(InputError, match=r"the weight 'head.linear.bias' is not of finite float32 numbers"):
        load_model(path)


def test_how_the_data_were_prepared_comes_back_with_the_model(basins, periods, tmp_path):
    source = {"source": "csv", "path": "/somewhere/data.csv", "gauge_ids": ["a"], "csv": {"separator": ";"}, "fill": [{"days": 3}]}
    dataset = basins.assign_attrs({SOURCE: json.dumps(source)})
    inputs, recipe = Inputs(("rain",), sequence_length=20, targets_per_window=20), Recipe(steps=1, batch_size=2)
    form, years = Architecture(hidden_sizes=(2,)), Periods(periods.train)
    training = prepare(dataset, periods=years, inputs=inputs, recipe=recipe, architecture=form, device="cpu")
    again = load_model(training.model.save(tmp_path / "model.safetensors"))
    assert again.preparation == {"source": "csv", "csv": {"separator": ";"}, "fill": [{"days": 3}]}
    assert again.calibration == {}


def test_a_model_shows_itself_in_one_line_and_says_more_in_its_summary(basins):
    model, ahead = model_for(basins), lagged_model(basins, lags=(0,), lead_times=3, forecast_forcing=("rain",))
    assert repr(model) == "<Simulator: lstm of 8, 4, 2 forcing, 1 attributes, step of 1 day, trained on 3 basin(s)>"
    assert repr(ahead).startswith("<TrainedForecaster: lstm of 8, 4, 2 forcing, 0 attributes, 3 lead time(s), step of 1 day")
    assert "forcing: rain (mm d-1), temperature (degC)" in model.summary()
    assert "trained on: 3 basin(s) (01013500, 01022500, 02064000), 2000-01-01 to 2001-11-30" in model.summary()
    assert "predicts: discharge (mm d-1) at lead times 1 to 3" in ahead.summary()
