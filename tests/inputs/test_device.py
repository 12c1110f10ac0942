"""Threads: the limits of the process, the rule from the size of the work, the trial, and the pace of a training."""

import logging
import os

import pytest
import torch
from torch import nn

from runoff_lstm.errors import InputError
from runoff_lstm.inputs import device
from runoff_lstm.inputs.device import ONE_THREAD, Pace, ThreadCount, processors, threads_available, threads_by_rule, with_threads
from runoff_lstm.training.recipe import Recipe

CPU = torch.device("cpu")


@pytest.fixture
def eight(monkeypatch):
    """A process that may use eight processors, whatever this machine has; torch's number is given back."""
    before = torch.get_num_threads()
    monkeypatch.setattr(device, "processors", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(8)
    device._log_once.cache_clear()
    yield
    torch.set_num_threads(before)
    device._log_once.cache_clear()


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """Eight processors by affinity, and control groups as files; the function it gives writes them."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(device, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(device, "_OWN_CGROUPS", tmp_path / "own")

    def write(own: str, **files: str) -> None:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def layer_of(size: int, windows: int) -> nn.Module:
    """A module of size / windows weights."""
    return nn.Linear(size // windows, 1, bias=False)


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/jobs/mine\n", {"jobs/mine/cpu.max": "max 100000", "jobs/cpu.max": "300000 100000"}, 3),
        ("0::/elsewhere/of/the/host\n", {"cpu.max": "400000 100000"}, 4),
        ("3:cpuset:/\n2:cpu,cpuacct:/pod\n", {"cpu/pod/cpu.cfs_quota_us": "200000", "cpu/pod/cpu.cfs_period_us": "100000"}, 2),
        ("2:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("0::/\n", {"cpu.max": "something else\n"}, 8),
        ("no control group", {}, 8),
    ],
)
def test_a_quota_of_a_control_group_or_of_one_above_it_limits_the_processors(groups, own, files, expected):
    groups(own, **files)
    assert processors() == expected


def test_affinity_limits_the_processors_and_no_file_of_control_groups_is_no_fault(groups, monkeypatch):
    assert processors() == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 6})
    assert processors() == 3


@pytest.mark.parametrize(
    ("variable", "torch_has", "expected"), [("3", 8, 3), ("2,1", 8, 2), ("", 8, 8), ("many", 8, 8), ("6", 5, 5)]
)
def test_the_variable_and_what_torch_was_set_to_limit_the_threads(eight, monkeypatch, variable, torch_has, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    torch.set_num_threads(torch_has)
    assert threads_available() == expected


def test_the_threads_of_an_update_do_not_limit_those_of_the_validation_within_it(eight):
    with with_threads(1):
        assert torch.get_num_threads() == 1
        assert threads_available() == 8
        with with_threads(4):
            assert threads_available() == 8
    assert (torch.get_num_threads(), threads_available()) == (8, 8)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_thread_serves_all_work_up_to_the_limit_and_one_more_each_time_as_much(eight, precision):
    much = ONE_THREAD[precision]
    sizes = (1, much, much + 1, 2 * much, 2 * much + 1, 1000 * much)
    assert [threads_by_rule(size, precision) for size in sizes] == [1, 1, 2, 2, 3, 8]


def test_the_work_of_the_issue_takes_one_thread(eight):
    """256 units and 16 windows in bfloat16, which two threads made up to forty times as slow on a busy machine."""
    weights = sum(one.numel() for one in nn.LSTM(32, 256).parameters())
    assert threads_by_rule(16 * weights, "bfloat16") == 1


def test_a_number_is_taken_as_it_is_and_never_more_than_there_are(eight, caplog):
    assert ThreadCount(3, layer_of(10, 1), 1, device=CPU).count == 3
    assert not caplog.records
    for _ in range(2):
        assert ThreadCount(9, layer_of(10, 1), 1, device=CPU).count == 8
    assert [one.getMessage() for one in caplog.records] == ["threads = 9: 8 are available to this process, and no more are used"]


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({1: 1.0, 2: 0.6, 4: 0.55, 8: 0.54}, 2),
        ({1: 1.0, 2: 0.8, 4: 0.9, 8: 5.0}, 1),
        ({1: 1.0, 2: 0.9, 4: 0.7, 8: 0.3}, 8),
    ],
)
def test_auto_times_the_first_passes_and_takes_more_threads_where_they_are_worth_it(eight, monkeypatch, seconds, expected):
    clock, seen = Clock(), []
    monkeypatch.setattr(device, "time", clock)
    chosen = ThreadCount("auto", layer_of(10, 1), 1, device=CPU)
    for _ in range(4 * (device.TRIES + 1) + 3):
        with chosen.one_pass():
            seen.append(torch.get_num_threads())
            clock.now += seconds[seen[-1]] * (100 if len(seen) <= 4 else 1)  # the first round warms up
    assert seen[:5] == [1, 2, 4, 8, 1]
    assert chosen.settled
    assert seen[-3:] == [expected] * 3


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", "many", True])
def test_what_is_no_number_of_threads_is_refused(threads):
    with pytest.raises(
        InputError, match=r'threads = .* is no number of threads; give a whole number from 1 on, such as 1, or "auto"'
    ):
        Recipe(steps=1, threads=threads)


def told(seconds: list[float], caplog, threads: int = 1) -> list[str]:
    pace = Pace()
    with caplog.at_level(logging.WARNING):
        for update, one in enumerate(seconds, 1):
            pace.add(one, update=update, threads=threads)
    return [record.getMessage() for record in caplog.records]


def test_updates_that_become_several_times_slower_are_told_once_with_what_helps(caplog):
    (line,) = told([9.0] * 5 + [0.06] * 30 + [2.4] * 60, caplog, threads=2)
    assert line.startswith("update 46: updates take 2.4 s, the first ones took 0.06 s: the machine is busy; ")
    assert "resume with --threads 1" in line


def test_on_one_thread_another_remedy_is_told(caplog):
    (line,) = told([0.06] * 25 + [0.5] * 20, caplog)
    assert line.endswith("fewer programs or --workers at a time help")


@pytest.mark.parametrize(
    "seconds",
    [
        [0.06] * 25 + [0.2] * 40,  # not several times
        [0.001] * 25 + [0.005] * 40,  # nothing is lost by it
        [0.06] * 25 + [0.06, 2.4] * 9 + [0.06] * 40,  # some, not most
        [2.4] * 60,
    ],
)
def test_a_pace_that_holds_is_not_told(caplog, seconds):
    assert told(seconds, caplog) == []


def test_the_processors_of_this_machine_are_counted():
    assert 1 <= processors() <= (os.cpu_count() or 1)
