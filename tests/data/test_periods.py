import datetime
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runoff_lstm.data.periods import Period, Stretches, period_of
from runoff_lstm.data.splits import Periods, temporal_folds, ungauged_folds
from runoff_lstm.errors import InputError

DAYS = pd.date_range("2000-01-01", "2000-12-31")


def test_both_ends_are_included():
    steps = Period("2000-02-01", "2000-02-03").steps(DAYS)
    assert DAYS[steps].strftime("%d").tolist() == ["01", "02", "03"]


def test_an_end_date_includes_its_whole_day_of_hours():
    hours = pd.date_range("2000-01-01", periods=72, freq="h")
    assert len(hours[Period("2000-01-02", "2000-01-02").steps(hours)]) == 24


def test_an_end_with_a_time_of_day_ends_there():
    hours = pd.date_range("2000-01-01", periods=72, freq="h")
    assert len(hours[Period("2000-01-02 00:00", "2000-01-02 05:00").steps(hours)]) == 6


def test_the_label_slice_selects_the_same_steps_as_the_positions():
    series = pd.Series(range(len(DAYS)), index=DAYS)
    period = Period("2000-02-01", "2000-03-31")
    assert series.loc[period.label_slice].tolist() == series.iloc[period.steps(DAYS)].tolist()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_any_resolution_of_the_time_axis_is_understood(unit):
    assert Period("2000-02-01", "2000-02-03").steps(DAYS.as_unit(unit)) == slice(31, 34)


@pytest.mark.parametrize("dates", [("1999-12-31", "2000-02-01"), ("2000-12-01", "2001-01-01"), ("1990-01-01", "1991-01-01")])
def test_a_period_outside_the_data_is_refused_with_the_dates_of_the_data(dates):
    with pytest.raises(InputError, match="not inside the data, which run from 2000-01-01 to 2000-12-31"):
        Period(*dates).steps(DAYS)


def test_a_period_that_ends_before_it_starts_is_refused():
    with pytest.raises(InputError, match="ends before it starts"):
        Period("2000-02-01", "2000-01-01")


@pytest.mark.parametrize(
    ("date", "message"),
    [
        ("01/13/2000x", "is not a date"),
        ("01/10/1999", "'01/10/1999' is not a date; write it as 1999-10-01"),
        ("1999", "is not a date"),
        ("1999-10", "is not a date"),
        (1999, "1999 is not a date"),
        ("today", "is not a date"),
        ("2000-01-01T00:00Z", "time zone"),
        ("", "empty|not a date"),
        (pd.NaT, "empty date"),
    ],
)
def test_what_is_not_a_plain_date_is_refused(date, message):
    with pytest.raises(InputError, match=message):
        Period(date, "2000-02-01")


AROUND = Stretches((Period("2000-01-01", "2000-03-31"), Period("2000-10-01", "2000-12-31")))


def test_stretches_are_the_steps_of_each_and_none_between():
    inside = DAYS[AROUND.positions(DAYS)]
    assert set(DAYS) - set(inside) == set(pd.date_range("2000-04-01", "2000-09-30"))
    assert inside.is_monotonic_increasing
    assert inside.is_unique
    assert AROUND.labels(DAYS).equals(inside)
    assert AROUND.last_moment == AROUND.parts[1].last_moment
    assert DAYS[AROUND.parts[0].positions(DAYS)].equals(pd.date_range("2000-01-01", "2000-03-31"))


def test_training_in_stretches_may_surround_the_test_and_not_touch_it():
    periods = Periods(train=AROUND, test=Period("2000-04-01", "2000-09-30"))
    periods.check(DAYS)
    for dates in (("2000-03-31", "2000-09-30"), ("2000-04-01", "2000-10-01"), ("2000-11-01", "2000-11-02")):
        with pytest.raises(
            InputError, match=r"train period \(2000-01-01 to 2000-03-31 and 2000-10-01 to .*\) and the test .* overlap"
        ):
            Periods(train=AROUND, test=Period(*dates))
        assert Period(*dates).overlaps(AROUND)
    assert not periods.test.overlaps(AROUND)
    later = Stretches((Period("2000-01-01", "2000-03-31"), Period("2000-10-01", "2001-12-31")))
    with pytest.raises(InputError, match=r"\[periods\] train: the period 2000-10-01 to 2001-12-31 is not inside the data"):
        Periods(train=later).check(DAYS)


def test_what_are_no_stretches_is_refused():
    one, two = AROUND.parts
    with pytest.raises(InputError, match="two periods or more"):
        Stretches((one,))
    with pytest.raises(
        InputError, match="2000-01-01 to 2000-03-31 does not come after 2000-10-01 to 2000-12-31; put them in order"
    ):
        Stretches((two, one))
    with pytest.raises(InputError, match="without overlap"):
        Stretches((one, Period("2000-03-31", "2000-05-01")))
    with pytest.raises(InputError, match="one training period, not through 2000-01-01 to 2000-03-31 and 2000-10-01"):
        temporal_folds(AROUND, 2)


def test_a_period_is_read_from_a_pair_of_dates_or_from_several_pairs():
    pairs = [["2000-01-01", "2000-03-31"], ["2000-10-01", "2000-12-31"]]
    assert period_of(pairs) == AROUND
    assert period_of(pairs[0]) == period_of(pairs[:1]) == AROUND.parts[0]


def test_overlapping_periods_are_refused_by_their_names():
    with pytest.raises(InputError, match=r"the train period \(.*\) and the test period \(.*\) overlap"):
        Periods(train=Period("2000-01-01", "2000-06-30"), test=Period("2000-06-30", "2000-12-31"))


def test_neighbouring_periods_do_not_overlap():
    periods = Periods(train=Period("2000-01-01", "2000-06-29"), test=Period(datetime.date(2000, 6, 30), "2000-12-31"))
    assert list(periods.named()) == ["train", "test"]


def test_the_period_outside_the_data_is_named():
    periods = Periods(train=Period("2000-01-01", "2000-06-29"), test=Period("2000-07-01", "2001-12-31"))
    with pytest.raises(InputError, match=r"\[periods\] test"):
        periods.check(DAYS)


@given(count=st.integers(2, 60), number=st.integers(2, 12), seed=st.integers(0, 1000))
def test_every_basin_is_in_exactly_one_fold_of_nearly_equal_size(count, number, seed):
    gauge_ids = [f"{place:08d}" for place in range(count)]
    if number > count:
        with pytest.raises(InputError, match=f"{count} basins cannot be split into {number} folds; choose from 2 to {count}"):
            ungauged_folds(gauge_ids, number, seed=seed)
        return
    folds = ungauged_folds(gauge_ids, number, seed=seed)
    assert sorted(gauge_id for fold in folds for gauge_id in fold) == gauge_ids
    sizes = [len(fold) for fold in folds]
    assert len(sizes) == number
    assert max(sizes) - min(sizes) <= 1
    assert folds == ungauged_folds(gauge_ids, number, seed=seed)


def test_another_seed_draws_other_folds():
    gauge_ids = [f"{place:08d}" for place in range(40)]
    assert ungauged_folds(gauge_ids, 4, seed=1) != ungauged_folds(gauge_ids, 4, seed=2)
    assert list(ungauged_folds(gauge_ids, 4)[0]) != gauge_ids[::4]


@given(days=st.integers(2, 4000), number=st.integers(1, 12))
def test_walking_forward_nothing_later_than_the_test_is_trained_on_and_each_later_day_is_tested_once(days, number):
    whole = Period("1999-10-01", pd.Timestamp("1999-10-01") + pd.Timedelta(days - 1, "D"))
    if number >= days:
        with pytest.raises(InputError, match=f"cannot be cut into {number} folds; choose from 1 to {days - 1}"):
            temporal_folds(whole, number)
        return
    folds = temporal_folds(whole, number)
    assert len(folds) == number
    for fold in folds:
        assert fold.train.start == whole.start
        assert fold.train.end + pd.Timedelta(1, "D") == fold.test.start
        assert fold.validation is None
    for before, after in pairwise(folds):
        assert before.test.end == after.train.end
    assert folds[-1].test.end == whole.end
    lengths = [(fold.test.end - fold.test.start).days + 1 for fold in folds]
    lengths.append((folds[0].train.end - whole.start).days + 1)
    assert max(lengths) - min(lengths) <= 1


def test_no_fold_is_refused():
    with pytest.raises(InputError, match="cannot be cut into 0 folds"):
        temporal_folds(Period("2000-01-01", "2000-12-31"), 0)
    with pytest.raises(InputError, match="5 basins cannot be split into 1 folds"):
        ungauged_folds(list("abcde"), 1)
