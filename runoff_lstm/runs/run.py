"""Train a model, score and plot its results, and write the run folder, from plain arguments."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from runoff_lstm.data.masks import refuse_later
from runoff_lstm.data.names import BASIN
from runoff_lstm.data.readers import OnMissing, check_on_missing, leave_out
from runoff_lstm.data.splits import Periods
from runoff_lstm.data.times import times_of
from runoff_lstm.errors import InputError, as_instance, as_names, nearest
from runoff_lstm.evaluation.metrics import check_metrics
from runoff_lstm.files import (
    check_name,
    literal_path,
    remove,
    write_csv,
)
from runoff_lstm.inputs.checks import Checked, basins_without_attributes, check
from runoff_lstm.inputs.device import Device
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.plots.history import plot_history
from runoff_lstm.plots.style import write_figure
from runoff_lstm.prediction.bundle import write_bundle
from runoff_lstm.prediction.input_warnings import as_ungauged
from runoff_lstm.prediction.stages import check_unseen
from runoff_lstm.prediction.trained_model import TrainedModel
from runoff_lstm.runs.folder import RunFolder, model_to_start_from
from runoff_lstm.runs.progress import training_bar
from runoff_lstm.runs.scores import (
    METRICS,
    LeadScores,
    Scores,
    UnscoredError,
    check_made,
    check_scored,
    evaluate_checked,
    score,
)
from runoff_lstm.runs.settings import given, held_folder, is_enlarged, note_threads, settings_of
from runoff_lstm.runs.walk_forward import Walk, check_walked, walk_with
from runoff_lstm.training.fine_tuning import check_periods_unseen
from runoff_lstm.training.recipe import Progress, Recipe
from runoff_lstm.training.setup import check_kinds, prepare
from runoff_lstm.training.validation import Training


@dataclass(frozen=True)
class Run:
    """A finished run: name, folder, model, history, data coverage and test scores.

    `coverage`: the data used in each period. `scores`: `Scores` for simulations, `LeadScores` for forecasts,
    None without a test period.
    """

    name: str
    path: Path
    model: TrainedModel
    history: pd.DataFrame
    coverage: pd.DataFrame
    scores: Scores | LeadScores | None


def train_run(  # noqa: PLR0913 - plain arguments instead of a config object
    path: str | Path,
    dataset: xr.Dataset,
    *,
    name: str,
    periods: Periods,
    inputs: Inputs,
    recipe: Recipe,
    architecture: Architecture | None = None,
    metrics: Sequence[str] = METRICS,
    seed: int = 0,
    device: Device = "auto",
    held_out: Sequence[str] = (),
    on_missing: OnMissing = "refuse",
    start_from: str | Path | None = None,
    frozen: Sequence[str] = (),
    walk: Walk | None = None,
    resume: bool = False,
    observe: Callable[[Progress], None] | None = None,
) -> Run:
    """Train, evaluate the test period and write the run folder.

    Parameters
    ----------
    path
        The folder: new or empty; with `resume`, the folder of an unfinished run.
    dataset
        Canonical Dataset, dims (basin, time).
    name
        Name of the experiment, for titles and files.
    periods, inputs, recipe, architecture, seed, device
        See `prepare`.
    metrics
        Names from `METRICS` of the evaluation, one column each.
    held_out
        Gauge ids excluded from training, scaler and validation. Only these are scored, as ungauged basins.
    on_missing
        Treatment of basins that cannot be trained on (no discharge in the training period, an attribute missing). "refuse" raises
        an error; "skip" leaves them out and logs each.
    start_from, frozen
        File or run folder of a trained model to fine-tune, and its parts to keep unchanged; see `prepare`.
    walk
        Settings of the walk through the test period; None: every step is an issue date and the model is kept. model.safetensors is
        the last model, written at the end of the walk.
    resume
        Resume from the folder's checkpoint, with the same result as an uninterrupted run. With a larger budget, the result equals
        that of this budget from the start, unless the schedule depends on the budget.
    observe
        Called after every update; None: draw a progress bar.

    Returns
    -------
    Run
        Contents of the folder, as objects.

    Raises
    ------
    InputError
        The folder is not empty, or settings, data or periods are not valid.
    """
    folder = RunFolder(Path(path))
    metrics = as_names("metrics", metrics)
    held_out, frozen = as_names("held_out", held_out), as_names("frozen", frozen)
    check_kinds(inputs=inputs, periods=periods, recipe=recipe)
    if walk is not None:
        as_instance("walk", walk, Walk, "walk = Walk(every=1)")
    ready = ready_run(
        check(dataset, inputs, periods),
        name=name,
        recipe=recipe,
        architecture=architecture,
        metrics=metrics,
        seed=seed,
        device=device,
        held_out=held_out,
        on_missing=on_missing,
        start_from=start_from,
        frozen=frozen,
        walk=walk,
    )
    training, scored = ready.training, ready.scored
    form = training.model.architecture
    settings = settings_of(scored.dataset, name=name, periods=periods, inputs=inputs, recipe=recipe, architecture=form)
    settings |= {"evaluation": {"metrics": list(metrics), "held_out": list(held_out)}, "seed": seed}
    settings["data"] |= {} if on_missing == "refuse" else {"on_missing": on_missing}
    if start_from is not None:
        settings["fine_tuning"] = {"start_from": literal_path(Path(start_from).resolve()), "frozen": list(frozen)}
    if walk is not None:
        settings["walk_forward"] = given(walk)
    with held_folder(folder, settings, device, resume=resume, enlarged=resume and is_enlarged(folder, recipe)):
        if not resume:
            note_threads(folder, training.threads)
        with nullcontext(observe) if observe is not None else training_bar(name, show=True) as told:
            trained = training.run(checkpoint=folder.checkpoint, resume=resume, observe=told)
        note_threads(folder, trained.history.attrs["threads"])
        write_csv(trained.history.set_index("update"), folder.history)
        write_csv(trained.coverage, folder.coverage)
        write_figure(plot_history(history=trained.history), folder.history_plot)
        model, scores = trained.model, None
        if walk is not None:
            remove(folder.model)  # left by an interrupted walk of earlier versions, which wrote the model before its refits
            asked: dict[str, Any] = {"periods": periods, "inputs": inputs, "recipe": recipe, "seed": seed, "device": device}
            with as_ungauged(on_purpose=bool(held_out)):
                made, model = walk_with(model, scored.dataset, walk, **asked)
        write_bundle(model, folder.model)
        if walk is not None:
            scores = score(folder, scored.measured, made, name=name, periods=periods)
        elif periods.test is not None:
            chosen: dict[str, Any] = {"name": name, "periods": periods, "metrics": metrics, "ungauged": bool(held_out)}
            chosen["threads"] = recipe.threads_after
            scores = evaluate_checked(folder, [model], scored.dataset, observed=scored.measured, **chosen)
    return Run(name, folder.path, model, trained.history, trained.coverage, scores)


@dataclass(frozen=True)
class Ready:
    """A checked run before training: nothing is trained or written yet.

    `scored`: data for scoring the test period, of the held-out basins or of all.
    """

    training: Training
    scored: Checked


def ready_run(  # noqa: PLR0913 - as in train_run
    checked: Checked,
    *,
    name: str,
    recipe: Recipe,
    architecture: Architecture | None = None,
    metrics: Sequence[str] = METRICS,
    seed: int = 0,
    device: Device = "auto",
    held_out: Sequence[str] = (),
    on_missing: OnMissing = "refuse",
    start_from: str | Path | None = None,
    frozen: Sequence[str] = (),
    walk: Walk | None = None,
) -> Ready:
    """Check and prepare a run, including whether its test period can be scored.

    Arguments as for `train_run`.

    Raises
    ------
    UnscoredError
        The test period gives no score.
    InputError
        Settings, data or periods are not valid.
    """
    periods = checked.periods
    model = None if start_from is None else model_to_start_from(start_from)
    check_run(checked, name=name, metrics=metrics, held_out=held_out, walk=walk, start_from=model)
    inside, scored = split_basins(checked, held_out=held_out, on_missing=on_missing)
    training = prepare(
        replace(inside, periods=replace(periods, test=None)) if held_out else inside,  # with held-out basins, these are not scored
        recipe=recipe,
        architecture=architecture,
        seed=seed,
        device=device,
        start_from=model,
        frozen=frozen,
    )
    if periods.test is not None:
        check_scored(scored.measured, periods, "test")
        check_made(training.model, scored.dataset, periods.test)
    return Ready(training, scored)


def check_run(
    checked: Checked,
    *,
    name: str,
    metrics: Sequence[str] = METRICS,
    held_out: Sequence[str] = (),
    walk: Walk | None = None,
    start_from: TrainedModel | None = None,
) -> None:
    """Check names, metrics and periods of a run before any work.

    Arguments as for `train_run`.
    """
    check_name(name)
    check_metrics(metrics)
    periods = checked.periods
    if start_from is not None and held_out:
        inside = set(checked.gauge_ids) - set(held_out)
        check_periods_unseen(start_from, inside, replace(periods, test=None))
        check_unseen(start_from.seen, held_out, "test", periods.test or periods.train, ungauged=True)
    elif start_from is not None:
        check_periods_unseen(start_from, checked.gauge_ids, periods)
    if walk is not None:
        _check_walk(walk, checked, held_out=held_out, start_from=start_from)


def _check_walk(walk: Walk, checked: Checked, *, held_out: Sequence[str], start_from: TrainedModel | None) -> None:
    """Check that a walk can run to its end."""
    periods, inputs = checked.periods, checked.inputs
    if not inputs.lead_times:
        raise InputError("walking forward is for forecasts; set [windows] lead_times, such as lead_times = 7")
    if walk.fit_every is not None and held_out:
        raise InputError(
            "[walk_forward] fit_every would fit the model to basins that are held out; leave out held_out or fit_every"
        )
    check_walked(periods, start_from)
    refuse_later(checked.dataset, map(str, checked.dataset.data_vars))
    aside = 0
    if periods.validation is not None and walk.fine_tune is None:
        aside = len(periods.validation.positions(times_of(checked.dataset)))
    fewest = inputs.sequence_length + inputs.lead_times + aside
    if walk.window is not None and walk.window < fewest:
        raise InputError(
            f"[walk_forward] window = {walk.window} steps are too few to fit to: sequence_length = {inputs.sequence_length}, "
            f"{inputs.lead_times} lead times and {aside} steps of validation take {fewest}; lengthen it"
        )


def split_basins(checked: Checked, *, held_out: Sequence[str] = (), on_missing: OnMissing = "refuse") -> tuple[Checked, Checked]:
    """Split the basins into those to train on and those to score.

    Arguments as for `train_run`.
    """
    known = checked.gauge_ids
    for gauge_id in held_out:
        if gauge_id not in known:
            raise InputError(f"held_out: basin '{gauge_id}' is not in the data; {nearest(gauge_id, known)}")
    inside = checked.only(gauge_id for gauge_id in known if gauge_id not in set(held_out))
    outside = checked.only(held_out)
    check_on_missing(on_missing)
    if on_missing == "skip":
        inside = _without(inside, inside.unusable, on_missing)
    faults = basins_without_attributes(outside.dataset, checked.inputs.static_attributes)
    outside = _without(outside, faults, on_missing)
    if not inside.gauge_ids:
        raise InputError("no basin is left to train on; hold out fewer, or mend the data")
    if held_out and not outside.gauge_ids:
        raise UnscoredError("held_out: none of these basins can be simulated; name others, or mend the data")
    return inside, outside if held_out else inside


def without(dataset: xr.Dataset, faults: Mapping[str, str], on_missing: OnMissing) -> xr.Dataset:
    """Select the basins without fault.

    Log the others, or raise an error for the first.
    """
    leave_out([f"basin {gauge_id}: {why}" for gauge_id, why in faults.items()], on_missing=on_missing)
    return dataset.sel({BASIN: [str(gauge_id) for gauge_id in dataset[BASIN].values if str(gauge_id) not in faults]})


def _without(checked: Checked, faults: Mapping[str, str], on_missing: OnMissing) -> Checked:
    """Select the basins without fault.

    Log the others, or raise an error for the first.
    """
    leave_out([f"basin {gauge_id}: {why}" for gauge_id, why in faults.items()], on_missing=on_missing)
    return checked.only(gauge_id for gauge_id in checked.gauge_ids if gauge_id not in faults)
