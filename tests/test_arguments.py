"""A value of the wrong type in every public function: coerced where it can mean one thing, else refused by the argument's name."""

import numpy as np
import pandas as pd
import pytest
from conftest import make_basins

import runoff_lstm as rl
from runoff_lstm.data.readers import CsvForm
from runoff_lstm.errors import InputError

BASINS = make_basins("01013500", days=60)
TRAIN, TEST = ("2000-01-20", "2000-02-20"), ("2000-02-21", "2000-02-29")
PERIODS = rl.Periods(train=TRAIN)
INPUTS = rl.Inputs("rain", sequence_length=5)
RECIPE = rl.Recipe(steps=1)
ARGUMENTS = {"periods": PERIODS, "inputs": INPUTS, "recipe": RECIPE}

NUMBERS = {
    rl.Inputs: ["sequence_length", "targets_per_window", "lead_times"],
    rl.Recipe: ["steps", "epochs", "batch_size", "validate_every", "gradient_length", "patience"],
    rl.Walk: ["every", "fit_every", "window"],
    rl.FineTune: ["steps"],
}
REALS = {
    rl.Recipe: ["learning_rate", "weight_decay", "gradient_clip", "hide_discharge"],
    rl.Architecture: ["forget_bias"],
    rl.Dropout: ["output", "input"],
    rl.FineTune: ["learning_rate"],
}
FLAGS = {rl.Inputs: ["season", "root_transform"], rl.Recipe: ["balance_basins"], rl.Dropout: ["tied", "rows"]}
NAMES = {rl.Inputs: ["forcing", "static_attributes", "forecast_forcing"]}
LISTS = {rl.Inputs: ["discharge_lags"], rl.Architecture: ["hidden_sizes"]}
BESIDE = {
    rl.Inputs: {"forcing": ["rain"]},
    rl.Recipe: {"steps": 1},
    rl.FineTune: {"steps": 1, "learning_rate": 0.1},
    rl.Walk: {},
    rl.Architecture: {},
    rl.Dropout: {},
}


def cases():
    for kinds, wrong in (
        (NUMBERS, [True, "3", 2.5, [3], np.nan]),
        (REALS, [True, "0.1", [0.1], np.nan]),
        (FLAGS, [1, "true", 0.0]),
        (NAMES, [3, ["rain", 3], {"rain": 1}, None]),
        (LISTS, ["64", [2.5], ["64"], [True], {64}]),
    ):
        for made, arguments in kinds.items():
            yield from ((made, argument, value) for argument in arguments for value in wrong)


@pytest.mark.parametrize(("made", "argument", "value"), list(cases()))
def test_a_value_of_the_wrong_type_is_refused_by_its_name(made, argument, value):
    with pytest.raises(InputError, match=argument):
        made(**BESIDE[made] | {argument: value})


@pytest.mark.parametrize("value", ["leaf.nc", pd.DataFrame({"rain": [1.0]}), BASINS["rain"], None])
@pytest.mark.parametrize(
    "call",
    [
        lambda data: rl.train(data, **ARGUMENTS),
        lambda data: rl.train_run("x", data, name="x", **ARGUMENTS),
        lambda data: rl.train_ensemble("x", data, [1], settings={}, name="x", **ARGUMENTS),
        lambda data: rl.cross_validate("x", data, number=2, settings={}, name="x", **ARGUMENTS),
        lambda data: rl.evaluate_run("x", [], data, name="x", periods=PERIODS),
        lambda data: rl.walk_forward(rl.LSTMForecaster(INPUTS), data, period=TEST, lead_times=1),
        lambda data: rl.Windows(data, ["rain"]),
        lambda data: rl.Scaler.fit(data, TRAIN, forcing=["rain"]),
        lambda data: rl.resample(data, "2D"),
        rl.mend,
        lambda data: rl.derive(data, "x", "rain * 2", units="mm"),
        lambda data: rl.fill_from_earlier(data, "rain", period="1D", limit=1),
        lambda data: rl.fill_by_interpolation(data, "rain", limit=1),
        lambda data: rl.fill_by_climatology(data, "rain", period=TRAIN, limit=1),
        rl.measured,
        rl.inventory,
        rl.check_basins,
        lambda data: rl.write_dataset(data, "x.nc"),
        lambda data: rl.worst_basins(data, pd.Series([0.5], ["01013500"], name="NSE"), train=TRAIN, test=TEST),
    ],
)
def test_what_is_no_dataset_is_refused_with_the_call_that_makes_one(call, value):
    with pytest.raises(InputError, match=r"dataset is a \w+, not an xarray Dataset; .*(rl\.read_|to_dataset)"):
        call(value)


WRONG = {
    "a text as dropout": (lambda: rl.Architecture(dropout=0.4), r"dropout = 0\.4 is no Dropout; write dropout = Dropout\("),
    "the class of a dropout": (lambda: rl.Architecture(dropout=rl.Dropout), "dropout is the class Dropout itself; write"),
    "a number as fine_tune": (lambda: rl.Walk(fit_every=1, fine_tune=20), "fine_tune = 20 is no FineTune"),
    "milestones alone": (lambda: rl.Recipe(steps=1, schedule="step", milestones=(10, 1e-3)), "milestones = .* must be pairs"),
    "words as a period": (lambda: rl.Periods(train=("a", "b")), "train: 'a' is not a date"),
    "a text as a period": (lambda: rl.Periods(train="1999-10-01"), "train = '1999-10-01' is no period"),
    "a year as a period": (lambda: rl.Periods(train=TRAIN, test=2001), "test = 2001 is no period"),
    "three dates": (lambda: rl.Periods(train=(*TRAIN, "2000-03-01")), "train = .* has not two dates"),
    "an open slice": (
        lambda: rl.Windows(BASINS, ["rain"], sequence_length=5, period=slice("2000-01-20", None)),
        "period: None is not a date",
    ),
    "two stretches as a test": (
        lambda: rl.Periods(train=TRAIN, test=[TEST, ("2001-01-01", "2001-02-01")]),
        "test is .* single one",
    ),
    "a text as stretches": (lambda: rl.Stretches("1999"), "parts = 1999 must be a list of periods"),
    "a list of names as inputs": (
        lambda: rl.train(BASINS, **ARGUMENTS | {"inputs": ["rain"]}),
        r"inputs = \['rain'\] is no Inputs",
    ),
    "a dict as a recipe": (lambda: rl.train(BASINS, **ARGUMENTS | {"recipe": {"steps": 1}}), "recipe = .* is no Recipe"),
    "a pair as periods": (lambda: rl.train(BASINS, **ARGUMENTS | {"periods": TRAIN}), "periods = .* is no Periods; write"),
    "a path as start_from": (lambda: rl.train(BASINS, **ARGUMENTS, start_from="m.safetensors"), "start_from = .*load_model"),
    "a word as an architecture": (lambda: rl.train(BASINS, **ARGUMENTS, architecture="lstm"), "architecture = 'lstm' is no"),
    "a text as a seed": (lambda: rl.train(BASINS, **ARGUMENTS, seed="1"), "seed = '1' must be a whole number"),
    "names as a forecaster's inputs": (lambda: rl.LSTMForecaster(["rain"]), "inputs = .* is no Inputs"),
    "seeds as texts": (
        lambda: rl.train_ensemble(
            "x", BASINS, ["1"], settings={}, name="x", **ARGUMENTS | {"periods": rl.Periods(TRAIN, test=TEST)}
        ),
        "seeds = '1' must be a whole number",
    ),
    "a separator of two": (lambda: CsvForm(separator=";;"), "separator = ';;' must be one character"),
    "a number as a separator": (lambda: CsvForm(separator=3), "separator = 3 must be text"),
    "a number as an encoding": (lambda: CsvForm(encoding=8), "encoding = 8 must be text"),
    "a number as a date format": (lambda: CsvForm(date_format=8), "date_format = 8 must be text"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_object_is_refused_with_what_to_write(name):
    call, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        call()


def test_what_can_mean_one_thing_is_coerced():
    assert rl.Inputs("rain") == rl.Inputs(["rain"]) == rl.Inputs(np.array(["rain"]))
    assert rl.Inputs(["rain"], discharge_lags=1, sequence_length=np.int64(5)).discharge_lags == (1,)
    assert rl.Architecture(hidden_sizes=64) == rl.Architecture(hidden_sizes=[64]) == rl.Architecture(hidden_sizes=(np.int32(64),))
    assert rl.Recipe(steps=240.0, learning_rate=np.float32(0.5)) == rl.Recipe(steps=240, learning_rate=0.5)
    assert rl.Periods(TRAIN) == rl.Periods(slice(*TRAIN)) == rl.Periods(rl.Period(*TRAIN)) == rl.Periods([TRAIN])
    assert isinstance(rl.Periods([("2000-01-01", "2000-01-31"), ("2000-03-01", "2000-03-31")]).train, rl.Stretches)
    assert {type(rl.Recipe(steps=np.int64(3)).steps), type(rl.Walk(every=np.int64(3)).every)} == {int}
    assert hash(rl.Inputs(["rain"])) == hash(rl.Inputs(("rain",)))


def test_a_period_may_be_a_pair_or_a_slice_wherever_one_is_asked_for():
    wanted = rl.Windows(BASINS, ["rain"], sequence_length=5, period=rl.Period(*TEST)).coverage
    for period in (TEST, list(TEST), slice(*TEST)):
        assert rl.Windows(BASINS, "rain", sequence_length=5, period=period).coverage.equals(wanted)


def test_the_training_period_of_a_baseline_may_be_a_period_a_pair_or_a_slice():
    observed, times = BASINS["discharge"], BASINS.indexes["time"][40:]
    wanted = rl.climatology(observed=observed, train=slice(*TRAIN), times=times)
    for train in (TRAIN, rl.Period(*TRAIN), PERIODS.train):
        assert rl.climatology(observed=observed, train=train, times=times).equals(wanted)
    with pytest.raises(InputError, match="train: 'a' is not a date"):
        rl.climatology(observed=observed, train=("a", "b"), times=times)
