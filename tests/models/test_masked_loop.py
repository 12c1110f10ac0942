"""The loop with masks against the equations as they stand in the papers, step by step, in float64."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import IN_LOOP, KINDS, POSSIBLE, fresh_masks, with_between
from torch import nn

from runoff_lstm.models.dropout import Dropout, LayerMasks, Masks, draw_masks
from runoff_lstm.models.masked_loop import run_masked
from runoff_lstm.models.stack import Stack


def plain(layer_type, layer, sequence, masks, state=None):
    """One layer as the papers write it: a loop over the steps, each mask where its paper has it; (batch, time, feature)."""
    weight, recurrent, bias, recurrent_bias = layer.parameters()
    weight = weight if masks.weight_ih is None else weight * masks.weight_ih
    recurrent = recurrent if masks.weight_hh is None else recurrent * masks.weight_hh
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[layer_type]
    size, steps = recurrent.shape[1], sequence.shape[1]

    def at(mask, t):
        if mask is None:
            return 1.0
        return mask[..., 0 if mask.shape[-2] == 1 else t, :]

    def by_gate(values, mask, matrix, offset):
        masks_of_gates = mask if isinstance(mask, torch.Tensor) and mask.ndim == 3 else [mask] * gates
        parts = zip(masks_of_gates, matrix.chunk(gates), offset.chunk(gates), strict=True)
        return [(values * one) @ block.T + part for one, block, part in parts]

    h, *rest = [sequence.new_zeros(len(sequence), size)] * 2 if state is None else state
    c, made = rest[0] if rest else None, []
    for t in range(steps):
        x, m_c, m_g = at(masks.inputs, t), at(masks.state, t), at(masks.update, t)
        if layer_type == "gru":
            h = m_c * h
        wx = by_gate(sequence[:, t], x, weight, bias)
        uh = by_gate(h, at(masks.hidden, t), recurrent, recurrent_bias)
        if layer_type == "lstm":
            i, f, g, o = (one + other for one, other in zip(wx, uh, strict=True))
            c = torch.sigmoid(f) * (m_c * c) + torch.sigmoid(i) * (m_g * torch.tanh(g))
            h = torch.sigmoid(o) * torch.tanh(c) * masks.scale
        elif layer_type == "gru":
            r, z = torch.sigmoid(wx[0] + uh[0]), torch.sigmoid(wx[1] + uh[1])
            h = (1 - z) * m_g * torch.tanh(wx[2] + r * uh[2]) + z * h
        else:
            h = torch.tanh(wx[0] + uh[0])
        made.append(h)
    return torch.stack(made, dim=1), (h, c) if layer_type == "lstm" else (h,)


def plain_stack(stack, sequence, masks):
    ends = []
    for layer, layer_masks in zip(stack.layers, masks.layers, strict=True):
        sequence, end = plain(stack.layer_type, layer, sequence, layer_masks)
        ends += end
    return sequence if masks.output is None else sequence * masks.output, ends


@pytest.mark.parametrize(("name", "layer_type"), POSSIBLE)
@settings(max_examples=8)
@given(
    n_inputs=st.integers(1, 5),
    hidden_sizes=st.lists(st.integers(1, 6), min_size=1, max_size=2),
    batch=st.integers(1, 4),
    steps=st.integers(1, 7),
    seed=st.integers(0, 1000),
)
def test_forced_masks_give_the_papers_loop_in_values_and_gradients(name, layer_type, n_inputs, hidden_sizes, batch, steps, seed):
    torch.manual_seed(seed)
    dropout = KINDS[name] if len(hidden_sizes) == 1 else with_between(KINDS[name])
    stack = Stack(n_inputs, hidden_sizes, layer_type=layer_type, dropout=dropout).double()
    sequence = torch.randn(batch, steps, n_inputs, dtype=torch.float64)
    masks = fresh_masks(stack, sequence)
    weight = torch.randn(batch, steps, hidden_sizes[-1], dtype=torch.float64)
    found = []
    for run in (lambda inputs: stack(inputs, masks=masks), lambda inputs: plain_stack(stack, inputs, masks)):
        inputs = sequence.clone().requires_grad_()
        hidden, ends = run(inputs)
        ends = [one.view(batch, -1) for end in ends for one in (end if isinstance(end, tuple) else (end,))]
        loss = (hidden * weight).sum() + sum(((place + 1) * end).sum() for place, end in enumerate(ends))
        found.append([hidden, *ends, *torch.autograd.grad(loss, [inputs, *stack.parameters()])])
    for ours, papers in zip(*found, strict=True):
        torch.testing.assert_close(ours, papers, rtol=1e-9, atol=1e-11)


def run(layer, sequence, state, masks):
    return run_masked("lstm", tuple(layer.parameters()), sequence, state, masks)


@pytest.mark.parametrize("layer_type", ["lstm", "gru", "rnn"])
def test_the_loop_without_masks_is_torchs_layer_from_any_state(layer_type):
    torch.manual_seed(0)
    layer = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[layer_type](3, 5, batch_first=True).double()
    sequence = torch.randn(4, 9, 3, dtype=torch.float64)
    state = tuple(torch.randn(4, 5, dtype=torch.float64) for _ in range(2 if layer_type == "lstm" else 1))
    ours, ends = run_masked(layer_type, tuple(layer.parameters()), sequence, state, LayerMasks())
    begin = tuple(one[None] for one in state)
    theirs, end = layer(sequence, begin if layer_type == "lstm" else begin[0])
    torch.testing.assert_close(ours, theirs)
    for one, other in zip(ends, end if isinstance(end, tuple) else (end,), strict=True):
        torch.testing.assert_close(one, other[0])


@pytest.mark.parametrize("name", IN_LOOP)
def test_gradients_are_right_in_float64(name):
    torch.manual_seed(1)
    stack = Stack(2, [3], dropout=KINDS[name]).double()
    sequence = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    state = tuple(torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    masks = fresh_masks(stack, sequence)

    def outcome(inputs, h, c, *weights):
        names = [name for name, _ in stack.named_parameters()]
        hidden, ((end_h, end_c),) = torch.func.functional_call(
            stack, dict(zip(names, weights, strict=True)), (inputs, ((h, c),)), {"masks": masks}
        )
        return hidden, end_h, end_c

    assert torch.autograd.gradcheck(outcome, (sequence, *state, *stack.parameters()))


def test_rnndrop_keeps_dropped_cells_at_zero_from_the_first_step_to_the_last():
    layer, state = nn.LSTM(3, 6), (torch.zeros(4, 6), torch.zeros(4, 6))
    kept = (torch.rand(4, 1, 6) > 0.4).float()
    for steps in (1, 2, 30):
        hidden, (_, c) = run(layer, torch.randn(4, steps, 3), state, LayerMasks(state=kept, update=kept, scale=1 / 0.6))
        assert (c[kept[:, 0] == 0] == 0).all()
        assert (hidden.transpose(1, 2)[kept[:, 0] == 0] == 0).all()
        assert (c[kept[:, 0] == 1] != 0).all()


def test_rnndrop_stays_bounded_over_a_thousand_steps():
    torch.manual_seed(0)
    stack = Stack(3, [64], dropout=Dropout(kind="rnndrop", recurrent=0.3), forget_bias=5.0).train()
    hidden, ((_, c),) = stack(torch.randn(8, 1000, 3))
    assert hidden.abs().max() <= 1 / 0.7
    assert c.abs().max() < 1000


def test_without_its_update_a_cell_decays_by_the_forget_gate_alone():
    torch.manual_seed(0)
    layer = nn.LSTM(3, 6)
    sequence, state = torch.randn(4, 1, 3), (torch.randn(4, 6), torch.randn(4, 6))
    _, (_, c) = run(layer, sequence, state, LayerMasks(update=torch.zeros(4, 1, 6)))
    weight, recurrent, bias, recurrent_bias = layer.parameters()
    gates = sequence[:, 0] @ weight.T + state[0] @ recurrent.T + bias + recurrent_bias
    torch.testing.assert_close(c, torch.sigmoid(gates[:, 6:12]) * state[1])


def test_a_variational_mask_hides_the_dropped_entries_of_h_from_every_gate():
    torch.manual_seed(0)
    layer, sequence, c = nn.LSTM(3, 6), torch.randn(4, 5, 3), torch.randn(4, 6)
    mask = torch.tensor([0.0, 2, 0, 2, 2, 0]).expand(4, 1, 6)
    h = torch.randn(4, 6)
    other = h + torch.where(mask[:, 0] == 0, 7.0, 0.0)
    one, another = (run(layer, sequence, (begin, c), LayerMasks(hidden=mask))[0] for begin in (h, other))
    torch.testing.assert_close(one, another, rtol=0, atol=0)
    seen = run(layer, sequence, (h + torch.where(mask[:, 0] == 0, 0.0, 7.0), c), LayerMasks(hidden=mask))[0]
    assert (seen[:, 0] != one[:, 0]).all()


@pytest.mark.parametrize("rows", [False, True])
def test_dropped_weights_have_no_gradient_and_stay_as_they_are(rows):
    torch.manual_seed(0)
    stack = Stack(3, [6], dropout=Dropout(kind="weight_drop", recurrent=0.5, rows=rows))
    before = [one.detach().clone() for one in stack.parameters()]
    sequence = torch.randn(4, 7, 3)
    masks = fresh_masks(stack, sequence)
    hidden, _ = stack(sequence, masks=masks)
    hidden.square().sum().backward()
    mask = masks.layers[0].weight_hh.expand(24, 6)
    gradient = stack.layers[0].weight_hh_l0.grad
    assert (mask == 0).any()
    assert (gradient[mask == 0] == 0).all()
    assert (gradient[mask != 0] != 0).all()
    for one, other in zip(stack.parameters(), before, strict=True):
        assert torch.equal(one, other)


def test_no_step_sees_a_later_one_in_any_kind():
    for name, dropout in KINDS.items():
        stack = Stack(3, [6, 5], dropout=with_between(dropout)).train()
        sequence = torch.randn(2, 12, 3, requires_grad=True)
        stack(sequence)[0][:, 5].sum().backward()
        assert (sequence.grad[:, 6:] == 0).all(), name
        assert (sequence.grad[:, :6] != 0).any(), name


def linear_cell(values, masks, keep=0.9):
    """C = keep m_c c + m_g x over (row, step, unit): the expected value of an LSTM's cell with open gates and no tanh."""
    c = torch.zeros_like(values[:, 0])
    for t in range(values.shape[1]):
        m_c = 1.0 if masks.state is None else masks.state[:, min(t, masks.state.shape[1] - 1)]
        m_g = 1.0 if masks.update is None else masks.update[:, min(t, masks.update.shape[1] - 1)]
        c = keep * m_c * c + m_g * values[:, t]
    return c


@pytest.mark.parametrize(
    "dropout",
    [
        Dropout(kind="naive", recurrent=0.3),
        Dropout(kind="recurrent", recurrent=0.3),
        Dropout(kind="recurrent", recurrent=0.3, per="sequence"),
        Dropout(kind="rnndrop", recurrent=0.3),  # by the scale of h
    ],
)
def test_scaled_masks_keep_the_expected_value_of_a_linear_cell(dropout):
    torch.manual_seed(0)
    rows = 40_000
    values = torch.ones(rows, 6, 1)
    masks = draw_masks(dropout, layer_type="lstm", sizes=(1, 1), batch=rows, steps=6, output_steps=6).layers[0]
    expected = linear_cell(values[:1], LayerMasks())
    found = (linear_cell(values, masks) * masks.scale).mean(dim=0)
    torch.testing.assert_close(found, expected[0], rtol=0.03, atol=0)


def test_one_scaled_mask_kept_on_the_cell_for_a_whole_sequence_would_not():
    torch.manual_seed(0)
    mask = (
        draw_masks(
            Dropout(kind="variational", recurrent=0.3), layer_type="lstm", sizes=(1, 1), batch=40_000, steps=6, output_steps=6
        )
        .layers[0]
        .hidden
    )
    values = torch.ones(40_000, 6, 1)
    found = linear_cell(values, LayerMasks(state=mask)).mean()
    assert found > 1.5 * linear_cell(values[:1], LayerMasks()).item()


def test_the_sizes_of_the_masks_chain_like_those_of_the_layers():
    masks = draw_masks(
        Dropout(kind="naive", input=0.5, between=0.5, recurrent=0.5),
        layer_type="lstm",
        sizes=(3, 8, 5),
        batch=2,
        steps=7,
        output_steps=4,
    )
    assert isinstance(masks, Masks)
    for (size_in, size), layer in zip(pairwise((3, 8, 5)), masks.layers, strict=True):
        assert layer.inputs.shape == (2, 7, size_in)
        assert layer.hidden.shape == layer.state.shape == (2, 7, size)
