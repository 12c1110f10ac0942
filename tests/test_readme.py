import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::runoff_lstm.trained_model.OutsideTrainingRangeWarning")
def test_the_python_of_the_readme_runs(monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    assert "steps=960" in code
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    with pd.option_context("display.width", 200):
        exec(code.replace("steps=960", "steps=2").replace("validate_every=40", "validate_every=1"), names)
    assert "NSE" in capsys.readouterr().out
    assert names["trained"].history["update"].tolist() == [1, 2]


def test_the_readme_has_the_settings_of_the_leaf_config():
    said = re.search(r"recipe=rl.Recipe\((.*?)\),\n", README).group(1)
    settings = (ROOT / "catchments/leaf/leaf.toml").read_text(encoding="utf-8")
    for name, value in re.findall(r"(\w+)=([^,]+)", said):
        assert re.search(rf"^{name} = {re.escape(value)}$", settings, re.MULTILINE), name


@pytest.mark.parametrize(
    "page", ["README.md", "catchments/README.md", "catchments/camels_us/README.md", "tests/benchmarks/README.md"]
)
def test_every_link_and_picture_is_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or ((ROOT / page).parent / target).exists(), target


def test_every_module_is_in_the_tree_of_the_readme():
    tree = README[README.index("## What is where") :]
    for path in (ROOT / "runoff_lstm").iterdir():
        if path.name not in ("__init__.py", "__main__.py", "py.typed", "__pycache__"):
            assert f"  {path.name}{'/' if path.is_dir() else ''} " in tree, path.name
