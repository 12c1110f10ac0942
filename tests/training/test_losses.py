import math

import numpy as np
import pytest
import torch

from runoff_lstm.training.losses import LOSSES

NAN = math.nan


def loss(name, observed, simulated, *, basin_std=1.0, zero_flow=0.0):
    observed, simulated = torch.tensor(observed), torch.tensor(simulated)
    return LOSSES[name](
        observed=observed, simulated=simulated, basin_std=torch.full((len(observed), 1), basin_std), zero_flow=zero_flow
    ).item()


def test_mean_squared_and_absolute_error_by_hand():
    assert loss("mse", [[1.0, 2.0], [3.0, 4.0]], [[2.0, 2.0], [3.0, 1.0]]) == pytest.approx((1 + 9) / 4)
    assert loss("mae", [[1.0, 2.0], [3.0, 4.0]], [[2.0, 2.0], [3.0, 1.0]]) == pytest.approx((1 + 3) / 4)


def test_basin_weighted_nse_divides_by_the_basins_spread_plus_a_tenth():
    assert loss("nse", [[1.0, 2.0]], [[2.0, 2.0]], basin_std=1.9) == pytest.approx(0.5 * (1 / 2.0) ** 2)


def test_kge_equals_its_formula_on_the_flows_themselves():
    o, s, zero = np.array([1.0, 3.0, 2.0, 8.0]), np.array([1.5, 2.0, 2.5, 6.0]), -0.4
    r = np.corrcoef(o, s)[0, 1]
    expected = math.sqrt((r - 1) ** 2 + (s.std() / o.std() - 1) ** 2 + (s.mean() / o.mean() - 1) ** 2)
    scaled = loss("kge", [list(o / 5 + zero)], [list(s / 5 + zero)], zero_flow=zero)
    assert scaled == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_a_missing_observation_counts_neither_in_value_nor_in_gradient(name):
    whole = loss(name, [[1.0, 2.0, 5.0]], [[2.0, 2.5, 3.0]])
    simulated = torch.tensor([[2.0, 99.0, 2.5, 3.0]], requires_grad=True)
    holed = LOSSES[name](
        observed=torch.tensor([[1.0, NAN, 2.0, 5.0]]), simulated=simulated, basin_std=torch.ones(1, 1), zero_flow=0.0
    )
    assert holed.item() == pytest.approx(whole)
    holed.backward()
    gradient = simulated.grad[0].tolist()
    assert gradient[1] == 0
    assert all(math.isfinite(value) and value != 0 for value in (gradient[0], gradient[3]))


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_simulation_has_no_loss_and_a_finite_gradient(name):
    values = torch.tensor([[1.0, 2.0, 5.0]])
    simulated = values.clone().requires_grad_()
    result = LOSSES[name](observed=values, simulated=simulated, basin_std=torch.ones(1, 1), zero_flow=0.0)
    result.backward()
    assert result.item() == pytest.approx(0, abs=1e-3)
    assert torch.isfinite(simulated.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_falls_on_the_way_to_the_observation(name):
    o = [[1.0, 2.0, 5.0]]
    assert loss(name, o, [[1.1, 2.2, 4.6]]) < loss(name, o, [[2.0, 2.0, 3.0]])
