import copy
import dataclasses

import numpy as np
import pytest
import torch
from conftest import inputs_of, model_of, prepare
from kinds import KINDS
from torch.nn.utils import clip_grad_norm_

from runoff_lstm.errors import InputError
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.build import build_model
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.models.ealstm import EALSTM
from runoff_lstm.models.stack import Stack
from runoff_lstm.prediction.bundle import load_model, write_bundle
from runoff_lstm.training import loop as fitting
from runoff_lstm.training.recipe import Recipe

SIZE, FORCINGS, ATTRIBUTES = 6, 3, 2
INPUTS = Inputs(("rain", "temperature"), ("leak", "slope"), sequence_length=20, targets_per_window=10)
FORM = Architecture(type="ealstm", hidden_sizes=(SIZE,), dropout=Dropout(output=0.3))
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


class StoppedError(Exception):
    """A run that is cut off at an update."""


def made(**form):
    return EALSTM(FORCINGS, ATTRIBUTES, SIZE, forget_bias=3.0, **form)


def sequence_of(forcing, attributes):
    return torch.cat([forcing, attributes[:, None].expand(-1, forcing.shape[1], -1)], dim=2)


def absent(stack, n_forcings=FORCINGS):
    """Where the weights of inputs and of the hidden state have entries that the equations do not have."""
    layer, size = stack.layers[0], stack.sizes[1]
    ih, hh = (torch.zeros_like(one, dtype=torch.bool) for one in (layer.weight_ih_l0, layer.weight_hh_l0))
    ih[:size, :n_forcings], ih[size:, n_forcings:], hh[:size] = True, True, True
    return ih, hh


def assert_absent_weights_are_zero(stack, n_forcings=FORCINGS):
    layer, (ih, hh) = stack.layers[0], absent(stack, n_forcings)
    assert (layer.weight_ih_l0[ih] == 0).all()
    assert (layer.weight_hh_l0[hh] == 0).all()
    assert (layer.weight_ih_l0[~ih] != 0).all()
    assert (layer.weight_hh_l0[~hh] != 0).all()


def by_hand(weights, forcing, attributes):
    """Hidden states (batch, time, unit) by the equations of Kratzert et al. (2019), their weights and no others."""
    w_i, b_i, w, u, b = weights
    i = torch.sigmoid(attributes @ w_i.T + b_i)
    h = c = torch.zeros_like(i)
    hidden = []
    for x in forcing.unbind(1):
        f, g, o = (x @ w.T + h @ u.T + b).chunk(3, dim=1)
        c = torch.sigmoid(f) * c + i * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        hidden.append(h)
    return torch.stack(hidden, dim=1)


def weights_by_hand(stack):
    layer = stack.layers[0]
    bias = layer.bias_ih_l0 + layer.bias_hh_l0
    parts = (
        layer.weight_ih_l0[:SIZE, FORCINGS:],
        bias[:SIZE],
        layer.weight_ih_l0[SIZE:, :FORCINGS],
        layer.weight_hh_l0[SIZE:],
        bias[SIZE:],
    )
    return [one.detach().clone().requires_grad_() for one in parts]


def test_it_equals_a_loop_over_its_equations_in_values_and_gradients():
    stack = made().double()
    forcing, attributes = (torch.randn(*shape, dtype=torch.float64) for shape in ((4, 15, FORCINGS), (4, ATTRIBUTES)))
    weights = weights_by_hand(stack)
    hidden, expected = stack(sequence_of(forcing, attributes))[0], by_hand(weights, forcing, attributes)
    torch.testing.assert_close(hidden, expected)
    hidden.square().sum().backward()
    expected.square().sum().backward()
    w_i, b_i, w, u, b = (one.grad for one in weights)
    layer = stack.layers[0]
    torch.testing.assert_close(layer.weight_ih_l0.grad[:SIZE, FORCINGS:], w_i)
    torch.testing.assert_close(layer.weight_ih_l0.grad[SIZE:, :FORCINGS], w)
    torch.testing.assert_close(layer.weight_hh_l0.grad[SIZE:], u)
    torch.testing.assert_close(layer.bias_ih_l0.grad, torch.cat([b_i, b]))
    torch.testing.assert_close(layer.bias_hh_l0.grad, torch.cat([b_i, b]))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dropout", [*KINDS.values()], ids=KINDS)
def test_weights_that_the_equations_lack_stay_zero_through_training(name, dropout):
    stack = made(dropout=dropout).train()
    optimizer = OPTIMIZERS[name](stack.parameters(), lr=0.05, weight_decay=0.1)
    before = stack.layers[0].weight_ih_l0.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        stack(torch.randn(4, 10, FORCINGS + ATTRIBUTES))[0].square().mean().backward()
        clip_grad_norm_(stack.parameters(), 0.01)
        optimizer.step()
    assert_absent_weights_are_zero(stack)
    ih, _ = absent(stack)
    assert (stack.layers[0].weight_ih_l0[~ih] != before[~ih]).float().mean() > 0.9


def test_the_norm_of_the_gradient_is_that_of_the_weights_there_are():
    stack = made().double()
    forcing, attributes = torch.randn(4, 15, FORCINGS).double(), torch.randn(4, ATTRIBUTES).double()
    weights = weights_by_hand(stack)
    stack(sequence_of(forcing, attributes))[0].square().sum().backward()
    by_hand(weights, forcing, attributes).square().sum().backward()
    _, b_i, _, _, b = weights  # each bias stands in torch's layer twice
    expected = torch.stack([one.grad.square().sum() for one in (*weights, b_i, b)]).sum().sqrt()
    torch.testing.assert_close(clip_grad_norm_(stack.parameters(), 1.0), expected)


def test_a_copy_keeps_the_weights_at_zero_too():
    stack = copy.deepcopy(made())
    stack(torch.randn(4, 10, FORCINGS + ATTRIBUTES))[0].sum().backward()
    for one, gone in zip((stack.layers[0].weight_ih_l0, stack.layers[0].weight_hh_l0), absent(stack), strict=True):
        assert (one.grad[gone] == 0).all()
        assert (one.grad[~gone] != 0).any()


def test_the_input_gate_does_not_change_in_time_and_does_not_see_the_forcing():
    model = model_of(FORCINGS, ATTRIBUTES, type="ealstm", hidden_sizes=(SIZE,)).eval()
    attributes = torch.randn(4, ATTRIBUTES)
    one, other = (model.record(torch.randn(4, 12, FORCINGS), attributes)[0].i for _ in range(2))
    assert (one == one[:, :1]).all()
    assert torch.equal(one, other)
    torch.testing.assert_close(model.stack.input_gate(attributes), one[:, 0])
    assert not torch.equal(one[0], one[1])


def test_the_other_gates_do_not_see_the_attributes():
    model = model_of(FORCINGS, ATTRIBUTES, type="ealstm", hidden_sizes=(SIZE,)).eval()
    forcing = torch.randn(4, 1, FORCINGS)  # at the first step no gate sees them by way of the hidden state
    one, other = (model.record(forcing, torch.randn(4, ATTRIBUTES))[0] for _ in range(2))
    for gate in ("f", "g", "o"):
        assert torch.equal(getattr(one, gate), getattr(other, gate))
    assert not torch.equal(one.i, other.i)


def test_it_begins_with_the_forget_bias_of_a_single_layer():
    stack = build_model(FORM, inputs_of(FORCINGS, ATTRIBUTES)).stack
    assert (stack.layers[0].bias_hh_l0[SIZE : 2 * SIZE] == 3).all()
    assert_absent_weights_are_zero(stack)


@pytest.mark.parametrize("name", KINDS)
def test_dropout_acts_in_training_and_as_in_an_lstm_of_the_same_weights(name):
    stack, plain = made(dropout=KINDS[name]), Stack(FORCINGS + ATTRIBUTES, [SIZE], dropout=KINDS[name])
    plain.load_state_dict(stack.state_dict())
    sequence, drawn = torch.randn(4, 20, FORCINGS + ATTRIBUTES), []
    for one in (stack, plain):
        torch.manual_seed(3)
        drawn.append(one.train()(sequence)[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], stack.eval()(sequence)[0])
    assert torch.equal(stack.eval()(sequence)[0], plain.eval()(sequence)[0])


@pytest.mark.parametrize(
    ("form", "n_static", "message"),
    [
        ({"hidden_sizes": (8, 4)}, 2, r'hidden_sizes = \[8, 4\]: an "ealstm" has one layer'),
        ({}, 0, 'type = "ealstm" needs static attributes'),
        ({"type": "ealstmm"}, 2, "type = 'ealstmm' is not known; did you mean 'ealstm'"),
    ],
)
def test_what_it_cannot_be_is_refused(form, n_static, message):
    with pytest.raises(InputError, match=message):
        model_of(FORCINGS, n_static, **{"type": "ealstm", **form})


def trained(basins, periods, recipe, stop_at=None, **arguments):
    training = prepare(basins, periods=periods, inputs=INPUTS, recipe=recipe, architecture=FORM, seed=2, device="cpu")

    def observe(progress):
        if progress.update == stop_at:
            raise StoppedError

    return training.run(observe=observe, **arguments).model


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_stopped_training_resumes_to_the_very_weights(basins, periods, tmp_path, monkeypatch, optimizer):
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", 0.0)
    recipe = Recipe(steps=20, batch_size=8, learning_rate=1e-2, optimizer=optimizer, weight_decay=0.1, gradient_clip=0.1)
    whole = trained(basins, periods, recipe)
    with pytest.raises(StoppedError):
        trained(basins, periods, recipe, stop_at=9, checkpoint=tmp_path / "checkpoint.pt")
    resumed = trained(basins, periods, recipe, checkpoint=tmp_path / "checkpoint.pt", resume=True)
    assert_absent_weights_are_zero(whole.module.stack, n_forcings=2)
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, resumed.module.state_dict()[name])
    assert not whole.module.training


@pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning")
def test_the_embedding_comes_back_with_the_bundle_and_tells_basins_apart(basins, periods, tmp_path):
    model = trained(basins, periods, Recipe(steps=5, batch_size=8, learning_rate=1e-2))
    again = load_model(write_bundle(model, tmp_path / "model.safetensors"))
    assert again.architecture == FORM
    np.testing.assert_array_equal(again.simulate(basins)["simulated"], model.simulate(basins)["simulated"])
    embedding = again.embedding(basins[["slope", "leak"]])
    np.testing.assert_array_equal(embedding, model.embedding(basins))
    assert embedding.dims == ("basin", "unit")
    assert embedding["basin"].values.tolist() == basins["basin"].values.tolist()
    np.testing.assert_allclose(embedding, again.record(basins)["gates"].sel(gate="input")[:, -1], atol=1e-6)
    assert (np.ptp(embedding.values, axis=0) > 0).all()


def test_an_embedding_that_cannot_be_made_is_refused(basins, periods):
    model = trained(basins, periods, Recipe(steps=1, batch_size=8))
    with pytest.raises(InputError, match="no static attribute 'slope'; did you mean 'slopes'"):
        model.embedding(basins.rename(slope="slopes"))
    with pytest.raises(InputError, match="basin 01022500: attribute slope is missing"):
        model.embedding(basins.assign(slope=basins["slope"].where(basins["basin"] != "01022500")))
    plain = dataclasses.replace(model, module=model_of(2, 2), architecture=Architecture())
    with pytest.raises(InputError, match='made by type = "ealstm", not by "lstm"'):
        plain.embedding(basins)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_gives_what_the_cpu_gives_and_keeps_the_zeros():
    stack, sequence = made(), torch.randn(4, 30, FORCINGS + ATTRIBUTES)
    expected = stack(sequence)[0]
    stack.cuda()
    optimizer = torch.optim.AdamW(stack.parameters(), lr=0.05, fused=True)
    hidden = stack(sequence.cuda())[0]
    torch.testing.assert_close(hidden.cpu(), expected, atol=1e-4, rtol=1e-4)
    hidden.square().mean().backward()
    optimizer.step()
    assert_absent_weights_are_zero(stack)
