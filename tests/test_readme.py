import re
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::runoff_lstm.prediction.input_warnings.OutsideTrainingRangeWarning")
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


def test_every_room_is_in_the_readme_and_nothing_else_is_called_one():
    rooms = README[README.index("## Rooms") : README.index("##", README.index("## Rooms") + 2)]
    named = re.findall(r"^\| `(\w+)` \|", rooms, re.MULTILINE)
    assert sorted(named) == sorted(path.parent.name for path in (ROOT / "runoff_lstm").glob("*/__init__.py"))
