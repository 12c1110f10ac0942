"""What `pip install` brings: every module, the types, and the small files of the catchments."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("runoff_lstm", "catchments", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a clone without the marks of earlier builds, unpacked."""
    clone, built = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("built")
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, clone / part)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(built)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (packed,) = built.glob("*.whl")
    assert packed.stat().st_size < 2**20
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(built)
    return built


def files(folder, *patterns):
    return {str(path.relative_to(folder)) for pattern in patterns for path in folder.rglob(pattern)}


def test_a_wheel_has_every_module_and_the_mark_of_types(wheel):
    assert files(ROOT / "runoff_lstm", "*.py", "py.typed") <= files(wheel / "runoff_lstm", "*.py", "py.typed")


def test_a_wheel_has_the_experiments_and_records_of_the_catchments(wheel):
    kept = ("*.toml", "*.nc", "*.txt", "README.md")
    assert files(wheel / "runoff_lstm" / "catchments", *kept) == files(ROOT / "catchments", *kept)


def test_an_installed_package_finds_its_template(wheel):
    asked = "import runoff_lstm; from runoff_lstm import reference; print(runoff_lstm.__file__); print(reference.template())"
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=wheel, env={"PYTHONPATH": str(wheel)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    home, *template = done.stdout.splitlines()
    assert Path(home).parent == wheel / "runoff_lstm"
    (data,) = [line.split('"')[1] for line in template if line.startswith("path = ")]
    assert Path(data) == wheel / "runoff_lstm" / "catchments" / "leaf" / "leaf.nc"
    assert Path(data).is_file()
