import numpy as np
import pandas as pd
import pytest
from conftest import make_basins
from small_archives import flow_file, flow_text, write, write_camels_us

from runoff_lstm.data.inventory import inventory
from runoff_lstm.data.periods import Period, Stretches
from runoff_lstm.data.readers import read_camels_us
from runoff_lstm.inputs.checks import unusable_basins


@pytest.fixture
def four_days_of_two():
    """Ten days of two basins, of which the second is observed on no day."""
    basins = make_basins("01013500", "02064000", days=10)
    flow = np.full((2, 10), np.nan, "float32")
    flow[0, [1, 2, 5, 7]] = [3, 0, 2, 1]
    return basins.assign(discharge=basins["discharge"].copy(data=flow))


def test_first_and_last_day_gaps_and_zero_flow_are_told_by_gauge(four_days_of_two):
    found = inventory(four_days_of_two)
    assert found.index.tolist() == ["01013500", "02064000"]
    assert found.index.name == "gauge_id"
    row = found.loc["01013500"]
    assert (row["first"], row["last"]) == (pd.Timestamp("2000-01-02"), pd.Timestamp("2000-01-08"))
    assert (row["observed"], row["missing"], row["longest_gap"], row["zero_flow"]) == (4, 3, 2, 0.25)


def test_a_basin_without_an_observation_has_no_record(four_days_of_two):
    row = inventory(four_days_of_two).loc["02064000"]
    assert pd.isna(row["first"])
    assert pd.isna(row["last"])
    assert pd.isna(row["zero_flow"])
    assert (row["observed"], row["missing"], row["longest_gap"]) == (0, 0, 0)


def test_a_record_without_a_gap_has_none():
    found = inventory(make_basins("01013500", days=10)).iloc[0]
    assert (found["observed"], found["missing"], found["longest_gap"], found["forcing_missing"]) == (10, 0, 0, 0)


def test_days_on_which_any_forcing_is_missing_are_counted_once(basins):
    rain, temperature = basins["rain"].copy(), basins["temperature"].copy()
    rain[1, :3], temperature[1, 2:5] = np.nan, np.nan
    assert inventory(basins.assign(rain=rain, temperature=temperature))["forcing_missing"].tolist() == [0, 5, 0]


def test_attributes_without_a_value_are_counted(basins):
    leak = basins["leak"].copy(data=[1, np.nan, 2])
    assert inventory(basins.assign(leak=leak, name=("basin", ["a", "b", "c"])))["attributes_missing"].tolist() == [0, 1, 0]
    assert "attributes_missing" not in inventory(basins.drop_vars(["leak", "slope"]))


def test_without_discharge_the_forcing_is_still_told(basins):
    assert inventory(basins.drop_vars("discharge")).columns.tolist() == ["forcing_missing", "attributes_missing"]


def test_sentinels_and_flags_of_an_archive_are_told_by_gauge(tmp_path):
    write_camels_us(tmp_path, "01013500", "02064000")
    write(flow_file(tmp_path, "02064000"), flow_text("02064000", flags="AMMAeeeA"))
    found = inventory(read_camels_us(tmp_path))
    assert found["set_missing"].tolist() == [0, 2]
    assert found["discharge_estimated"].tolist() == [0, 3]
    assert found["missing"].tolist() == [0, 2]


def test_basins_that_cannot_be_trained_on_are_told_with_a_reason(basins):
    rain, flow, leak = basins["rain"].copy(), basins["discharge"].copy(), basins["leak"].copy()
    flow[0, :366], rain[1, :366], leak[2] = np.nan, np.nan, np.nan
    basins = basins.assign(rain=rain, discharge=flow, leak=leak)
    year = Period("2000-01-01", "2000-12-31")
    faults = unusable_basins(basins, year, forcing=["rain"], static_attributes=["leak"])
    assert faults == {
        "01013500": f"no discharge is observed in the training period {year}",
        "01022500": f"no day of the training period {year} has all forcing",
        "02064000": "attribute leak is missing",
    }
    assert unusable_basins(basins, Period("2001-01-01", "2001-10-31"), forcing=["rain"], static_attributes=[]) == {}
    stretches = Stretches((Period("2000-01-01", "2000-06-30"), Period("2001-01-01", "2001-10-31")))
    assert unusable_basins(basins, stretches, forcing=["rain"], static_attributes=[]) == {}
