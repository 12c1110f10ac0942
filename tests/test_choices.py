"""Every word that a mode, a kind or a keyword may be, misspelt: refused where it enters, with the nearest word there is."""

import numpy as np
import pytest
import torch
import xarray as xr
from conftest import make_basins

import runoff_lstm as rl
from runoff_lstm.data.readers import CsvForm, leave_out
from runoff_lstm.errors import InputError, check_choice
from runoff_lstm.inputs.checks import check
from runoff_lstm.inputs.device import resolve_device, resolve_precision
from runoff_lstm.models.heads import build_head
from runoff_lstm.models.stack import Stack
from runoff_lstm.runs.ensemble import cross_validate, train_ensemble
from runoff_lstm.runs.run import split_basins
from runoff_lstm.training.schedules import learning_rate

BASINS = make_basins("01013500", days=60)
PERIODS = rl.Periods(train=rl.Period("2000-01-20", "2000-02-20"), test=rl.Period("2000-02-21", "2000-02-29"))
INPUTS = rl.Inputs(("rain",), sequence_length=5)
RECIPE = rl.Recipe(steps=1)
ARGUMENTS = {"name": "one", "periods": PERIODS, "inputs": INPUTS, "recipe": RECIPE}


def one_day(values=1.0):
    return xr.DataArray([[values]], {"basin": ["01013500"], "time": BASINS["time"][:1]}, ("basin", "time"))


FORECAST = rl.forecast_dataset(
    np.ones((1, 1, 1)), basin=BASINS["basin"], issue_dates=BASINS.indexes["time"][:1], units="mm d-1", step="1D"
)["forecast"]

MISSPELT = {
    "loss": (lambda: rl.Recipe(steps=1, loss="mes"), "loss = 'mes' is not known; did you mean 'mse'"),
    "loss as a module": (lambda: rl.Recipe(steps=1, loss=torch.nn.MSELoss()), "MSELoss cannot be called as losses are; write"),
    "optimizer": (lambda: rl.Recipe(steps=1, optimizer="adamm"), "optimizer = 'adamm' is not known; did you mean 'adam'"),
    "schedule": (lambda: rl.Recipe(steps=1, schedule="cosin"), "schedule = 'cosin' is not known; did you mean 'cosine'"),
    "precision": (lambda: rl.Recipe(steps=1, precision="float16"), "precision = 'float16' is not known; did you mean 'bfloat16'"),
    "type": (lambda: rl.Architecture(type="lsmt"), "type = 'lsmt' is not known; did you mean 'lstm'"),
    "type in capitals": (lambda: rl.Architecture(type="LSTM"), "type = 'LSTM' is not known; did you mean 'lstm'"),
    "head": (lambda: rl.Architecture(head="softplux"), "head = 'softplux' is not known; did you mean 'softplus'"),
    "initial_state": (lambda: rl.Architecture(initial_state="learnt"), "did you mean 'learned'"),
    "forecast": (lambda: rl.Architecture(forecast="recursiv"), "forecast = 'recursiv' is not known; did you mean 'recursive'"),
    "dropout kind": (lambda: rl.Dropout(kind="naif", input=0.1), "dropout kind = 'naif' is not known; did you mean 'naive'"),
    "dropout per": (lambda: rl.Dropout(kind="recurrent", recurrent=0.1, per="stepp"), "did you mean 'step'"),
    "dropout weights": (lambda: rl.Dropout(kind="weight_drop", recurrent=0.1, weights="al"), "did you mean 'all'"),
    "layer_type": (lambda: Stack(1, layer_type="lsmt"), "layer_type = 'lsmt' is not known; did you mean 'lstm'"),
    "head of build_head": (lambda: build_head("liner", 3), "head = 'liner' is not known; did you mean 'linear'"),
    "schedule of a rate": (lambda: learning_rate("stepp", peak=1, progress=0, epoch=1), "did you mean 'step'"),
    "storage": (lambda: rl.Windows(BASINS, ["rain"], storage="devise"), "storage = 'devise' is not known; did you mean 'device'"),
    "device of windows": (lambda: rl.Windows(BASINS, ["rain"], device="gpu"), "device = 'gpu' is not known; did you mean 'cpu'"),
    "device of train": (
        lambda: rl.train(BASINS, periods=PERIODS, inputs=INPUTS, recipe=RECIPE, device="cudaa"),
        "did you mean 'cuda'",
    ),
    "device of load_model": (
        lambda: rl.load_model("m.safetensors", device="cpuu"),
        "device = 'cpuu' is not known; did you mean 'cpu'",
    ),
    "device of load_models": (lambda: rl.load_models("m.safetensors", device="cpuu"), "did you mean 'cpu'"),
    "device of a forecaster": (lambda: rl.LSTMForecaster(INPUTS, device="cpuu"), "did you mean 'cpu'"),
    "number of a device": (lambda: resolve_device("cpu:first"), "device cpu:first is not available; choose"),
    "precision of a device": (lambda: resolve_precision("bfloat", torch.device("cpu")), "did you mean 'bfloat16'"),
    "by of scores": (
        lambda: rl.score_lead_times(FORECAST, observed=one_day(), train=slice(None), by="seasons"),
        "did you mean 'season'",
    ),
    "by of folds": (lambda: cross_validate("x", BASINS, number=2, by="basins", settings={}, **ARGUMENTS), "did you mean 'basin'"),
    "on_missing of a run": (
        lambda: split_basins(check(BASINS, INPUTS, PERIODS), on_missing="skipp"),
        "on_missing = 'skipp' is not known; did you mean 'skip'",
    ),
    "on_missing without a fault": (lambda: leave_out([], on_missing="refused"), "did you mean 'refuse'"),
    "on_missing of read_csv": (lambda: rl.read_csv("x.csv", on_missing="skipp"), "did you mean 'skip'"),
    "on_missing of read_netcdf": (lambda: rl.read_netcdf("x.nc", on_missing="skipp"), "did you mean 'skip'"),
    "on_missing of read_caravan": (lambda: rl.read_caravan("x", on_missing="skipp"), "did you mean 'skip'"),
    "on_missing of read_camels_us": (lambda: rl.read_camels_us("x", on_missing="skipp"), "did you mean 'skip'"),
    "form": (lambda: rl.read_caravan("x", form="necdf"), "form = 'necdf' is not known; did you mean 'netcdf'"),
    "estimated": (lambda: rl.read_camels_us("x", estimated="keeep"), "estimated = 'keeep' is not known; did you mean 'keep'"),
    "decimal": (lambda: CsvForm(decimal=";"), "csv: decimal = ';' is not known"),
    "method": (lambda: rl.mend(BASINS, fill={"rain": {"method": "erlier", "limit": 1}}), "did you mean 'earlier'"),
    "metric": (lambda: rl.evaluate(observed=one_day(), simulated=one_day(), metrics=["NSEE"]), "did you mean 'NSE'"),
    "metric alone": (lambda: rl.evaluate(observed=one_day(), simulated=one_day(), metrics="NSEE"), "did you mean 'NSE'"),
    "metric as a function": (
        lambda: rl.evaluate(observed=one_day(), simulated=one_day(), metrics=[len]),
        "metrics holds .*, which is no name",
    ),
    "keyword of read_csv": (lambda: rl.read_csv("x.csv", unitz={}), "read_csv has no argument 'unitz'; did you mean 'units'"),
    "keyword of read_netcdf": (
        lambda: rl.read_netcdf("x.nc", unit={"rain": "mm"}),
        "read_netcdf has no argument 'unit'; did you mean",
    ),
    "own keyword of read_csv": (lambda: rl.read_csv("x.csv", csvs={}), "read_csv has no argument 'csvs'; did you mean 'csv'"),
    "keyword of an ensemble": (
        lambda: train_ensemble("x", BASINS, [1], settings={}, metric=["NSE"], **ARGUMENTS),
        "train_ensemble has no argument 'metric'; did you mean 'metrics'",
    ),
    "own keyword of an ensemble": (
        lambda: train_ensemble("x", BASINS, [1], settings={}, worker=1, **ARGUMENTS),
        "train_ensemble has no argument 'worker'; did you mean 'workers'",
    ),
    "seed of an ensemble": (lambda: train_ensemble("x", BASINS, [1], settings={}, seed=1, **ARGUMENTS), "did you mean 'seeds'"),
    "keyword of folds": (
        lambda: cross_validate("x", BASINS, number=2, settings={}, by="period", metric=["NSE"], **ARGUMENTS),
        "cross_validate has no argument 'metric'; did you mean 'metrics'",
    ),
    "what an ensemble lacks": (
        lambda: train_ensemble("x", BASINS, [1], settings={}, name="x"),
        "train_ensemble has no periods; add it",
    ),
}


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_word_is_refused_with_the_nearest(name):
    call, message = MISSPELT[name]
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("value", [None, 3, ["windows"], "Windows", ""])
def test_only_the_very_words_are_taken(value):
    with pytest.raises(InputError, match=r"mode = .* is not known"):
        check_choice("mode", value, ["windows", "continuous"])
    assert check_choice("mode", "windows", iter(["windows"])) == "windows"
