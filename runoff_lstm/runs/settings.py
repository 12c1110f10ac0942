"""Settings and provenance of a run, written to its folder first."""

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

import runoff_lstm
from runoff_lstm.data.names import SOURCE
from runoff_lstm.data.periods import AnyPeriod
from runoff_lstm.data.splits import Periods
from runoff_lstm.errors import InputError
from runoff_lstm.files import literal_path, locked, remove, remove_parts, written_whole
from runoff_lstm.inputs.device import Device, resolve_device, resolve_precision, threads_available
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.runs.folder import RunFolder, check_new_folder
from runoff_lstm.runs.walk_forward import Walk
from runoff_lstm.training.budget import BUDGETS, check_budget, has_other_budget
from runoff_lstm.training.checkpoint import read_checkpoint
from runoff_lstm.training.losses import name_of
from runoff_lstm.training.recipe import Recipe


@contextmanager
def held_folder(
    folder: RunFolder, settings: Mapping[str, Any], device: Device, *, resume: bool, enlarged: bool = False
) -> Iterator[None]:
    """Lock a run folder for this process: a new one or one to resume.

    A new folder gets settings and provenance. A run resumed with a larger budget loses its old results; see `is_enlarged`.

    Raises
    ------
    InputError
        The folder is not empty, with `resume` not found, or locked by another process.
    """
    place = resolve_device(device)
    path = folder.path
    if not resume:
        check_new_folder(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be made ({error}); choose another --run-dir") from None
    elif not path.is_dir():
        raise InputError(f"{folder} is not there, so that nothing can be resumed; train first")
    with locked(path):
        if resume:
            remove_parts(path)
            if enlarged:
                _enlarge(folder, settings)
        else:
            check_new_folder(path)  # another process may have written to it before the lock
            _write_settings(folder, settings, place)
        yield


def is_enlarged(folder: RunFolder, recipe: Recipe) -> bool:
    """Return whether a run, or one of several, has a larger budget than before.

    Raises an error if that budget is not possible.
    """
    below = [*folder.members, *folder.fold_runs]
    if below:
        return any([is_enlarged(one, recipe) for one in below])  # noqa: C419 - check all of them
    if not folder.checkpoint.is_file():
        return False
    before = read_checkpoint(folder.checkpoint).asked
    check_budget(before, recipe, run=folder.path, experiment=folder.experiment)
    return has_other_budget(before, recipe)


def _enlarge(folder: RunFolder, settings: Mapping[str, Any]) -> None:
    """Remove the results of the smaller budget, then write the larger one to the settings."""
    for one in folder.results:
        remove(one)
    written, training = folder.settings(), settings.get("training", {})
    others = {name: value for name, value in written.get("training", {}).items() if name not in BUDGETS}
    budget = {name: training[name] for name in BUDGETS if name in training}
    with written_whole(folder.experiment) as part:
        part.write_text(tomli_w.dumps({**written, "training": {**others, **budget}}), encoding="utf-8")


def _write_settings(folder: RunFolder, settings: Mapping[str, Any], place: torch.device) -> None:
    with written_whole(folder.experiment) as part:
        part.write_text(tomli_w.dumps(settings), encoding="utf-8")
    with written_whole(folder.provenance) as part:
        part.write_text(json.dumps(_provenance(place, settings.get("training", {})), indent=2) + "\n", encoding="utf-8")


def note_threads(folder: RunFolder, threads: int | None) -> None:
    """Add the number of threads used and available to provenance.json, once known."""
    known = json.loads(folder.provenance.read_text(encoding="utf-8")) | {
        "threads": threads,
        "threads_available": threads_available(),
    }
    with written_whole(folder.provenance) as part:
        part.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def given(settings: Architecture | Dropout | Recipe | Walk) -> dict[str, Any]:
    """Return the settings as a dict without None, which TOML does not support."""
    return {key: value for key, value in asdict(settings).items() if value is not None}


def settings_of(
    dataset: xr.Dataset, *, name: str, periods: Periods, inputs: Inputs, recipe: Recipe, architecture: Architecture
) -> dict[str, Any]:
    """Return the experiment in the structure of an experiment file."""
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
    """Return first and last day, for several stretches a list of pairs."""
    pairs = [[_moment(one.start), _moment(one.end)] for one in period.parts]
    return pairs[0] if len(pairs) == 1 else pairs


def _moment(moment: pd.Timestamp) -> datetime.date:
    """Return a date, with the time of day unless midnight."""
    return moment.date() if moment == moment.normalize() else moment.to_pydatetime()


def _provenance(device: torch.device, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Collect versions, commit, device, precision, available threads and date.

    See `note_threads`.
    """
    packages = ("runoff-lstm", "torch", "xarray", "pandas", "numpy", "netCDF4", "hydroeval")
    return {
        "versions": {"python": platform.python_version(), **{package: version(package) for package in packages}},
        "git_commit": _commit(),
        "device": str(device),
        "precision": resolve_precision(recipe.get("precision", "float32"), device),
        "threads": None,
        "threads_available": threads_available(),
        "platform": platform.platform(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str | None:
    """Return the git commit of this package.

    None if it is installed or git is not available.
    """
    package = Path(runoff_lstm.__file__).parent
    asked = ["git", "-C", str(package), "rev-parse", "--show-prefix", "HEAD"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    except OSError:
        return None
    return told[1] if told[:1] == [f"{package.name}/"] else None
