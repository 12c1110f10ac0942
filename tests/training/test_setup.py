import dataclasses

import numpy as np
import pytest
import torch
from conftest import make_basins, prepare

from runoff_lstm.data.filling import fill_by_interpolation
from runoff_lstm.data.periods import Period, Stretches
from runoff_lstm.data.splits import Periods
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.device import resolve_device
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.prediction.bundle import load_model, write_bundle
from runoff_lstm.prediction.inference import simulate_windows
from runoff_lstm.training import loop as fitting
from runoff_lstm.training.recipe import Recipe
from runoff_lstm.training.setup import train

INPUTS = Inputs(("rain", "temperature"), sequence_length=30, targets_per_window=30)
RECIPE = Recipe(steps=20, batch_size=8, learning_rate=1e-2, validate_every=10)
SMALL = Architecture(hidden_sizes=(8,), dropout=Dropout(output=0.2))
OUTSIDE = pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning")


def weights(dataset, periods, **arguments):
    arguments = {"inputs": INPUTS, "recipe": RECIPE, "architecture": SMALL, "device": "cpu", **arguments}
    return train(dataset, periods=periods, **arguments).model.module.state_dict()


def assert_equal(one, other):
    assert all(torch.equal(one[name], other[name]) for name in one)


@OUTSIDE
def test_a_trained_model_beats_the_mean_flow(basin, periods):
    recipe = Recipe(steps=150, batch_size=8, learning_rate=2e-2, schedule="one_cycle", validate_every=10)
    trained = train(basin, periods=periods, inputs=INPUTS, recipe=recipe, architecture=SMALL, device="cpu")
    simulated = trained.model.simulate(basin, period=periods.test)["simulated"].values
    observed = basin["discharge"].sel(time=periods.test.label_slice).values
    assert 1 - ((simulated - observed) ** 2).sum() / ((observed - observed.mean()) ** 2).sum() > 0.5


def test_nothing_of_the_test_period_is_seen(basins, periods):
    before = weights(basins, periods)
    after_validation = basins["time"] > np.datetime64("2001-05-31")
    poisoned = basins.assign({name: basins[name].where(~after_validation, 123.0) for name in ("rain", "temperature", "discharge")})
    assert_equal(weights(poisoned, periods), before)


@OUTSIDE
@pytest.mark.parametrize("more", [{}, {"root_transform": True}, {"lead_times": 2, "discharge_lags": (0,), "root_transform": True}])
def test_training_in_stretches_learns_from_each_of_them_and_from_nothing_between(basins, more):
    periods = Periods(
        train=Stretches((Period("2000-03-01", "2000-07-31"), Period("2001-05-01", "2001-09-30"))),
        test=Period("2000-08-01", "2001-04-30"),
    )
    inputs = dataclasses.replace(INPUTS, **more)

    def trained(dataset):
        model = train(dataset, periods=periods, inputs=inputs, recipe=RECIPE, architecture=SMALL, device="cpu").model
        return model.module.state_dict() | {
            "scale": torch.tensor([*model.scaler.mean.values(), *model.scaler.std.values(), *model.scaler.maximum.values()]),
            "variance": torch.tensor(model.residual_variance),
        }

    def poisoned(first, last, *names):
        inside = (basins["time"] >= np.datetime64(first)) & (basins["time"] <= np.datetime64(last))
        return basins.assign({name: basins[name].where(~inside, 123.0) for name in names})

    before = trained(basins)
    seen_as_history = "2001-03-01"  # the windows of the second stretch begin in the test period, as they would after any other
    assert_equal(trained(poisoned("2000-08-01", seen_as_history, "rain", "temperature", "discharge")), before)
    if not inputs.discharge_lags:
        assert_equal(trained(poisoned("2000-08-01", "2001-04-30", "discharge")), before)
    for first, last in (("2000-05-01", "2000-05-31"), ("2001-07-01", "2001-07-31")):
        after = trained(poisoned(first, last, "discharge"))
        assert not any(torch.equal(after[name], before[name]) for name in before if "weight" in name or name == "scale")


def test_the_validation_period_chooses_weights_and_makes_none(basins, periods):
    without = dataclasses.replace(periods, validation=None)
    validated = train(basins, periods=periods, inputs=INPUTS, recipe=RECIPE, architecture=SMALL, device="cpu")
    plain = train(basins, periods=without, inputs=INPUTS, recipe=RECIPE, architecture=SMALL, device="cpu")
    np.testing.assert_array_equal(validated.history["train_loss"], plain.history["train_loss"])
    assert validated.model.scaler == plain.model.scaler
    assert plain.history["validation_NSE"].isna().all()


def test_the_same_seed_gives_the_same_model_and_another_seed_another(basins, periods):
    assert_equal(weights(basins, periods, seed=3), weights(basins, periods, seed=3))
    assert not torch.equal(
        weights(basins, periods, seed=3)["head.linear.weight"], weights(basins, periods, seed=4)["head.linear.weight"]
    )


def test_strict_windows_with_attributes_train_too(basins, periods):
    inputs = Inputs(("rain", "temperature"), ("leak", "slope"), sequence_length=20, targets_per_window=1)
    trained = train(basins, periods=periods, inputs=inputs, recipe=RECIPE, architecture=SMALL, device="cpu")
    assert trained.model.module.stack.layers[0].input_size == 4
    assert trained.model.simulate(basins)["simulated"].notnull().sum() == 3 * (700 - 19)


def test_the_coverage_tells_what_was_used(basins, periods):
    holed = basins.assign(discharge=basins["discharge"].where(basins["time"] != np.datetime64("2000-05-05")))
    trained = train(holed, periods=periods, inputs=INPUTS, recipe=RECIPE, architecture=SMALL, device="cpu")
    assert trained.coverage.loc[("train", "01022500")].to_dict() == {
        "steps": 306,
        "used": 305,
        "without_history": 0,
        "without_discharge": 1,
    }


def test_a_period_outside_the_data_is_refused_by_name(basins):
    with pytest.raises(InputError, match=r"\[periods\] train: the period 1999-01-01 .* is not inside the data"):
        weights(basins, Periods(train=Period("1999-01-01", "2000-12-31")))


def test_data_without_discharge_are_refused(basins, periods):
    with pytest.raises(InputError, match="no discharge to learn from"):
        weights(basins.drop_vars("discharge"), periods)


def test_a_device_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError, match="device cuda is not available; choose cpu"):
        resolve_device("cuda")
    assert resolve_device("cpu") == torch.device("cpu")


def hold(dataset, name, gauge_id, since="2000-01-01"):
    """The data without a variable of one basin, from a day on."""
    gone = dataset["basin"] == gauge_id
    return dataset.assign(
        {name: dataset[name].where(~(gone & (dataset["time"] >= np.datetime64(since)) if name != "slope" else gone))}
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: hold(d, "discharge", "01022500"),
            'basin 01022500: no discharge is observed in the training period 2000-03-01 to 2000-12-31; .* on_missing = "skip"',
        ),
        (lambda d: hold(d, "slope", "02064000"), "basin 02064000: attribute slope is missing; leave such basins out"),
        (lambda d: hold(d, "rain", "01022500"), "basin 01022500: no day of the training period .* has all forcing"),
        (
            lambda d: hold(hold(d, "discharge", "01022500"), "slope", "02064000"),
            r"basin 0\d+: .* \(and 1 more basins cannot be used\)",
        ),
    ],
)
def test_a_basin_that_cannot_be_trained_on_is_named_with_the_reason(basins, periods, change, message):
    inputs = Inputs(("rain", "temperature"), ("leak", "slope"), sequence_length=30, targets_per_window=30)
    with pytest.raises(InputError, match=message):
        weights(change(basins), periods, inputs=inputs)


def test_one_basin_with_attributes_is_refused(basin, periods):
    inputs = Inputs(("rain", "temperature"), ("leak",), sequence_length=30, targets_per_window=30)
    with pytest.raises(InputError, match=r"leak has the same value \(0.05\) throughout .* leave it out"):
        weights(basin, periods, inputs=inputs)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (Architecture(dropout=Dropout(kind="variational", recurrent=0.2)), 'kind = "variational" have to last the whole window'),
        (Architecture(dropout=Dropout(kind="weight_drop", recurrent=0.2)), 'kind = "weight_drop" have to last the whole window'),
        (Architecture(initial_state="learned"), 'lets no gradient reach initial_state = "learned"'),
    ],
)
def test_a_cut_gradient_is_refused_where_something_spans_the_cut(basin, periods, architecture, message):
    recipe = Recipe(steps=1, gradient_length=10)
    with pytest.raises(InputError, match=message):
        weights(basin, periods, architecture=architecture, recipe=recipe)
    weights(basin, periods, recipe=recipe)  # output dropout alone is fine


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A model trained on three basins, from its file."""
    periods = Periods(train=Period("2000-03-01", "2000-12-31"))
    inputs = dataclasses.replace(INPUTS, static_attributes=("leak", "slope"))
    trained = train(
        make_basins("a", "b", "c"), periods=periods, inputs=inputs, recipe=RECIPE, architecture=SMALL, seed=9, device="cpu"
    )
    return load_model(write_bundle(trained.model, tmp_path_factory.mktemp("teacher") / "model.safetensors"))


def continued(dataset, periods, teacher, **arguments):
    inputs = Inputs(("rain", "temperature"), ("leak", "slope"), sequence_length=30, targets_per_window=30)
    arguments = {"inputs": inputs, "recipe": RECIPE, "device": "cpu", "start_from": teacher, **arguments}
    return prepare(dataset, periods=periods, **arguments)


def test_training_goes_on_from_the_weights_and_the_scaler_of_a_model(basin, periods, teacher):
    wet = basin.assign(rain=(basin["rain"] * 3).assign_attrs(basin["rain"].attrs))
    training = continued(wet, periods, teacher)
    assert training.model.architecture == SMALL
    assert_equal(training.model.module.state_dict(), teacher.module.state_dict())
    scaler, before = training.model.scaler, teacher.scaler
    assert (scaler.mean, scaler.std) == (before.mean, before.std)
    rain = wet["rain"].sel(time=periods.train.label_slice)
    assert scaler.maximum["rain"] == float(rain.max()) > before.maximum["rain"]
    assert scaler.minimum["temperature"] == min(before.minimum["temperature"], scaler.minimum["temperature"])
    assert scaler.maximum["slope"] == before.maximum["slope"]  # the basin's slope lies within
    np.testing.assert_array_equal(training.observed, before.apply(wet)["discharge"])
    trained = training.run().model
    assert not torch.equal(trained.module.head.linear.weight, teacher.module.head.linear.weight)


def test_nothing_that_a_model_was_trained_on_is_validated_when_it_goes_on(basin, periods, teacher):
    known, early = basin.assign_coords(basin=["b"]), Period("2000-04-01", "2000-06-30")
    refused = {"train": Period("2001-01-01", "2001-05-31"), "validation": early}
    with pytest.raises(InputError, match=r"trained on basin b in 2000-03-01 to 2000-12-31, which overlaps the validation period"):
        continued(known, Periods(**refused), teacher)
    continued(basin, Periods(**refused), teacher)
    continued(known, periods, teacher)


def test_a_range_is_widened_by_the_training_period_alone(basin, periods, teacher):
    later = basin["time"] > np.datetime64("2000-12-31")
    flood = basin.assign(rain=basin["rain"].where(~later, 500.0))
    assert continued(flood, periods, teacher).model.scaler == continued(basin, periods, teacher).model.scaler


@pytest.mark.parametrize(
    ("frozen", "kept"),
    [
        (
            ["stack"],
            {
                "stack.layers.0.weight_ih_l0",
                "stack.layers.0.weight_hh_l0",
                "stack.layers.0.bias_ih_l0",
                "stack.layers.0.bias_hh_l0",
            },
        ),
        (["weight_hh"], {"stack.layers.0.weight_hh_l0"}),
        (["bias"], {"stack.layers.0.bias_ih_l0", "stack.layers.0.bias_hh_l0", "head.linear.bias"}),
        (["layers.0.bias_ih", "head"], {"stack.layers.0.bias_ih_l0", "head.linear.weight", "head.linear.bias"}),
    ],
)
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_frozen_parts_stay_as_they_are_and_the_others_learn(basin, periods, teacher, frozen, kept, optimizer):
    recipe = dataclasses.replace(RECIPE, optimizer=optimizer, weight_decay=0.1, steps=3)
    model = continued(basin, periods, teacher, frozen=frozen, recipe=recipe).run().model
    before = teacher.module.state_dict()
    assert {name for name, value in model.module.state_dict().items() if torch.equal(value, before[name])} == kept
    assert all(one.requires_grad for one in model.module.parameters())


def test_frozen_parts_that_are_not_there_or_leave_nothing_are_refused(basin, periods, teacher):
    with pytest.raises(InputError, match=r"frozen: the model has no part 'haed'; did you mean|there is stack.layers.0"):
        continued(basin, periods, teacher, frozen=["haed"])
    with pytest.raises(InputError, match=r"frozen = \['stack', 'head'\]: nothing is left to train; leave a part free"):
        continued(basin, periods, teacher, frozen=["stack", "head"])
    with pytest.raises(InputError, match=r"frozen = \['head'\]: fresh weights have to be trained; name a model in start_from"):
        weights(basin, periods, frozen=["head"])


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (
            lambda d: d,
            {"inputs": Inputs(("temperature", "rain"), ("leak", "slope"))},
            r"takes forcing = \['rain', 'temperature'\], in",
        ),
        (lambda d: d, {"inputs": Inputs(("rain", "temperature"), ("slope",))}, r"takes static_attributes = \['leak', 'slope'\]"),
        (
            lambda d: d,
            {"inputs": Inputs(("rain", "temperature"), ("leak", "slope"), root_transform=True)},
            r"takes root_transform = False, not True",
        ),
        (lambda d: d, {"architecture": Architecture(hidden_sizes=(8,))}, r"the model is Architecture\(.*leave \[model\] out"),
        (
            lambda d: d.assign(temperature=(d["temperature"] + 273.15).assign_attrs(units="K")),
            {},
            "the model takes temperature in degC, the data have K; convert it",
        ),
        (lambda d: d.isel(time=slice(None, None, 2)), {}, "the model takes a time step of 1 day; resample the data"),
    ],
)
def test_data_or_settings_that_a_model_was_not_made_for_are_refused(basin, periods, teacher, change, arguments, message):
    with pytest.raises(InputError, match=message):
        continued(change(basin), periods, teacher, **arguments)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_trains_to_what_the_cpu_trains_to(basins, periods):
    form = Architecture(hidden_sizes=(8,))
    cpu, gpu = (
        train(basins, periods=periods, inputs=INPUTS, recipe=RECIPE, architecture=form, device=device) for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(gpu.history["train_loss"], cpu.history["train_loss"], rtol=1e-3)
    np.testing.assert_allclose(
        gpu.model.simulate(basins)["simulated"], cpu.model.simulate(basins)["simulated"], rtol=1e-2, atol=1e-2
    )


LEADS = dataclasses.replace(INPUTS, lead_times=3)


@pytest.mark.parametrize(
    "inputs", [LEADS, dataclasses.replace(LEADS, forecast_forcing=("rain",)), dataclasses.replace(INPUTS, discharge_lags=(1,))]
)
def test_nothing_of_the_test_period_is_seen_by_what_learns_from_observed_discharge(basins, periods, inputs):
    before = weights(basins, periods, inputs=inputs)
    after_validation = basins["time"] > np.datetime64("2001-05-31")
    poisoned = basins.assign({name: basins[name].where(~after_validation, 12.0) for name in ("rain", "temperature", "discharge")})
    assert_equal(weights(poisoned, periods, inputs=inputs), before)
    first_days = basins["time"] > np.datetime64("2001-05-20")  # inside the validation: the poison has to show
    seen = basins.assign(discharge=basins["discharge"].where(~first_days, 12.0))
    histories = [
        train(one, periods=periods, inputs=inputs, recipe=RECIPE, architecture=SMALL, device="cpu").history
        for one in (basins, seen)
    ]
    assert (histories[0]["validation_NSE"] != histories[1]["validation_NSE"]).all()


def test_filled_discharge_is_an_input_and_never_a_target(basins, periods):
    hole = slice(300, 310)
    measured = basins.copy(deep=True)
    measured["discharge"][:, hole] = np.nan
    mask = measured["discharge"].isnull().astype("int8")
    inputs = dataclasses.replace(INPUTS, discharge_lags=(1,))
    filled = [measured.assign(discharge=measured["discharge"].fillna(value), discharge_filled=mask) for value in (1.0, 2.0)]
    trained = [prepare(one, periods=periods, inputs=inputs, recipe=RECIPE, device="cpu") for one in (measured, *filled)]
    for one in trained[1:]:
        assert one.model.scaler == trained[0].model.scaler
        assert one.windows["train"].n_targets == trained[0].windows["train"].n_targets
        assert one.scale.zero_flow == trained[0].scale.zero_flow
    batches = [one.windows["train"].gather(one.windows["train"].calendar_tiles()) for one in trained]
    for one in batches[1:]:
        torch.testing.assert_close(one.discharge, batches[0].discharge, equal_nan=True)
        assert not torch.equal(one.forcing, batches[0].forcing)


@pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.IncompleteInputWarning")
@OUTSIDE
def test_inputs_filled_from_later_values_are_refused_where_they_would_show_the_future(basins, periods):
    holed = basins.copy(deep=True)
    for name in ("rain", "discharge"):
        holed[name][0, 300] = np.nan
    rain, discharge = (fill_by_interpolation(holed, name, limit=1) for name in ("rain", "discharge"))
    lagged = dataclasses.replace(INPUTS, discharge_lags=(1,))
    for data, inputs in ((rain, LEADS), (discharge, LEADS), (discharge, lagged)):
        name = "rain" if data is rain else "discharge"
        with pytest.raises(InputError, match=f"{name} was filled from values after its gaps"):
            prepare(data, periods=periods, inputs=inputs, recipe=RECIPE, device="cpu")
        model = prepare(basins, periods=periods, inputs=inputs, recipe=RECIPE, device="cpu").model
        with pytest.raises(InputError, match=f"{name} was filled from values after its gaps"):
            (model.forecast if inputs.lead_times else model.simulate)(data)
    for data, inputs in ((rain, INPUTS), (discharge, INPUTS), (rain, lagged)):  # the forcing of a simulation is all known
        assert prepare(data, periods=periods, inputs=inputs, recipe=RECIPE, device="cpu").model.simulate(data)


@OUTSIDE
def test_a_model_that_has_seen_silent_gauges_does_better_without_the_gauge(basin, periods):
    recipe = Recipe(steps=150, batch_size=8, learning_rate=2e-2, schedule="one_cycle", validate_every=150)
    silent = basin.assign(discharge=basin["discharge"] * np.nan)
    observed, error = basin["discharge"].sel(time=periods.test.label_slice).values, {}
    for share in (0.0, 0.5):
        made = train(
            basin, periods=periods, inputs=dataclasses.replace(INPUTS, discharge_lags=(1,)), architecture=SMALL, device="cpu",
            recipe=dataclasses.replace(recipe, hide_discharge=share),
        ).model.simulate(silent, period=periods.test)["simulated"].values  # fmt: skip
        error[share] = float(((made - observed) ** 2).mean())
    assert error[0.5] < 0.5 * error[0.0]


def test_a_recursive_model_learns_one_step_and_is_validated_on_all_lead_times(basins, periods):
    architecture = dataclasses.replace(SMALL, forecast="recursive")
    training = prepare(basins, periods=periods, inputs=LEADS, recipe=RECIPE, architecture=architecture, device="cpu")
    batches = {name: next(one.batches(one.calendar_tiles(), 4)) for name, one in training.windows.items()}
    assert batches["train"].discharge.shape[2] == 3  # discharge, rain and temperature of the next step
    assert batches["validation"].discharge.shape[2] == 3  # lead times 1 to 3
    assert (training.windows["train"].lead_times, training.windows["validation"].lead_times) == (1, 3)
    assert np.isfinite(training.run().history["validation_NSE"]).all()


@pytest.mark.parametrize(
    ("inputs", "architecture", "message"),
    [
        (INPUTS, dataclasses.replace(SMALL, forecast="direct"), 'forecast = "direct" needs lead_times'),
        (
            dataclasses.replace(LEADS, season=True),
            dataclasses.replace(SMALL, forecast="recursive"),
            "feeds back discharge of lag 0 alone",
        ),
        (
            dataclasses.replace(LEADS, discharge_lags=(0, 1)),
            dataclasses.replace(SMALL, forecast="recursive"),
            "feeds back discharge",
        ),
        (
            dataclasses.replace(LEADS, root_transform=True),
            dataclasses.replace(SMALL, forecast="recursive"),
            "cannot tell the spread of later ones; leave out root_transform",
        ),
        (Inputs(()), SMALL, "no forcing variable is named"),
    ],
)
def test_ways_to_forecast_that_cannot_be_are_refused(basins, periods, inputs, architecture, message):
    with pytest.raises(InputError, match=message):
        prepare(basins, periods=periods, inputs=inputs, recipe=RECIPE, architecture=architecture, device="cpu")


def test_gradient_length_saves_work_in_forecasts_and_is_refused_where_they_are_recursive(basins, periods):
    recipe = dataclasses.replace(RECIPE, gradient_length=10)
    inputs = dataclasses.replace(LEADS, forecast_forcing=("rain",))
    assert_equal(*(weights(basins, periods, inputs=inputs, recipe=recipe) for _ in range(2)))
    with pytest.raises(InputError, match='gradient_length is not for forecast = "recursive"'):
        weights(basins, periods, inputs=LEADS, recipe=recipe, architecture=dataclasses.replace(SMALL, forecast="recursive"))


@OUTSIDE
def test_discharge_alone_can_be_forecast(basins, periods):
    trained = train(
        basins, periods=periods, inputs=dataclasses.replace(LEADS, forcing=()), recipe=RECIPE, architecture=SMALL, device="cpu"
    )
    made = trained.model.forecast(basins[["discharge"]], period=periods.test)["forecast"]
    assert made.notnull().all()


def test_lead_times_count_by_their_relative_error_the_near_ones_most(basins, periods):
    training = prepare(basins, periods=periods, inputs=LEADS, recipe=RECIPE, architecture=SMALL, device="cpu")
    state = fitting._Training(
        training.model.module, training.windows["train"], RECIPE, scale=training.scale, validate=None, seed=0, checkpoint=None
    )
    batch = next(training.windows["train"].batches(training.windows["train"].training_tiles(seed=0, epoch=0), 4))
    simulated = batch.discharge.nan_to_num() + torch.tensor([0.1, 0.5, 2.0])
    squared = np.array([0.01, 0.25, 4.0])
    weights_of_leads = np.array([1, 1 / 2, 1 / 3])
    expected = np.exp((weights_of_leads * np.log(squared)).sum() / weights_of_leads.sum())
    assert float(state.loss(batch, simulated)) == pytest.approx(expected, rel=1e-4)

    batch.discharge[:, :, 1] = torch.nan  # of the second nothing is observed: the others go on as if there were no second
    simulated = simulated.nan_to_num().requires_grad_()
    loss = state.loss(batch, simulated)
    loss.backward()
    assert loss.item() == pytest.approx(np.exp((weights_of_leads * np.log(squared))[[0, 2]].sum() / (4 / 3)), rel=1e-4)
    assert (simulated.grad[:, :, [0, 2]] != 0).all()
    assert (simulated.grad[:, :, 1] == 0).all()


@pytest.mark.parametrize("loss", ["mse", "nse", "mae", "kge"])
def test_a_lead_time_without_an_observation_leaves_the_gradient_of_the_others_sound(basins, periods, loss):
    recipe = dataclasses.replace(RECIPE, loss=loss)
    training = prepare(basins, periods=periods, inputs=LEADS, recipe=recipe, architecture=SMALL, device="cpu")
    state = fitting._Training(
        training.model.module, training.windows["train"], recipe, scale=training.scale, validate=None, seed=0, checkpoint=None
    )
    batch = next(training.windows["train"].batches(training.windows["train"].training_tiles(seed=0, epoch=0), 16))
    batch.discharge[:, :, 1] = torch.nan
    simulated = (batch.discharge.nan_to_num() * 0.8 + 0.3).requires_grad_()
    state.loss(batch, simulated).backward()
    assert torch.isfinite(simulated.grad).all()
    assert (simulated.grad[:, :, [0, 2]] != 0).any()
    assert (simulated.grad[:, :, 1] == 0).all()


def test_forecasts_are_validated_by_the_geometric_mean_of_their_errors(basins, periods):
    training = prepare(basins, periods=periods, inputs=LEADS, recipe=RECIPE, architecture=SMALL, device="cpu")
    training.model.module.eval()
    made, errors = simulate_windows(training.model.module, training.windows["validation"]).astype(float), []
    for lead in (1, 2, 3):
        issued = np.flatnonzero(np.isfinite(made[0, :, 0]))
        s, o = made[:, issued, lead - 1], training.observed.values[:, issued + lead].astype(float)
        errors.append(((s - o) ** 2).sum(1) / ((o - o.mean(1, keepdims=True)) ** 2).sum(1))
    assert training.validation_nse() == pytest.approx(np.median(1 - np.exp(np.log(errors).mean(0))), abs=1e-5)


def test_the_season_is_an_input_that_comes_back_with_the_bundle(basins, periods, tmp_path):
    inputs = dataclasses.replace(INPUTS, season=True)
    model = train(basins, periods=periods, inputs=inputs, recipe=RECIPE, architecture=SMALL, device="cpu").model
    assert model.module.stack.layers[0].input_size == 4
    again = load_model(write_bundle(model, tmp_path / "m.safetensors"))
    now = model.simulate(basins)["simulated"].values
    np.testing.assert_array_equal(again.simulate(basins)["simulated"].values, now)
    half_a_year_later = basins.assign_coords(time=basins["time"] + np.timedelta64(182, "D"))
    assert np.nanmax(np.abs(model.simulate(half_a_year_later)["simulated"].values - now)) > 1e-3
    with pytest.raises(InputError, match="the model takes the time of the year; give the time of the step"):
        model.step({"rain": 1.0, "temperature": 2.0})


def nse_of(observed, simulated):
    return 1 - ((simulated - observed) ** 2).sum(1) / ((observed - observed.mean(1, keepdims=True)) ** 2).sum(1)


@OUTSIDE
@pytest.mark.parametrize("lags", [(), (1,)])
def test_learning_by_the_root_of_discharge_is_learning_the_root(basins, periods, lags):
    inputs = dataclasses.replace(INPUTS, discharge_lags=lags)
    roots = basins.assign(discharge=np.sqrt(basins["discharge"]).assign_attrs(units="mm d-1"))
    recipe = dataclasses.replace(RECIPE, loss="nse")
    plain = prepare(roots, periods=periods, inputs=inputs, recipe=recipe, architecture=SMALL, device="cpu")
    by_root = dataclasses.replace(inputs, root_transform=True)
    rooted = prepare(basins, periods=periods, inputs=by_root, recipe=recipe, architecture=SMALL, device="cpu")
    np.testing.assert_allclose(rooted.run().history["train_loss"], plain.run().history["train_loss"], rtol=1e-4)
    squared = plain.model.simulate(roots)["simulated"] ** 2
    np.testing.assert_allclose(rooted.model.simulate(basins)["simulated"], squared, rtol=1e-3, atol=1e-4)


@OUTSIDE
@pytest.mark.parametrize("validated", [True, False])
def test_a_simulation_has_the_variance_that_the_square_of_a_mean_root_lacks(basins, periods, tmp_path, validated):
    periods = periods if validated else dataclasses.replace(periods, validation=None)
    inputs = dataclasses.replace(INPUTS, root_transform=True)
    training = prepare(basins, periods=periods, inputs=inputs, recipe=RECIPE, architecture=SMALL, device="cpu")
    model = training.run().model
    within = (periods.validation or periods.train).label_slice
    squared, more = (one.simulate(basins)["simulated"].astype(float) for one in (training.model, model))
    roots = np.sqrt(squared.sel(time=within))
    missed = np.sqrt(basins["discharge"].astype(float)).sel(time=within) - roots
    assert model.residual_variance == pytest.approx([float((missed**2).sum() / (roots**2).sum())], rel=1e-5)
    assert model.residual_variance[0] > 0.01
    np.testing.assert_allclose(more, squared * (1 + model.residual_variance[0]), rtol=1e-5)
    again = load_model(write_bundle(model, tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(again.simulate(basins)["simulated"], model.simulate(basins)["simulated"])
    if validated:
        observed = basins["discharge"].sel(time=within).values.astype(float)
        assert training.validation_nse() == pytest.approx(np.median(nse_of(observed, more.sel(time=within).values)), abs=1e-5)


@OUTSIDE
def test_forecasts_learned_by_the_root_are_discharge_and_validated_as_such(basins, periods):
    inputs = dataclasses.replace(LEADS, root_transform=True)
    training = prepare(basins, periods=periods, inputs=inputs, recipe=RECIPE, architecture=SMALL, device="cpu")
    model = training.run().model
    assert len(set(model.residual_variance)) == 3
    made, errors = simulate_windows(training.model.module, training.windows["validation"]).astype(float), []
    flow, root = basins["discharge"].values.astype(float), training.model.scaler
    for lead in (1, 2, 3):
        issued = np.flatnonzero(np.isfinite(made[0, :, 0]))
        s = np.maximum(made[:, issued, lead - 1] * root.std["discharge"] + root.mean["discharge"], 0) ** 2
        o = flow[:, issued + lead]
        assert model.residual_variance[lead - 1] == pytest.approx(((np.sqrt(o) - np.sqrt(s)) ** 2).sum() / s.sum(), rel=1e-4)
        s = s * (1 + model.residual_variance[lead - 1])
        errors.append(1 - nse_of(o, s))
        forecast = model.forecast(basins, period=periods.validation)["forecast"].sel(lead_time=lead)
        np.testing.assert_allclose(forecast.isel(issue_date=slice(len(issued))), s, rtol=1e-3, atol=1e-4)
    assert training.validation_nse() == pytest.approx(np.median(1 - np.exp(np.log(errors).mean(0))), abs=1e-5)


def test_a_model_of_discharge_itself_adds_no_variance(basins, periods):
    assert (
        train(basins, periods=periods, inputs=INPUTS, recipe=RECIPE, architecture=SMALL, device="cpu").model.residual_variance == ()
    )
