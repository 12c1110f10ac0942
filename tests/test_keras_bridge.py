import os
import subprocess
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
import pytest
import torch
from conftest import model_of
from torch import nn

from runoff_lstm.errors import InputError
from runoff_lstm.inputs.windows import Windows
from runoff_lstm.keras_bridge import (
    HiddenStates,
    arrays,
    from_keras,
    keras_windows,
    multi_step_lstm,
    stacked_lstm,
    to_keras,
    vanilla_lstm,
)
from runoff_lstm.models.cells import GRUCell, LSTMCell
from runoff_lstm.models.stack import Stack

keras = pytest.importorskip("keras")
layers = keras.layers

# numpy asks tensors of torch for a keyword that they do not have yet, when Keras makes arrays of them
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")

FORCING = ["rain", "temperature"]
ACTIVATIONS = ["tanh", "linear", "relu", "relu6", "elu", "selu", "silu", "sigmoid", "softplus", "softsign"]


def shuffled(layer):
    """A layer of Keras with random weights, the bias among them."""
    layer.set_weights([np.random.default_rng(3).normal(0, 0.4, weight.shape) for weight in layer.get_weights()])
    return layer


def lstm(units, n_inputs, **form):
    layer = layers.LSTM(units, return_sequences=True, **form)
    layer.build((None, None, n_inputs))
    return shuffled(layer)


def chain(*parts, shape=(9, 3)):
    return shuffled(keras.Sequential([keras.Input(shape), *parts]))


def sequence(n_inputs, *, batch=4, steps=9):
    return torch.randn(batch, steps, n_inputs)


def theirs(layer, inputs):
    return torch.from_numpy(keras.ops.convert_to_numpy(layer(inputs.numpy(), training=False)))


def ours(module, inputs):
    with torch.no_grad():
        made = module.eval()(inputs)
    return made[0] if isinstance(made, tuple) else made


def assert_same_outputs(layer, module, inputs):
    torch.testing.assert_close(theirs(layer, inputs), ours(module, inputs), rtol=1e-5, atol=1e-5)


def scaled(dataset):
    names = [*FORCING, "discharge"]
    return dataset.assign({name: (dataset[name] - dataset[name].mean()) / dataset[name].std() for name in names})


def windows_of(dataset, **form):
    return Windows(scaled(dataset), FORCING, **form)


@pytest.mark.parametrize(("n_inputs", "units"), [(1, 1), (3, 5), (7, 20)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_an_lstm_of_keras_gives_the_same_in_torch(n_inputs, units, use_bias):
    layer = lstm(units, n_inputs, use_bias=use_bias)
    made = from_keras(layer)
    assert isinstance(made, nn.LSTM)
    assert not made.bias_hh_l0.any()
    assert_same_outputs(layer, made, sequence(n_inputs))


@pytest.mark.parametrize("activation", [None, *ACTIVATIONS])
def test_an_lstm_with_another_activation_becomes_the_readable_cell(activation):
    layer = lstm(5, 3, activation=activation)
    made = from_keras(layer)
    assert isinstance(made, nn.LSTM if activation == "tanh" else LSTMCell)
    assert_same_outputs(layer, made, sequence(3))
    assert_same_outputs(to_keras(made), made, sequence(3))


@pytest.mark.parametrize("activation", [torch.relu, torch.nn.functional.relu, nn.ReLU()])
def test_an_activation_is_known_as_function_and_as_module(activation):
    cell = LSTMCell(3, 4, activation=activation)
    assert to_keras(cell).activation is keras.activations.relu
    assert_same_outputs(to_keras(cell), cell, sequence(3))


@pytest.mark.parametrize("form", [{}, {"use_bias": False}, {"activation": "relu"}])
def test_a_round_trip_changes_no_weight(form):
    layer = lstm(5, 3, **form)
    back = to_keras(from_keras(layer)).get_weights()
    for one, other in zip(back, layer.get_weights(), strict=False):
        np.testing.assert_array_equal(one, other)
    if not form.get("use_bias", True):
        assert not back[2].any()


def test_both_sides_keep_their_own_weights():
    layer = lstm(5, 3)
    made = from_keras(layer)
    back = to_keras(made)
    before = made.weight_ih_l0.clone()
    for one in (layer, back):
        one.set_weights([weight + 1 for weight in one.get_weights()])
    torch.testing.assert_close(made.weight_ih_l0, before)


@pytest.mark.parametrize("activation", [None, "relu", "softplus"])
@pytest.mark.parametrize("use_bias", [True, False])
def test_a_dense_layer_becomes_a_linear_one_with_its_activation(activation, use_bias):
    layer = layers.Dense(4, activation=activation, use_bias=use_bias)
    layer.build((None, 3))
    made = from_keras(shuffled(layer))
    assert isinstance(made, nn.Linear if activation is None else nn.Sequential)
    assert_same_outputs(layer, made, torch.randn(6, 3))
    assert_same_outputs(to_keras(made), made, torch.randn(6, 3))


@pytest.mark.parametrize("return_sequences", [True, False])
def test_a_model_predicts_the_same_in_torch_and_back_again(return_sequences):
    model = chain(
        layers.LSTM(6, return_sequences=True, dropout=0.2, recurrent_dropout=0.3),
        layers.Dropout(0.4),
        layers.LSTM(5, activation="relu", return_sequences=return_sequences),
        layers.Dense(4, activation="elu"),
        layers.Activation("softsign"),
        layers.Dense(2),
    )
    made, inputs = from_keras(model), sequence(3)
    expected = torch.from_numpy(model.predict(inputs.numpy(), verbose=0))
    assert expected.shape == ((4, 9, 2) if return_sequences else (4, 2))
    torch.testing.assert_close(ours(made, inputs), expected, rtol=1e-5, atol=1e-5)
    assert [one.p for one in made if isinstance(one, nn.Dropout)] == [0.4]
    assert_same_outputs(to_keras(made), made, inputs)


def test_a_functional_chain_and_a_model_within_a_model_are_converted():
    inner = chain(layers.LSTM(4), layers.Dense(3))
    begin = keras.Input((9, 3))
    model = keras.Model(begin, layers.Dense(1)(inner(begin)))
    assert_same_outputs(model, from_keras(model), sequence(3))


@pytest.mark.parametrize("form", [{}, {"num_layers": 3}, {"bias": False}, {"num_layers": 2, "dropout": 0.5}])
@pytest.mark.parametrize("n_inputs", [1, 4])
def test_an_lstm_of_torch_gives_the_same_in_keras(form, n_inputs):
    module = nn.LSTM(n_inputs, 6, batch_first=True, **form).eval()
    made = to_keras(module)
    assert isinstance(made, keras.Sequential if form.get("num_layers", 1) > 1 else layers.LSTM)
    assert_same_outputs(made, module, sequence(n_inputs))
    last = theirs(to_keras(module, return_sequences=False), sequence(n_inputs))
    assert last.shape == (4, 6)


@pytest.mark.parametrize("sizes", [(5,), (7, 4)])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_a_stack_gives_the_same_in_keras(sizes, return_sequences):
    stack = Stack(3, sizes, return_sequences=return_sequences, forget_bias=3.0)
    assert_same_outputs(to_keras(stack), stack, sequence(3))
    other = to_keras(stack, return_sequences=not return_sequences)
    assert theirs(other, sequence(3)).ndim == (2 if return_sequences else 3)


@pytest.mark.parametrize("sizes", [(5,), (7, 4)])
@pytest.mark.parametrize("n_static_attributes", [0, 2])
def test_a_model_of_ours_takes_the_joined_inputs_in_keras(sizes, n_static_attributes):
    model = model_of(3, n_static_attributes, hidden_sizes=sizes).eval()
    forcing, attributes = sequence(3), torch.randn(4, n_static_attributes)
    inputs = torch.cat([forcing, attributes[:, None].expand(-1, 9, -1)], dim=2)
    with torch.no_grad():
        expected, _ = model(forcing, attributes)
    whole, last = theirs(to_keras(model), inputs), theirs(to_keras(model, return_sequences=False), inputs)
    torch.testing.assert_close(whole, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(last, expected[:, -1], rtol=1e-5, atol=1e-5)


def functional(build):
    begin = keras.Input((9, 3))
    return keras.Model(begin, build(begin))


def stateful():
    layer = layers.LSTM(2, stateful=True)
    layer.build((4, 9, 3))
    return layer


def twice(begin):
    layer = layers.Dense(3)
    return layer(layer(begin))


UNFIT = {
    "has go_backwards, which": lambda: lstm(2, 3, go_backwards=True),
    "has a recurrent_activation other than sigmoid": lambda: lstm(2, 3, recurrent_activation="hard_sigmoid"),
    "has stateful": stateful,
    "activation <lambda> is not carried over to torch; choose one of tanh": lambda: lstm(2, 3, activation=lambda x: x),
    "activation softmax": lambda: chain(layers.Dense(2, activation="softmax")),
    "lstm.* is not built": lambda: layers.LSTM(2),
    "sequential.* is not built": lambda: keras.Sequential([layers.LSTM(2)]),
    "is a GRU, which is not carried over": lambda: chain(layers.GRU(2)),
    "is a Bidirectional": lambda: chain(layers.Bidirectional(layers.LSTM(2))),
    "is a Conv1D": lambda: chain(layers.Conv1D(2, 3)),
    "7 is a int": lambda: 7,
    "not a plain chain": lambda: functional(lambda x: layers.Add()([layers.Dense(3)(x), x])),
    "not a plain chain .*": lambda: functional(lambda x: [layers.LSTM(3)(x), x]),
    "not a plain .*chain": lambda: functional(lambda x: keras.ops.mean(layers.LSTM(3)(x), axis=1)),
    "not .*a plain chain": lambda: functional(twice),
}


@pytest.mark.parametrize("message", UNFIT)
def test_what_torch_cannot_do_is_refused(message):
    with pytest.raises(InputError, match=message):
        from_keras(UNFIT[message]())


NO_KERAS = {
    "activation <function .*lambda.*> is not carried over to Keras": lambda: LSTMCell(3, 2, activation=lambda x: x),
    r"activation ELU\(alpha=2": lambda: LSTMCell(3, 2, activation=nn.ELU(2.0)),
    "batch_first=True": lambda: nn.LSTM(3, 2),
    "one direction": lambda: nn.LSTM(3, 2, batch_first=True, bidirectional=True),
    "no proj_size": lambda: nn.LSTM(3, 2, batch_first=True, proj_size=1),
    "a Stack of GRU layers is not carried over to Keras": lambda: Stack(3, layer_type="gru"),
    "a Stack of RNN layers": lambda: Stack(3, layer_type="rnn"),
    "with a learned initial state": lambda: Stack(3, initial_state="learned"),
    "an ealstm": lambda: model_of(3, 2, type="ealstm"),
    "a RecurrentModel with a SoftplusHead": lambda: model_of(3, head="softplus"),
    "a GRUCell is not": lambda: GRUCell(3, 2),
    "a GRU is not": lambda: nn.Sequential(nn.GRU(3, 2), nn.Linear(2, 1)),
}


@pytest.mark.parametrize("message", NO_KERAS)
def test_what_keras_cannot_do_is_refused(message):
    with pytest.raises(InputError, match=message):
        to_keras(NO_KERAS[message]())


def test_without_keras_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(InputError, match=r"pip install 'runoff-lstm\[keras\]'"):
        to_keras(nn.Linear(3, 1))


def test_importing_the_module_does_not_import_keras():
    code = "import sys, runoff_lstm.keras_bridge; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_strict_windows_are_the_batches_of_our_own_training(basins):
    windows = windows_of(basins, static_attributes=["leak", "slope"], sequence_length=30)
    made = keras_windows(windows, batch_size=100, seed=4)
    for epoch in range(2):
        expected = list(windows.batches(windows.training_tiles(seed=4, epoch=epoch), 100))
        assert len(made) == len(expected)
        for place, batch in enumerate(expected):
            x, y, weight = made[place]
            assert x.shape == (len(batch.basin), 30, 4)
            np.testing.assert_array_equal(x[..., :2], batch.forcing)
            np.testing.assert_array_equal(x[..., 2:], batch.static_attributes[:, None].expand(-1, 30, -1))
            np.testing.assert_array_equal(y, batch.discharge[:, 0])
            assert weight.tolist() == [1] * len(weight)
        made.on_epoch_end()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_every_epoch_of_shared_windows_visits_every_valid_day_once(basins, batch_size):
    basins = basins.isel(time=slice(0, 120)).copy(deep=True)
    basins["discharge"][1, 60:75] = np.nan
    windows = windows_of(basins, sequence_length=30, targets_per_window=20)
    made = keras_windows(windows, batch_size=batch_size)
    expected = np.sort(arrays(windows)[1][~np.isnan(arrays(windows)[1])])
    counts = []
    for _ in range(6):
        items = [made[place] for place in range(len(made))]
        assert all(len(x) for x, _, _ in items)
        assert all(x.shape[1:] == (49, 2) and y.shape[1:] == (20, 1) and weight.shape == y.shape[:2] for x, y, weight in items)
        found = np.concatenate([y[weight == 1].ravel() for _, y, weight in items])
        counts.append(len(items))
        if batch_size > 1:
            np.testing.assert_array_equal(np.sort(found), expected)
        assert set(found) <= set(expected)
        made.on_epoch_end()
    assert len(set(counts)) == 1
    assert made.epoch == 6


def test_only_a_pass_that_was_made_moves_to_the_next_epoch(basin):
    made = keras_windows(windows_of(basin, sequence_length=30), batch_size=300)
    made.on_epoch_end()
    made[0]
    made.on_epoch_end()
    assert made.epoch == 0
    model = vanilla_lstm(30, 2, units=2)
    model.fit(made, epochs=2, verbose=0, shuffle=False)
    model.fit(made, epochs=1, verbose=0, shuffle=False)
    assert made.epoch == 3


@pytest.mark.parametrize("targets_per_window", [1, 5])
def test_lead_times_are_the_last_dimension_and_count_when_all_are_observed(basin, targets_per_window):
    basin["discharge"][0, 300:310] = np.nan
    windows = windows_of(basin, sequence_length=30, targets_per_window=targets_per_window, lead_times=3)
    made = keras_windows(windows, batch_size=64)
    tiles = windows.training_tiles(seed=0, epoch=0)
    discharge = windows.gather(tiles[:64]).discharge.numpy()
    expected = discharge[:, 0] if targets_per_window == 1 else discharge
    _, y, weight = made[0]
    np.testing.assert_array_equal(y, np.nan_to_num(expected))
    np.testing.assert_array_equal(weight, ~np.isnan(expected).any(axis=-1))
    weights = np.concatenate([made[place][2].ravel() for place in range(len(made))])
    assert 0 < weights.mean() < 1


def test_forcing_beyond_the_issue_date_is_refused(basin):
    windows = windows_of(basin, sequence_length=30, lead_times=2, future_forcing=["rain"])
    with pytest.raises(InputError, match="future_forcing"):
        keras_windows(windows, batch_size=8)[0]


def test_arrays_are_every_valid_window_in_order(basins):
    basins["discharge"][1, 100:110] = np.nan
    windows = windows_of(basins, sequence_length=30)
    x, y = arrays(windows)
    expected = scaled(basins)["discharge"].values[:, 29:]
    np.testing.assert_array_equal(y[:, 0], expected[~np.isnan(expected)])
    np.testing.assert_array_equal(x[1], np.stack([scaled(basins)[name].values[0, 1:31] for name in FORCING], axis=1))
    shared = arrays(windows_of(basins, sequence_length=30, targets_per_window=20))[1]
    np.testing.assert_array_equal(shared[~np.isnan(shared)], y[:, 0])


def test_missing_targets_do_not_matter(basin):
    basin["discharge"][0, 200:400] = np.nan
    windows = windows_of(basin, sequence_length=20, targets_per_window=10)
    model = shared_model(29, 10)
    x, y, weight = keras_windows(windows, batch_size=1000)[0]
    assert np.isfinite(y).all()
    assert weight.sum() == windows.n_targets == 700 - 19 - 200
    errors = np.square(model.predict(x, verbose=0) - y)[weight == 1]
    for missing in (0, 99):
        known = np.where(weight[..., None], y, missing)
        found = model.evaluate(x, known, sample_weight=weight, batch_size=len(x), verbose=0)
        assert found == pytest.approx(errors.sum() / weight.size, rel=1e-5)


@pytest.mark.parametrize("kind", ["vanilla", "stacked", "multi_step", "shared"])
def test_two_epochs_lower_the_loss(basin, kind):
    keras.utils.set_random_seed(1)
    forms = {
        "vanilla": (vanilla_lstm(7, 2, units=8), {}),
        "stacked": (stacked_lstm(7, 2, units=(8, 6)), {}),
        "multi_step": (multi_step_lstm(7, 2, lead_times=3), {"lead_times": 3}),
        "shared": (shared_model(26, 20), {"targets_per_window": 20}),
    }
    model, form = forms[kind]
    basin["discharge"][0, 200:210] = np.nan
    made = keras_windows(windows_of(basin.isel(time=slice(0, 360)), sequence_length=7, **form), batch_size=16)
    before = model.evaluate(made, verbose=0)
    history = model.fit(made, epochs=2, verbose=0).history["loss"]
    assert history[1] < history[0]
    assert model.evaluate(made, verbose=0) < before


def shared_model(steps, targets):
    """A model that gives the last steps of a window, as shared windows want it."""
    cut = layers.Cropping1D((steps - targets, 0))
    model = keras.Sequential([keras.Input((steps, 2)), layers.LSTM(8, return_sequences=True), cut, layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    return model


def test_the_examples_have_the_form_they_are_known_by():
    vanilla, stacked, multi_step = vanilla_lstm(30, 4), stacked_lstm(30, 4), multi_step_lstm(n_features=3)
    assert vanilla.input_shape == (None, 30, 4)
    assert [layer.units for layer in vanilla.layers] == [50, 1]
    assert [(layer.units, layer.return_sequences) for layer in stacked.layers[:-1]] == [(50, True), (50, False)]
    assert multi_step.input_shape == (None, 7, 3)
    assert [(layer.units, layer.activation.__name__) for layer in multi_step.layers] == [
        (200, "relu"),
        (100, "relu"),
        (7, "linear"),
    ]


@pytest.mark.parametrize("model", [vanilla_lstm, stacked_lstm, multi_step_lstm])
def test_the_examples_go_over_to_torch(model):
    model = shuffled(model(7, 2))
    made = from_keras(model)
    assert isinstance(made[0], HiddenStates)
    inputs = 0.1 * sequence(2, steps=7)
    expected = theirs(model, inputs)
    torch.testing.assert_close(ours(made, inputs), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
