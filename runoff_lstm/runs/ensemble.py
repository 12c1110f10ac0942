"""From one experiment to many runs side by side: the members of an ensemble, or the folds of a cross-validation.

Each run is one of `train_run`, in a process and a folder of its own; what is stopped goes on, run by run, with `resume`.
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
    """What an ensemble or a cross-validation leaves.

    Attributes
    ----------
    path
        The folder; every run has one of its own below it.
    runs
        A row per run: what sets it apart, its folder, the median of every metric over its basins, and of how many.
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
        Where to train, and how many at a time; None: one a processor, two on a GPU.
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
    _check_arguments(train_ensemble, arguments, apart=["seed"])
    check_kinds(**{name: value for name, value in arguments.items() if name != "start_from"})  # a path, of runs
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
    check_choice("by", by, get_args(FoldKind))
    _check_arguments(cross_validate, arguments)
    check_kinds(**{name: value for name, value in arguments.items() if name != "start_from"})  # a path, of runs
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
    """Refuse an argument that `train_run` does not take or that sets the runs apart, and the lack of one that it needs."""
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
    """Run every job that is not done yet, each in its folder below `folder`, and hold that while the block scores them.

    The block gets the labels of the runs. All are checked before the first begins.
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
    """Whether a run is scored, and with the budget that it is asked for now."""
    return not is_enlarged(folder, job["recipe"]) and folder.is_done


def _without_unscored(jobs: Mapping[str, Mapping[str, Any]], dataset: xr.Dataset) -> dict[str, Mapping[str, Any]]:
    """The jobs that can be run; a fold of which nothing could be scored is refused, or left out where on_missing = "skip".

    Members of an ensemble differ in their seed alone, so that the first stands for all.
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
    """Log nothing: what a check finds, its run will log."""
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
    """Run jobs one after the other, or side by side in processes of their own, with the cores shared among them."""
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
    """One run in its folder below `folder`, from its checkpoint on where there is one."""
    below = folder.below(label)
    if below.path.exists() and not below.checkpoint.exists():
        shutil.rmtree(below.path)  # stopped before its first update: nothing to go on from
    train_run(below.path, dataset, **job, resume=below.checkpoint.exists(), observe=observe)


def _run_apart(folder: RunFolder, threads: int, level: int, *given: Any) -> None:
    """One run in a process of its own, on its share of the cores, as quiet as the process that asked for it."""
    logging.getLogger("runoff_lstm").setLevel(level)
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    _run_below(folder, *given)


def _table(folder: RunFolder, labels: Sequence[str], apart: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """A row per run with the medians over its basins of its metrics, of forecasts of the NSE by lead time; written to runs.csv.

    `basins` is how many the run has, `NSE_basins` how many of them the median of NSE is of, and so for every column.
    """
    rows = pd.DataFrame([medians_of_run(folder.below(label)) for label in labels])
    table = pd.concat([pd.DataFrame({**apart, "folder": labels}), rows], axis=1).set_index(next(iter(apart)))
    write_csv(table, folder.runs)
    return table
