import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import runoff_lstm
from runoff_lstm.runs import folder as home
from runoff_lstm.runs.folder import RunFolder

PACKAGE = Path(runoff_lstm.__file__).parent


def names() -> set[str]:
    """What RunFolder calls its files and the folders below it, without the period."""
    run = RunFolder(Path("run"))
    found = {value.name for value in vars_of(run) if isinstance(value, Path)} - {"run"}
    for name, method in inspect.getmembers(run, inspect.ismethod):
        if "period" in inspect.signature(method).parameters and name != "_plot":
            found.add(method("").name.removeprefix("_"))
    return found | {"seed-", "fold-"}


def vars_of(run: RunFolder) -> Iterator[object]:
    for name, one in inspect.getmembers(RunFolder):
        if isinstance(one, property):
            yield getattr(run, name)


def literals(path: Path) -> Iterator[str]:
    """Strings of a module that are no docstrings and no sentences."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
    for one in ast.walk(tree):
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in told and " " not in one.value:
            yield one.value


def test_every_file_name_of_a_run_is_spelt_in_one_module():
    known = names()
    assert {"checkpoint.pt", "model.safetensors", "metrics.csv", "hydrograph.png", "runs.csv"} <= known
    spelt = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name in literal for literal in literals(path) for name in known)
    }
    assert spelt == {Path(home.__file__).relative_to(PACKAGE).as_posix()}


def test_members_and_folds_are_found_by_number(tmp_path):
    for name in ("seed-10", "seed-9", "seed-x", "fold-1"):
        (tmp_path / name).mkdir()
    (tmp_path / "seed-1").write_text("no folder")
    folder = RunFolder(tmp_path)
    assert [one.label for one in folder.members] == ["seed-9", "seed-10"]
    assert folder.fold_runs == [folder.fold(1)] == [RunFolder(tmp_path / "fold-1")]


def test_tables_and_pictures_of_the_test_period_have_names_of_their_own():
    folder = RunFolder(Path("run"))
    assert [folder.metrics().name, folder.metrics("train").name] == ["test_metrics.csv", "train_metrics.csv"]
    assert [folder.map_plot().name, folder.map_plot("train").name] == ["map.png", "train_map.png"]
    assert folder.period_scored(folder.metrics("validation")) == "validation"
    assert folder.period_scored(Path("scores.csv")) is None


def test_a_run_is_done_once_its_table_of_scores_is_there(tmp_path):
    folder = RunFolder(tmp_path)
    assert not folder.is_done
    folder.simulation().touch()
    assert not folder.is_done
    folder.lead_scores().touch()
    assert folder.is_done


def test_the_paths_of_a_run_need_no_torch():
    modules = "import sys; import runoff_lstm.runs.folder, runoff_lstm.runs.comparison; sys.exit('torch' in sys.modules)"
    import subprocess
    import sys

    assert subprocess.run([sys.executable, "-c", modules], check=False).returncode == 0
