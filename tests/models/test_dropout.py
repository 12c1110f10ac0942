import pytest
import torch

from runoff_lstm.errors import InputError
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.dropout import Dropout, draw_masks
from runoff_lstm.models.stack import Stack

SIZES = {"layer_type": "lstm", "sizes": (3, 16, 8), "batch": 5, "steps": 9, "output_steps": 4}


def masks_of(layer=0, **places):
    return draw_masks(Dropout(**places), **SIZES).layers[layer]


def lives_a_step(mask):
    return mask.shape[1] == 9 and not (mask == mask[:, :1]).all()


def lives_a_sequence(mask):
    return mask.shape[1] == 1


def differs_by_row(mask):
    return not (mask == mask[:1]).all()


def test_naive_masks_everything_afresh_at_every_step():
    masks = masks_of(kind="naive", input=0.3, recurrent=0.3)
    for mask in (masks.inputs, masks.hidden, masks.state):
        assert lives_a_step(mask)
        assert differs_by_row(mask)
    assert masks.update is None


def test_non_recurrent_leaves_what_passes_in_time_alone():
    dropout = Dropout(kind="non_recurrent", input=0.3, between=0.4, output=0.5)
    masks = draw_masks(dropout, **SIZES)
    assert [layer.inputs.shape for layer in masks.layers] == [(5, 9, 3), (5, 9, 16)]
    assert all(lives_a_step(layer.inputs) and not layer.in_loop for layer in masks.layers)
    assert masks.output.shape == (5, 4, 8)


def test_variational_masks_live_a_sequence_and_differ_between_rows():
    masks = draw_masks(Dropout(kind="variational", input=0.3, between=0.3, recurrent=0.3, output=0.3), **SIZES)
    for mask in [one for layer in masks.layers for one in (layer.inputs, layer.hidden)] + [masks.output]:
        assert lives_a_sequence(mask)
        assert differs_by_row(mask)
    assert masks.layers[0].state is None


def test_untied_masks_differ_between_gates():
    masks = masks_of(kind="variational", input=0.3, recurrent=0.3, tied=False)
    assert masks.inputs.shape == (4, 5, 1, 3)
    assert masks.hidden.shape == (4, 5, 1, 16)
    assert len({tuple(gate.flatten().tolist()) for gate in masks.hidden}) == 4


def test_rnndrop_has_one_mask_of_zeros_and_ones_for_the_cell():
    masks = masks_of(kind="rnndrop", recurrent=0.3)
    assert masks.state is masks.update
    assert lives_a_sequence(masks.state)
    assert set(masks.state.unique().tolist()) == {0.0, 1.0}
    assert masks.scale == pytest.approx(1 / 0.7)


def test_recurrent_dropout_masks_the_update_alone_per_step_or_sequence():
    masks = masks_of(kind="recurrent", recurrent=0.3)
    assert lives_a_step(masks.update)
    assert masks.hidden is masks.state is None
    assert lives_a_sequence(masks_of(kind="recurrent", recurrent=0.3, per="sequence").update)


def test_weight_drop_masks_the_matrices_once_for_all_rows():
    masks = masks_of(kind="weight_drop", recurrent=0.3)
    assert masks.weight_hh.shape == (64, 16)
    assert masks.weight_ih is None
    assert masks_of(kind="weight_drop", recurrent=0.3, rows=True).weight_hh.shape == (64, 1)
    both = draw_masks(Dropout(kind="weight_drop", weights="all", input=0.5, between=0.5, recurrent=0.5, output=0.4), **SIZES)
    assert [layer.weight_ih.shape for layer in both.layers] == [(64, 3), (32, 16)]
    assert both.layers[0].inputs is None
    assert both.output.shape == (5, 4, 8)
    assert not any(layer.in_loop for layer in both.layers)


@pytest.mark.parametrize("p", [0.05, 0.4, 0.9])
def test_masks_drop_with_their_probability_and_keep_the_mean(p):
    torch.manual_seed(0)
    mask = draw_masks(Dropout(output=p), layer_type="lstm", sizes=(1, 50), batch=200, steps=100, output_steps=100).output
    assert float((mask == 0).float().mean()) == pytest.approx(p, abs=0.002)
    assert float(mask.mean()) == pytest.approx(1, abs=0.005 / (1 - p))
    assert mask.max().item() == pytest.approx(1 / (1 - p))


def test_the_same_seed_draws_the_same_masks_and_another_pass_others():
    dropout = Dropout(kind="naive", input=0.3, recurrent=0.3, output=0.3)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(draw_masks(dropout, **SIZES).layers[0].hidden)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_masks_take_the_dtype_of_what_they_mask(dtype):
    stack = Stack(3, [6], dropout=Dropout(kind="variational", input=0.3, recurrent=0.3, output=0.3)).to(dtype).train()
    assert stack(torch.randn(2, 5, 3, dtype=dtype))[0].dtype == dtype


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"kind": "variatonal", "input": 0.1}, "kind = 'variatonal' is not known; did you mean 'variational'"),
        ({"output": 1.0}, r"output = 1.0 is not a probability in \[0, 1\)"),
        ({"kind": "naive", "recurrent": -0.1}, "recurrent = -0.1 is not a probability"),
        ({"input": 0.1}, "input needs a kind"),
        ({"recurrent": 0.1}, "recurrent needs a kind"),
        ({"between": 0.1}, "between needs a kind"),
        ({"kind": "non_recurrent", "input": 0.1, "recurrent": 0.2}, "never touches what passes from step to step"),
        ({"kind": "non_recurrent", "output": 0.4}, "drops nothing; give input or between"),
        ({"kind": "variational", "output": 0.4}, "drops nothing; give input, between or recurrent"),
        ({"kind": "naive", "input": 0.1}, "give recurrent"),
        ({"kind": "rnndrop"}, "give recurrent"),
        ({"kind": "recurrent", "output": 0.4}, "give recurrent"),
        ({"kind": "weight_drop", "output": 0.4}, "give recurrent"),
        ({"kind": "weight_drop", "weights": "all", "recurrent": 0.5}, "give input, such as 0.5"),
        ({"kind": "rnndrop", "recurrent": 0.1, "tied": True}, 'tied is a variant of kind = "variational"'),
        ({"kind": "variational", "recurrent": 0.1, "per": "step"}, 'per is a variant of kind = "recurrent"'),
        ({"kind": "naive", "recurrent": 0.1, "rows": True}, 'rows is a variant of kind = "weight_drop"'),
        ({"weights": "all"}, 'weights is a variant of kind = "weight_drop"'),
        ({"kind": "recurrent", "recurrent": 0.1, "per": "day"}, "per = 'day' is not known; there is step, sequence"),
    ],
)
def test_an_unknown_or_impossible_combination_is_refused_with_the_reason(places, message):
    with pytest.raises(InputError, match=message):
        Dropout(**places)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"dropout": Dropout(kind="variational", between=0.1)}, "there is one layer"),
        ({"type": "gru", "dropout": Dropout(kind="rnndrop", recurrent=0.1)}, 'drops the cell state, and type = "gru" has none'),
        ({"type": "rnn", "dropout": Dropout(kind="rnndrop", recurrent=0.1)}, 'type = "rnn" has none'),
        ({"type": "rnn", "dropout": Dropout(kind="recurrent", recurrent=0.1)}, "has no gate"),
        ({"type": "rnn", "dropout": Dropout(kind="variational", recurrent=0.1, tied=False)}, "has no gates"),
        ({"type": "gru", "forget_bias": 3.0}, "has no forget gate"),
        ({"type": "lstn"}, "'lstn' is not known; did you mean 'lstm'"),
        ({"initial_state": "random"}, "initial_state = 'random' is not known; there is zero, learned"),
    ],
)
def test_what_cannot_be_in_such_a_model_is_refused_with_the_reason(form, message):
    with pytest.raises(InputError, match=message):
        Architecture(**form)
