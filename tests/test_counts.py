"""What a reader has counted is of the data, and in no output and no table that is made of them."""

import pytest
import xarray as xr
from conftest import make_basins

import runoff_lstm as rl

COUNTED = make_basins("a", "b", days=120).assign_coords(set_missing=("basin", [1, 2]), discharge_estimated=("basin", [0, 3]))
PERIODS = rl.Periods(train=("2000-01-20", "2000-03-15"), test=("2000-03-16", "2000-04-10"))


@pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning")
@pytest.mark.parametrize("lead_times", [0, 2])
def test_counts_of_a_reader_are_in_no_output(lead_times, tmp_path):
    inputs = rl.Inputs("rain", sequence_length=5, lead_times=lead_times)
    run = rl.train_run(
        tmp_path / "run",
        COUNTED,
        name="x",
        periods=PERIODS,
        inputs=inputs,
        recipe=rl.Recipe(steps=2, batch_size=8),
        architecture=rl.Architecture(hidden_sizes=2),
        observe=lambda _: None,
    )
    for path in (tmp_path / "run").glob("*.nc"):
        assert not {"set_missing", "discharge_estimated"} & set(names_of(path))
    made = run.model.forecast(COUNTED, period=PERIODS.test) if lead_times else run.model.simulate(COUNTED)
    assert list(made.to_dataframe().columns) == ["forecast" if lead_times else "simulated"]


def names_of(path):

    with xr.open_dataset(path) as opened:
        return list(opened.variables)


def test_a_baseline_carries_no_counts_into_a_table():
    assert list(rl.persistence(observed=COUNTED["discharge"]).to_dataframe(name="flow").columns) == ["flow"]
