import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import small_jobs
import xarray as xr

from runoff_lstm.errors import InputError
from runoff_lstm.runs import workers
from runoff_lstm.runs.workers import run_beside

ROOT = Path(__file__).parents[1]
LARGE = "x" * 1_000_000
"""More than a pipe holds, so that whoever writes it waits for the reader."""


def beside(job, asked, tmp_path, *, shared=("ab", "c"), workers=2):
    """The reports of each job; nothing may be left of the shared data, and no process."""
    told = {label: [] for label in asked}
    started = time.monotonic()
    try:
        run_beside(
            job,
            asked,
            shared,
            scratch=tmp_path / ".data",
            workers=workers,
            observe=lambda label, report: told[label].append(report),
        )
    finally:
        assert not (tmp_path / ".data").exists()
        assert time.monotonic() - started < 30
    return told


def test_every_job_is_done_once_and_its_last_report_arrives(tmp_path):
    told = beside(small_jobs.report_sum, {"one": 5, "two": 9, "three": 1, "four": 0}, tmp_path)
    assert {label: reports[-1:] for label, reports in told.items()} == {
        "one": [(4, 3)],
        "two": [(8, 3)],
        "three": [(0, 3)],
        "four": [],
    }


@pytest.mark.parametrize("when", ["start", "middle", "end", "exit"])
def test_a_parent_says_which_job_has_died_whenever_it_dies_and_ends_the_others(tmp_path, when):
    code = 3 if when == "exit" else -9
    with pytest.raises(ChildProcessError, match=rf"^two was ended .* \(exit code {code}\); .* take fewer workers, and resume$"):
        beside(small_jobs.die, {"one": "wait", "two": when}, tmp_path)


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.1, 0.3])
def test_a_process_killed_while_it_starts_is_noticed_however_much_it_has_not_read(tmp_path, monkeypatch, seconds):
    start = subprocess.Popen

    def start_and_kill(*arguments, **options):
        process = start(*arguments, **options)
        threading.Timer(seconds, process.kill).start()
        return process

    monkeypatch.setattr(workers.subprocess, "Popen", start_and_kill)
    with pytest.raises(ChildProcessError, match=r"one was ended from outside or by a fault \(exit code -9\)"):
        beside(small_jobs.die, {"one": "wait", LARGE: "wait"}, tmp_path, shared=[LARGE] * 3, workers=1)


@pytest.mark.parametrize(
    ("program", "message"), [("/nowhere/python", "one could not be started"), ("/bin/false", r"one was ended .*exit code 1")]
)
def test_a_process_that_cannot_start_is_named(tmp_path, monkeypatch, program, message):
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(ChildProcessError, match=message):
        beside(small_jobs.report_sum, {"one": 1, "two": 1}, tmp_path)


def test_what_a_job_refuses_is_told_as_it_is_and_what_else_it_raises_by_its_label(tmp_path):
    with pytest.raises(InputError, match=r"^b\.nc is not there") as refused:
        beside(small_jobs.refuse, {"one": "b.nc"}, tmp_path)
    assert "small_jobs.py" in refused.value.__notes__[0]
    with pytest.raises(ChildProcessError, match=r"^one: failed with KeyError \('b'\)"):
        beside(small_jobs.fail, {"one": "b"}, tmp_path)


def test_what_the_parent_raises_ends_the_jobs_and_removes_the_shared_data(tmp_path):
    def stop(label, report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_beside(small_jobs.report_sum, {"one": 2, "two": 2}, [], scratch=tmp_path / ".data", workers=2, observe=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_is_shared_to_the_last_bit_and_every_job_may_change_its_own(tmp_path):
    random = np.random.default_rng(0)
    dataset = xr.Dataset(
        {
            "flow": (("basin", "time"), random.normal(size=(3, 50)).astype("float32"), {"units": "days", "scale": np.float64(0.1)}),
            "turned": (("time", "basin"), random.normal(size=(3, 50)).T),
            "count": ("basin", [1, 2, 3], {}),
        },
        coords={"basin": ["01", "02", "ä3"], "time": np.arange("2000-01-01", "2000-02-20", dtype="datetime64[D]").astype("M8[ns]")},
        attrs={"made": True, "of": None},
    )
    dataset["flow"].encoding = {"dtype": "int16", "scale_factor": 0.1}
    with workers._shared(dataset, tmp_path / "data") as shared:
        assert len(shared.rest) < 10_000
        again = shared.load()
        xr.testing.assert_identical(again, dataset)
        assert again["flow"].encoding == dataset["flow"].encoding
        again["flow"][:] = 0
        xr.testing.assert_identical(shared.load(), dataset)
    array = np.ones(4)
    assert beside(small_jobs.write_into, {"one": 0, "two": 0}, tmp_path, shared=array, workers=1) == {"one": [4.0], "two": [4.0]}
    assert array.sum() == 4


def test_a_script_is_not_run_again_with_or_without_a_guard_or_from_standard_input(tmp_path):
    script = f"""
import small_jobs
from pathlib import Path
from runoff_lstm.runs.workers import run_beside
SCRIPT = True
run_beside(small_jobs.write_names, {{"one": {str(tmp_path / "x")!r}, "two": {str(tmp_path / "x")!r}}}, [],
           scratch=Path({str(tmp_path / "data")!r}), workers=2, observe=print)
"""
    (tmp_path / "script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    for call, given in (([sys.executable, str(tmp_path / "script.py")], None), ([sys.executable, "-"], script)):
        done = subprocess.run(call, input=given, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("no message")) == (0, "", 2)
        assert "Traceback" not in done.stderr
        groups = {}
        for label in ("one", "two"):
            groups[label], main = (tmp_path / label).read_text().split()
            assert main == "False"
            (tmp_path / label).unlink()
        assert groups["one"] != groups["two"]  # so that an interrupt at the terminal reaches the parent alone


def test_processes_end_with_a_killed_parent_and_remove_the_shared_data(tmp_path):
    script = f"""
import small_jobs
from pathlib import Path
from runoff_lstm.runs.workers import run_beside
run_beside(small_jobs.die, dict(one="wait", two="wait"), [1], scratch=Path({str(tmp_path / "data")!r}), workers=2, observe=print)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE) as parent:
        wait_until((tmp_path / "data").exists)
        time.sleep(0.5)
        parent.send_signal(signal.SIGKILL)
        assert parent.stderr.read() == b""  # at its end no process holds the pipe
    wait_until(lambda: not (tmp_path / "data").exists())


def wait_until(true):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
