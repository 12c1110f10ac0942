import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import make_basins

from runoff_lstm.errors import InputError
from runoff_lstm.evaluation.baselines import climatology_forecast, persistence_forecast
from runoff_lstm.evaluation.lead_times import score_lead_times, summary_line
from runoff_lstm.evaluation.matching import observed_ahead, valid_times
from runoff_lstm.prediction.forecast import forecast_dataset, issue_dates, last_observed

STEP = pd.Timedelta(1, "D")
TRAIN = slice("2000-01-01", "2001-03-31")


@pytest.fixture
def observed():
    return make_basins("a", "b")["discharge"]


def make_forecast(observed, values=None, *, first=500, last=690, leads=3):
    issued = observed.indexes["time"][first : last + 1]
    shape = (observed.sizes["basin"], len(issued), leads)
    values = np.zeros(shape) if values is None else values
    made = forecast_dataset(values, basin=observed["basin"], issue_dates=issued, units="mm d-1", step=STEP)
    return made["forecast"]


def test_a_forecast_is_a_cf_dataset_that_comes_back_from_a_file(observed, tmp_path):
    forecast = make_forecast(observed)
    forecast.to_dataset().to_netcdf(tmp_path / "f.nc")
    with xr.open_dataset(tmp_path / "f.nc") as back:
        assert back["forecast"].dims == ("basin", "issue_date", "lead_time")
        assert back["lead_time"].values.tolist() == [1, 2, 3]
        assert back["lead_time"].attrs["units"] == "d"
        assert back["issue_date"].attrs["standard_name"] == "forecast_reference_time"
        assert back["issue_date"].values[0] == observed["time"].values[500]


def test_each_forecast_is_held_against_its_valid_time_and_nothing_beyond_the_record(observed):
    forecast = make_forecast(observed, last=699)
    ahead = observed_ahead(observed, forecast)
    for place, lead in ((0, 1), (10, 3), (197, 2)):
        assert ahead.values[1, place, lead - 1] == observed.values[1, 500 + place + lead]
    assert np.isnan(ahead.values[:, -1]).all()
    assert np.isnan(ahead.values[:, -2, 1:]).all()
    assert np.isfinite(ahead.values[:, -2, 0]).all()


def test_valid_times_count_steps_from_the_issue_date():
    times = valid_times(pd.DatetimeIndex(["2000-02-28"]), 2, step=STEP)
    assert times.astype("datetime64[D]").astype(str).tolist() == [["2000-02-29", "2000-03-01"]]


def test_persistence_is_the_last_observation_up_to_the_issue_date(observed):
    observed[0, 510:513] = np.nan
    made = persistence_forecast(observed, make_forecast(observed))
    assert made.values[0, 0].tolist() == [observed.values[0, 500]] * 3
    assert made.values[0, 12].tolist() == [observed.values[0, 509]] * 3
    later = observed.copy()
    later[:, 506:] = 99.0
    assert persistence_forecast(later, make_forecast(observed))[:, :6].equals(made[:, :6])


def test_climatology_is_that_of_the_valid_time_and_of_the_training_period_alone(observed):
    forecast = make_forecast(observed, last=699)
    made = climatology_forecast(observed, forecast, train=TRAIN)
    day = pd.Timestamp(observed["time"].values[505])
    of_day = [
        value
        for time, value in zip(observed.indexes["time"], observed.values[0], strict=True)
        if time <= pd.Timestamp("2001-03-31") and (time.month, time.day) == (day.month, day.day)
    ]
    assert made.values[0, 3, 1] == pytest.approx(np.mean(of_day))
    assert made.notnull().all()
    later = observed.copy()
    later[:, 460:] = 99.0
    assert climatology_forecast(later, forecast, train=TRAIN).equals(made)


def test_scores_are_those_of_the_formulas_by_hand(observed):
    random = np.random.default_rng(0)
    forecast = make_forecast(observed)
    truth = observed_ahead(observed, forecast)
    forecast = truth + random.normal(0, 0.3, truth.shape).astype("float32")
    forecast.attrs = truth.attrs
    forecast[1, 5:20] = np.nan
    table = score_lead_times(forecast, observed=observed, train=TRAIN, name="lstm")
    assert table["model"].unique().tolist() == ["lstm", "persistence", "climatology"]
    assert len(table) == 3 * 2 * 3
    row = table[(table["model"] == "lstm") & (table["gauge_id"] == "b") & (table["lead_time"] == 2)].iloc[0]
    o, s = truth.values[1, :, 1].astype(float), forecast.values[1, :, 1].astype(float)
    kept = np.isfinite(s)
    o, s = o[kept], s[kept]
    p = persistence_forecast(observed, forecast).values[1, :, 1].astype(float)[kept]
    assert row["days"] == kept.sum() == 191 - 15
    assert row["RMSE"] == pytest.approx(np.sqrt(np.mean((s - o) ** 2)))
    assert row["NSE"] == pytest.approx(1 - np.sum((s - o) ** 2) / np.sum((o - o.mean()) ** 2))
    assert row["skill_persistence"] == pytest.approx(1 - np.mean((s - o) ** 2) / np.mean((p - o) ** 2))
    yard = table[(table["model"] == "persistence") & (table["gauge_id"] == "b") & (table["lead_time"] == 2)].iloc[0]
    assert yard["days"] == row["days"]
    assert yard["skill_persistence"] == pytest.approx(0)
    assert yard["skill_climatology"] > 0


def test_scores_by_month_and_season_of_the_issue_date_count_every_forecast_once(observed):
    forecast = make_forecast(observed)
    whole = score_lead_times(forecast, observed=observed, train=TRAIN)
    for by, many in (("month", 7), ("season", 3)):
        table = score_lead_times(forecast, observed=observed, train=TRAIN, by=by)
        own = table[table["model"] == "model"]
        assert own[by].nunique() == many
        days = own.groupby(["gauge_id", "lead_time"])["days"].sum()
        assert days.tolist() == whole[whole["model"] == "model"]["days"].tolist()
    assert set(own["season"]) == {"MAM", "JJA", "SON"}


def test_the_summary_line_pools_the_squared_errors():
    rows = [("lstm", "a", 1, 1.0, 10), ("lstm", "a", 2, 3.0, 30), ("lstm", "b", 1, 2.0, 10), ("lstm", "b", 2, 5.0, 10)]
    table = pd.DataFrame(rows, columns=["model", "gauge_id", "lead_time", "RMSE", "days"])
    pooled = np.median([np.sqrt((10 * 1 + 30 * 9) / 40), np.sqrt((4 + 25) / 2)])
    assert summary_line(table, "lstm") == f"lstm: [{pooled:.3f}] 1.500, 4.000"


def test_the_summary_line_says_of_how_many_basins_a_median_is_where_not_of_all():
    rows = [("lstm", "a", 1, 1.0, 10), ("lstm", "a", 2, np.nan, 0), ("lstm", "b", 1, 3.0, 10), ("lstm", "b", 2, np.nan, 0)]
    rows += [("lstm", "c", 1, np.nan, 0), ("lstm", "c", 2, np.nan, 0)]
    table = pd.DataFrame(rows, columns=["model", "gauge_id", "lead_time", "RMSE", "days"])
    assert summary_line(table, "lstm") == "lstm: [2.000 (of 2)] 2.000 (of 2), --"


def test_an_issue_date_that_the_record_does_not_have_is_refused(observed):
    forecast = make_forecast(observed)
    with pytest.raises(InputError, match=r"2001-05-15 is no time of the observations"):
        observed_ahead(observed[:, :500], forecast)


def ending(*last):
    """Basins whose discharge ends at these steps of 700."""
    dataset = make_basins(*"abc"[: len(last)])
    for basin, step in enumerate(last):
        dataset["discharge"][basin, step + 1 :] = np.nan
    return dataset


def test_the_issue_date_nobody_gave_is_the_last_step_observed_in_any_basin(caplog):
    caplog.set_level("INFO")
    dataset = ending(600, 650, -1)
    times = dataset.indexes["time"]
    assert (
        str(last_observed(dataset)) == str(last_observed(dataset.transpose())) == f"{times[650]:%Y-%m-%d} to {times[650]:%Y-%m-%d}"
    )
    said = caplog.text
    assert "issue date 2001-10-12: the last step with observed discharge; 49 more step(s), to 2001-11-30, have none" in said
    assert "2 of 3 basins were last observed before: a (2001-08-23), c (never)" in said
    caplog.clear()
    assert last_observed(ending(699)).start == times[699]
    assert "issue date 2001-11-30: the last step with observed discharge; the data end there" in caplog.text


def test_filled_discharge_is_not_observed():
    dataset = ending(600)
    mask = xr.zeros_like(dataset["discharge"], dtype=np.int8)
    mask[:, 590:601] = 1
    assert last_observed(dataset.assign(discharge_filled=mask)).start == dataset.indexes["time"][589]


def test_data_without_any_observed_discharge_have_no_last_step():
    with pytest.raises(InputError, match=r"no discharge is observed in the data.*give the issue date by --issue-date"):
        last_observed(ending(-1))
    with pytest.raises(InputError, match="the data have no discharge"):
        last_observed(ending(5).drop_vars("discharge"))


def test_issue_dates_are_those_asked_for_of_a_day_of_hours_the_last():
    days, hours = ending(600), make_basins("a", days=100, start="2000-01-01", freq="h")
    assert issue_dates(days) == last_observed(days)
    assert issue_dates(days, "2000-03-01").parts == (issue_dates(days, "2000-03-01", "2000-03-01").parts)
    assert issue_dates(days, "2000-03-01", "2000-03-05").end == pd.Timestamp("2000-03-05")
    assert issue_dates(hours, "2000-01-02").start == pd.Timestamp("2000-01-02 23:00")
    assert issue_dates(hours, "2000-01-02 05:00").start == pd.Timestamp("2000-01-02 05:00")
    with pytest.raises(InputError, match="the last issue date 2000-03-05 needs a first one"):
        issue_dates(days, None, "2000-03-05")
