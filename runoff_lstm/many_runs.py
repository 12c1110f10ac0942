"""From one experiment to many runs side by side: the members of an ensemble, or the folds of a cross-validation.

Each run is one of `train_run`, in a process and a folder of its own; what is stopped goes on, run by run, with `resume`.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
import xarray as xr

from runoff_lstm.bundle import load_model
from runoff_lstm.checks import check_basins
from runoff_lstm.files import write_csv
from runoff_lstm.fitting import Progress
from runoff_lstm.lead_times import ISSUE_DATE, YARDSTICKS
from runoff_lstm.periods import Period, Periods, temporal_folds, ungauged_folds
from runoff_lstm.progress import training_bars
from runoff_lstm.run_folder import check_run, create_folder, train_run
from runoff_lstm.run_scores import LeadScores, Scores, mean_of, score
from runoff_lstm.schema import BASIN, TIME, InputError
from runoff_lstm.trained_model import TrainedModel
from runoff_lstm.training import Device, resolve_device

FoldKind = Literal["basin", "period"]

TELL_EVERY = 0.5
"""Seconds between two messages of a run to the bar that shows it."""


@dataclass(frozen=True)
class ManyRuns:
    """What an ensemble or a cross-validation leaves.

    Attributes
    ----------
    path
        The folder; every run has one of its own below it.
    runs
        A row per run: what sets it apart, its folder, and the median of every metric over its basins.
    scores
        Of the mean of the members' hydrographs (or forecasts), or of all folds together: `Scores`, of forecasts `LeadScores`.
    """

    path: Path
    runs: pd.DataFrame
    scores: Scores | LeadScores


def train_ensemble(
    path: str | Path,
    dataset: xr.Dataset,
    seeds: Sequence[int],
    *,
    settings: Mapping[str, Any],
    device: Device = "auto",
    workers: int | None = None,
    resume: bool = False,
    show_progress: bool = True,
    **arguments: Any,
) -> ManyRuns:
    """Train a member for every seed; the ensemble is the mean of the members' hydrographs, or of their forecasts.

    Parameters
    ----------
    path
        Folder: new or empty, or with `resume` one that was left unfinished.
    dataset
        Canonical Dataset, dims (basin, time).
    seeds
        One for each member.
    settings
        What is written as the folder's experiment.toml.
    device, workers
        Where to train, and how many at a time; None: one a processor, two on a GPU. From a script, this needs the usual
        `if __name__ == "__main__":`.
    resume
        Leave finished members as they are, and go on with the others.
    show_progress
        Whether to draw a bar for each member.
    **arguments
        Of `train_run`, the test period among them.

    Raises
    ------
    InputError
        There is no test period to score, a seed is there twice, or one of the runs raises it.
    """
    folder, dataset, periods = Path(path), check_basins(dataset), arguments["periods"]
    if periods.test is None:
        raise InputError("an ensemble is scored on the test period; name one in [periods]")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"seeds = {list(seeds)}: each may come once")
    jobs = {f"seed-{seed}": {**arguments, "seed": seed} for seed in seeds}
    _run_all(folder, dataset, jobs, settings, device=device, workers=workers, resume=resume, show_progress=show_progress)
    chosen = {key: arguments[key] for key in ("name", "periods", "metrics") if key in arguments}
    scores = score(folder, dataset, mean_of([_made(folder / label) for label in jobs]), **chosen)
    return ManyRuns(folder, _table(folder, list(jobs), {"seed": list(seeds)}), scores)


def cross_validate(
    path: str | Path,
    dataset: xr.Dataset,
    *,
    number: int,
    by: FoldKind = "basin",
    fold_seed: int = 0,
    settings: Mapping[str, Any],
    device: Device = "auto",
    workers: int | None = None,
    resume: bool = False,
    show_progress: bool = True,
    **arguments: Any,
) -> ManyRuns:
    """Train once for every fold, and score what each fold has kept from training, all folds together.

    Parameters
    ----------
    path, dataset, settings, device, workers, resume, show_progress, **arguments
        See `train_ensemble`.
    number, by, fold_seed
        By "basin": so many folds of basins, drawn with `fold_seed` and written to folds.csv; scaler, weights and validation see the
        other basins only, and each basin is scored in the test period as if it were ungauged. By "period": the training period in
        `number` + 1 blocks, each but the first tested by a model trained on all before it (see `temporal_folds`); the test period
        is not looked at. The climatology beside all folds is that of the first block, beside one fold that of its training.

    Raises
    ------
    InputError
        The folds cannot be made, basins are held out already, or one of the runs raises it.
    """
    folder, dataset, periods = Path(path), check_basins(dataset), arguments["periods"]
    if arguments.get("held_out"):
        raise InputError("[folds] holds out basins itself; leave [evaluation] held_out out")
    if by == "basin":
        if periods.test is None:
            raise InputError("folds of basins are scored on the test period; name one in [periods]")
        folds = ungauged_folds([str(one) for one in dataset[BASIN].values], number, seed=fold_seed)
        jobs = {f"fold-{place + 1}": {**arguments, "held_out": fold} for place, fold in enumerate(folds)}
        told = pd.DataFrame(
            [(gauge_id, place + 1) for place, fold in enumerate(folds) for gauge_id in fold], columns=["gauge_id", "fold"]
        )
    else:
        if fold_seed:
            raise InputError(f'[folds] seed = {fold_seed} draws basins, and by = "period" draws none; leave it out')
        patience = arguments["recipe"].patience
        if patience is not None:
            raise InputError(f'patience = {patience} needs a validation period; folds by = "period" have none: leave patience out')
        blocks = temporal_folds(periods.train, number)
        jobs = {f"fold-{place + 1}": {**arguments, "periods": block} for place, block in enumerate(blocks)}
        told = pd.DataFrame(
            [(place + 1, str(block.train), str(block.test)) for place, block in enumerate(blocks)],
            columns=["fold", "train", "test"],
        )
        periods = Periods(train=blocks[0].train, test=Period(blocks[0].test.start, blocks[-1].test.end))  # type: ignore[union-attr]
    _run_all(folder, dataset, jobs, settings, device=device, workers=workers, resume=resume, show_progress=show_progress)
    write_csv(told.set_index(told.columns[0]), folder / "folds.csv")
    parts = [_made(folder / label) for label in jobs]
    along = BASIN if by == "basin" else ISSUE_DATE if arguments["inputs"].lead_times else TIME
    made = xr.concat(parts, dim=along, join="outer")
    kept = set(made[BASIN].values.tolist())
    made = made.sel({BASIN: [one for one in dataset[BASIN].values.tolist() if one in kept]})
    chosen = {key: arguments[key] for key in ("name", "metrics") if key in arguments}
    scores = score(folder, dataset, made, periods=periods, **chosen)
    return ManyRuns(folder, _table(folder, list(jobs), {"fold": list(range(1, len(jobs) + 1))}), scores)


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


def _run_all(
    folder: Path,
    dataset: xr.Dataset,
    jobs: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
    *,
    device: Device,
    workers: int | None,
    resume: bool,
    show_progress: bool,
) -> None:
    """Run every job that is not done yet, each in its folder below `folder`."""
    for job in jobs.values():
        asked = ("periods", "inputs", "metrics", "held_out", "walk", "start_from", "recipe")
        check_run(dataset, **{key: job[key] for key in asked if key in job})
    if not resume:
        create_folder(folder, settings, device)
    left = {label: {**job, "device": device} for label, job in jobs.items() if not _is_done(folder / label)}
    on_gpu = resolve_device(device).type != "cpu"
    cores = os.cpu_count() or 1
    workers = min(workers or (2 if on_gpu else cores), max(len(left), 1))
    with training_bars(list(left), show=show_progress) as observe:
        if workers == 1:
            for label, job in left.items():
                _run_one(folder / label, dataset, job, _teller(label, observe))
        else:
            _run_beside(folder, dataset, left, observe, workers=workers, threads=max(cores // workers, 1))


def _run_beside(
    folder: Path,
    dataset: xr.Dataset,
    jobs: Mapping[str, Mapping[str, Any]],
    observe: Callable[[str, Progress], None],
    *,
    workers: int,
    threads: int,
) -> None:
    """A process a run, begun anew rather than forked (torch's threads do not survive a fork); none of them outlives this one."""
    context = multiprocessing.get_context("spawn")
    messages, waiting = context.Queue(), list(jobs)
    running: dict[str, SpawnProcess] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                label = waiting.pop(0)
                arguments = (folder / label, dataset, jobs[label], threads, _Messenger(label, messages))
                running[label] = context.Process(target=_run_apart, args=arguments, daemon=True)
                running[label].start()
            wait([process.sentinel for process in running.values()], timeout=TELL_EVERY)
            ended = [label for label, process in running.items() if not process.is_alive()]
            while not messages.empty():
                label, told = messages.get()
                if isinstance(told, Exception):
                    raise told
                observe(label, told)
            for label in ended:
                _check_ended(label, running.pop(label).exitcode)
    finally:
        for process in running.values():
            process.kill()  # its checkpoint is whole at any moment
            process.join()


def _check_ended(label: str, code: int | None) -> None:
    if code:
        raise ChildProcessError(
            f"{label} was ended from outside or by a fault (exit code {code}); if memory was short, take fewer workers, and resume"
        )


class _Messenger:
    """Sends the progress of a run to the process that shows it, not too often."""

    def __init__(self, label: str, messages: Any) -> None:
        self.label, self.messages, self.told = label, messages, 0.0

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() - self.told > TELL_EVERY:
            self.told = time.monotonic()
            self.messages.put((self.label, progress))

    def refuse(self, error: Exception) -> None:
        """Send what the run has raised."""
        self.messages.put((self.label, error))


def _teller(label: str, observe: Callable[[str, Progress], None]) -> Callable[[Progress], None]:
    return lambda progress: observe(label, progress)


def _run_apart(path: Path, dataset: xr.Dataset, job: Mapping[str, Any], threads: int, messenger: _Messenger) -> None:
    """One run in a process of its own, which leaves an interrupt to the process that waits for it and ends when that one does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.showwarning = lambda message, *_, **__: print(f"note: {path.name}: {message}", file=sys.stderr)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        _run_one(path, dataset, job, messenger)
    except (InputError, OSError, MemoryError) as error:
        messenger.refuse(error)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run_one(path: Path, dataset: xr.Dataset, job: Mapping[str, Any], observe: Callable[[Progress], None]) -> None:
    """One run, from its checkpoint on where there is one."""
    if path.exists() and not (path / "checkpoint.pt").exists():
        shutil.rmtree(path)  # stopped before its first update: nothing to go on from
    train_run(path, dataset, **job, resume=(path / "checkpoint.pt").exists(), observe=observe)


def _is_done(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("test_metrics.csv", "test_lead_scores.csv"))


def _made(folder: Path) -> xr.DataArray:
    """What a run has simulated, or forecast, of its test period."""
    forecasts = folder / "test_forecasts.nc"
    file, name = (forecasts, "forecast") if forecasts.is_file() else (folder / "test_simulation.nc", "simulated")
    with xr.open_dataset(file) as opened:
        made: xr.DataArray = opened[name].load()
    return made


def _table(folder: Path, labels: Sequence[str], apart: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """A row per run with the medians over its basins of its metrics, of forecasts of the NSE by lead time; written to runs.csv."""
    medians = pd.DataFrame([_medians(folder / label) for label in labels]).reset_index(drop=True)
    table = pd.concat([pd.DataFrame({**apart, "folder": labels}), medians], axis=1).set_index(next(iter(apart)))
    write_csv(table, folder / "runs.csv")
    return table


def _medians(folder: Path) -> "pd.Series[float]":
    by_lead = folder / "test_lead_scores.csv"
    if not by_lead.is_file():
        return pd.read_csv(folder / "test_metrics.csv", index_col=0).median()
    table = pd.read_csv(by_lead)
    own = table[~table["model"].isin(YARDSTICKS)]
    return own.groupby("lead_time")["NSE"].median().rename(lambda lead: f"NSE lead {lead}")
