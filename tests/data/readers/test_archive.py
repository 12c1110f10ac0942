import logging
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runoff_lstm.data.readers.archive import (
    BasinSeries,
    check_gauge_ids,
    joined,
    one_series,
    read_side_by_side,
    the_only,
    wanted_basins,
)
from runoff_lstm.errors import InputError


def series(start, *values, name="prcp", **fixed):
    return BasinSeries(np.datetime64(start, "D"), {name: np.asarray(values, np.float32)}, fixed)


def read(by_gauge, **how):
    """What is read of a dict of series, faults among them."""

    def read_one(gauge_id):
        if isinstance(by_gauge[gauge_id], Exception):
            raise by_gauge[gauge_id]
        return by_gauge[gauge_id]

    return read_side_by_side(list(by_gauge), read_one, **{"on_missing": "refuse", "observe": None, **how})


def days(*texts):
    return np.array(texts, dtype="datetime64[D]")


def test_days_that_a_file_leaves_out_are_nan_and_told(tmp_path, caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    one = one_series(days("2000-02-28", "2000-03-01"), {"prcp": np.array([1, 2], np.float32)}, tmp_path / "a.txt")
    np.testing.assert_array_equal(one.columns["prcp"], [1, np.nan, 2])
    assert "a.txt leaves out 1 day(s), the first 2000-02-29: they are missing" in caplog.text


@pytest.mark.parametrize("second", ["2000-01-01", "1999-12-31"])
def test_a_day_twice_or_out_of_order_is_refused(tmp_path, second):
    with pytest.raises(InputError, match=rf"a.txt: the day {second} is there twice or out of order"):
        one_series(days("2000-01-01", second), {"prcp": np.zeros(2, np.float32)}, tmp_path / "a.txt")


def test_a_file_without_a_row_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a.txt holds no row"):
        one_series(days(), {"prcp": np.zeros(0, np.float32)}, tmp_path / "a.txt")


def test_joined_series_keep_the_days_of_the_first():
    both = joined(series("2000-01-03", 1, 2, 3, area=5.0), series("2000-01-01", 7, 8, 9, name="discharge"))
    assert both.first == np.datetime64("2000-01-03")
    np.testing.assert_array_equal(both.columns["discharge"], [9, np.nan, np.nan])
    assert both.fixed == {"area": 5.0}
    apart = joined(series("2000-01-03", 1), series("1990-01-01", 7, name="discharge"))
    np.testing.assert_array_equal(apart.columns["discharge"], [np.nan])


def test_basins_of_different_years_stand_over_the_days_they_span_together():
    stacked = read(
        {"a": series("2000-01-03", 1, 2, area=1.0), "b": series("2000-01-01", 3, 4), "c": series("2000-01-06", 5, name="tmax")}
    )
    nan = np.nan
    assert stacked["basin"].values.tolist() == ["a", "b", "c"]
    assert pd.DatetimeIndex(stacked["time"].values).equals(pd.date_range("2000-01-01", "2000-01-06"))
    np.testing.assert_array_equal(stacked["prcp"], [[nan, nan, 1, 2, nan, nan], [3, 4, nan, nan, nan, nan], [nan] * 6])
    np.testing.assert_array_equal(stacked["tmax"], [[nan] * 6, [nan] * 6, [nan] * 5 + [5]])
    np.testing.assert_array_equal(stacked["area"], [1, nan, nan])


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), min_size=1, max_size=6))
def test_no_order_of_records_changes_what_a_basin_has(records):
    start = np.datetime64("2000-01-01")
    by_gauge = {str(n): series(start + begin, *range(n, n + length)) for n, (begin, length) in enumerate(records)}
    stacked = read(by_gauge)
    assert stacked["time"].values[0] == min(one.first for one in by_gauge.values())
    for gauge_id, one in by_gauge.items():
        found = stacked["prcp"].sel(basin=gauge_id).dropna("time")
        assert found["time"].values[0] == one.first
        np.testing.assert_array_equal(found, one.columns["prcp"])


def test_a_slow_file_does_not_change_the_order():
    def read_one(gauge_id):
        time.sleep(0.05 if gauge_id == "a" else 0)
        return series("2000-01-01", ord(gauge_id))

    stacked = read_side_by_side(["a", "b", "c"], read_one, on_missing="refuse", observe=None)
    assert stacked["prcp"].values[:, 0].tolist() == [97, 98, 99]


def test_progress_is_told_after_every_basin_a_skipped_one_too():
    seen = []
    read(
        {"a": series("2000-01-01", 1), "b": InputError("broken"), "c": series("2000-01-01", 1)},
        on_missing="skip",
        observe=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_first_fault_is_refused_with_the_number_of_the_others_and_the_way_out():
    faults = {"a": series("2000-01-01", 1), "b": InputError("b.txt is cut"), "c": OSError(13, "Permission denied", "c.txt")}
    with pytest.raises(InputError, match=r'^basin b: b.txt is cut; 1 more have faults; mend .* on_missing = "skip"$'):
        read(faults)


def test_skipped_basins_are_left_out_and_told(caplog):
    caplog.set_level(logging.INFO, "runoff_lstm")
    stacked = read(
        {"a": InputError("a.txt is cut"), "b": series("2000-01-01", 2), "c": OSError(13, "Permission denied", "c.txt")},
        on_missing="skip",
    )
    assert stacked["basin"].values.tolist() == ["b"]
    assert stacked["prcp"].values.tolist() == [[2]]
    assert "left out: basin a: a.txt is cut" in caplog.text
    assert "left out: basin c: c.txt cannot be read (Permission denied)" in caplog.text


def test_an_archive_of_which_no_basin_is_left_is_refused():
    with pytest.raises(InputError, match=r"no basin is left: basin a: a.txt is cut"):
        read({"a": InputError("a.txt is cut")}, on_missing="skip")


def test_another_word_for_missing_basins_is_refused():
    with pytest.raises(InputError, match="on_missing = 'ignore' is not known; there is refuse, skip"):
        read({"a": series("2000-01-01", 1)}, on_missing="ignore")


@pytest.mark.parametrize(
    ("gauge_ids", "message"),
    [
        ("01013500", r'gauge_ids is the text "01013500"; give a list'),
        ([], "gauge_ids is an empty list; name a basin"),
        (["01013500", 1022500], "gauge id 1022500 is a number, so leading zeros may be lost; write it as text"),
        (["a", "b", "a"], "gauge id 'a' is asked for twice; name it once"),
    ],
)
def test_lists_of_gauge_ids_that_could_be_misread_are_refused(gauge_ids, message):
    with pytest.raises(InputError, match=message):
        check_gauge_ids(gauge_ids)


def test_basins_are_read_in_the_order_asked_for_else_sorted():
    assert wanted_basins(("b", "a"), {"a", "b", "c"}) == ["b", "a"]
    assert wanted_basins(None, {"c", "a", "b"}) == ["a", "b", "c"]


def test_the_same_file_in_two_folders_is_one_and_two_that_differ_are_refused(tmp_path):
    first, second = tmp_path / "1.txt", tmp_path / "2.txt"
    first.write_text("1")
    second.write_text("1")
    assert the_only({"a": [first, second]}, "a", "series") == first
    second.write_text("2")
    with pytest.raises(InputError, match=r"1.txt and .*2.txt differ; keep the right one"):
        the_only({"a": [first, second]}, "a", "series")
    with pytest.raises(InputError, match="the archive has no series of it"):
        the_only({}, "a", "series")
