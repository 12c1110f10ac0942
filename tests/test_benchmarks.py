"""Benchmarks, scripts of the catchments and notebooks keep to public names, and each script runs in its short form.

Made-up data stand in for the archives; of against_neuralhydrology.py our half stands in for NeuralHydrology's too, which is no
dependency, so that its half alone is imported but not run.
"""

import ast
import importlib.util
import re
import sys
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from small_archives import flow_file, forcing_file, write, write_attributes
from typer.testing import CliRunner

from runoff_lstm.cli import app
from runoff_lstm.data.readers import read_camels_us, write_dataset
from runoff_lstm.runs import run as run_folder
from runoff_lstm.runs import scores as run_scores

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "tests" / "benchmarks"
SCRIPTS = sorted([*BENCHMARKS.glob("*.py"), *(ROOT / "catchments").rglob("*.py")])
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TRAINING_SCRIPTS = sorted((ROOT / "catchments").rglob("train.py"))
BASINS = (ROOT / "catchments" / "camels_us" / "basins.txt").read_text().split()[:2]
PRODUCT = "maurer_extended"

pytestmark = [
    pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning"),
    pytest.mark.skipif(sys.platform == "win32", reason="the benchmarks measure memory by the module resource"),
]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def private_names(code: str) -> list[str]:
    """The private names of the package, or of any object but its own, that code reaches for; none where it does not import it."""
    tree = ast.parse(code)
    imports = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imports += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    if not any(name.split(".")[0] == "runoff_lstm" for name in imports):
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
            found.append(node.attr)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("runoff_lstm"):
            found += [part for alias in node.names for part in (*(node.module or "").split("."), alias.name)]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "setattr", "hasattr"):
            found += [one.value for one in node.args[1:2] if isinstance(one, ast.Constant)]
    return [name for name in found if is_private(name)]


def code_of(path: Path) -> str:
    """A script, or the cells of a notebook one below the other."""
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return re.sub(r"^[%!].*$", "", "\n".join(cells), flags=re.MULTILINE)


@pytest.mark.parametrize("path", [*SCRIPTS, *NOTEBOOKS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_script_and_no_notebook_reaches_for_a_private_name(path):
    assert private_names(code_of(path)) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("windows = Windows()\nwindows._valid", ["_valid"]),
        ("f(windows)[0]._block.nbytes", ["_block"]),
        ("from runoff_lstm.training.loop import Recipe, _Training", ["_Training"]),
        ("from runoff_lstm._fitting import Recipe", ["_fitting"]),
        ("getattr(windows, '_valid')", ["_valid"]),
        ("self._own = Windows.__name__\n_, __ = 1, 2", []),
    ],
)
def test_a_private_name_is_found_in_code_that_uses_the_package_and_only_there(code, found):
    assert private_names(f"import runoff_lstm\n{code}") == found
    assert "runoff_lstm" in code or private_names(code) == []


def daily(days: int) -> dict[str, np.ndarray]:
    """Weather and discharge of a basin with seasons; discharge in ft3 s-1 from 100 km2."""
    random = np.random.default_rng(3)
    rain = random.gamma(0.4, 8.0, days) * (random.random(days) < 0.4)
    warm = -np.cos(2 * np.pi * np.arange(days) / 365)
    stored = pd.Series(rain).ewm(span=20).mean().to_numpy()
    return {
        "prcp": rain,
        "srad": 200 + 100 * warm,
        "tmax": 15 + 12 * warm,
        "vp": 900 + 500 * warm,
        "flow": 41 * (0.2 + 0.6 * stored),
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder as RUNOFF_LSTM_DATA names one, with two basins from 1980 to 2008: text, attributes and netCDF."""
    root = tmp_path_factory.mktemp("data")
    days = pd.date_range("1980-01-01", "2008-12-31")
    made = daily(len(days))
    weather = zip(days, made["prcp"], made["srad"], made["tmax"], made["tmax"] - 10, made["vp"], strict=True)
    rows = [f"{day:%Y %m %d} 12 34214 {p:.2f} {s:.2f} 0.00 {high:.2f} {low:.2f} {vp:.2f}" for day, p, s, high, low, vp in weather]
    names = "Year Mnth Day Hr dayl(s) prcp(mm/day) srad(W/m2) swe(mm) tmax(C) tmin(C) vp(Pa)"
    for gauge_id in BASINS:
        text = "\n".join(["37.24", "226.00", "100000000", names, *rows]) + "\n"
        write(forcing_file(root / "camels_us", gauge_id, PRODUCT), text)
        flows = (f"{gauge_id} {day:%Y %m %d} {flow:.2f} A\n" for day, flow in zip(days, made["flow"], strict=True))
        write(flow_file(root / "camels_us", gauge_id), "".join(flows))
    write_attributes(root / "camels_us" / "camels_attributes_v2.0", *BASINS)
    dataset = read_camels_us(root / "camels_us", products=[PRODUCT])
    write_dataset(dataset, root / "canonical.nc")
    forcing = dataset[["prcp", "srad", "tmax", "tmin", "vp"]]
    flow = (dataset["discharge"] * 41).assign_attrs(units="ft3 s-1")
    forcing.assign(discharge_cfs=flow, area_km2=dataset["area_km2"]).to_netcdf(root / "camels_us_531.nc")
    return root


@pytest.fixture
def script(monkeypatch, tmp_path, data):
    """Load a benchmark in its short form, in an empty folder, with the made-up data; drawing is left out."""
    threads = torch.get_num_threads()
    monkeypatch.setenv("RUNOFF_LSTM_BRIEF", "1")
    monkeypatch.setenv("RUNOFF_LSTM_DATA", str(data))
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.chdir(tmp_path)
    for home in (run_folder, run_scores):
        monkeypatch.setattr(home, "write_figure", lambda *_, **__: None)

    def load(path: Path, *arguments: object) -> ModuleType:
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    torch.set_num_threads(threads)
    for name in ("brief", "neuralhydrology_side"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("dropout", ["--threads", 1], r"lstm, hidden 4, .* median of 1 rounds\nbare .* 1\.00\n(.*\n)+recurrent, per sequence"),
        ("dropout", ["--threads", 1, "--type", "gru"], "gru, hidden 4"),
        ("memory", ["--threads", 1], r"batch   2, 8 steps, hidden   4, float32: .* ratio \d"),
        ("threads", [], r"1 and 2 threads.*\n.*\nfloat32 +4 +2 .* update "),
        ("sampler", [], r"fresh process, 3 basin.*index 12 bytes(.*\n)+strict update, hidden 4, batch 8: \d.*(\n.*)+after updates"),
        ("archives", ["{data}/camels_us"], r"first update(.*\n)+2 basins, 10593 days"),
        ("first_update", ["{data}/canonical.nc"], "simulation of 2 basins, 3652 days"),
        ("forecasts", [1, "--names", "leaf"], r"leaf: training .*\n(.*\n)+lstm, seed 1 (.*\n)*lstm, ensemble"),
        ("forecasts", [1, "--names", "leaf", "--perfect"], "lstm, seed 1"),
    ],
)
def test_the_short_form_of_a_benchmark_runs(script, data, capsys, name, arguments, said):
    script(BENCHMARKS / f"{name}.py", *(str(one).format(data=data) for one in arguments)).main()
    assert re.search(said, capsys.readouterr().out)


def test_the_short_form_of_the_benchmark_of_the_catchments_runs_the_command(script, capsys, monkeypatch):
    module = script(BENCHMARKS / "catchments.py", 1)

    def run(command, **_):  # in this process, which has the imports behind it
        assert command[:3] == [sys.executable, "-m", "runoff_lstm.cli"]
        result = CliRunner().invoke(app, command[3:])
        assert result.exit_code == 0, result.output

    monkeypatch.setattr(module, "subprocess", SimpleNamespace(run=run, DEVNULL=None))
    module.main()
    assert re.search(r"catchment +seed +validation_NSE.*\n +leaf +1", capsys.readouterr().out)


def test_our_half_of_the_comparison_runs_in_all_parts(script, data, capsys, monkeypatch):
    quick = ["--hidden", 4, "--sequence-length", 20, "--updates", 7, "--threads", 1, "--gauge-id", BASINS[0], "--target", -1e9]
    module = script(BENCHMARKS / "against_neuralhydrology.py", "--neuralhydrology", "python", *quick)
    halves = {"train": module.train, "evaluate": module.evaluate, "reach": module.reach}
    asked = []

    def ours_for_both(name, settings, python, folder):
        asked.append((settings["stage"], name))
        folder.mkdir(exist_ok=True)
        return halves[settings["stage"]]({**settings, "folder": str(folder)})

    monkeypatch.setattr(module, "run_side", ours_for_both)
    module.main()
    output = capsys.readouterr().out
    assert asked == [(stage, name) for stage in halves for name in module.NAMES]
    assert re.search(r"index, bytes a window +(\d+\.?\d*) +\1 +1\.00", output)
    assert "median test NSE" in output
    assert "runoff_lstm: reached in 1 of 1 round(s)" in output


def test_the_half_of_neuralhydrology_has_every_stage_and_tells_what_fails(script, tmp_path):
    module = script(BENCHMARKS / "neuralhydrology_side.py")
    assert all(callable(getattr(module, stage)) for stage in ("train", "evaluate", "reach"))
    comparison = script(BENCHMARKS / "against_neuralhydrology.py")
    with pytest.raises(SystemExit, match=r"(?s)NeuralHydrology failed at train:.*No module named 'neuralhydrology'"):
        comparison.run_side("NeuralHydrology", {"stage": "train"}, sys.executable, tmp_path / "theirs")


@pytest.mark.parametrize("path", TRAINING_SCRIPTS, ids=lambda path: path.parent.name)
def test_the_training_script_of_a_catchment_runs(script, capsys, path):
    code = path.read_text(encoding="utf-8").replace("read_text().split()", "read_text().split()[:2]")
    for name, few in (("steps", "2"), ("validate_every", "2"), ("batch_size", "2"), ("hidden_sizes", "(4,)")):
        code = re.sub(rf"\b{name}=(\d+|\(\d+,\))", f"{name}={few}", code)
    assert "steps=2," in code
    exec(compile(code, path, "exec"), {"__file__": str(path), "__name__": "__main__"})
    (folder,) = Path("runs").iterdir()
    assert (folder / "test_metrics.csv").is_file()
    assert capsys.readouterr().out.endswith(f"{folder}\n")


def test_the_bundled_catchments_are_made_from_the_wheel(script, tmp_path, monkeypatch):
    table = "Date,P,E0,T,Qo\n2000-01-01,1.5,0.5,-3.0,2.25\n2000-01-02,0.0,0.25,-4.0,2.0\n"
    module = script(ROOT / "catchments" / "bundle_from_holmes.py", tmp_path / "holmes.whl")
    monkeypatch.setattr(module, "HERE", tmp_path)
    with zipfile.ZipFile(tmp_path / "holmes.whl", "w") as wheel:
        for gauge_id, (name, _) in module.CATCHMENTS.items():
            (tmp_path / gauge_id).mkdir()
            wheel.writestr(f"holmes/data/{name}_Observations.csv", table)
    module.main()
    with xr.open_dataset(tmp_path / "leaf" / "leaf.nc") as leaf:
        assert leaf["basin"].values.tolist() == ["leaf"]
        assert leaf["discharge"].values.tolist() == [[2.25, 2.0]]
        assert leaf["precipitation"].attrs["units"] == "mm d-1"


def test_every_script_is_run_by_one_of_these_tests():
    run = {
        "threads",
        "dropout",
        "memory",
        "sampler",
        "archives",
        "first_update",
        "forecasts",
        "catchments",
        "against_neuralhydrology",
    }
    others = {"brief", "same_numbers", "settings", "neuralhydrology_side", "bundle_from_holmes", "train"}
    assert {path.stem for path in SCRIPTS} == run | others
