import os
import re
import signal
import subprocess
import sys
import time
from inspect import signature
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file
from typer.testing import CliRunner

from runoff_lstm.cli import app
from runoff_lstm.run_folder import train_run

ROOT = Path(__file__).parents[1]
LEAF = ROOT / "catchments" / "leaf" / "leaf.toml"
QUICK = ["--set", "training.steps=6", "--set", "training.validate_every=3", "--set", "model.hidden_sizes=[8]", "--device", "cpu"]

pytestmark = pytest.mark.filterwarnings("ignore::runoff_lstm.bundle.OutsideTrainingRangeWarning")


def call(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def refused(*arguments):
    """The one sentence of a command that must fail, without a traceback."""
    result = call(*arguments)
    assert result.exit_code != 0, result.output
    assert "Traceback" not in result.output
    lines = [line for line in result.output.strip().splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.output
    return lines[0]


def start(*arguments, errors):
    """A command as a process of its own; what it says of errors goes to a file."""
    command = [sys.executable, "-m", "runoff_lstm.cli", *map(str, arguments)]
    with errors.open("w") as file:
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=file)


@pytest.fixture(scope="module")
def leaf_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "leaf"
    result = call("train", LEAF, "--run-dir", folder, *QUICK)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_train_prints_one_table_with_yardsticks_and_leaves_a_run_folder(leaf_run):
    folder, output = leaf_run
    assert re.search(r"│ NSE\s+│", output)
    for heading in ("model", "climatology", "persistence"):
        assert heading in output
    assert str(folder.name) in output
    assert (folder / "hydrograph.png").stat().st_size > 10_000
    assert pd.read_csv(folder / "history.csv")["update"].tolist() == [3, 6]


def test_evaluate_scores_another_period(leaf_run):
    folder, _ = leaf_run
    result = call("evaluate", folder, "--period", "validation")
    assert result.exit_code == 0, result.output
    assert (folder / "validation_metrics.csv").exists()
    assert "no spring period" in refused("evaluate", folder, "--period", "spring")


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


def test_a_killed_run_resumes_to_the_very_weights_of_one_that_was_not(tmp_path):
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


def test_an_interrupt_says_how_to_go_on_and_leaves_a_sound_checkpoint(tmp_path):
    errors = tmp_path / "errors.txt"
    run = start("train", LEAF, "--run-dir", tmp_path / "run", "--set", "training.steps=100000", "--device", "cpu", errors=errors)
    wait_for_update(run, tmp_path / "run" / "checkpoint.pt")
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130
    assert "go on with: runoff-lstm resume" in errors.read_text()
    assert "Traceback" not in errors.read_text()
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["format"] == 1


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
        ('evaluation.metrics=["NSEE"]', "metric 'NSEE' is not known; did you mean 'NSE'"),
    ],
)
def test_bad_settings_end_with_one_sentence_and_leave_no_run(tmp_path, override, message):
    assert message in refused("train", LEAF, "--run-dir", tmp_path / "run", "--set", override, "--device", "cpu")
    assert not (tmp_path / "run").exists()


def test_other_bad_calls_end_with_one_sentence(tmp_path, leaf_run):
    folder, _ = leaf_run
    (tmp_path / "foreign.safetensors").write_bytes(b"not a model")
    leaf_nc = ROOT / "catchments" / "leaf" / "leaf.nc"
    assert "leef.toml is not there" in refused("train", LEAF.with_name("leef.toml"))
    assert "choose auto, cpu, cuda or mps" in refused("train", LEAF, "--run-dir", tmp_path / "x", "--device", "tpu")
    assert "not empty" in refused("train", LEAF, "--run-dir", folder, *QUICK)
    assert "is not a run folder" in refused("resume", tmp_path)
    assert "is not a run folder" in refused("evaluate", tmp_path)
    assert "not a whole safetensors" in refused("simulate", tmp_path / "foreign.safetensors", leaf_nc, "-o", tmp_path / "o.nc")
    assert "choose windows or continuous" in refused(
        "simulate", folder / "model.safetensors", leaf_nc, "-o", tmp_path / "o.nc", "--mode", "x"
    )
    assert "source netcfd is not known; did you mean 'netcdf'" in refused("convert", "netcfd", leaf_nc, "-o", tmp_path / "o.nc")
    assert "write it as name=value" in refused("convert", "netcdf", leaf_nc, "-o", tmp_path / "o.nc", "--unit", "mm")
    assert not (tmp_path / "o.nc").exists()


def test_a_damaged_checkpoint_is_refused(tmp_path, leaf_run):
    folder, _ = leaf_run
    (tmp_path / "experiment.toml").write_text((folder / "experiment.toml").read_text())
    (tmp_path / "checkpoint.pt").write_bytes((folder / "checkpoint.pt").read_bytes()[:5000])
    assert "not a whole checkpoint" in refused("resume", tmp_path, "--device", "cpu")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_with_one_sentence(tmp_path, monkeypatch, leaf_run):
    folder, _ = leaf_run
    (tmp_path / ".out.part.nc").symlink_to("/dev/full")
    leaf_nc = ROOT / "catchments" / "leaf" / "leaf.nc"
    message = refused("simulate", folder / "model.safetensors", leaf_nc, "-o", tmp_path / "out.nc")
    assert "could not be written" in message
    assert not (tmp_path / "out.nc").exists()


def test_debug_shows_the_traceback(tmp_path):
    result = call("train", LEAF, "--run-dir", tmp_path / "run", "--set", "training.step=5", "--debug")
    assert result.exit_code != 0
    assert result.exception is not None
    assert "unknown key" in str(result.exception)


def test_help_is_there_without_torch():
    code = "import sys, runoff_lstm.cli; sys.exit(bool({'torch', 'matplotlib', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, check=False).returncode == 0
    assert "simulate" in call("--help").output


@pytest.mark.parametrize("name", ["leaf", "au_saumon", "baskatong"])
def test_the_training_script_leaves_the_run_folder_of_the_command(name, tmp_path, monkeypatch):
    """The script is run as it stands, but for fewer updates: what it asks for is written before the first of them."""
    import runoff_lstm
    from runoff_lstm.experiment import read_experiment

    asked = {}

    def record(path, dataset, **arguments):
        asked.update(arguments, dataset=dataset)
        raise KeyboardInterrupt

    monkeypatch.setattr(runoff_lstm, "train_run", record, raising=False)
    script = ROOT / "catchments" / name / "train.py"
    with pytest.raises(KeyboardInterrupt):
        exec(compile(script.read_text(), script, "exec"), {"__file__": str(script), "__name__": "__main__"})
    experiment = read_experiment(script.with_name(f"{name}.toml"))
    dataset = asked.pop("dataset")
    expected = experiment.arguments()
    defaults = {one.name: one.default for one in signature(train_run).parameters.values() if one.name in expected}
    assert {**defaults, **asked} == expected
    assert Path(experiment.data.path).samefile(script.with_name(f"{name}.nc"))
    assert set(experiment.data.forcing) < set(dataset.data_vars)
