import datetime
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from conftest import make_basins
from safetensors.torch import load_file
from small_archives import flow_file, flow_text, write, write_camels_us, write_caravan
from small_commands import call, refused

from runoff_lstm import reference
from runoff_lstm.cli import app
from runoff_lstm.data.names import SOURCE
from runoff_lstm.data.readers import SOURCES, Source, read_camels_us, read_caravan, read_netcdf, write_dataset
from runoff_lstm.files import locked
from runoff_lstm.runs import folder as run_folder
from runoff_lstm.runs.run import train_run
from runoff_lstm.training.checkpoint import FORMAT

ROOT = Path(__file__).parents[1]
LEAF = ROOT / "catchments" / "leaf" / "leaf.toml"
QUICK = ["--set", "training.steps=6", "--set", "training.validate_every=3", "--set", "model.hidden_sizes=[8]", "--device", "cpu"]

pytestmark = pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning")


@pytest.fixture
def start():
    """A command as a process of its own, ended with the test at the latest; what it says of errors goes to a file."""
    started = []

    def start_one(*arguments, errors):
        command = [sys.executable, "-m", "runoff_lstm.cli", *map(str, arguments)]
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # the command would inherit that interrupts are ignored
        with errors.open("w") as file:
            started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=file))
        signal.signal(signal.SIGINT, before)
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def leaf_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "leaf"
    result = call("train", LEAF, "--run-dir", folder, *QUICK)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_train_prints_one_table_with_baselines_and_leaves_a_run_folder(leaf_run):
    folder, output = leaf_run
    assert re.search(r"│ NSE\s+│", output)
    for heading in ("model", "climatology", "persistence"):
        assert heading in output
    assert str(folder.name) in output
    assert (folder / "hydrograph.png").stat().st_size > 10_000
    assert pd.read_csv(folder / "history.csv")["update"].tolist() == [3, 6]


def test_the_number_of_threads_is_set_for_each_command_and_kept_by_the_run(leaf_run, tmp_path):
    result = call("train", LEAF, "--run-dir", tmp_path / "run", *QUICK, "--threads", 1)
    assert result.exit_code == 0, result.output
    assert tomllib.loads((tmp_path / "run" / "experiment.toml").read_text())["training"]["threads"] == 1
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["threads"] == 1
    assert call("resume", tmp_path / "run", "--threads", "auto", "--device", "cpu").exit_code == 0
    assert call("evaluate", tmp_path / "run", "--threads", 1, "--quiet").exit_code == 0


@pytest.mark.parametrize("threads", ["0", "many", "1.5", "-2"])
def test_what_is_no_number_of_threads_is_refused_by_every_command(leaf_run, tmp_path, threads):
    run, out = leaf_run[0], ["-o", tmp_path / "out.nc"]
    for command in (
        ["train", LEAF, "--run-dir", tmp_path / "new"],
        ["walk-forward", LEAF, "--run-dir", tmp_path / "new"],
        ["resume", run],
        ["evaluate", run],
        ["simulate", run, LEAF.with_suffix(".nc"), *out],
        ["forecast", run, LEAF.with_suffix(".nc"), *out],
    ):
        assert "is no number of threads; give a whole number from 1 on" in refused(*command, "--threads", threads)


def test_evaluate_scores_another_period(leaf_run):
    folder, _ = leaf_run
    result = call("evaluate", folder, "--period", "validation")
    assert result.exit_code == 0, result.output
    assert (folder / "validation_metrics.csv").exists()
    assert "no spring period; there is train, validation, test" in refused("evaluate", folder, "--period", "spring")


def test_evaluating_the_test_period_again_gives_the_same_scores(leaf_run, tmp_path):
    folder, _ = leaf_run
    before = (folder / "test_metrics.csv").read_text()
    assert call("evaluate", folder).exit_code == 0
    assert (folder / "test_metrics.csv").read_text() == before


def test_simulate_needs_the_model_and_forcing_alone(leaf_run, tmp_path):
    folder, _ = leaf_run
    with xr.open_dataset(ROOT / "catchments" / "leaf" / "leaf.nc") as leaf:
        leaf.drop_vars("discharge").to_netcdf(tmp_path / "forcing.nc")
        leaf.isel(basin=0).drop_vars("basin").to_dataframe().drop(columns="discharge").to_csv(tmp_path / "leaf.csv")
    expected = xr.open_dataset(folder / "test_simulation.nc")["simulated"]
    assert call("simulate", folder / "model.safetensors", tmp_path / "forcing.nc", "-o", tmp_path / "a.nc").exit_code == 0
    units = ["--unit", "precipitation=mm d-1", "--unit", "potential_evapotranspiration=mm d-1"]
    result = call("simulate", folder / "model.safetensors", tmp_path / "leaf.csv", "-o", tmp_path / "b.nc", *units)
    assert result.exit_code == 0, result.output
    for name in ("a.nc", "b.nc"):
        with xr.open_dataset(tmp_path / name) as out:
            np.testing.assert_allclose(out["simulated"].sel(time=expected["time"]).values, expected.values, atol=1e-5)
    expected.close()


def test_a_simulation_goes_on_from_the_state_of_another_to_the_bit(leaf_run, tmp_path):
    folder, whole = leaf_run[0], xr.open_dataset(LEAF.with_suffix(".nc")).load().isel(time=slice(600))
    for name, part in {"all": whole, "early": whole.isel(time=slice(401)), "late": whole.isel(time=slice(390, None))}.items():
        write_dataset(part, tmp_path / f"{name}.nc")

    def made(name, *more):
        result = call("simulate", folder, tmp_path / f"{name}.nc", "-o", tmp_path / f"{name}_q.nc", "--mode", "continuous", *more)
        assert result.exit_code == 0, result.output
        with xr.open_dataset(tmp_path / f"{name}_q.nc") as simulated:
            return simulated["simulated"].values

    state = tmp_path / "state.safetensors"
    parts = [made("early", "--state-out", state), made("late", "--state-in", state)]
    whole_way = made("all", "--state-out", tmp_path / "end.safetensors")
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole_way)
    again = ["simulate", folder, tmp_path / "late.nc", "-o", tmp_path / "new.nc"]
    assert "--mode continuous" in refused(*again, "--state-in", state)
    both = ["--mode", "continuous", "--state-in", state, "--state-out", state, "--force"]
    assert "would be written over or into the input" in refused(*again, *both)
    state.write_bytes(state.read_bytes()[:-5])
    assert "not a whole safetensors file" in refused(*again, "--mode", "continuous", "--state-in", state)


def test_monte_carlo_samples_are_a_member_dimension(leaf_run, tmp_path):
    folder, _ = leaf_run
    arguments = ("simulate", folder / "model.safetensors", ROOT / "catchments" / "leaf" / "leaf.nc", "-o", tmp_path / "mc.nc")
    assert "3 member(s), 1 basin(s)" in call(*arguments, "--mc-samples", 3, "--seed", 7).output
    with xr.open_dataset(tmp_path / "mc.nc") as out:
        assert out["simulated"].dims == ("member", "basin", "time")
        assert out["simulated"].sizes["member"] == 3
        assert float(out["simulated"].std("member").max()) > 0


def test_convert_writes_what_the_csv_says(tmp_path):
    (tmp_path / "01013500.csv").write_text("date,P,Q\n" + "".join(f"2000-01-{day:02d},{day}.5,{day}\n" for day in range(1, 20)))
    result = call(
        "convert",
        "csv",
        tmp_path / "01013500.csv",
        "-o",
        tmp_path / "out.nc",
        "--rename",
        "prcp=P",
        "--rename",
        "discharge=Q",
        "--unit",
        "prcp=mm d-1",
        "--unit",
        "discharge=m3/s",
        "--area",
        "01013500=86.4",
    )
    assert result.exit_code == 0, result.output
    with xr.open_dataset(tmp_path / "out.nc") as out:
        assert out["basin"].values.tolist() == ["01013500"]
        np.testing.assert_allclose(out["discharge"].values[0], np.arange(1, 20), rtol=1e-6)


def wait_for_update(run, checkpoint):
    """Until the run has written a checkpoint of an update, or has ended."""
    deadline = time.time() + 120
    while time.time() < deadline and run.poll() is None:
        if checkpoint.exists() and torch.load(checkpoint, weights_only=True)["update"] > 0:
            return
        time.sleep(0.01)


def test_a_killed_run_resumes_to_the_very_weights_of_one_that_was_not(start, tmp_path):
    options = ["--set", "training.steps=600", "--set", "training.validate_every=20", "--set", "model.hidden_sizes=[16]", "--quiet"]
    errors = tmp_path / "errors.txt"
    whole = start("train", LEAF, "--run-dir", tmp_path / "whole", *options, "--device", "cpu", errors=errors)
    assert whole.wait(300) == 0, errors.read_text()
    killed = start("train", LEAF, "--run-dir", tmp_path / "killed", *options, "--device", "cpu", errors=errors)
    wait_for_update(killed, tmp_path / "killed" / "checkpoint.pt")
    killed.kill()
    killed.wait()
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    resumed = start("resume", tmp_path / "killed", "--quiet", "--device", "cpu", errors=errors)
    assert resumed.wait(300) == 0, errors.read_text()
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (tmp_path / "whole" / "test_metrics.csv").read_text() == (tmp_path / "killed" / "test_metrics.csv").read_text()


def test_an_interrupt_says_how_to_go_on_and_leaves_a_sound_checkpoint(start, tmp_path):
    errors = tmp_path / "errors.txt"
    run = start("train", LEAF, "--run-dir", tmp_path / "run", "--set", "training.steps=100000", "--device", "cpu", errors=errors)
    wait_for_update(run, tmp_path / "run" / "checkpoint.pt")
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130
    assert "go on with: runoff-lstm resume" in errors.read_text()
    assert "Traceback" not in errors.read_text()
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["format"] == FORMAT


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.path=leef.nc", "leef.nc is not there; did you mean 'leaf.nc'"),
        ('data.forcing=["precipitatoin"]', "no variable 'precipitatoin'; did you mean 'precipitation'"),
        ("training.step=5", "unknown key; did you mean 'steps'"),
        ("training.steps=many", "integer"),
        ("periods.test=[1977-10-01, 1999-12-31]", "[periods] test: the period 1977-10-01 to 1999-12-31 is not inside the data"),
        ("periods.test=[1971-10-01, 1987-12-31]", "overlap"),
        ("windows.sequence_length=99999", "sequence_length is 99999 steps, the record has 11322"),
        ('data.gauge_ids=["laef"]', "gauge id 'laef' is not in the data; did you mean 'leaf'"),
        ('data.units={discharge="buckets"}', "the unit 'buckets' is not known"),
        ('data.units={discharge="m d-1"}', "more than any river carries"),
        ('data.units={discharge="m3/s"}', "needs the area of the basin"),
        ("seed=-1", "seed = -1: input should be greater than or equal to 0"),
        ("seed=99999999999999999999", "seed = 99999999999999999999: "),
        ("data.gauge_ids=leaf.nc", "leaf.nc is no text"),
        ('data.forcing=["discharge"]', "'discharge' is what is simulated and no forcing"),
        ("model.type=foo", "[model] type = 'foo' is not known; there is lstm, gru, rnn, ealstm"),
        ("data.fill.P.foo=1", "[data.fill.P] foo: unknown key; there is method, limit, period, tries"),
        ("data.fill.P.method=earlier", "[data.fill.P] limit is missing; add it"),
        ("data.gauge_ids=[1013500]", "[data.gauge_ids] 0 = 1013500: input should be a valid string"),
        ("periods.train=[1958, 1972]", "[periods.train] 0 = 1958: a date is written as 1999-10-01"),
        ('periods.train=["1958", "1972"]', "[periods.train] 0 = '1958': a date is written as 1999-10-01"),
        ("periods.validation=[1972-10-01, 1972-10-01]", "no basin has two different values of discharge"),
        ("folds.number=3", "one basin cannot be split into folds of basins"),
        ("evaluation.metrics=[]", "metrics is empty; name at least one"),
        ('evaluation.metrics=["NSE", "NSE"]', "metric 'NSE' is named twice"),
        ('evaluation.metrics=["NSEE"]', "metric 'NSEE' is not known; did you mean 'NSE'"),
        ("training.hide_discharge=0.3", "set discharge_lags or lead_times, or leave hide_discharge out"),
    ],
)
def test_bad_settings_end_with_one_sentence_and_leave_no_run(tmp_path, override, message):
    assert message in refused("train", LEAF, "--run-dir", tmp_path / "run", "--set", override, "--device", "cpu")
    assert not (tmp_path / "run").exists()


def test_patience_without_a_validation_period_is_refused_before_anything_is_read(tmp_path):
    lines = [line for line in LEAF.read_text().splitlines() if not line.startswith("validation")]
    (tmp_path / "leaf.toml").write_text("\n".join(lines))
    asked = ("train", tmp_path / "leaf.toml", "--run-dir", tmp_path / "run", "--set", "training.patience=3")
    assert "patience = 3 waits for a better validation score, and there is no validation period" in refused(*asked)
    assert not (tmp_path / "run").exists()


def test_other_bad_calls_end_with_one_sentence(tmp_path, leaf_run):
    folder, _ = leaf_run
    (tmp_path / "foreign.safetensors").write_bytes(b"not a model")
    leaf_nc = ROOT / "catchments" / "leaf" / "leaf.nc"
    assert "leef.toml is not there" in refused("train", LEAF.with_name("leef.toml"))
    assert "device = 'tpu' is not known; did you mean 'cpu'? (auto, cpu, cuda, mps)" in refused(
        "train", LEAF, "--run-dir", tmp_path / "x", "--device", "tpu"
    )
    unread = ("--set", f"data.path={tmp_path / 'nowhere.nc'}")  # the folder is refused before anything is read
    assert "not empty" in refused("train", LEAF, "--run-dir", folder, *unread, *QUICK)
    assert "is not a run folder" in refused("resume", tmp_path)
    assert "is not a run folder" in refused("evaluate", tmp_path)
    assert "not a whole safetensors" in refused("simulate", tmp_path / "foreign.safetensors", leaf_nc, "-o", tmp_path / "o.nc")
    assert "mode = 'stream' is not known; there is windows, continuous" in refused(
        "simulate", folder / "model.safetensors", leaf_nc, "-o", tmp_path / "o.nc", "--mode", "stream"
    )
    assert "source = 'netcfd' is not known; did you mean 'netcdf'" in refused("convert", "netcfd", leaf_nc, "-o", tmp_path / "o.nc")
    for wrong, why in (
        ("o.csv", "let the name end in .nc"),
        ("o.zarr", "let the name end in .nc"),
        ("no/o.nc", "no folder"),
    ):
        assert why in refused("simulate", folder / "model.safetensors", leaf_nc, "-o", tmp_path / wrong)
    assert "write it as name=value" in refused("convert", "netcdf", leaf_nc, "-o", tmp_path / "o.nc", "--unit", "mm")
    assert not (tmp_path / "o.nc").exists()


def test_a_damaged_checkpoint_is_refused(tmp_path, leaf_run):
    folder, _ = leaf_run
    (tmp_path / "experiment.toml").write_text((folder / "experiment.toml").read_text())
    (tmp_path / "checkpoint.pt").write_bytes((folder / "checkpoint.pt").read_bytes()[:5000])
    assert "not a whole checkpoint" in refused("resume", tmp_path, "--device", "cpu")


def test_a_full_disk_ends_with_one_sentence(tmp_path, monkeypatch, leaf_run):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    folder, _ = leaf_run
    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    leaf_nc = ROOT / "catchments" / "leaf" / "leaf.nc"
    message = refused("simulate", folder / "model.safetensors", leaf_nc, "-o", tmp_path / "out.nc")
    assert "could not be written" in message
    assert list(tmp_path.iterdir()) == []


def test_runs_begun_in_one_second_and_names_of_any_kind_each_have_a_folder_below_runs(tmp_path, monkeypatch):
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2001, 2, 3, tzinfo=tz)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder, "datetime", SimpleNamespace(datetime=Clock, date=datetime.date, UTC=datetime.UTC))
    unread = ("--set", "data.path=nowhere.nc", "--set", "name='../../escaped'")
    assert "nowhere.nc is not there" in refused("train", LEAF, *unread)
    assert list((tmp_path / "runs").iterdir()) == []
    for _ in range(2):
        result = call("train", LEAF, "--set", "name='../../escaped'", *QUICK, "--quiet")
        assert result.exit_code == 0, result.output
    assert sorted(one.name for one in tmp_path.rglob("*") if one.is_dir()) == [
        "escaped-20010203-000000",
        "escaped-20010203-000000-2",
        "runs",
    ]


def test_a_run_and_an_ensemble_in_a_folder_with_a_dollar_are_resumed_and_gone_on_from(region, tmp_path):
    folder = tmp_path / "a$b 'c' [/red]"
    shutil.copytree(region.parent, folder, ignore=lambda *_: ["ensemble"])
    for seeds, found in ((1, folder / "1"), (2, folder / "2")):
        result = call("train", folder / "region.toml", "--run-dir", found, "--seeds", seeds, *ONE_BY_ONE)
        assert result.exit_code == 0, result.output
        (found / "test_metrics.csv").unlink()  # as if it had been stopped
        assert call("resume", found, *ONE_BY_ONE).exit_code == 0
        assert (found / "test_metrics.csv").is_file()
        assert call("evaluate", found, "--period", "validation").exit_code == 0
    further = ("--start-from", folder / "1" / "model.safetensors", "--set", "periods.train=[2000-03-01, 2000-06-30]")
    result = call("train", folder / "region.toml", "--run-dir", folder / "3", *further, *ONE_BY_ONE)
    assert result.exit_code == 0, result.output
    (folder / "3" / "test_metrics.csv").unlink()
    assert call("resume", folder / "3", *ONE_BY_ONE).exit_code == 0


def test_resuming_a_finished_run_says_so_and_a_larger_budget_goes_on_where_the_schedule_allows_it(leaf_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(leaf_run[0], run)
    before = {one.name: one.read_bytes() for one in run.iterdir()}
    result = call("resume", run)
    assert (result.exit_code, result.output) == (
        0,
        f"{run} is finished; a larger budget needs --set training.steps=N and a constant or step schedule\n",
    )
    assert "a run keeps its settings; set data.path and the like or, to resume with a larger budget, training.steps" in refused(
        "resume", run, "--set", "seed=3"
    )
    message = refused("resume", run, "--set", "training.steps=12")
    assert "spreads the learning rate over the whole budget, so that with steps = 12 instead of 6" in message
    assert {one.name: one.read_bytes() for one in run.iterdir()} == before
    command = re.search(r"train anew: runoff-lstm (train .*), or go on from", message).group(1).split()
    further = re.search(r"by the same command with (--start-from .*)$", message).group(1).split()
    for place, more in enumerate(([], further)):
        result = call(*command, *more, "--run-dir", tmp_path / str(place), "--device", "cpu", "--quiet")
        assert result.exit_code == 0, result.output
    constant = ("--set", "training.schedule=constant", "--device", "cpu", "--quiet")
    for steps, folder in ((6, "small"), (9, "large")):
        assert (
            call("train", LEAF, "--run-dir", tmp_path / folder, *QUICK, "--set", f"training.steps={steps}", *constant).exit_code
            == 0
        )
    result = call("resume", tmp_path / "small", "--set", "training.steps=9", "--device", "cpu", "--quiet")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "small" / "test_metrics.csv").read_text() == (tmp_path / "large" / "test_metrics.csv").read_text()


def test_a_second_command_in_the_folder_of_a_run_is_refused_before_it_reads(leaf_run, tmp_path):
    shutil.copytree(leaf_run[0], tmp_path / "run")
    with locked(tmp_path / "run"):
        assert "run is in use by another train or resume" in refused("resume", tmp_path / "run")
        assert call("evaluate", tmp_path / "run").exit_code == 0


@pytest.mark.parametrize(
    "override", ["seed=" + "9" * 5000, "seed=" + "[" * 3000, "name='\x1b[2J'", "seeds=1000000000", "a" + ".b" * 3000 + "=1"]
)
def test_a_hostile_setting_ends_with_one_short_printable_line(tmp_path, override):
    message = refused("train", LEAF, "--run-dir", tmp_path / "run", "--set", override)
    assert message.isprintable()
    assert len(message) < 2100
    assert not (tmp_path / "run").exists()


def test_debug_shows_the_traceback(tmp_path):
    result = call("train", LEAF, "--run-dir", tmp_path / "run", "--set", "training.step=5", "--debug")
    assert result.exit_code != 0
    assert result.exception is not None
    assert "unknown key" in str(result.exception)


def test_help_and_version_are_there_without_torch():
    code = "import sys, runoff_lstm.cli; sys.exit(bool({'torch', 'matplotlib', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, check=False).returncode == 0
    assert "simulate" in call("--help").output == call("-h").output
    version = f"runoff-lstm {metadata.version('runoff-lstm')}\n"
    assert call("--version").output == call("-V").output == version
    code = (
        "import runpy, sys; sys.argv, sys.modules['torch'] = ['', '-V'], None; runpy.run_module('runoff_lstm', run_name='__main__')"
    )
    asked = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stdout) == (0, version)


def test_a_template_is_printed_or_written_and_replaces_no_file_unasked(tmp_path):
    printed, out = call("template"), tmp_path / "mine.toml"
    assert printed.exit_code == 0
    assert printed.output == reference.template()
    assert call("template", "-o", out).exit_code == 0
    assert out.read_text(encoding="utf-8") == printed.output
    out.write_text("mine")
    assert "mine.toml is there already" in refused("template", "-o", out)
    assert out.read_text() == "mine"
    assert call("template", "-o", out, "--force").exit_code == 0
    assert "written over or into the input" in refused("template", "-o", reference.catchments() / "reference.toml", "--force")


def test_a_template_is_trained_as_it_is(tmp_path):
    out = tmp_path / "mine.toml"
    call("template", "-o", out)
    quick = ["--set", "windows.sequence_length=10", "--set", "training.batch_size=4"]
    trained = call("train", out, "--run-dir", tmp_path / "run", *QUICK, *quick)
    assert trained.exit_code == 0, trained.output


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize("command", app.registered_commands, ids=lambda command: command.callback.__name__)
def test_help_says_what_the_docstring_and_every_option_say(command):
    name = command.name or command.callback.__name__
    shown = words(call(name, "--help", width=400).output)
    said = words(command.callback.__doc__)
    assert said in shown
    assert said in words(call("--help", width=400).output)
    for parameter in get_type_hints(command.callback, include_extras=True).values():
        for option in getattr(parameter, "__metadata__", ()):
            assert words(option.help) in shown


DATA = os.environ.get("RUNOFF_LSTM_DATA")
ON_LARGE_DATA = [pytest.mark.large_data, pytest.mark.skipif(DATA is None, reason="needs RUNOFF_LSTM_DATA")]


@pytest.mark.parametrize("name", ["leaf", "au_saumon", "baskatong", pytest.param("camels_us", marks=ON_LARGE_DATA)])
def test_the_training_script_leaves_the_run_folder_of_the_command(name, tmp_path, monkeypatch):
    """The script is run as it stands, but for fewer updates: what it asks for is written before the first of them."""
    import runoff_lstm
    from runoff_lstm.experiment import read_experiment

    asked = {}

    def record(path, dataset, **arguments):
        asked.update(arguments, dataset=dataset)
        raise KeyboardInterrupt

    monkeypatch.setattr(runoff_lstm, "train_run", record, raising=False)
    monkeypatch.chdir(tmp_path)  # where it makes its run folder
    script = ROOT / "catchments" / name / "train.py"
    with pytest.raises(KeyboardInterrupt):
        exec(compile(script.read_text(), script, "exec"), {"__file__": str(script), "__name__": "__main__"})
    experiment = read_experiment(script.with_name(f"{name}.toml"))
    dataset = asked.pop("dataset")
    expected = experiment.arguments()
    defaults = {one.name: one.default for one in signature(train_run).parameters.values() if one.name in expected}
    assert {**defaults, **asked} == expected
    assert Path(experiment.data.path).samefile(json.loads(dataset.attrs[SOURCE])["path"])
    assert {*experiment.data.forcing, *experiment.data.static_attributes} < set(dataset.data_vars)
    assert experiment.data.gauge_ids is None or dataset["basin"].values.tolist() == experiment.data.gauge_ids


def test_the_variants_of_the_benchmark_differ_in_what_they_are_about_alone(monkeypatch, tmp_path):
    from runoff_lstm.experiment import read_experiment

    monkeypatch.setenv("RUNOFF_LSTM_DATA", str(tmp_path))
    folder = ROOT / "catchments" / "camels_us"
    base = read_experiment(folder / "camels_us.toml").model_dump(exclude={"name"})
    differs = {
        "ealstm": {"model"},
        "without_attributes": {"data"},
        "ungauged": {"folds", "windows", "training"},
        "forecast": {"windows", "model", "training"},
        "forecast_all_years": {"periods", "windows", "model", "training"},
        "strict": {"periods", "windows", "model", "training"},
    }
    assert {path.stem for path in folder.glob("*.toml")} == {"camels_us", *differs}
    for name, tables in differs.items():
        other = read_experiment(folder / f"{name}.toml")
        assert other.name == f"camels_us_{name}"
        asked = other.model_dump(exclude={"name"})
        assert {table for table in asked if asked[table] != base[table]} == tables
    periods = base["periods"]
    strict = read_experiment(folder / "strict.toml")
    assert (strict.periods.train, strict.periods.test) == (periods["train"], periods["test"])
    all_years = read_experiment(folder / "forecast_all_years.toml").periods
    assert (all_years.train, all_years.test) == ([periods["validation"], periods["train"]], periods["test"])


def same_data(ours, theirs):
    """Whether two datasets hold the same, whatever is said of how they were read."""
    xr.testing.assert_equal(ours.drop_vars("set_missing"), theirs.drop_vars("set_missing"))
    units = [{name: values.attrs.get("units") for name, values in one.data_vars.items()} for one in (ours, theirs)]
    assert units[0] == units[1]


@pytest.mark.parametrize("name", ["out.nc", "out.zarr"])
def test_convert_turns_camels_us_into_one_store_and_says_what_was_found(tmp_path, name):
    archive = write_camels_us(tmp_path / "camels", "01013500", "02064000", attributes=True)
    write(flow_file(archive, "02064000"), flow_text("02064000", flags="AMMAe"))
    result = call("convert", "camels_us", archive, "-o", tmp_path / name)
    assert result.exit_code == 0, result.output
    assert "2 basins" in result.output
    assert re.search(r"02064000 +2000-02-25 +2000-03-05 +8 +2 ", result.output), result.output
    same_data(read_netcdf(tmp_path / name), read_camels_us(archive))
    found = pd.read_csv(tmp_path / f"{name}.basins.csv", dtype={"gauge_id": str}).set_index("gauge_id")
    assert found.loc["02064000", ["observed", "missing", "set_missing", "discharge_estimated"]].tolist() == [8, 2, 2, 1]
    with (xr.open_zarr if name.endswith("zarr") else xr.open_dataset)(tmp_path / name) as out:
        assert out.attrs["Conventions"] == "CF-1.11"


def test_convert_takes_several_products_and_a_list_of_basins(tmp_path):
    archive = write_camels_us(tmp_path / "camels", "01013500", "02064000", products=("daymet", "nldas"))
    (tmp_path / "basins.txt").write_text("02064000\n\n")
    which = ("--product", "nldas", "--product", "daymet", "--gauge-ids", tmp_path / "basins.txt", "--quiet")
    result = call("convert", "camels_us", archive, "-o", tmp_path / "out.nc", *which)
    assert result.exit_code == 0, result.output
    assert "1 basin(s), 10 steps" in result.output
    with xr.open_dataset(tmp_path / "out.nc") as out:
        assert out["basin"].values.tolist() == ["02064000"]
        assert {"prcp_daymet", "prcp_nldas"} < set(out.data_vars)


@pytest.mark.parametrize("kind", ["csv", "netcdf"])
def test_convert_turns_caravan_into_one_store(tmp_path, kind):
    archive = write_caravan(tmp_path / "caravan", "camelsch_2009", "lamah_0054", kind=kind)
    result = call("convert", "caravan", archive, "-o", tmp_path / "out.nc")
    assert result.exit_code == 0, result.output
    same_data(read_netcdf(tmp_path / "out.nc"), read_caravan(archive))
    assert pd.read_csv(tmp_path / "out.nc.basins.csv")["gauge_id"].tolist() == ["camelsch_2009", "lamah_0054"]


def test_convert_names_a_damaged_archive_in_one_sentence_or_leaves_the_basin_out(tmp_path):
    archive = write_camels_us(tmp_path / "camels", "01013500", "02064000", attributes=True)
    path = flow_file(archive, "01013500")
    path.write_text(path.read_text()[:-10])
    asked = ("convert", "camels_us", archive, "-o", tmp_path / "out.nc")
    message = refused(*asked)
    assert "basin 01013500" in message
    assert "fetch it again" in message
    assert not (tmp_path / "out.nc").exists()
    result = call(*asked, "--on-missing", "skip")
    assert result.exit_code == 0, result.output
    assert "1 basin(s), 10 steps" in result.output
    assert "on_missing = 'ignore' is not known; there is refuse, skip" in refused(*asked, "--force", "--on-missing", "ignore")
    (archive / "camels_attributes_v2.0" / "camels_soil.txt").unlink()
    assert "lacks camels_soil.txt" in refused(*asked, "--force")


def test_convert_refuses_what_the_source_does_not_take(tmp_path):
    camels, caravan = write_camels_us(tmp_path / "camels", "01013500"), write_caravan(tmp_path / "caravan", "lamah_0054")
    out = ("-o", tmp_path / "out.nc")
    assert '[data] rename is for source = "netcdf" or "zarr" or "csv", not "camels_us"; remove it' in refused(
        "convert", "camels_us", camels, *out, "--rename", "rain=prcp"
    )
    assert '[data] products is for source = "camels_us", not "caravan"; remove it' in refused(
        "convert", "caravan", caravan, *out, "--product", "daymet"
    )
    assert "has no folder timeseries" in refused("convert", "caravan", camels, *out)
    assert "has no folder basin_mean_forcing" in refused("convert", "camels_us", caravan, *out)
    assert "basins.txt is not there" in refused("convert", "camels_us", camels, *out, "--gauge-ids", tmp_path / "basins.txt")
    (tmp_path / "basins.txt").write_text("1013500\n")
    assert "has lost its leading zero" in refused("convert", "camels_us", camels, *out, "--gauge-ids", tmp_path / "basins.txt")


def test_convert_refuses_a_place_it_cannot_write_before_it_reads(tmp_path, monkeypatch):
    archive = write_camels_us(tmp_path / "camels", "01013500")
    (tmp_path / "there.zarr").mkdir()
    unread = Source(lambda *_, **__: pytest.fail("the archive has been read"), {}, lambda _: True, "no data")
    monkeypatch.setitem(SOURCES, "camels_us", unread)
    assert "let the name end in .nc" in refused("convert", "camels_us", archive, "-o", tmp_path / "out.txt")
    assert "is there already" in refused("convert", "camels_us", archive, "-o", tmp_path / "there.zarr")
    assert "there is no folder" in refused("convert", "camels_us", archive, "-o", tmp_path / "nowhere" / "out.nc")


REGION = """
name = "region"
seed = 3
[data]
source = "netcdf"
path = "region.nc"
forcing = ["rain", "temperature"]
[periods]
train = [2000-03-01, 2000-12-31]
validation = [2001-01-01, 2001-05-31]
test = [2001-06-01, 2001-11-30]
[windows]
sequence_length = 30
targets_per_window = 30
[model]
hidden_sizes = [4]
[training]
steps = 4
batch_size = 8
validate_every = 2
[evaluation]
metrics = ["NSE", "KGE"]
"""
ONE_BY_ONE = ("--workers", 1, "--device", "cpu")


def scores_of(folder):
    return pd.read_csv(folder / "test_metrics.csv", dtype={"gauge_id": str}).set_index("gauge_id")


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    """The experiment file of three basins, their data beside it."""
    folder = tmp_path_factory.mktemp("region")
    write_dataset(make_basins("01013500", "01022500", "02064000"), folder / "region.nc")
    (folder / "region.toml").write_text(REGION)
    return folder / "region.toml"


@pytest.fixture(scope="module")
def ensemble(region):
    result = call("train", region, "--run-dir", region.with_name("ensemble"), "--seeds", 2, *ONE_BY_ONE)
    assert result.exit_code == 0, result.output
    return region.with_name("ensemble"), result.output


def test_seeds_make_an_ensemble_with_a_row_for_each_member(ensemble):
    folder, output = ensemble
    assert "region: medians of each run" in output
    assert "region, all together" in output
    assert re.search(r"NSE: median -?\d\.\d{4}, mean .* in \d of 3 basins", output)
    assert pd.read_csv(folder / "runs.csv")["seed"].tolist() == [3, 4]
    assert {one.name for one in folder.iterdir() if one.is_dir()} == {"seed-3", "seed-4"}
    assert scores_of(folder).index.tolist() == ["01013500", "01022500", "02064000"]
    assert (folder / "distribution.png").exists()


def test_an_ensemble_is_evaluated_to_its_own_scores_and_over_other_periods(ensemble):
    folder, _ = ensemble
    before = (folder / "test_metrics.csv").read_text()
    assert call("evaluate", folder, "--device", "cpu").exit_code == 0
    assert (folder / "test_metrics.csv").read_text() == before
    result = call("evaluate", folder, "--period", "validation", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert (folder / "validation_metrics.csv").exists()
    assert "no spring period; there is train, validation, test" in refused("evaluate", folder, "--period", "spring")


def test_folds_are_trained_and_a_fold_is_evaluated_but_not_all_of_them(region, tmp_path):
    attributes = ("--set", 'data.gauge_ids=["01013500", "01022500", "02064000"]', "--set", "folds.number=3")
    result = call("train", region, "--run-dir", tmp_path / "folds", *attributes, *ONE_BY_ONE, "--quiet")
    assert result.exit_code == 0, result.output
    assert pd.read_csv(tmp_path / "folds" / "folds.csv", dtype=str)["gauge_id"].nunique() == 3
    message = refused("evaluate", tmp_path / "folds")
    assert "is a cross-validation; name one of its folds: " in message
    fold = tmp_path / "folds" / "fold-1"
    before = (fold / "test_metrics.csv").read_text()
    assert call("evaluate", fold, "--device", "cpu").exit_code == 0
    assert (fold / "test_metrics.csv").read_text() == before
    assert len(scores_of(fold)) == 1


def test_seeds_and_folds_together_are_refused(region, tmp_path):
    both = ("train", region, "--run-dir", tmp_path / "run", "--seeds", 2, "--set", "folds.number=3")
    assert "[folds] and seeds = 2 do not go together" in refused(*both)
    assert not (tmp_path / "run").exists()


def test_training_goes_on_from_a_model_and_keeps_what_is_frozen(region, ensemble, tmp_path):
    model = ensemble[0] / "seed-3" / "model.safetensors"
    asked = ("train", region, "--run-dir", tmp_path / "tuned", "--start-from", model, "--device", "cpu", "--quiet")
    result = call(*asked, "--set", 'fine_tuning.frozen=["head"]', "--set", 'data.gauge_ids=["01022500"]')
    assert result.exit_code == 0, result.output
    one, two = (load_file(path) for path in (model, tmp_path / "tuned" / "model.safetensors"))
    assert {name for name in one if torch.equal(one[name], two[name])} == {"head.linear.weight", "head.linear.bias"}
    assert str(model) in (tmp_path / "tuned" / "experiment.toml").read_text()
    nowhere = tmp_path / "nowhere.safetensors"
    assert "nowhere.safetensors is not there" in refused("train", region, "--run-dir", tmp_path / "x", "--start-from", nowhere)
    other = ("--run-dir", tmp_path / "x", "--start-from", model, "--set", "model.hidden_sizes=[5]")
    assert "leave [model] out, its form is kept" in refused("train", region, *other)


def test_a_skipped_basin_stays_out_when_the_run_is_evaluated_again(region, tmp_path):
    basins = make_basins("01013500", "01022500", "02064000")
    early = basins["time"] <= np.datetime64("2000-12-31")
    silent = basins["discharge"].where((basins["basin"] != "01022500") | ~early)
    write_dataset(basins.assign(discharge=silent), tmp_path / "region.nc")
    (tmp_path / "region.toml").write_text(REGION)
    asked = ("train", tmp_path / "region.toml", "--run-dir", tmp_path / "run", "--device", "cpu")
    assert "basin 01022500: no discharge is observed in the training period" in refused(*asked)
    result = call(*asked, "--set", 'data.on_missing="skip"')
    assert result.exit_code == 0, result.output
    before = (tmp_path / "run" / "test_metrics.csv").read_text()
    assert scores_of(tmp_path / "run").index.tolist() == ["01013500", "02064000"]
    assert call("evaluate", tmp_path / "run", "--device", "cpu").exit_code == 0
    assert (tmp_path / "run" / "test_metrics.csv").read_text() == before


def test_compare_tells_the_medians_and_a_paired_test(ensemble, tmp_path):
    folder, _ = ensemble
    (tmp_path / "theirs.csv").write_text("basin,NSE\n01013500,-9\n01022500,-9\n02064000,0.99\n09999999,0.5\n")
    result = call("compare", folder, tmp_path / "theirs.csv", "-o", tmp_path / "differences.csv")
    assert result.exit_code == 0, result.output
    median = scores_of(folder)["NSE"].median()
    assert f"NSE of 3 basins: median {median:.4f}, reference -9.0000" in result.output
    assert "better in 66.7% of the basins, median difference +" in result.output
    assert "no signed-rank test, which needs 6 basins that differ (3 of 3 do)" in result.output
    assert "note: 1 basin only in the reference left out (first 09999999)" in result.output
    assert f"period and days scored not stated by {tmp_path / 'theirs.csv'}" in result.output
    differences = pd.read_csv(tmp_path / "differences.csv", dtype={"gauge_id": str}).set_index("gauge_id")
    assert differences.columns.tolist() == ["ours", "reference", "difference"]
    np.testing.assert_allclose(differences["ours"], scores_of(folder)["NSE"], rtol=1e-5)
    np.testing.assert_allclose(differences["difference"], differences["ours"] - differences["reference"], rtol=1e-4)


def test_compare_draws_two_curves_even_of_tables_of_one_name(ensemble, tmp_path, monkeypatch):
    from runoff_lstm.plots import basins as regional_plots

    drawn, original = {}, regional_plots.plot_distribution
    monkeypatch.setattr(regional_plots, "plot_distribution", lambda **given: (drawn.update(given), original(**given))[1])
    one, other = (ensemble[0] / name / "test_metrics.csv" for name in ("seed-3", "seed-4"))
    assert call("compare", one, other, "--metric", "KGE", "-o", tmp_path / "both.png").exit_code == 0
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")
    assert list(drawn["scores"]) == [str(one), str(other)]
    assert drawn["metric"] == "KGE"
    result = call("compare", one.parent, other.parent, "-o", tmp_path / "runs.png")
    assert result.exit_code == 0, result.output
    assert "note" not in result.output
    assert list(drawn["scores"]) == ["seed-3", "seed-4"]


def test_compare_refuses_what_it_cannot_compare(ensemble, tmp_path):
    folder, _ = ensemble
    (tmp_path / "theirs.csv").write_text("basin,NSE\n1013500,0.5\n")
    (tmp_path / "empty.csv").write_text("")
    assert "check the gauge ids, leading zeros among them" in refused("compare", folder, tmp_path / "theirs.csv")
    assert "has no column 'NSEE'; did you mean 'NSE'" in refused("compare", folder, folder, "--metric", "NSEE")
    assert "is not there; give a table of scores" in refused("compare", folder, tmp_path)
    assert "is not a table in CSV" in refused("compare", folder, tmp_path / "empty.csv")
    assert "let the name end in .csv or .png" in refused("compare", folder, folder, "-o", tmp_path / "out.pdf")


def test_compare_refuses_runs_of_other_test_periods_until_both_are_evaluated_alike(ensemble, tmp_path):
    one, other = ensemble[0] / "seed-3", tmp_path / "other"
    shutil.copytree(ensemble[0] / "seed-4", other)
    settings = (other / "experiment.toml").read_text()
    assert "2001-11-30" in settings
    (other / "experiment.toml").write_text(settings.replace("2001-11-30", "2001-11-01"))
    assert call("evaluate", other, "--device", "cpu").exit_code == 0
    message = refused("compare", one, other)
    assert "scored over 2001-06-01 to 2001-11-30 (183 steps of 1 day)" in message
    assert "over 2001-06-01 to 2001-11-01 (154 steps of 1 day); give both the same [periods] in experiment.toml" in message
    (other / "experiment.toml").write_text(settings)
    assert call("evaluate", other, "--device", "cpu").exit_code == 0
    assert call("compare", one, other).exit_code == 0


def test_compare_takes_the_best_value_of_a_metric_that_is_not_ours(tmp_path):
    for name, value in (("a", 0.5), ("b", 0.7)):
        (tmp_path / f"{name}.csv").write_text(f"basin,MSE\n01,{value}\n")
    tables = (tmp_path / "a.csv", tmp_path / "b.csv", "--metric", "mse")
    assert "which is better cannot be told" in call("compare", *tables).output
    assert "better in 100.0% of the basins" in call("compare", *tables, "--best", 0).output


def children_of(process):
    """Process ids of those that a process has started."""
    return [int(one) for one in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_killed_ensemble_leaves_no_process_behind_and_resumes_to_what_it_would_have_been(start, region, tmp_path):
    errors, options = tmp_path / "errors.txt", ("--set", "training.steps=300", "--set", "training.validate_every=100", "--quiet")
    killed = start("train", region, "--seeds", 2, "--run-dir", tmp_path / "run", *options, "--workers", 2, errors=errors)
    wait_for_update(killed, tmp_path / "run" / "seed-3" / "checkpoint.pt")
    children = children_of(killed)
    killed.kill()
    killed.wait()
    deadline = time.time() + 60
    while any(map(is_running, children)) and time.time() < deadline:
        time.sleep(0.05)
    assert len(children) >= 2
    assert not any(map(is_running, children))
    assert not (tmp_path / "run" / "test_metrics.csv").exists()
    result = call("resume", tmp_path / "run", *ONE_BY_ONE, "--quiet")
    assert result.exit_code == 0, result.output
    whole = call("train", region, "--seeds", 2, "--run-dir", tmp_path / "whole", *options, *ONE_BY_ONE)
    assert whole.exit_code == 0, whole.output
    for member in ("seed-3", "seed-4"):
        one, two = (load_file(tmp_path / name / member / "model.safetensors") for name in ("run", "whole"))
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert (tmp_path / "run" / "test_metrics.csv").read_text() == (tmp_path / "whole" / "test_metrics.csv").read_text()


@pytest.mark.parametrize(("number", "wait_for"), [(signal.SIGINT, ".*.part"), (signal.SIGTERM, "seed-4/checkpoint.pt")])
def test_a_signal_to_an_ensemble_ends_it_with_the_way_to_go_on_and_nothing_else(start, region, tmp_path, number, wait_for):
    errors, run = tmp_path / "errors.txt", tmp_path / "run"
    options = ("--set", "training.steps=100000", "--seeds", 2, "--run-dir", run, "--workers", 2, "--quiet")
    process = start("train", region, *options, errors=errors)
    deadline = time.time() + 60
    while not any(run.glob(wait_for)) and process.poll() is None and time.time() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert errors.read_text() == f"\nstopped; go on with: runoff-lstm resume {run}\nstopped\n"
    assert not any(run.glob(".*"))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_member_that_is_killed_ends_the_ensemble_with_one_sentence_and_can_be_resumed(start, region, ensemble, tmp_path):
    errors, run = tmp_path / "errors.txt", tmp_path / "run"
    process = start("train", region, "--seeds", 2, "--run-dir", run, "--workers", 2, "--quiet", errors=errors)
    deadline = time.time() + 60
    while len(children_of(process)) < 2 and time.time() < deadline:
        time.sleep(0.01)
    os.kill(children_of(process)[1], signal.SIGKILL)
    assert process.wait(60) == 1
    assert re.fullmatch(
        r"error: seed-\d was ended from outside or by a fault \(exit code -9\); .* take fewer workers, and resume\n",
        errors.read_text(),
    )
    result = call("resume", run, *ONE_BY_ONE, "--quiet")
    assert result.exit_code == 0, result.output
    for member in ("seed-3", "seed-4"):
        one, two = (load_file(folder / member / "model.safetensors") for folder in (run, ensemble[0]))
        assert all(torch.equal(one[name], two[name]) for name in one)


FORECAST = ROOT / "catchments" / "leaf" / "forecast.toml"


@pytest.fixture(scope="module")
def forecast_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "forecast"
    result = call("train", FORECAST, "--run-dir", folder, "--seeds", 1, *QUICK)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_training_with_lead_times_leaves_scores_by_lead_time_forecasts_and_pictures(forecast_run):
    folder, output = forecast_run
    assert re.search(r"│\s+7 │", output)
    assert re.search(r"persistence: \[3\.\d+\] 1\.\d+, ", output)
    table = pd.read_csv(folder / "test_lead_scores.csv")
    assert table["model"].unique().tolist() == ["lstm", "persistence", "climatology"]
    assert table["lead_time"].max() == 7
    assert pd.read_csv(folder / "test_lead_scores_by_season.csv")["season"].nunique() == 4
    for picture in ("lead_times.png", "forecasts.png", "history.png"):
        assert (folder / picture).stat().st_size > 10_000
    with xr.open_dataset(folder / "test_forecasts.nc") as made:
        assert made["forecast"].dims == made["observed"].dims == ("basin", "issue_date", "lead_time")
        assert str(made["issue_date"].values[-1])[:10] == "1987-12-24"


def test_a_forecast_of_one_issue_date_is_that_of_the_run(forecast_run, tmp_path):
    folder, _ = forecast_run
    data, out = LEAF.with_name("leaf.nc"), tmp_path / "f.nc"
    result = call("forecast", folder / "model.safetensors", data, "-o", out, "--issue-date", "1983-03-04")
    assert result.exit_code == 0, result.output
    assert "issued 1983-03-04, 1 basin(s), 1 forecast(s) of 7 lead times" in result.output
    with xr.open_dataset(out) as one, xr.open_dataset(folder / "test_forecasts.nc") as run:
        np.testing.assert_allclose(one["forecast"][:, 0], run["forecast"].sel(issue_date="1983-03-04")[..., :], rtol=1e-5)
    last = call("forecast", folder / "model.safetensors", data, "-o", out, "--force")
    assert last.exit_code == 0, last.output
    with xr.open_dataset(out) as one:
        assert str(one["issue_date"].values[0])[:10] == "1987-12-31"


def test_a_forecast_that_cannot_be_made_is_refused_and_leaves_no_file(forecast_run, tmp_path, leaf_run):
    model, data, out = forecast_run[0] / "model.safetensors", LEAF.with_name("leaf.nc"), tmp_path / "f.nc"
    outside = refused("forecast", model, data, "-o", out, "--issue-date", "1990-03-04")
    assert "the issue date 1990-03-04 is outside the data, which run from 1957-01-01 to 1987-12-31" in outside
    early = refused("forecast", model, data, "-o", out, "--issue-date", "1957-03-04")
    assert "basin leaf: no forecast from 1957-03-04: 180 steps of complete forcing up to it are needed" in early
    assert "the last issue date 1983-03-04 needs a first one" in refused(
        "forecast", model, data, "-o", out, "--until", "1983-03-04"
    )
    assert "does not simulate; use forecast" in refused("simulate", model, data, "-o", out)
    assert "the model simulates" in refused("forecast", leaf_run[0] / "model.safetensors", data, "-o", out)
    assert not out.exists()


def test_evaluate_scores_forecasts_of_another_period(forecast_run):
    folder, _ = forecast_run
    result = call("evaluate", folder, "--period", "validation")
    assert result.exit_code == 0, result.output
    assert "validation period, NSE" in result.output
    assert (folder / "validation_lead_times.png").exists()


def test_walk_forward_rolls_in_blocks_fits_on_the_way_and_can_be_repeated_from_its_folder(tmp_path):
    rolling = ["every=7", "fit_every=400", "fine_tune.steps=2", "fine_tune.learning_rate=1e-3"]
    settings = [one for each in rolling for one in ("--set", f"walk_forward.{each}")]
    result = call("walk-forward", FORECAST, "--run-dir", tmp_path / "first", "--seeds", 1, *QUICK, *settings)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "first" / "test_lead_scores.csv")
    assert table["days"].unique().tolist() == [534]
    again = call("train", tmp_path / "first" / "experiment.toml", "--run-dir", tmp_path / "second", "--device", "cpu")
    assert again.exit_code == 0, again.output
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "second" / "test_lead_scores.csv"), table)
    assert "is a walk through the test period, scored already" in refused("evaluate", tmp_path / "first")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "first" / "test_lead_scores.csv"), table)
    assert "set [windows] lead_times" in refused("walk-forward", LEAF, "--run-dir", tmp_path / "third")
    train = "periods.train=[[1958-10-01, 1972-09-30], [1986-10-01, 1987-09-30]]"
    earlier = "periods.test=[1977-10-01, 1986-09-30]"
    for command in (("walk-forward",), ("train", "--set", "walk_forward.every=7")):
        told = refused(command[0], FORECAST, "--run-dir", tmp_path / "third", *command[1:], "--set", train, "--set", earlier)
        assert "the walk begins on 1977-10-01 with a model that has seen 1958-10-01 to 1972-09-30 and 1986-10-01" in told
    assert not (tmp_path / "third").exists()


@pytest.fixture(scope="module")
def forecast_ensemble(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "ensemble"
    result = call("walk-forward", FORECAST, "--run-dir", folder, "--seeds", 2, "--workers", 1, *QUICK)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_forecasts_of_several_seeds_are_scored_together_and_evaluated_to_the_same(forecast_ensemble):
    folder, output = forecast_ensemble
    assert "leaf_forecast: medians of each run, NSE" in output
    assert re.search(r"seed ┃" + "".join(rf" lead {lead} ┃" for lead in range(1, 8)), output)
    assert "leaf_forecast, all together, NSE" in output
    assert pd.read_csv(folder / "runs.csv")["seed"].tolist() == [1, 2]
    before = (folder / "test_lead_scores.csv").read_text()
    assert call("evaluate", folder, "--device", "cpu").exit_code == 0
    assert (folder / "test_lead_scores.csv").read_text() == before


def test_a_forecast_by_an_ensemble_is_the_mean_of_those_of_its_members(forecast_ensemble, tmp_path):
    folder, _ = forecast_ensemble
    made = []
    for place, source in enumerate([folder, folder / "seed-1", folder / "seed-2" / "model.safetensors"]):
        out = tmp_path / f"{place}.nc"
        result = call("forecast", source, LEAF.with_name("leaf.nc"), "-o", out, "--issue-date", "1983-03-04", "--device", "cpu")
        assert result.exit_code == 0, result.output
        made.append(xr.load_dataset(out))
    assert float(abs(made[1]["forecast"] - made[2]["forecast"]).max()) > 1e-3
    np.testing.assert_allclose(made[0]["forecast"], (made[1]["forecast"] + made[2]["forecast"]) / 2, rtol=1e-6)
    assert made[0].attrs == made[1].attrs
    assert made[0]["forecast"].attrs == made[1]["forecast"].attrs


def test_a_simulation_by_an_ensemble_is_the_mean_of_those_of_its_members(ensemble, region, tmp_path):
    folder, _ = ensemble
    made = []
    for place, source in enumerate([folder, folder / "seed-3", folder / "seed-4"]):
        out = tmp_path / f"{place}.nc"
        result = call("simulate", source, region.with_name("region.nc"), "-o", out, "--device", "cpu")
        assert result.exit_code == 0, result.output
        made.append(xr.load_dataset(out))
    np.testing.assert_allclose(made[0]["simulated"], (made[1]["simulated"] + made[2]["simulated"]) / 2, rtol=1e-6)
    assert made[0]["simulated"].attrs == made[1]["simulated"].attrs
    message = refused("simulate", folder, region.with_name("region.nc"), "-o", tmp_path / "x.nc", "--mc-samples", 3)
    assert "--mc-samples 3 is for one model; name one of the 2 members of" in message
    assert not (tmp_path / "x.nc").exists()


def test_hourly_data_with_gaps_are_mended_as_the_file_says_and_filled_discharge_is_neither_learned_nor_scored(tmp_path):
    hours = make_basins("brook", days=24 * 700, freq="h").isel(basin=0).drop_vars(["leak", "slope", "basin"])
    table = hours.to_dataframe().round(4).reset_index()
    table.loc[1000:1005, "rain"] = np.nan
    table.loc[24 * 600 : 24 * 601, "discharge"] = np.nan
    table.to_csv(tmp_path / "brook.csv", index=False)
    config = f"""
name = "brook"
[data]
source = "csv"
path = "{tmp_path / "brook.csv"}"
forcing = ["rain", "warmth"]
units = {{rain = "mm h-1", temperature = "degC", discharge = "mm h-1"}}
[data.resample]
step = "1D"
share = 0.7
[data.derive.warmth]
formula = "max(temperature, 0)"
units = "degC"
[data.fill.discharge]
method = "earlier"
period = "1 day"
limit = 3
[periods]
train = [2000-03-01, 2001-03-31]
validation = [2001-04-01, 2001-06-30]
test = [2001-07-01, 2001-11-20]
[windows]
sequence_length = 30
targets_per_window = 30
lead_times = 2
[training]
steps = 4
batch_size = 4
"""
    (tmp_path / "brook.toml").write_text(config)
    result = call("train", tmp_path / "brook.toml", "--run-dir", tmp_path / "run", "--device", "cpu")
    assert result.exit_code == 0, result.output
    with xr.open_dataset(tmp_path / "run" / "test_forecasts.nc") as made:
        silent = {str(one)[:10] for one in made["issue_date"].values[made["observed"][0, :, 0].isnull()]}
        assert silent == {"2001-08-22"}
        assert made["forecast"].attrs["units"] == "mm d-1"
        assert made["forecast"].notnull().all()
    coverage = pd.read_csv(tmp_path / "run" / "coverage.csv").set_index("period")
    assert coverage.loc["train", "without_discharge"] == 0
    again = call("train", tmp_path / "run" / "experiment.toml", "--run-dir", tmp_path / "again", "--device", "cpu")
    assert again.exit_code == 0, again.output
    tables = [pd.read_csv(tmp_path / run / "test_lead_scores.csv") for run in ("run", "again")]
    pd.testing.assert_frame_equal(*tables)


def test_a_model_reads_new_files_as_those_of_its_training_and_a_basin_without_attributes_is_left_out(tmp_path):
    basins = make_basins("01", "02").isel(time=slice(200))
    for place, gauge_id in enumerate(basins["basin"].values):
        series = basins[["rain", "discharge"]].isel(basin=place).drop_vars("basin").to_dataframe().rename(columns={"rain": "P"})
        (tmp_path / "data").mkdir(exist_ok=True)
        series.to_csv(tmp_path / "data" / f"{gauge_id}.csv", sep=";", decimal=",", date_format="%d/%m/%Y")
    (tmp_path / "fixed.csv").write_text("gauge_id,elev\n01,1\n02,2\n")
    table = (
        'name = "x"\n[data]\nsource = "csv"\npath = "data"\nattributes = "fixed.csv"\nforcing = ["rain"]\n'
        'static_attributes = ["elev"]\nrename = {rain = "P"}\nunits = {rain = "mm d-1", discharge = "mm d-1"}\n'
        'csv = {decimal = ",", date_format = "%d/%m/%Y"}\n[periods]\ntrain = [2000-02-01, 2000-04-30]\n'
        "test = [2000-05-01, 2000-06-30]\n[windows]\nsequence_length = 10\n[model]\nhidden_sizes = [2]\n[training]\nsteps = 1\n"
    )
    (tmp_path / "x.toml").write_text(table)
    run, out = tmp_path / "run", tmp_path / "out.nc"
    assert call("train", tmp_path / "x.toml", "--run-dir", run, "--device", "cpu", "--quiet").exit_code == 0
    moved = (tmp_path / "data").rename(tmp_path / "moved")
    message = refused("evaluate", run)
    assert "data is not there; say where it is now: --data PATH, or --set data.path=PATH" in message
    assert call("evaluate", run, "--data", moved, "--device", "cpu").exit_code == 0
    result = call("simulate", run, moved, "-o", out, "--device", "cpu")
    assert result.exit_code == 0, result.output
    with xr.open_dataset(out) as made, xr.open_dataset(run / "test_simulation.nc") as expected:
        np.testing.assert_array_equal(made["simulated"].sel(time=expected["time"]), expected["simulated"])
    (tmp_path / "one.csv").write_text("gauge_id,elev\n01,1\n02,\n")
    asked = ("simulate", run, moved, "-o", out, "--force", "--attributes", tmp_path / "one.csv", "--device", "cpu")
    assert "basin 02: attribute elev is missing" in refused(*asked)
    assert "1 basin(s)" in call(*asked, "--on-missing", "skip").output
    assert "[data] fillls: unknown key; did you mean 'fill'?" in refused(*asked, "--set", "data.fillls={}")
