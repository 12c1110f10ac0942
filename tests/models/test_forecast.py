import dataclasses

import pytest
import torch
from conftest import inputs_of

from runoff_lstm.errors import InputError
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.build import build_model
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.models.forecasts.base import METHODS

BATCH, STEPS, ISSUED, LEADS = 3, 20, 5, 4


def make(method, *, future=(), n_forcings=5, static=2, **options):
    architecture = Architecture(hidden_sizes=(8,), forecast=method, **options)
    plain = inputs_of(n_forcings - 3, static, lead_times=LEADS)  # the other three features are made of discharge
    seen = dataclasses.replace(plain, forecast_forcing=tuple(plain.forcing[place] for place in future))
    return build_model(architecture, seen).eval()


def inputs(future=(), n_forcings=5, static=2):
    torch.manual_seed(1)
    ahead = torch.randn(BATCH, ISSUED + LEADS - 1, len(future)) if future else None
    forcing = torch.randn(BATCH, STEPS, n_forcings)
    if future:  # the forcing of a step is the same whether it is told as past or as future
        ahead[:, : ISSUED - 1] = forcing[:, -ISSUED + 1 :, list(future)]
    return forcing, torch.randn(BATCH, static), ahead


@pytest.mark.parametrize("future", [(), (0,), (0, 1)])
@pytest.mark.parametrize("method", METHODS)
def test_every_issue_date_of_a_window_forecasts_as_it_would_alone(method, future):
    model = make(method, future=future)
    forcing, attributes, ahead = inputs(future)
    together, _ = model(forcing, attributes, targets=ISSUED, future=ahead)
    assert together.shape == (BATCH, ISSUED, LEADS)
    for place in range(ISSUED):
        own = None if ahead is None else ahead[:, place : place + LEADS]
        stop = STEPS - ISSUED + 1 + place
        alone, _ = model(forcing[:, :stop], attributes, targets=1, future=own)
        torch.testing.assert_close(alone[:, 0], together[:, place], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_forcing_to_come_counts_at_its_lead_time_and_where_it_is_recursive_or_decoded_not_before(method):
    model = make(method, future=(1,))
    forcing, attributes, ahead = inputs((1,))
    made, _ = model(forcing, attributes, targets=ISSUED, future=ahead)
    changed = ahead.clone()
    changed[:, ISSUED - 1 + 2] += 1  # lead time 3 of the last issue date
    other, _ = model(forcing, attributes, targets=ISSUED, future=changed)
    differs = (made - other).abs().amax(dim=0)[-1] > 0
    assert differs[2]
    if method != "direct":
        assert differs.tolist() == [False, False, True, True]


def test_the_recursive_way_is_one_step_after_another_fed_back_by_hand():
    model = make("recursive", future=(0,), n_forcings=5, static=0)
    forcing, attributes, ahead = inputs((0,), static=0)
    made, _ = model(forcing, attributes, targets=1, future=ahead[:, ISSUED - 1 :])
    known = ahead[:, ISSUED - 1 :, 0]
    next_known = torch.cat([forcing[:, 1:, 0], known[:, :1]], dim=1)
    sequence = torch.cat([forcing, next_known[..., None]], dim=2)
    by_hand = []
    for lead in range(LEADS):
        hidden, _ = model.stack(sequence)
        predicted = model.head(torch.cat([hidden[:, -1], sequence[:, -1]], dim=1))
        by_hand.append(predicted[:, 0])
        if lead + 1 < LEADS:
            logarithm = torch.log10(predicted[:, 0].clamp(min=0).sqrt() + 0.05)
            fed_back = [predicted[:, 0], logarithm, torch.ones(BATCH)]
            step = torch.stack([known[:, lead], predicted[:, 1], *fed_back, known[:, lead + 1]], dim=1)
            sequence = torch.cat([sequence, step[:, None]], dim=1)
    torch.testing.assert_close(made[:, 0], torch.stack(by_hand, dim=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_the_recursive_way_learns_the_next_step_and_the_forcing_it_will_not_know(training):
    model = make("recursive", future=(0,)).train(training)
    forcing, attributes, ahead = inputs((0,))
    made, _ = model.next_step(forcing, attributes, targets=ISSUED, future=ahead[:, :ISSUED])
    assert made.shape == (BATCH, ISSUED, 2)
    univariate, forcing = make("recursive", n_forcings=3).train(training), torch.randn(BATCH, STEPS, 3)
    made, _ = univariate.next_step(forcing, attributes, targets=ISSUED)
    assert made.shape == (BATCH, ISSUED, 1)
    rolled_out, _ = univariate(forcing, attributes, targets=ISSUED)
    assert rolled_out.shape == (BATCH, ISSUED, LEADS)
    torch.testing.assert_close(rolled_out[..., 0], made[..., 0])


@pytest.mark.parametrize("method", ["direct", "encoder_decoder"])
def test_a_state_that_is_kept_gives_what_the_whole_sequence_gives(method):
    model = make(method, future=(0,))
    forcing, attributes, ahead = inputs((0,))
    whole, _ = model(forcing, attributes, targets=ISSUED, future=ahead)
    state = model.remember(forcing[:, :10], attributes)
    rest, _ = model(forcing[:, 10:], attributes, state, targets=ISSUED, future=ahead)
    torch.testing.assert_close(rest, whole)


@pytest.mark.parametrize("type_", ["lstm", "gru", "ealstm"])
@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_layer_forecasts_and_learns(method, type_):
    model = make(method, type=type_, dropout=Dropout(output=0.3)).train()
    forcing, attributes, _ = inputs()
    made, _ = model(forcing, attributes, targets=ISSUED)
    made.square().mean().backward()
    assert all(one.grad is not None and torch.isfinite(one.grad).all() for one in model.parameters())


def test_an_unknown_way_and_a_head_of_simulations_are_refused():
    with pytest.raises(InputError, match="did you mean 'recursive'"):
        Architecture(forecast="recursve")
    with pytest.raises(InputError, match='head = "softplus" is for simulations'):
        Architecture(forecast="direct", head="softplus")
