import pytest
import torch
from conftest import with_bfloat16
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import IN_LOOP, KINDS, POSSIBLE, fresh_masks, moved, with_between
from torch import nn

from runoff_lstm.models.dropout import Dropout
from runoff_lstm.models.stack import Stack

TORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
TYPES = list(TORCH)
ZERO = {"input": 0.0, "recurrent": 0.0, "between": 0.0, "output": 0.0}


def reference(stack):
    """torch's own stack of equal layers with the same weights."""
    n_inputs, *sizes = stack.sizes
    theirs = TORCH[stack.layer_type](n_inputs, sizes[0], num_layers=len(sizes), batch_first=True)
    weights = {}
    for place, layer in enumerate(stack.layers):
        weights |= {name.replace("l0", f"l{place}"): value for name, value in layer.state_dict().items()}
    theirs.load_state_dict(weights)
    return theirs.to(next(stack.parameters()).dtype)


def outcome(run, sequence, parameters):
    inputs = sequence.clone().requires_grad_()
    hidden = run(inputs)
    return [hidden, *torch.autograd.grad(hidden.square().sum(), [inputs, *parameters])]


@pytest.mark.parametrize("layer_type", TYPES)
@settings(max_examples=15)
@given(
    n_inputs=st.integers(1, 5),
    size=st.integers(1, 6),
    layers=st.integers(1, 3),
    batch=st.integers(1, 4),
    steps=st.integers(1, 9),
)
def test_without_dropout_it_is_torchs_stack(layer_type, n_inputs, size, layers, batch, steps):
    stack = Stack(n_inputs, [size] * layers, layer_type=layer_type).double().train()
    theirs = reference(stack)
    sequence = torch.randn(batch, steps, n_inputs, dtype=torch.float64)
    ours = outcome(lambda inputs: stack(inputs)[0], sequence, stack.parameters())
    other = outcome(lambda inputs: theirs(inputs)[0], sequence, theirs.parameters())
    for one, another in zip(ours, other, strict=True):
        torch.testing.assert_close(one, another)


@pytest.mark.parametrize(("name", "layer_type"), POSSIBLE)
def test_p_0_and_evaluation_are_torchs_layer_exactly(name, layer_type):
    dropout = with_between(KINDS[name])
    sequence = torch.randn(4, 20, 3)
    stack = Stack(3, [6, 6], layer_type=layer_type, dropout=dropout).eval()
    torch.testing.assert_close(stack(sequence)[0], reference(stack)(sequence)[0], rtol=0, atol=0)
    zero = {place: value for place, value in ZERO.items() if vars(dropout)[place] is not None}
    stack = Stack(3, [6, 6], layer_type=layer_type, dropout=Dropout(**{**vars(dropout), **zero})).train()
    torch.testing.assert_close(stack(sequence)[0], reference(stack)(sequence)[0], rtol=0, atol=0)


@pytest.mark.parametrize("name", KINDS)
def test_training_drops_evaluation_does_not_and_training_again_does(name):
    torch.manual_seed(0)
    stack = Stack(3, [16, 16], dropout=with_between(KINDS[name]))
    sequence = torch.randn(4, 20, 3)
    still = stack.eval()(sequence)[0]
    for _ in range(2):
        first, second = stack.train()(sequence)[0], stack(sequence)[0]
        assert not torch.equal(first, still)
        assert not torch.equal(first, second)
        (first.sum() + second.sum()).backward()
        torch.testing.assert_close(stack.eval()(sequence)[0], still, rtol=0, atol=0)


@pytest.mark.parametrize("name", KINDS)
def test_the_same_seed_drops_the_same(name):
    stack = Stack(3, [16, 16], dropout=with_between(KINDS[name])).train()
    sequence, made = torch.randn(4, 20, 3), []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        made.append(stack(sequence)[0])
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("name", KINDS)
def test_weights_go_over_to_a_stack_without_dropout(name):
    stack, plain = Stack(3, [6, 5], dropout=with_between(KINDS[name])), Stack(3, [6, 5])
    plain.load_state_dict(stack.state_dict())
    sequence = torch.randn(4, 20, 3)
    assert torch.equal(stack.eval()(sequence)[0], plain.eval()(sequence)[0])


@with_bfloat16
@pytest.mark.parametrize("name", KINDS)
def test_bfloat16_training_gives_finite_gradients(name):
    torch.manual_seed(0)
    stack = Stack(3, [16, 16], dropout=with_between(KINDS[name])).train()
    with torch.autocast("cpu", torch.bfloat16):
        hidden, _ = stack(torch.randn(4, 20, 3))
    hidden.float().square().sum().backward()
    assert all(torch.isfinite(one.grad).all() for one in stack.parameters())


@pytest.mark.parametrize("layer_type", TYPES)
def test_the_last_steps_or_the_last_step_alone(layer_type):
    stack = Stack(3, [6, 5], layer_type=layer_type)
    sequence = torch.randn(4, 20, 3)
    whole = stack(sequence)[0]
    torch.testing.assert_close(stack(sequence, last=7)[0], whole[:, -7:])
    last = Stack(3, [6, 5], layer_type=layer_type, return_sequences=False)
    last.load_state_dict(stack.state_dict())
    torch.testing.assert_close(last(sequence)[0], whole[:, -1])


@pytest.mark.parametrize("layer_type", TYPES)
@pytest.mark.parametrize("initial_state", ["zero", "learned"])
def test_a_sequence_in_two_parts_with_the_state_handed_over_equals_the_whole(layer_type, initial_state):
    stack = Stack(3, [6, 5], layer_type=layer_type, initial_state=initial_state)
    for one in stack.initial_states:
        nn.init.normal_(one)
    sequence = torch.randn(4, 20, 3)
    first, state = stack(sequence[:, :13])
    second, _ = stack(sequence[:, 13:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), stack(sequence)[0])


@pytest.mark.parametrize("layer_type", TYPES)
@pytest.mark.parametrize(
    "dropout", [Dropout(), Dropout(kind="variational", recurrent=0.2), Dropout(kind="weight_drop", recurrent=0.2)]
)
def test_a_learned_state_begins_at_zero_and_learns(layer_type, dropout):
    stack = Stack(3, [6, 5], layer_type=layer_type, initial_state="learned", dropout=dropout)
    zero = Stack(3, [6, 5], layer_type=layer_type)
    zero.load_state_dict({name: one for name, one in stack.state_dict().items() if "initial" not in name})
    sequence = torch.randn(4, 20, 3)
    torch.testing.assert_close(stack.eval()(sequence)[0], zero.eval()(sequence)[0])
    stack.train()(sequence)[0].square().sum().backward()
    assert all((one.grad != 0).all() for one in stack.initial_states)


@pytest.mark.parametrize("name", IN_LOOP)
def test_the_loop_begins_from_a_given_state(name):
    torch.manual_seed(0)
    stack = Stack(3, [6], dropout=KINDS[name]).train()
    sequence = torch.randn(4, 1, 3)
    state = ((torch.zeros(1, 4, 6), torch.full((1, 4, 6), 50.0)),)
    assert stack(sequence, state)[1][0][1].abs().max() > 5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("name", "layer_type"), POSSIBLE)
def test_the_gpu_gives_what_the_cpu_gives(name, layer_type):
    stack = Stack(3, [16, 8], layer_type=layer_type, dropout=with_between(KINDS[name]))
    sequence = torch.randn(4, 50, 3)
    masks = fresh_masks(stack, sequence)
    ours = outcome(lambda inputs: stack(inputs, masks=masks)[0], sequence, stack.parameters())
    stack.cuda()
    masks = moved(masks, "cuda")
    other = outcome(lambda inputs: stack(inputs, masks=masks)[0], sequence.cuda(), stack.parameters())
    for one, another in zip(ours, other, strict=True):
        torch.testing.assert_close(one, another.cpu(), atol=1e-4, rtol=1e-3)
