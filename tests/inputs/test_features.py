import numpy as np
import pytest
import torch
from conftest import make_basins

from runoff_lstm.errors import InputError
from runoff_lstm.inputs.features import check_lags, hide_observed_discharge, input_names, with_made_inputs


def test_a_lag_is_the_discharge_of_earlier_steps_with_a_flag():
    dataset = make_basins("a", "b", days=10)
    dataset["discharge"][0, 3] = np.nan
    made = with_made_inputs(dataset, [0, 2], zero_flow=-0.5)
    observed = dataset["discharge"].values
    np.testing.assert_array_equal(made["discharge_lag_0"], np.nan_to_num(observed))
    np.testing.assert_array_equal(made["discharge_lag_2"][:, 2:], np.nan_to_num(observed)[:, :-2])
    assert made["discharge_lag_0_known"].values[0].tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    assert made["discharge_lag_2_known"].values[0].tolist() == [0, 0, 1, 1, 1, 0, 1, 1, 1, 1]
    assert made["discharge_lag_2"].values[0, 5] == made["discharge_lag_2_log"].values[0, 5] == 0
    np.testing.assert_allclose(made["discharge_lag_0_log"][1], np.log10(np.sqrt(observed[1] + 0.5) + 0.05), rtol=1e-5)
    assert all(made[name].dtype == np.float32 for name in input_names([0, 2]))


def test_no_lag_adds_nothing():
    dataset = make_basins("a", days=5)
    assert with_made_inputs(dataset, [], zero_flow=0.0).identical(dataset)


def test_the_season_goes_round_with_the_year():
    made = with_made_inputs(make_basins("a", "b", days=800), [], zero_flow=0.0, season=True)
    sin, cos = (made[f"season_{name}"] for name in ("sin", "cos"))
    np.testing.assert_allclose(sin**2 + cos**2, 1, rtol=1e-5)
    np.testing.assert_allclose(sin.sel(time="2000-03-31"), 1, atol=0.02)
    np.testing.assert_allclose(cos.sel(time="2001-07-02"), -1, atol=0.001)
    assert input_names([0], season=True)[:2] == ["season_sin", "season_cos"]


@pytest.mark.parametrize(("lags", "lead_times"), [([0], 0), ([-1], 7), ([1, 1], 0)])
def test_lags_that_show_the_target_or_the_future_or_come_twice_are_refused(lags, lead_times):
    with pytest.raises(InputError, match="discharge_lags"):
        check_lags(lags, lead_times=lead_times)


def test_a_gauge_made_silent_is_silent_at_every_lag_for_the_same_observations():
    steps, lags = 40, [0, 3]
    time = torch.arange(1.0, steps + 1)
    ones = torch.ones(steps)
    forcing = torch.stack([time, time, ones, ones, time + 7, ones, ones], dim=1).expand(200, -1, -1)
    hidden = hide_observed_discharge(forcing, lags, 0.5)
    assert torch.equal(hidden[..., 0], forcing[..., 0])
    for value in (1, 4):
        assert torch.equal(hidden[..., value] == 0, hidden[..., value + 1] == 0)
        assert torch.equal(hidden[..., value] == 0, hidden[..., value + 2] == 0)
    for row in hidden:
        silent = {int(observation) for observation in time[row[:, 3] == 0]}
        silent_at_lag = {int(step) - 3 for step in time[row[:, 6] == 0]}
        assert {one for one in silent_at_lag if one >= 1} == {one for one in silent if one <= steps - 3}
    share = (hidden[..., 3] == 0).any(1).float().mean()
    assert 0.35 < share < 0.6
    assert torch.equal(hide_observed_discharge(forcing, lags, 0.0), forcing)
