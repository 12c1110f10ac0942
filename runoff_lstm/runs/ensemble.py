"""Run the members of an ensemble, or the folds of a cross-validation, in parallel.

Each run is one call of `train_run` in a separate process and folder. `resume` resumes the unfinished runs.
"""

import inspect
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
import torch
import xarray as xr

from runoff_lstm.data.masks import measured
from runoff_lstm.data.names import BASIN, ISSUE_DATE, TIME
from runoff_lstm.data.periods import Period
from runoff_lstm.data.schema import check_basins
from runoff_lstm.data.splits import Periods, temporal_folds, ungauged_folds
from runoff_lstm.errors import InputError, as_integers, check_choice, check_keywords
from runoff_lstm.files import part_of, write_csv
from runoff_lstm.inputs.checks import check
from runoff_lstm.inputs.device import Device, processors, resolve_device
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.runs.folder import RunFolder, made_before, medians_of_run
from runoff_lstm.runs.progress import training_bars
from runoff_lstm.runs.run import ready_run, train_run
from runoff_lstm.runs.scores import LeadScores, Scores, UnscoredError, mean_of, score
from runoff_lstm.runs.settings import held_folder, is_enlarged
from runoff_lstm.runs.workers import run_beside
from runoff_lstm.training.recipe import Progress
from runoff_lstm.training.setup import check_kinds

LOG = logging.getLogger(__name__)

FoldKind = Literal["basin", "period"]


@dataclass(frozen=True)
class ManyRuns:
    """Results of an ensemble or a cross-validation.

    Attributes
    ----------
    path
        The folder; every run has a subfolder.
    runs
        A row per run: its seed or fold, folder, the median of every metric over its basins, and the number of these basins.
    scores
        Scores of the mean of the members' hydrographs (or forecasts), or of all folds together; for forecasts `LeadScores`.
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
    """Train one member per seed and score the mean of all members.

    The mean is taken over the members' hydrographs, or over their forecasts.

    Parameters
    ----------
    path
        Folder: new or empty, with `resume` an unfinished one.
    dataset
        Canonical Dataset, dims (basin, time).
    seeds
        One seed per member.
    settings
        Content of the folder's experiment.toml.
    device, workers
        Device, and number of runs at a time; None: one per processor, two on a GPU.
    resume
        Keep finished members and resume the others.
    show_progress
        Whether to draw a bar for each member.
    **arguments
        Arguments of `train_run`; a test period is required.

    Raises
    ------
    InputError
        The test period is missing, a seed is a duplicate, or a run raises it.
    """
    _check_arguments(train_ensemble, arguments, apart=["seed"])
    check_kinds(**{name: value for name, value in arguments.items() if name != "start_from"})  # a path here, a model in `train`
    folder, dataset, periods = RunFolder(Path(path)), check_basins(dataset), arguments["periods"]
    if periods.test is None:
        raise InputError("an ensemble is scored on the test period; name one in [periods]")
    seeds = as_integers("seeds", seeds, least=0)
    if len(set(seeds)) < len(seeds):
        raise InputError(f"seeds = {list(seeds)}: each may come once")
    jobs = {folder.member(seed).label: {**arguments, "seed": seed} for seed in seeds}
    how: dict[str, Any] = {"device": device, "workers": workers, "resume": resume, "show_progress": show_progress}
    with _all_run(folder, dataset, jobs, settings, **how):
        chosen = {key: arguments[key] for key in ("name", "periods", "metrics") if key in arguments}
        scores = score(folder, measured(dataset), mean_of([made_before(folder.below(label)) for label in jobs]), **chosen)
        return ManyRuns(folder.path, _table(folder, list(jobs), {"seed": list(seeds)}), scores)


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
    """Train one model per fold and score the held-out data of all folds together.

    Parameters
    ----------
    path, dataset, settings, device, workers, resume, show_progress, **arguments
        See `train_ensemble`.
    number, by, fold_seed
        By "basin": `number` folds of basins, drawn with `fold_seed` and written to folds.csv. Scaler, weights and validation use
        the other basins only. Each basin is scored in the test period as an ungauged basin. By "period": the training period is
        divided into `number` + 1 blocks. Each block but the first is the test of a model trained on all earlier blocks (see
        `temporal_folds`). The test period is not used. The climatology baseline of all folds together is that of the first block,
        of one fold that of its training.

    Raises
    ------
    InputError
        The folds are not possible, `held_out` is given too, or a run raises it.
    """
    check_choice("by", by, get_args(FoldKind))
    _check_arguments(cross_validate, arguments)
    check_kinds(**{name: value for name, value in arguments.items() if name != "start_from"})  # a path here, a model in `train`
    folder, dataset, periods = RunFolder(Path(path)), check_basins(dataset), arguments["periods"]
    if arguments.get("held_out"):
        raise InputError("[folds] holds out basins itself; leave [evaluation] held_out out")
    if by == "basin":
        if periods.test is None:
            raise InputError("folds of basins are scored on the test period; name one in [periods]")
        folds = ungauged_folds([str(one) for one in dataset[BASIN].values], number, seed=fold_seed)
        jobs = {folder.fold(place + 1).label: {**arguments, "held_out": fold} for place, fold in enumerate(folds)}
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
        jobs = {folder.fold(place + 1).label: {**arguments, "periods": block} for place, block in enumerate(blocks)}
        told = pd.DataFrame(
            [(place + 1, str(block.train), str(block.test)) for place, block in enumerate(blocks)],
            columns=["fold", "train", "test"],
        )
        periods = Periods(train=blocks[0].train, test=Period(blocks[0].test.start, blocks[-1].test.end))  # type: ignore[union-attr]
    how: dict[str, Any] = {"device": device, "workers": workers, "resume": resume, "show_progress": show_progress}
    with _all_run(folder, dataset, jobs, settings, **how) as labels:
        if not labels:
            raise InputError("no fold can be scored; choose another test period, or correct the data")
        write_csv(told.set_index(told.columns[0]), folder.folds)
        parts = [made_before(folder.below(label)) for label in labels]
        along = BASIN if by == "basin" else ISSUE_DATE if arguments["inputs"].lead_times else TIME
        made = xr.concat(parts, dim=along, join="outer")
        kept = set(made[BASIN].values.tolist())
        made = made.sel({BASIN: [one for one in dataset[BASIN].values.tolist() if one in kept]})
        chosen = {key: arguments[key] for key in ("name", "metrics") if key in arguments}
        scores = score(folder, measured(dataset), made, periods=periods, **chosen)
        return ManyRuns(folder.path, _table(folder, labels, {"fold": [list(jobs).index(label) + 1 for label in labels]}), scores)


def _check_arguments(function: Callable[..., ManyRuns], arguments: Mapping[str, Any], *, apart: Sequence[str] = ()) -> None:
    """Check the arguments of `train_run`: none unknown, missing or different between runs."""
    ours = {"path", "dataset", "device", "resume", "observe", *apart}
    taken = {name: one for name, one in inspect.signature(train_run).parameters.items() if name not in ours}
    own = [name for name, one in inspect.signature(function).parameters.items() if one.kind is not one.VAR_KEYWORD]
    check_keywords(function.__name__, arguments, [*own, *taken])
    for name, parameter in taken.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise InputError(f"{function.__name__} has no {name}; add it, as for train_run")


@contextmanager
def _all_run(
    folder: RunFolder,
    dataset: xr.Dataset,
    jobs: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
    *,
    device: Device,
    workers: int | None,
    resume: bool,
    show_progress: bool,
) -> Iterator[list[str]]:
    """Run all unfinished jobs in subfolders of `folder`; lock the folder until the block ends.

    Yields the labels of the runs; the block scores them. All runs are checked before the first begins.
    """
    resolve_device(device)
    to_run = {label: job for label, job in jobs.items() if not _is_done(folder.below(label), job)}
    kept = _without_unscored(to_run, dataset)
    enlarged = resume and any(folder.below(label).is_done for label in to_run)
    with held_folder(folder, settings, device, resume=resume, enlarged=enlarged):
        left = {label: {**job, "device": device} for label, job in kept.items()}
        with training_bars(list(left), show=show_progress) as observe:
            _run_left(folder, dataset, left, observe, device=device, workers=workers)
        yield [label for label in jobs if label in kept or folder.below(label).is_done]


def _is_done(folder: RunFolder, job: Mapping[str, Any]) -> bool:
    """Return whether a run is scored and trained with the requested budget."""
    return not is_enlarged(folder, job["recipe"]) and folder.is_done


def _without_unscored(jobs: Mapping[str, Mapping[str, Any]], dataset: xr.Dataset) -> dict[str, Mapping[str, Any]]:
    """Select the jobs that can be scored; raise for others, or skip folds if on_missing = "skip".

    Members of an ensemble differ in their seed alone, so checking the first is enough.
    """
    first = next(iter(jobs.values()), {})
    are_folds = any({**job, "seed": 0} != {**first, "seed": 0} for job in jobs.values())
    kept = {}
    for label, job in jobs.items() if are_folds else list(jobs.items())[:1]:
        where = f"{label}: " if are_folds else ""
        try:
            _check_job(dataset, **job)
        except UnscoredError as error:
            if job.get("on_missing") == "skip" and are_folds:
                LOG.warning("left out: %s%s", where, error)
                continue
            remedy = ', or leave the fold out by on_missing = "skip"' if are_folds else ""
            raise InputError(f"{where}{error}{remedy}") from None
        except InputError as error:
            raise InputError(f"{where}{error}") from None
        kept[label] = job
    return kept if are_folds else dict(jobs)


def _check_job(dataset: xr.Dataset, *, periods: Periods, inputs: Inputs, **others: Any) -> None:
    with _unheard():
        ready_run(check(dataset, inputs, periods), **others, device="cpu")


@contextmanager
def _unheard() -> Iterator[None]:
    """Suppress the log of a check; its run logs the same findings."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _run_left(
    folder: RunFolder,
    dataset: xr.Dataset,
    jobs: Mapping[str, Mapping[str, Any]],
    observe: Callable[[str, Progress], None],
    *,
    device: Device,
    workers: int | None,
) -> None:
    """Run jobs one after the other, or in parallel processes that share the cores."""
    cores = processors()
    workers = min(workers or (cores if resolve_device(device).type == "cpu" else 2), max(len(jobs), 1))
    if workers == 1:
        for label, job in jobs.items():
            _run_below(folder, label, dataset, job, _teller(label, observe))
        return
    run = partial(_run_apart, folder, max(cores // workers, 1), logging.getLogger("runoff_lstm").getEffectiveLevel())
    run_beside(run, jobs, dataset.compute(), scratch=part_of(folder.path / "data"), workers=workers, observe=observe)


def _teller(label: str, observe: Callable[[str, Progress], None]) -> Callable[[Progress], None]:
    return lambda progress: observe(label, progress)


def _run_below(
    folder: RunFolder, label: str, dataset: xr.Dataset, job: Mapping[str, Any], observe: Callable[[Progress], None]
) -> None:
    """Train one run in its subfolder, resumed from its checkpoint if there is one."""
    below = folder.below(label)
    if below.path.exists() and not below.checkpoint.exists():
        shutil.rmtree(below.path)  # stopped before its first update: no checkpoint to resume from
    train_run(below.path, dataset, **job, resume=below.checkpoint.exists(), observe=observe)


def _run_apart(folder: RunFolder, threads: int, level: int, *given: Any) -> None:
    """Train one run in a separate process, with its share of the cores and the log level of the parent."""
    logging.getLogger("runoff_lstm").setLevel(level)
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    _run_below(folder, *given)


def _table(folder: RunFolder, labels: Sequence[str], apart: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Write runs.csv: a row per run with the medians of its metrics over its basins.

    For forecasts the columns are the NSE by lead time. `basins` is the number of basins of the run, `NSE_basins` the number of
    basins in the median of the NSE, and so for every column.
    """
    rows = pd.DataFrame([medians_of_run(folder.below(label)) for label in labels])
    table = pd.concat([pd.DataFrame({**apart, "folder": labels}), rows], axis=1).set_index(next(iter(apart)))
    write_csv(table, folder.runs)
    return table
