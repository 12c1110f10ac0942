"""From the path of a run folder to the paths of its files: every file name of a run, here and nowhere else.

Loads no torch until a model is asked for, so that commands that read tables alone start at once.
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
    """The paths of one run, or of many runs: an ensemble has members, a cross-validation has folds.

    Attributes
    ----------
    path
        The folder; it need not exist.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def label(self) -> str:
        """The last part of its path, such as `seed-3` or `fold-1` of runs below another folder."""
        return self.path.name

    @property
    def experiment(self) -> Path:
        """What was asked for; written first."""
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
        """A row for each validation."""
        return self.path / "history.csv"

    @property
    def history_plot(self) -> Path:
        """The history, drawn."""
        return self.path / "history.png"

    @property
    def coverage(self) -> Path:
        """What was used of each period."""
        return self.path / "coverage.csv"

    @property
    def runs(self) -> Path:
        """Of many runs: a row for each; written last."""
        return self.path / "runs.csv"

    @property
    def folds(self) -> Path:
        """Of a cross-validation: what each fold holds out."""
        return self.path / "folds.csv"

    def metrics(self, period: str = TEST) -> Path:
        """Scores of a simulation; written last."""
        return self.path / f"{period}_metrics.csv"

    def baselines(self, period: str = TEST) -> Path:
        """Scores of climatology and persistence beside a simulation."""
        return self.path / f"{period}_baselines.csv"

    def simulation(self, period: str = TEST) -> Path:
        """Observed and simulated discharge."""
        return self.path / f"{period}_simulation.nc"

    def worst_basins(self, period: str = TEST) -> Path:
        """The basins with the lowest scores, and what may explain them."""
        return self.path / f"{period}_worst_basins.csv"

    def forecasts(self, period: str = TEST) -> Path:
        """Forecast discharge, and what was observed."""
        return self.path / f"{period}_forecasts.nc"

    def lead_scores(self, period: str = TEST) -> Path:
        """Scores of forecasts by lead time; written last."""
        return self.path / f"{period}_lead_scores.csv"

    def lead_scores_by_season(self, period: str = TEST) -> Path:
        """The same for each season of the issue date."""
        return self.path / f"{period}_lead_scores_by_season.csv"

    def hydrograph_plot(self, period: str = TEST) -> Path:
        """The median basin."""
        return self._plot("hydrograph", period)

    def distribution_plot(self, period: str = TEST) -> Path:
        """A metric over all basins."""
        return self._plot("distribution", period)

    def map_plot(self, period: str = TEST) -> Path:
        """A metric at the gauges' places."""
        return self._plot("map", period)

    def lead_times_plot(self, period: str = TEST) -> Path:
        """A metric against lead time."""
        return self._plot("lead_times", period)

    def forecasts_plot(self, period: str = TEST) -> Path:
        """Forecasts of the median basin."""
        return self._plot("forecasts", period)

    def _plot(self, what: str, period: str) -> Path:
        return self.path / f"{'' if period == TEST else f'{period}_'}{what}.png"

    def member(self, seed: int) -> "RunFolder":
        """The run of a seed in an ensemble."""
        return RunFolder(self.path / f"seed-{seed}")

    def fold(self, number: int) -> "RunFolder":
        """The run of a fold, counted from 1."""
        return RunFolder(self.path / f"fold-{number}")

    def below(self, label: str) -> "RunFolder":
        """The run of this label."""
        return RunFolder(self.path / label)

    @property
    def members(self) -> list["RunFolder"]:
        """The runs of an ensemble, by seed; none of a single run."""
        return self._below("seed-")

    @property
    def fold_runs(self) -> list["RunFolder"]:
        """The runs of a cross-validation, by number; none of a single run."""
        return self._below("fold-")

    def _below(self, prefix: str) -> list["RunFolder"]:
        found = {one.name.removeprefix(prefix): one for one in self.path.glob(f"{prefix}*") if one.is_dir()}
        return [RunFolder(found[number]) for number in sorted(filter(str.isdecimal, found), key=int)]

    @property
    def models(self) -> list[Path]:
        """The models of this run and of all runs below it that are there."""
        return sorted(self.path.rglob(self.model.name))

    @property
    def is_done(self) -> bool:
        """Whether the test period is scored: its table of scores is written last."""
        return self.metrics().is_file() or self.lead_scores().is_file()

    @property
    def results(self) -> list[Path]:
        """What makes a run look finished: its model and tables of scores, which are gone while it goes on with a larger budget."""
        tables = [table(period) for table in (self.metrics, self.lead_scores) for period in ("train", "validation", TEST)]
        return [*tables, self.runs, self.model]

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do: scored, many runs all together, or, where there is no test period, trained."""
        if self.members or self.fold_runs:
            return self.is_done and self.runs.is_file()
        return self.model.is_file() and (self.is_done or TEST not in self.settings().get("periods", {}))

    @property
    def is_unfinished(self) -> bool:
        """Whether a run was begun whose model, where there is one, is not the last one yet."""
        settings = self.settings()
        return bool(settings) and not self.is_finished and (not self.model.is_file() or "walk_forward" in settings)

    def settings(self) -> dict[str, Any]:
        """What is in experiment.toml; empty where there is none."""
        if not self.experiment.is_file():
            return {}
        try:
            return tomllib.loads(self.experiment.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{self.experiment} is not a readable TOML file: {error}") from None

    def period_scored(self, table: Path) -> str | None:
        """The period that one of its tables of scores is of; None of any other file."""
        period, is_ours, _ = table.name.partition(self.metrics("").name)
        return period if is_ours else None


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
    check_netcdf_path(folder)


def check_free(folder: Path) -> None:
    """Refuse a folder that another process trains in, before minutes go by with reading."""
    with locked(folder):
        pass


def load_models(path: str | Path, *, device: "str | torch.device" = "cpu") -> "list[TrainedModel]":
    """The model of a bundle's file or of a run folder, or all members of an ensemble's folder, by seed.

    Raises
    ------
    InputError
        The folder is no run folder, a cross-validation, or not finished.
    """
    from runoff_lstm.prediction.bundle import load_model

    return [load_model(file, device=device) for file in _model_files(Path(path))]


def model_to_start_from(path: str | Path) -> "TrainedModel":
    """The one model of a bundle's file or of a run folder; of an ensemble a member has to be named.

    Raises
    ------
    InputError
        As `load_models`, or the folder is an ensemble.
    """
    from runoff_lstm.prediction.bundle import load_model

    members = RunFolder(Path(path)).members
    if members:
        raise InputError(f"{path} is an ensemble, and a training goes on from one model; start from {_choice(members)}")
    (file,) = _model_files(Path(path))
    return load_model(file)


def _choice(runs: Sequence[RunFolder]) -> str:
    """'A/seed-3, A/seed-4 or A/seed-5', of many runs the first two and the last."""
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
    """What a run has simulated, or forecast, of its test period."""
    is_forecast = folder.forecasts().is_file()
    with xr.open_dataset(folder.forecasts() if is_forecast else folder.simulation()) as opened:
        made: xr.DataArray = opened["forecast" if is_forecast else "simulated"].load()
    return made


def medians_of_run(folder: RunFolder) -> dict[str, float]:
    """The medians of a run over its basins, then the numbers of basins."""
    if folder.lead_scores().is_file():
        table = pd.read_csv(folder.lead_scores(), dtype={"gauge_id": str})
        own = table[~table["model"].isin(BASELINES)]
        scores = own.pivot(index="gauge_id", columns="lead_time", values="NSE").add_prefix("NSE lead ")
    else:
        scores = pd.read_csv(folder.metrics(), index_col=0)
    found = medians(scores)
    counts = {f"{name}_basins": basins for name, (_, basins) in found.items()}
    return {**{name: median for name, (median, _) in found.items()}, "basins": len(scores), **counts}
