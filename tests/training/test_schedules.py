import numpy as np
import pytest

from runoff_lstm.training.schedules import learning_rate


def course(schedule):
    return [learning_rate(schedule, peak=2.0, progress=share, epoch=1) for share in np.linspace(0, 1, 101)]


def test_one_cycle_rises_to_its_peak_and_falls_to_almost_nothing():
    rates = course("one_cycle")
    assert rates[0] == pytest.approx(2 / 25)
    assert int(np.argmax(rates)) == 30
    assert max(rates) == pytest.approx(2.0)
    assert rates[-1] == pytest.approx(2e-4)
    assert (np.diff(rates)[:30] > 0).all()
    assert (np.diff(rates)[30:] < 0).all()


def test_one_cycle_equals_torchs():
    import torch

    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2.0, total_steps=1001, pct_start=0.3, final_div_factor=4.0 * 100)
    rates = []
    for _ in range(1001):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    ours = [learning_rate("one_cycle", peak=2.0, progress=step / 1000, epoch=1) for step in range(1001)]
    np.testing.assert_allclose(ours, rates, atol=0.004 * 2)


def test_cosine_falls_to_zero_and_constant_stays():
    assert course("cosine")[50] == pytest.approx(1.0)
    assert course("cosine")[-1] == 0
    assert set(course("constant")) == {2.0}


def test_milestones_count_epochs_from_one_in_any_order():
    rates = [
        learning_rate("step", peak=1e-3, progress=0, epoch=epoch, milestones=[(21, 1e-4), (11, 5e-4)])
        for epoch in (1, 10, 11, 20, 21)
    ]
    assert rates == [1e-3, 1e-3, 5e-4, 5e-4, 1e-4]
