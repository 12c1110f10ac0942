"""What a run leaves behind: its folder, settings, provenance and models."""

import datetime
import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w
import torch
import xarray as xr

from runoff_lstm.data.names import SOURCE
from runoff_lstm.data.periods import AnyPeriod
from runoff_lstm.data.splits import Periods
from runoff_lstm.device import Device, resolve_device, resolve_precision
from runoff_lstm.errors import InputError
from runoff_lstm.evaluation.baselines import YARDSTICKS
from runoff_lstm.evaluation.basins import medians
from runoff_lstm.files import LOCK, folder_name, literal_path, locked, new_folder, remove_parts, written_whole
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.prediction.bundle import load_model
from runoff_lstm.prediction.trained_model import TrainedModel
from runoff_lstm.runs.walk_forward import Walk
from runoff_lstm.training.losses import name_of
from runoff_lstm.training.recipe import Recipe


def default_folder(name: str) -> Path:
    """Make `runs/<name>-<timestamp>` below the current folder, and of several runs begun in one second `-2`, `-3` ... behind it.

    Examples
    --------
    >>> import os, tempfile
    >>> import runoff_lstm as rl
    >>> before = os.getcwd()
    >>> os.chdir(tempfile.mkdtemp())
    >>> rl.default_folder("leaf").name.startswith("leaf-")
    True
    >>> os.chdir(before)
    """
    return new_folder(Path("runs") / f"{folder_name(name)}-{datetime.datetime.now():%Y%m%d-%H%M%S}")


def check_new_folder(folder: Path) -> None:
    """Refuse a folder that holds something already."""
    if folder.exists() and (not folder.is_dir() or any(one.name != LOCK for one in folder.iterdir())):
        raise InputError(f"{folder} is there already and not empty; choose another --run-dir, or resume it")


def check_free(folder: Path) -> None:
    """Refuse a folder that another process trains in, before minutes go by with reading."""
    with locked(folder):
        pass


@contextmanager
def held_folder(folder: Path, settings: Mapping[str, Any], device: Device, *, resume: bool) -> Iterator[None]:
    """Hold a run folder for this process alone: a new one, with what was asked for and where it runs, or one to resume.

    Raises
    ------
    InputError
        The folder is not empty, or with `resume` not there; another process holds it.
    """
    place = resolve_device(device)
    if not resume:
        check_new_folder(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be made ({error}); choose another --run-dir") from None
    elif not folder.is_dir():
        raise InputError(f"{folder} is not there, so that nothing can be resumed; train first")
    with locked(folder):
        if resume:
            remove_parts(folder)
        else:
            check_new_folder(folder)  # another process may have been faster
            _write_settings(folder, settings, place)
        yield


def _write_settings(folder: Path, settings: Mapping[str, Any], place: torch.device) -> None:
    with written_whole(folder / "experiment.toml") as part:
        part.write_text(tomli_w.dumps(settings), encoding="utf-8")
    with written_whole(folder / "provenance.json") as part:
        part.write_text(json.dumps(_provenance(place, settings.get("training", {})), indent=2) + "\n", encoding="utf-8")


def given(settings: Architecture | Dropout | Recipe | Walk) -> dict[str, Any]:
    """What is set, as a table; TOML knows no None."""
    return {key: value for key, value in asdict(settings).items() if value is not None}


def settings_of(
    dataset: xr.Dataset, *, name: str, periods: Periods, inputs: Inputs, recipe: Recipe, architecture: Architecture
) -> dict[str, Any]:
    """The experiment as a table that the command line reads back: the form of an experiment file."""
    source = json.loads(dataset.attrs.get(SOURCE, "{}"))
    source |= {key: literal_path(source[key]) for key in ("path", "attributes") if source.get(key)}
    asked = asdict(inputs)
    return {
        "name": name,
        "data": {**source, "forcing": list(asked["forcing"]), "static_attributes": list(asked["static_attributes"])},
        "periods": {key: _dates(period) for key, period in periods.named().items()},
        "windows": {key: value for key, value in asked.items() if key not in ("forcing", "static_attributes") and value},
        "model": {**given(architecture), "dropout": given(architecture.dropout)},
        "training": {**given(recipe), "loss": name_of(recipe.loss)},
    }


def _dates(period: AnyPeriod) -> list[Any]:
    """First and last day, of several stretches a list of such."""
    pairs = [[_moment(one.start), _moment(one.end)] for one in period.parts]
    return pairs[0] if len(pairs) == 1 else pairs


def _moment(moment: pd.Timestamp) -> datetime.date:
    """A date, with the time of day where that is not midnight."""
    return moment.date() if moment == moment.normalize() else moment.to_pydatetime()


def _provenance(device: torch.device, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, commit, device, the precision used there, and date."""
    packages = ("runoff-lstm", "torch", "xarray", "pandas", "numpy", "netCDF4", "hydroeval")
    return {
        "versions": {"python": platform.python_version(), **{package: version(package) for package in packages}},
        "git_commit": _commit(),
        "device": str(device),
        "precision": resolve_precision(recipe.get("precision", "float32"), device),
        "platform": platform.platform(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str | None:
    """The commit of this package where it runs from its own repository; None where it is installed, or git is not there."""
    package = Path(__file__).parent
    asked = ["git", "-C", str(package), "rev-parse", "--show-prefix", "HEAD"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    except OSError:
        return None
    return told[1] if told[:1] == [f"{package.name}/"] else None


def load_models(path: str | Path, *, device: str | torch.device = "cpu") -> list[TrainedModel]:
    """The model of a bundle's file or of a run folder, or all members of an ensemble's folder, by seed.

    Raises
    ------
    InputError
        The folder is no run folder, a cross-validation, or not finished.
    """
    path = Path(path)
    if not path.is_dir() or (path / "model.safetensors").is_file():
        return [load_model(path / "model.safetensors" if path.is_dir() else path, device=device)]
    if (path / "fold-1").is_dir():
        raise InputError(f"{path} is a cross-validation; name one of its folds, such as {path / 'fold-1'}")
    members = sorted(path.glob("seed-*"), key=lambda member: int(member.name.removeprefix("seed-")))
    if not members or not (path / "runs.csv").is_file():
        raise InputError(f"{path} has no trained model; give a model.safetensors or a finished run folder")
    return [load_model(member / "model.safetensors", device=device) for member in members]


def is_done(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("test_metrics.csv", "test_lead_scores.csv"))


def made_before(folder: Path) -> xr.DataArray:
    """What a run has simulated, or forecast, of its test period."""
    forecasts = folder / "test_forecasts.nc"
    file, name = (forecasts, "forecast") if forecasts.is_file() else (folder / "test_simulation.nc", "simulated")
    with xr.open_dataset(file) as opened:
        made: xr.DataArray = opened[name].load()
    return made


def medians_of_run(folder: Path) -> dict[str, float]:
    """The medians of a run over its basins, then the numbers of basins."""
    by_lead = folder / "test_lead_scores.csv"
    if by_lead.is_file():
        table = pd.read_csv(by_lead, dtype={"gauge_id": str})
        own = table[~table["model"].isin(YARDSTICKS)]
        scores = own.pivot(index="gauge_id", columns="lead_time", values="NSE").add_prefix("NSE lead ")
    else:
        scores = pd.read_csv(folder / "test_metrics.csv", index_col=0)
    found = medians(scores)
    counts = {f"{name}_basins": basins for name, (_, basins) in found.items()}
    return {**{name: median for name, (median, _) in found.items()}, "basins": len(scores), **counts}
