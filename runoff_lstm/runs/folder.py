"""Paths of all files in a run folder; the only module that defines these file names.

Imports torch only to load a model, so commands that read tables start quickly.
"""

import datetime
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from runoff_lstm.errors import InputError
from runoff_lstm.evaluation.baselines import BASELINES
from runoff_lstm.evaluation.basins import medians
from runoff_lstm.files import LOCK, check_netcdf_path, folder_name, locked, new_folder

if TYPE_CHECKING:
    import torch

    from runoff_lstm.prediction.trained_model import TrainedModel

TEST = "test"


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run, or of the members of an ensemble or folds of a cross-validation.

    Attributes
    ----------
    path
        The folder; it may not exist yet.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def label(self) -> str:
        """Last part of the path, such as `seed-3` or `fold-1`."""
        return self.path.name

    @property
    def experiment(self) -> Path:
        """Settings of the run; written first."""
        return self.path / "experiment.toml"

    @property
    def provenance(self) -> Path:
        """Versions, commit, device and date."""
        return self.path / "provenance.json"

    @property
    def checkpoint(self) -> Path:
        """State of the training."""
        return self.path / "checkpoint.pt"

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.path / "model.safetensors"

    @property
    def history(self) -> Path:
        """Training history, one row per validation."""
        return self.path / "history.csv"

    @property
    def history_plot(self) -> Path:
        """Plot of the training history."""
        return self.path / "history.png"

    @property
    def coverage(self) -> Path:
        """Data used in each period."""
        return self.path / "coverage.csv"

    @property
    def runs(self) -> Path:
        """Table of several runs, one row each; written last."""
        return self.path / "runs.csv"

    @property
    def folds(self) -> Path:
        """Data held out by each fold of a cross-validation."""
        return self.path / "folds.csv"

    def metrics(self, period: str = TEST) -> Path:
        """Return the path of the scores of a simulation; written last."""
        return self.path / f"{period}_metrics.csv"

    def baselines(self, period: str = TEST) -> Path:
        """Return the path of the scores of the baselines climatology and persistence."""
        return self.path / f"{period}_baselines.csv"

    def simulation(self, period: str = TEST) -> Path:
        """Return the path of observed and simulated discharge."""
        return self.path / f"{period}_simulation.nc"

    def worst_basins(self, period: str = TEST) -> Path:
        """Return the path of the basins with the worst scores and possible causes."""
        return self.path / f"{period}_worst_basins.csv"

    def forecasts(self, period: str = TEST) -> Path:
        """Return the path of forecast and observed discharge."""
        return self.path / f"{period}_forecasts.nc"

    def lead_scores(self, period: str = TEST) -> Path:
        """Return the path of the forecast scores by lead time; written last."""
        return self.path / f"{period}_lead_scores.csv"

    def lead_scores_by_season(self, period: str = TEST) -> Path:
        """Return the path of the scores by lead time and season of the issue date."""
        return self.path / f"{period}_lead_scores_by_season.csv"

    def hydrograph_plot(self, period: str = TEST) -> Path:
        """Return the path of the hydrograph of the median basin."""
        return self._plot("hydrograph", period)

    def distribution_plot(self, period: str = TEST) -> Path:
        """Return the path of the distribution of a metric over all basins."""
        return self._plot("distribution", period)

    def map_plot(self, period: str = TEST) -> Path:
        """Return the path of the map of a metric."""
        return self._plot("map", period)

    def lead_times_plot(self, period: str = TEST) -> Path:
        """Return the path of the plot of a metric against lead time."""
        return self._plot("lead_times", period)

    def forecasts_plot(self, period: str = TEST) -> Path:
        """Return the path of the plot of forecasts of the median basin."""
        return self._plot("forecasts", period)

    def _plot(self, what: str, period: str) -> Path:
        return self.path / f"{'' if period == TEST else f'{period}_'}{what}.png"

    def member(self, seed: int) -> "RunFolder":
        """Return the folder of the member with this seed."""
        return RunFolder(self.path / f"seed-{seed}")

    def fold(self, number: int) -> "RunFolder":
        """Return the folder of a fold, counted from 1."""
        return RunFolder(self.path / f"fold-{number}")

    def below(self, label: str) -> "RunFolder":
        """Return the subfolder with this label."""
        return RunFolder(self.path / label)

    @property
    def members(self) -> list["RunFolder"]:
        """Folders of the members of an ensemble, by seed; empty for a single run."""
        return self._below("seed-")

    @property
    def fold_runs(self) -> list["RunFolder"]:
        """Folders of the folds of a cross-validation, by number; empty for a single run."""
        return self._below("fold-")

    def _below(self, prefix: str) -> list["RunFolder"]:
        found = {one.name.removeprefix(prefix): one for one in self.path.glob(f"{prefix}*") if one.is_dir()}
        return [RunFolder(found[number]) for number in sorted(filter(str.isdecimal, found), key=int)]

    @property
    def models(self) -> list[Path]:
        """Existing model files of this run and of all runs in its subfolders."""
        return sorted(self.path.rglob(self.model.name))

    @property
    def is_done(self) -> bool:
        """Whether the test period is scored; its table of scores is written last."""
        return self.metrics().is_file() or self.lead_scores().is_file()

    @property
    def results(self) -> list[Path]:
        """Files that mark a run as finished: model and tables of scores.

        They are removed before training with a larger budget.
        """
        tables = [table(period) for table in (self.metrics, self.lead_scores) for period in ("train", "validation", TEST)]
        return [*tables, self.runs, self.model]

    @property
    def is_finished(self) -> bool:
        """Whether the run is complete: scored, or without a test period trained.

        An ensemble or cross-validation also needs its table of runs.
        """
        if self.members or self.fold_runs:
            return self.is_done and self.runs.is_file()
        return self.model.is_file() and (self.is_done or TEST not in self.settings().get("periods", {}))

    @property
    def is_unfinished(self) -> bool:
        """Whether the run was started and its final model is not written yet."""
        settings = self.settings()
        return bool(settings) and not self.is_finished and (not self.model.is_file() or "walk_forward" in settings)

    def settings(self) -> dict[str, Any]:
        """Read experiment.toml; empty if the file does not exist."""
        if not self.experiment.is_file():
            return {}
        try:
            return tomllib.loads(self.experiment.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{self.experiment} is not a readable TOML file: {error}") from None

    def period_scored(self, table: Path) -> str | None:
        """Return the period of a table of scores; None for any other file."""
        period, is_ours, _ = table.name.partition(self.metrics("").name)
        return period if is_ours else None


def default_folder(name: str) -> Path:
    """Create `runs/<name>-<timestamp>` in the current folder.

    Further runs started in the same second get the suffix `-2`, `-3` ...

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
    """Raise an error if the folder is not empty."""
    if folder.exists() and (not folder.is_dir() or any(one.name != LOCK for one in folder.iterdir())):
        raise InputError(f"{folder} is there already and not empty; choose another --run-dir, or resume it")
    check_netcdf_path(folder)


def check_free(folder: Path) -> None:
    """Raise an error if another process trains in the folder.

    Call it before reading data.
    """
    with locked(folder):
        pass


def load_models(path: str | Path, *, device: "str | torch.device" = "cpu") -> "list[TrainedModel]":
    """Load the model of a bundle file or run folder.

    For an ensemble all members are loaded, by seed.

    Raises
    ------
    InputError
        The folder is not a run folder, is a cross-validation, or is not finished.
    """
    from runoff_lstm.prediction.bundle import load_model

    return [load_model(file, device=device) for file in _model_files(Path(path))]


def model_to_start_from(path: str | Path) -> "TrainedModel":
    """Load the single model of a bundle file, run folder or ensemble member.

    Raises
    ------
    InputError
        As for `load_models`, or the folder is an ensemble.
    """
    from runoff_lstm.prediction.bundle import load_model

    members = RunFolder(Path(path)).members
    if members:
        raise InputError(f"{path} is an ensemble, and a training goes on from one model; start from {_choice(members)}")
    (file,) = _model_files(Path(path))
    return load_model(file)


def _choice(runs: Sequence[RunFolder]) -> str:
    """List runs as 'A/seed-3, A/seed-4 or A/seed-5'.

    Of 8 or more runs, only the first two and the last are listed.
    """
    *some, last = map(str, runs if len(runs) < 8 else (*runs[:2], runs[-1]))
    between = ", " if len(runs) < 8 else " ... "
    return f"{', '.join(some)}{' or ' if len(runs) < 8 else between}{last}" if some else last


def _model_files(path: Path) -> list[Path]:
    folder = RunFolder(path)
    if not path.is_dir():
        return [path]
    if folder.fold_runs:
        raise InputError(f"{path} is a cross-validation; name one of its folds: {_choice(folder.fold_runs)}")
    if folder.is_unfinished:
        raise InputError(f"{path} is a run that is not finished; finish it with: runoff-lstm resume {path}")
    if folder.members:
        return [member.model for member in folder.members]
    if not folder.model.is_file():
        raise InputError(f"{path} has no trained model; give a {folder.model.name} or a finished run folder")
    return [folder.model]


def made_before(folder: RunFolder) -> xr.DataArray:
    """Read the simulation or forecasts of a run for its test period."""
    is_forecast = folder.forecasts().is_file()
    with xr.open_dataset(folder.forecasts() if is_forecast else folder.simulation()) as opened:
        made: xr.DataArray = opened["forecast" if is_forecast else "simulated"].load()
    return made


def medians_of_run(folder: RunFolder) -> dict[str, float]:
    """Return the medians of the scores over the basins of a run, then the numbers of basins."""
    if folder.lead_scores().is_file():
        table = pd.read_csv(folder.lead_scores(), dtype={"gauge_id": str})
        own = table[~table["model"].isin(BASELINES)]
        scores = own.pivot(index="gauge_id", columns="lead_time", values="NSE").add_prefix("NSE lead ")
    else:
        scores = pd.read_csv(folder.metrics(), index_col=0)
    found = medians(scores)
    counts = {f"{name}_basins": basins for name, (_, basins) in found.items()}
    return {**{name: median for name, (median, _) in found.items()}, "basins": len(scores), **counts}
