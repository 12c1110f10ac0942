import pytest
import torch
from conftest import inputs_of, model_of
from torch import nn

from runoff_lstm.errors import InputError
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.build import build_model
from runoff_lstm.models.dropout import Dropout

NOTHING = torch.zeros(4, 0)


def test_one_layer_equals_torchs_lstm_and_a_linear_head():
    model = model_of(3, hidden_sizes=[8]).eval()
    reference = nn.LSTM(3, 8, batch_first=True)
    reference.load_state_dict(model.stack.layers[0].state_dict())
    forcing = torch.randn(4, 20, 3)
    hidden, _ = reference(forcing)
    expected = model.head.linear(hidden)
    torch.testing.assert_close(model(forcing, NOTHING)[0], expected)


def test_equal_layers_equal_torchs_stacked_lstm():
    model = model_of(3, hidden_sizes=[8, 8]).eval()
    reference = nn.LSTM(3, 8, num_layers=2, batch_first=True)
    weights = {}
    for place, layer in enumerate(model.stack.layers):
        weights |= {name.replace("l0", f"l{place}"): value for name, value in layer.state_dict().items()}
    reference.load_state_dict(weights)
    forcing = torch.randn(4, 20, 3)
    torch.testing.assert_close(model(forcing, NOTHING)[0], model.head.linear(reference(forcing)[0]))


def test_layers_may_differ_in_size():
    model = model_of(3, 2, hidden_sizes=[8, 5, 7])
    discharge, state = model(torch.randn(4, 20, 3), torch.randn(4, 2))
    assert discharge.shape == (4, 20, 1)
    assert [tuple(h.shape) for h, _ in state] == [(1, 4, 8), (1, 4, 5), (1, 4, 7)]


def test_the_targets_are_the_last_steps():
    model = model_of(3).eval()
    forcing = torch.randn(4, 20, 3)
    torch.testing.assert_close(model(forcing, NOTHING, targets=6)[0], model(forcing, NOTHING)[0][:, -6:])


@pytest.mark.parametrize("sizes", [[8], [8, 5]])
def test_a_sequence_in_two_parts_with_the_state_handed_over_equals_the_whole(sizes):
    model = model_of(3, 2, hidden_sizes=sizes).eval()
    forcing, attributes = torch.randn(4, 20, 3), torch.randn(4, 2)
    first, state = model(forcing[:, :13], attributes)
    second, _ = model(forcing[:, 13:], attributes, state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), model(forcing, attributes)[0])


def test_no_step_sees_a_later_one():
    model = model_of(3).eval()
    forcing = torch.randn(1, 20, 3, requires_grad=True)
    model(forcing, NOTHING[:1])[0][0, 11].backward()
    assert (forcing.grad[0, 12:] == 0).all()
    assert (forcing.grad[0, :12] != 0).any()


def test_static_attributes_are_seen_at_every_step():
    model = model_of(3, 1).eval()
    forcing = torch.randn(2, 20, 3)
    one, other = (model(forcing, torch.full((2, 1), value))[0] for value in (0.0, 1.0))
    assert (one != other).all()


def test_the_forget_gate_begins_with_its_bias():
    model = model_of(3, hidden_sizes=[8, 4], forget_bias=5.0)
    for layer, hidden in zip(model.stack.layers, [8, 4], strict=True):
        assert (layer.bias_hh_l0[hidden : 2 * hidden] == 5).all()
        assert (layer.bias_hh_l0[:hidden] != 5).all()


@pytest.mark.parametrize(
    ("form", "bias"), [({}, 3.0), ({"hidden_sizes": (8, 4)}, 1.0), ({"hidden_sizes": (8, 4), "forget_bias": 2.5}, 2.5)]
)
def test_a_single_layer_begins_slower_than_those_of_a_stack(form, bias):
    for layer in build_model(Architecture(**form), inputs_of(2)).stack.layers:
        size = layer.hidden_size
        assert (layer.bias_hh_l0[size : 2 * size] == bias).all()


def test_output_dropout_acts_in_training_only_and_keeps_the_mean():
    model = model_of(3, dropout=Dropout(output=0.4))
    forcing = torch.randn(1, 20, 3)
    model.eval()
    still = model(forcing, NOTHING[:1])[0]
    torch.testing.assert_close(still, model(forcing, NOTHING[:1])[0])
    model.train()
    many = model(forcing.expand(4000, -1, -1), torch.zeros(4000, 0))[0]
    assert many.std(dim=0).min() > 0
    torch.testing.assert_close(many.mean(dim=0), still[0], atol=0.02, rtol=0)


def test_the_softplus_head_never_falls_below_zero_flow():
    model = model_of(3, head="softplus", zero_flow=-0.4).eval()
    with torch.no_grad():
        model.head.linear.bias.fill_(-50.0)
    assert model(torch.randn(4, 20, 3) * 10, NOTHING)[0].min() >= -0.4


def test_an_architecture_builds_what_it_says():
    model = build_model(
        Architecture(hidden_sizes=(8, 4), dropout=Dropout(output=0.3), head="softplus"),
        inputs_of(3, 2),
        zero_flow=-1.0,
    )
    assert [(layer.input_size, layer.hidden_size) for layer in model.stack.layers] == [(5, 8), (8, 4)]
    assert (model.stack.dropout.output, model.head.zero_flow) == (0.3, -1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Architecture(hidden_sizes=()), "hidden_sizes"),
        (lambda: Architecture(hidden_sizes=(0,)), "hidden_sizes"),
        (lambda: Dropout(output=1.0), "not a probability"),
        (lambda: Dropout(output=-0.1), "not a probability"),
    ],
)
def test_impossible_forms_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_gives_what_the_cpu_gives():
    model = model_of(3, 2, hidden_sizes=[16, 8]).eval()
    forcing, attributes = torch.randn(4, 50, 3), torch.randn(4, 2)
    expected = model(forcing, attributes)[0]
    torch.testing.assert_close(model.cuda()(forcing.cuda(), attributes.cuda())[0].cpu(), expected, atol=1e-4, rtol=1e-4)
