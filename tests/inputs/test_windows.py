import numpy as np
import pytest
import torch
from conftest import make_basins
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from runoff_lstm.data.periods import Period, Stretches
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.batch import Batch
from runoff_lstm.inputs.windows import Windows

FORCING = ["rain", "temperature"]


def numbered(days=60, *gauge_ids, forcing_gaps=(), discharge_gaps=()):
    """Basins whose rain and discharge are the day's number, 1000 more for each next basin; gaps are (basin, day)."""
    dataset = make_basins(*(gauge_ids or ("a", "b")), days=days)
    count = np.arange(days, dtype=np.float32) + 1000 * np.arange(dataset.sizes["basin"], dtype=np.float32)[:, None]
    rain, discharge = count.copy(), count.copy()
    for place in forcing_gaps:
        rain[place] = np.nan
    for place in discharge_gaps:
        discharge[place] = np.nan
    return dataset.assign(rain=(("basin", "time"), rain), discharge=(("basin", "time"), discharge))


def visited(windows, *, seed=0, epoch=0):
    """(basin, day) of every target that counts, in the order of the epoch, and its discharge."""
    found = []
    for batch in windows.batches(windows.training_tiles(seed=seed, epoch=epoch), 7):
        k = batch.discharge.shape[1]
        for window, target in (~torch.isnan(batch.discharge[..., 0])).nonzero().tolist():
            day = int(batch.day[window]) - k + 1 + target
            found.append((int(batch.basin[window]), day, float(batch.discharge[window, target, 0])))
    return found


def test_strict_windows_equal_a_plain_loop_over_slices():
    dataset = numbered(40, forcing_gaps=[(0, 11)], discharge_gaps=[(1, 30)])
    windows = Windows(dataset, FORCING, sequence_length=5)
    expected = {}
    for basin in range(2):
        inputs = np.stack([dataset[name].values[basin] for name in FORCING], axis=1)
        for day in range(40):
            history = inputs[max(day - 4, 0) : day + 1]
            target = dataset["discharge"].values[basin, day]
            if len(history) == 5 and not np.isnan(history).any() and not np.isnan(target):
                expected[basin, day] = (history, target)
    seen = {}
    for batch in windows.batches(windows.training_tiles(seed=3, epoch=0), 16):
        for place in range(len(batch.basin)):
            seen[int(batch.basin[place]), int(batch.day[place])] = (batch.forcing[place].numpy(), batch.discharge[place, 0].item())
    assert seen.keys() == expected.keys()
    for key, (history, target) in expected.items():
        np.testing.assert_array_equal(seen[key][0], history)
        assert seen[key][1] == target


@settings(max_examples=60)
@given(
    days=st.integers(12, 60),
    length=st.integers(1, 10),
    k=st.integers(1, 25),
    gaps=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 59)), max_size=6),
    silent=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 59)), max_size=6),
    epoch=st.integers(0, 3),
)
def test_an_epoch_visits_every_valid_day_exactly_once(days, length, k, gaps, silent, epoch):
    inside = [[place for place in places if place[1] < days] for places in (gaps, silent)]
    dataset = numbered(days, forcing_gaps=inside[0], discharge_gaps=inside[1])
    complete = ~np.isnan(dataset["rain"].values)
    expected = [
        (basin, day, float(dataset["discharge"].values[basin, day]))
        for basin in range(2)
        for day in range(length - 1, days)
        if complete[basin, day - length + 1 : day + 1].all() and not np.isnan(dataset["discharge"].values[basin, day])
    ]
    if not expected:
        with pytest.raises(InputError):
            Windows(dataset, FORCING, sequence_length=length, targets_per_window=k)
        return
    windows = Windows(dataset, FORCING, sequence_length=length, targets_per_window=k)
    assert sorted(visited(windows, epoch=epoch)) == expected
    assert windows.n_targets == len(expected)


@settings(max_examples=40)
@given(length=st.integers(1, 10), k=st.integers(1, 25), gap=st.integers(0, 59), epoch=st.integers(0, 3))
def test_every_target_that_counts_has_its_own_history_and_no_gap_before_it(length, k, gap, epoch):
    windows = Windows(numbered(60, forcing_gaps=[(0, gap)]), FORCING, sequence_length=length, targets_per_window=k)
    for batch in windows.batches(windows.training_tiles(seed=1, epoch=epoch), 5):
        for window, target in (~torch.isnan(batch.discharge[..., 0])).nonzero().tolist():
            until = length - 1 + target
            rain = batch.forcing[window, : until + 1, 0].numpy()
            assert rain[-1] == batch.discharge[window, target]  # the day's own number
            np.testing.assert_array_equal(np.diff(rain), 1)  # an unbroken record up to it, of one basin
            assert len(rain) >= length


def test_the_last_day_and_the_first_valid_day_are_visited():
    for k in (1, 7, 100):
        days = [
            day for basin, day, _ in visited(Windows(numbered(60), FORCING, sequence_length=10, targets_per_window=k)) if basin == 0
        ]
        assert min(days) == 9
        assert max(days) == 59


def test_a_period_limits_the_targets_and_not_the_history():
    period = Period("2000-01-11", "2000-01-20")
    for k in (1, 4, 30):
        windows = Windows(numbered(60, "a"), FORCING, sequence_length=10, targets_per_window=k, period=period)
        assert sorted(day for _, day, _ in visited(windows)) == list(range(10, 20))


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not():
    windows = Windows(numbered(60), FORCING, sequence_length=5, targets_per_window=7)
    first, again, other = (visited(windows, seed=seed, epoch=epoch) for seed, epoch in ((1, 4), (1, 4), (1, 5)))
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)


def test_the_borders_of_shared_windows_move_with_the_epoch():
    windows = Windows(numbered(200, "a"), FORCING, sequence_length=5, targets_per_window=30)
    starts = {tuple(sorted(windows.training_tiles(seed=0, epoch=epoch).first.tolist())) for epoch in range(10)}
    assert len(starts) > 5


def test_what_is_left_out_is_counted_by_its_reason():
    dataset = numbered(60, forcing_gaps=[(0, 20)], discharge_gaps=[(1, 30), (1, 31)])
    coverage = Windows(dataset, FORCING, sequence_length=10, targets_per_window=5).coverage
    assert coverage.loc["a"].to_dict() == {"steps": 60, "used": 60 - 9 - 10, "without_history": 9 + 10, "without_discharge": 0}
    assert coverage.loc["b"].to_dict() == {"steps": 60, "used": 60 - 9 - 2, "without_history": 9, "without_discharge": 2}


def test_calendar_tiles_do_not_move_with_the_period():
    dataset = numbered(60, "a")
    whole = Windows(dataset, FORCING, target=None, sequence_length=5, targets_per_window=7).calendar_tiles()
    part = Windows(
        dataset, FORCING, target=None, sequence_length=5, targets_per_window=7, period=Period("2000-01-20", "2000-02-10")
    ).calendar_tiles()
    assert set(part.first.tolist()) < set(whole.first.tolist())


def test_skipping_batches_goes_on_where_the_epoch_was_left():
    windows = Windows(numbered(60), FORCING, sequence_length=5)
    tiles = windows.training_tiles(seed=0, epoch=0)
    whole, rest = list(windows.batches(tiles, 8)), list(windows.batches(tiles, 8, skip=3))
    assert [batch.day.tolist() for batch in rest] == [batch.day.tolist() for batch in whole[3:]]


def test_static_attributes_come_with_their_basin():
    windows = Windows(numbered(60), FORCING, static_attributes=["slope", "leak"], sequence_length=5)
    batch = windows.gather(windows.training_tiles(seed=0, epoch=0)[:20])
    slopes = numbered(60)["slope"].values[batch.basin.numpy()]
    np.testing.assert_array_equal(batch.static_attributes[:, 0].numpy(), slopes)


def test_data_in_host_memory_give_the_same_batches():
    batches = [
        windows.gather(windows.training_tiles(seed=0, epoch=0)[:9])
        for windows in (Windows(numbered(60), FORCING, sequence_length=5, storage=storage) for storage in ("device", "host"))
    ]
    assert torch.equal(batches[0].forcing, batches[1].forcing)


def test_the_index_takes_at_most_16_bytes_a_window():
    for k in (1, 3):
        tiles = Windows(numbered(60), FORCING, sequence_length=5, targets_per_window=k).training_tiles(seed=0, epoch=0)
        assert sum(one.nbytes for one in vars(tiles).values()) <= 16 * len(tiles)


def test_runs_are_whole_stretches_of_complete_forcing():
    windows = Windows(numbered(60, forcing_gaps=[(0, 20)]), FORCING, sequence_length=5)
    runs = {(int(one), first, batch.forcing.shape[1]) for basin, first, batch in windows.runs() for one in basin}
    assert runs == {(0, 0, 20), (0, 21, 39), (1, 0, 60)}


def test_runs_end_with_the_period_and_begin_before_it():
    windows = Windows(
        numbered(60, forcing_gaps=[(0, 20), (0, 50)]), FORCING, sequence_length=5, period=Period("2000-02-01", "2000-02-10")
    )
    runs = {(int(one), first, batch.forcing.shape[1]) for basin, first, batch in windows.runs() for one in basin}
    assert runs == {(0, 0, 20), (0, 21, 20), (1, 0, 41)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sequence_length": 61}, "sequence_length is 61 steps, the record has 60"),
        ({"sequence_length": 0}, "sequence_length must be at least 1"),
        ({"targets_per_window": 2**15}, "targets_per_window from 1 to 32767"),
        (
            {"sequence_length": 30, "period": Period("2000-01-01", "2000-01-20")},
            "no day has 30 steps of complete forcing before it",
        ),
    ],
)
def test_what_cannot_be_predicted_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Windows(numbered(60), FORCING, **arguments)


@pytest.mark.parametrize("lead_times", [0, 3])
def test_between_stretches_nothing_is_a_target_and_no_forecast_reaches_in(lead_times):
    period = Stretches((Period("2000-01-11", "2000-01-20"), Period("2000-02-05", "2000-02-14")))
    options = {"sequence_length": 5, "targets_per_window": 4, "lead_times": lead_times}
    windows = Windows(numbered(60), FORCING, period=period, **options)
    wanted = [day for first, last in ((10, 19), (35, 44)) for day in range(first, last + 1 - lead_times)]
    assert np.flatnonzero(windows.in_period).tolist() == wanted
    parts = [Windows(numbered(60), FORCING, period=one, **options) for one in period.parts]
    assert windows.n_targets == sum(one.n_targets for one in parts)
    learned, expected = (
        sorted(
            value
            for part in some
            for batch in part.batches(part.training_tiles(seed=0, epoch=0), 3)
            for value in batch.discharge[~batch.discharge.isnan()].tolist()
        )
        for some in ([windows], parts)
    )
    assert learned == expected


def test_a_period_without_observations_is_refused():
    dataset = numbered(60)
    with pytest.raises(InputError, match="no discharge is observed on a day with enough history"):
        Windows(dataset.assign(discharge=dataset["discharge"] * np.nan), FORCING, sequence_length=5)


def test_a_missing_attribute_is_refused_by_basin_and_name():
    dataset = numbered(60)
    with pytest.raises(InputError, match="basin b: attribute slope is missing"):
        Windows(
            dataset.assign(slope=dataset["slope"].where(dataset["basin"] == "a")),
            FORCING,
            static_attributes=["slope"],
            sequence_length=5,
        )


def test_a_batch_of_the_wrong_shape_is_refused():
    one = torch.zeros(3)
    with pytest.raises(ValueError, match="a batch is"):
        Batch(torch.zeros(3, 5, 2), torch.zeros(3, 0), torch.zeros(3, 5), one, one)
    with pytest.raises(ValueError, match="more targets than steps"):
        Batch(torch.zeros(3, 5, 2), torch.zeros(3, 0), torch.zeros(3, 6, 1), one, one)


def test_a_value_that_is_not_finite_is_named_by_basin_day_and_variable():
    dataset = numbered(60)
    dataset["temperature"][1, 33] = np.inf
    windows = Windows(dataset, FORCING, sequence_length=5, targets_per_window=4)
    found = [windows.find_non_finite(batch) for batch in windows.batches(windows.training_tiles(seed=0, epoch=0), 5)]
    assert {one for one in found if one} == {"basin b, 2000-02-03: temperature is inf (scaled)"}


@settings(max_examples=60)
@given(
    length=st.integers(1, 8),
    k=st.integers(1, 12),
    leads=st.integers(1, 5),
    gaps=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 49)), max_size=4),
    silent=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 49)), max_size=6),
    future=st.booleans(),
)
def test_every_issue_date_comes_once_with_what_follows_it_inside_the_period(length, k, leads, gaps, silent, future):
    dataset = numbered(50, forcing_gaps=gaps, discharge_gaps=silent)
    rain, discharge = dataset["rain"].values, dataset["discharge"].values
    period, first, last = Period("2000-01-11", "2000-02-09"), 10, 39
    expected = {}
    for basin in range(2):
        for day in range(first, last - leads + 1):
            ahead = slice(day + 1, day + 1 + leads)
            history = day - length + 1 >= 0 and not np.isnan(rain[basin, day - length + 1 : day + 1]).any()
            known = not (future and np.isnan(rain[basin, ahead]).any())
            if history and known and not np.isnan(discharge[basin, ahead]).all():
                expected[basin, day] = discharge[basin, ahead]
    options = {"sequence_length": length, "targets_per_window": k, "lead_times": leads, "period": period}
    options |= {"future_forcing": ["rain"] if future else []}
    if not expected:
        with pytest.raises(InputError):
            Windows(dataset, FORCING, **options)
        return
    windows = Windows(dataset, FORCING, **options)
    assert windows.n_targets == len(expected)
    for tiles in (windows.training_tiles(seed=0, epoch=1), windows.calendar_tiles()):
        found = {}
        for batch in windows.batches(tiles, 7):
            assert batch.discharge.shape[1:] == (k, leads)
            for window, target in (~torch.isnan(batch.discharge)).any(2).nonzero().tolist():
                basin, day = int(batch.basin[window]), int(batch.day[window]) - k + 1 + target
                assert (basin, day) not in found
                found[basin, day] = batch.discharge[window, target].numpy()
                np.testing.assert_array_equal(
                    batch.forcing[window, target : target + length, 0], rain[basin, day - length + 1 : day + 1]
                )
                if future:
                    np.testing.assert_array_equal(
                        batch.future[window, target : target + leads, 0], rain[basin, day + 1 : day + 1 + leads]
                    )
        assert found.keys() == expected.keys()
        for place, values in expected.items():
            np.testing.assert_array_equal(found[place], values)


def test_a_forecast_without_observations_is_issued_up_to_the_last_step_of_the_record():
    windows = Windows(numbered(30), FORCING, target=None, sequence_length=5, targets_per_window=4, lead_times=3)
    days = sorted({int(tiles) for tiles in windows.calendar_tiles().first + windows.calendar_tiles().stop - 1})
    assert days[-1] == 29
    ahead = Windows(
        numbered(30), FORCING, target=None, sequence_length=5, targets_per_window=4, lead_times=3, future_forcing=["rain"]
    )
    assert max(ahead.calendar_tiles().first + ahead.calendar_tiles().stop - 1) == 26


def test_the_forcing_of_the_next_step_can_be_a_target_beside_discharge():
    dataset = numbered(40)
    options = {"sequence_length": 5, "targets_per_window": 6, "lead_times": 1, "also_predict": ["temperature"]}
    windows = Windows(dataset, FORCING, **options)
    for batch in windows.batches(windows.training_tiles(seed=0, epoch=0), 5):
        for window, target in (~torch.isnan(batch.discharge[..., 0])).nonzero().tolist():
            basin, day = int(batch.basin[window]), int(batch.day[window]) - 5 + target
            expected = [dataset[name].values[basin, day + 1] for name in ("discharge", "temperature")]
            assert batch.discharge[window, target].tolist() == expected


def test_a_period_no_longer_than_the_lead_times_and_a_forecast_of_forcing_too_short_are_refused():
    with pytest.raises(InputError, match="not longer than the 5 lead times"):
        Windows(numbered(40), FORCING, sequence_length=5, lead_times=5, period=Period("2000-01-11", "2000-01-15"))
    with pytest.raises(InputError, match="the forcing given as a forecast is not complete to lead time 5"):
        Windows(
            numbered(40), FORCING, target=None, sequence_length=5, lead_times=5, future_forcing=["rain"],
            period=Period("2000-02-07", "2000-02-07"),
        )  # fmt: skip


def test_the_bytes_of_index_and_data_are_those_of_the_arrays_held(basins):
    windows = Windows(basins, ["rain", "temperature"], static_attributes=["slope"], sequence_length=30)
    steps = 3 * 700
    one_run_a_basin = 3 * 3 * 8
    assert windows.index_bytes == 3 * steps + 700 + one_run_a_basin
    rows_after = windows.targets_per_window
    assert windows.data_bytes == 4 * (2 * (steps + rows_after) + (steps + rows_after) + 3)


def test_forcing_to_come_without_lead_times_is_refused(basin):
    with pytest.raises(InputError, match=r"future_forcing = \['rain'\] needs lead_times, such as lead_times = 7"):
        Windows(basin, ["rain"], future_forcing=["rain"])


@pytest.mark.parametrize("targets", [1, 7])
def test_windows_are_a_dataset_of_torch_that_holds_every_valid_step_once(basins, targets):
    windows = Windows(basins, ["rain", "temperature"], static_attributes=["slope"], sequence_length=30, targets_per_window=targets)
    loader = DataLoader(windows, batch_size=16, shuffle=True, collate_fn=Batch.joined)
    assert sum(int((~torch.isnan(batch.discharge)).sum()) for batch in loader) == windows.n_targets
    first = windows[0]
    assert first.forcing.shape == (1, 29 + targets, 2)
    for item, batch in zip(DataLoader(windows, batch_size=None), windows, strict=True):
        assert torch.equal(item.forcing, batch.forcing)
    assert torch.equal(windows[-1].day, windows[len(windows) - 1].day)
    with pytest.raises(IndexError, match="of"):
        windows[len(windows)]


def test_windows_say_what_they_are(basin):
    windows = Windows(basin, "rain", sequence_length=30, period=("2000-03-01", "2000-03-31"))
    assert repr(windows) == "<Windows: 31 of 31 valid steps, 1 basin(s), 30 steps of rain each, 2000-01-01 to 2001-11-30>"
