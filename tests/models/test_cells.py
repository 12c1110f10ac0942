import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from runoff_lstm.models.cells import LSTMCell, RNNCell

PAIRS = {"rnn": (RNNCell, nn.RNN), "lstm": (LSTMCell, nn.LSTM)}


def pair(kind, n_inputs, hidden_size, *, batch_first=True):
    """Our cell and torch's layer with the same weights, float64."""
    ours, theirs = (made(n_inputs, hidden_size, batch_first=batch_first).double() for made in PAIRS[kind])
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def flat(state):
    return [state] if isinstance(state, torch.Tensor) else list(state)


@pytest.mark.parametrize("kind", PAIRS)
@settings(max_examples=25)
@given(
    n_inputs=st.integers(1, 5),
    hidden_size=st.integers(1, 6),
    batch=st.integers(1, 4),
    steps=st.integers(1, 9),
    batch_first=st.booleans(),
    given_state=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_are_those_of_torch(kind, n_inputs, hidden_size, batch, steps, batch_first, given_state, seed):
    torch.manual_seed(seed)
    ours, theirs = pair(kind, n_inputs, hidden_size, batch_first=batch_first)
    shape = (batch, steps, n_inputs) if batch_first else (steps, batch, n_inputs)
    sequence = torch.randn(shape, dtype=torch.float64)
    begin = torch.randn(1, batch, hidden_size, dtype=torch.float64) if given_state else None
    state = begin if begin is None or kind == "rnn" else (begin, begin + 1)
    found = []
    for layer in (ours, theirs):
        inputs = sequence.clone().requires_grad_()
        outputs, last = layer(inputs, state)
        loss = outputs.square().sum() + sum(one.sum() for one in flat(last))
        found.append([outputs, *flat(last), *torch.autograd.grad(loss, [inputs, *layer.parameters()])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_one_step_by_hand():
    cell = LSTMCell(1, 1)
    for value, parameter in zip((0.5, 0.25, 0.1, 0.2), cell.parameters(), strict=True):
        nn.init.constant_(parameter, value)
    made = cell.step(torch.tensor([[2.0]]), torch.tensor([[0.4]]), torch.tensor([[3.0]]))
    inner = 0.5 * 2 + 0.25 * 0.4 + 0.3
    gate = 1 / (1 + math.exp(-inner))
    c = gate * 3 + gate * math.tanh(inner)
    expected = (gate * math.tanh(c), c, gate, gate, math.tanh(inner), gate)
    assert [value.item() for value in made] == pytest.approx(expected, rel=1e-6)


def test_the_gates_are_told_apart():
    cell = LSTMCell(1, 1)
    for parameter in cell.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        cell.bias_ih_l0.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))  # i, f, g, o
    made = cell.step(torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 1))
    found = [value.item() for value in (made.i, made.f, made.g, made.o)]
    assert found == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2)), math.tanh(3), 1 / (1 + math.exp(-4))])


@pytest.mark.parametrize("kind", PAIRS)
def test_a_sequence_cut_in_two_with_its_state_kept_is_the_whole(kind):
    cell = PAIRS[kind][0](3, 4)
    sequence = torch.randn(2, 10, 3)
    whole, last = cell(sequence)
    first, state = cell(sequence[:, :6])
    second, end = cell(sequence[:, 6:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    for one, other in zip(flat(end), flat(last), strict=True):
        torch.testing.assert_close(one, other)


def test_every_step_of_a_sequence_holds_its_equations():
    torch.manual_seed(0)
    cell = LSTMCell(3, 4)
    made = cell.steps(torch.randn(2, 7, 3))
    before = torch.cat([torch.zeros(2, 1, 4), made.c[:, :-1]], dim=1)
    torch.testing.assert_close(made.c, made.f * before + made.i * made.g)
    torch.testing.assert_close(made.h, made.o * torch.tanh(made.c))


def test_another_activation_takes_the_place_of_tanh():
    torch.manual_seed(0)
    cell = LSTMCell(3, 4, activation=torch.relu)
    made = cell.steps(torch.randn(2, 7, 3))
    assert (made.g >= 0).all()
    assert (made.g > 1).any() or (made.g == 0).any()
    torch.testing.assert_close(made.h, made.o * torch.relu(made.c))


@pytest.mark.parametrize("kind", PAIRS)
def test_gradients_are_right_in_float64(kind):
    torch.manual_seed(0)
    cell = PAIRS[kind][0](2, 3).double()
    sequence = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda inputs: cell(inputs)[0], (sequence,))
