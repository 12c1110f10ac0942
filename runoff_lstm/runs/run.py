"""From plain arguments to a run folder: train, score, draw, and leave behind what a hydrologist can use and a resume needs."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from runoff_lstm.data.masks import measured
from runoff_lstm.data.names import BASIN
from runoff_lstm.data.readers import OnMissing, check_on_missing, leave_out
from runoff_lstm.data.schema import check_basins
from runoff_lstm.data.splits import Periods
from runoff_lstm.device import Device
from runoff_lstm.errors import InputError, nearest
from runoff_lstm.evaluation.metrics import check_metrics
from runoff_lstm.files import (
    check_name,
    literal_path,
    write_csv,
)
from runoff_lstm.inputs.checks import basins_without_attributes, check_inputs, unusable_basins
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.plots.history import plot_history
from runoff_lstm.plots.style import write_figure
from runoff_lstm.prediction.bundle import load_model, write_bundle
from runoff_lstm.prediction.stages import check_unseen
from runoff_lstm.prediction.trained_model import TrainedModel, as_ungauged
from runoff_lstm.runs.folder import given, held_folder, settings_of
from runoff_lstm.runs.progress import training_bar
from runoff_lstm.runs.scores import METRICS, LeadScores, Scores, check_scored, evaluate_run, score
from runoff_lstm.runs.walk_forward import Walk, check_walked, walk_with
from runoff_lstm.training.fine_tuning import check_periods_unseen
from runoff_lstm.training.recipe import Progress, Recipe
from runoff_lstm.training.setup import check_settings, prepare


@dataclass(frozen=True)
class Run:
    """A finished run: its name, folder, model and history, what was used of each period, and the scores of the test period.

    `scores`: `Scores` of simulations, `LeadScores` of forecasts; None where there is no test period.
    """

    name: str
    path: Path
    model: TrainedModel
    history: pd.DataFrame
    coverage: pd.DataFrame
    scores: Scores | LeadScores | None


def train_run(  # noqa: PLR0913 - a run is told by plain arguments, not by a config object
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
        The folder: new or empty; with `resume`, one that an unfinished run left.
    dataset
        Canonical Dataset, dims (basin, time).
    name
        Of the experiment, for titles and files.
    periods, inputs, recipe, architecture, seed, device
        See `prepare`.
    metrics
        Names out of `METRICS` of the evaluation, a column each.
    held_out
        Gauge ids kept from training, scaler and validation; they alone are scored in the end, as ungauged basins.
    on_missing
        "refuse" a basin that cannot be trained on (no discharge in the training period, an attribute missing), or "skip" such, told
        one by one.
    start_from, frozen
        File of a trained model to go on from, and its parts that stay as they are; see `prepare`.
    walk
        How the origin of forecasts rolls through the test period; None: step by step, the model kept. model.safetensors is the last
        model.
    resume
        Go on from the folder's checkpoint; the result equals that of a run that was never stopped.
    observe
        Told after every update; None: a progress bar is drawn.

    Returns
    -------
    Run
        What is in the folder, as objects.

    Raises
    ------
    InputError
        The folder is not empty, or settings, data or periods do not fit.
    """
    folder = Path(path)
    dataset = check_basins(dataset)
    asked: dict[str, Any] = {"metrics": metrics, "held_out": held_out, "walk": walk, "start_from": start_from, "recipe": recipe}
    check_run(dataset, name=name, periods=periods, inputs=inputs, **asked)
    model = None if start_from is None else load_model(start_from)
    inside, dataset = split_basins(dataset, periods=periods, inputs=inputs, held_out=held_out, on_missing=on_missing)
    training = prepare(
        inside,
        periods=replace(periods, test=None) if held_out else periods,  # these basins are not scored then
        inputs=inputs,
        recipe=recipe,
        architecture=architecture,
        seed=seed,
        device=device,
        start_from=model,
        frozen=frozen,
    )
    if periods.test is not None:
        check_scored(dataset, periods, "test")
    form = training.model.architecture
    settings = settings_of(dataset, name=name, periods=periods, inputs=inputs, recipe=recipe, architecture=form)
    settings |= {"evaluation": {"metrics": list(metrics), "held_out": list(held_out)}, "seed": seed}
    settings["data"] |= {} if on_missing == "refuse" else {"on_missing": on_missing}
    if start_from is not None:
        settings["fine_tuning"] = {"start_from": literal_path(Path(start_from).resolve()), "frozen": list(frozen)}
    if walk is not None:
        settings["walk_forward"] = given(walk)
    with held_folder(folder, settings, device, resume=resume):
        with nullcontext(observe) if observe is not None else training_bar(name, show=True) as told:
            trained = training.run(checkpoint=folder / "checkpoint.pt", resume=resume, observe=told)
        write_csv(trained.history.set_index("update"), folder / "history.csv")
        write_csv(trained.coverage, folder / "coverage.csv")
        write_figure(plot_history(history=trained.history), folder / "history.png")
        model, scores = trained.model, None
        write_bundle(model, folder / "model.safetensors")
        if walk is not None:
            asked = {"periods": periods, "inputs": inputs, "recipe": recipe, "seed": seed, "device": device}
            with as_ungauged(on_purpose=bool(held_out)):
                made, model = walk_with(model, dataset, walk, **asked)
            write_bundle(model, folder / "model.safetensors")
            scores = score(folder, dataset, made, name=name, periods=periods)
        elif periods.test is not None:
            chosen: dict[str, Any] = {"name": name, "periods": periods, "metrics": metrics, "ungauged": bool(held_out)}
            scores = evaluate_run(folder, [model], dataset, **chosen)
    return Run(name, folder, model, trained.history, trained.coverage, scores)


def check_run(
    dataset: xr.Dataset,
    *,
    name: str,
    periods: Periods,
    inputs: Inputs,
    metrics: Sequence[str] = METRICS,
    held_out: Sequence[str] = (),
    walk: Walk | None = None,
    start_from: str | Path | None = None,
    recipe: Recipe | None = None,
) -> None:
    """Refuse what cannot be a run before any work is done; arguments as for `train_run`."""
    check_name(name)
    check_metrics(metrics)
    check_inputs(dataset, periods, inputs)
    if recipe is not None:
        check_settings(inputs=inputs, periods=periods, recipe=recipe)
    model = None if start_from is None else load_model(start_from)
    if model is not None and held_out:
        inside = set(map(str, dataset[BASIN].values)) - set(held_out)
        check_periods_unseen(model, inside, replace(periods, test=None))
        check_unseen(model.seen, held_out, "test", periods.test or periods.train, ungauged=True)
    elif model is not None:
        check_periods_unseen(model, dataset[BASIN].values, periods)
    if walk is None:
        return
    if not inputs.lead_times:
        raise InputError("walking forward is for forecasts; set [windows] lead_times, such as lead_times = 7")
    if walk.fit_every is not None and held_out:
        raise InputError(
            "[walk_forward] fit_every would fit the model to basins that are held out; leave out held_out or fit_every"
        )
    check_walked(periods, model)


def split_basins(
    dataset: xr.Dataset, *, periods: Periods, inputs: Inputs, held_out: Sequence[str] = (), on_missing: OnMissing = "refuse"
) -> tuple[xr.Dataset, xr.Dataset]:
    """The basins that a run trains on, and those that it scores; arguments as for `train_run`."""
    check_inputs(dataset, periods, inputs)
    known = [str(gauge_id) for gauge_id in dataset[BASIN].values]
    for gauge_id in held_out:
        if gauge_id not in known:
            raise InputError(f"held_out: basin '{gauge_id}' is not in the data; {nearest(gauge_id, known)}")
    inside = dataset.sel({BASIN: [gauge_id for gauge_id in known if gauge_id not in set(held_out)]})
    outside = dataset.sel({BASIN: list(held_out)})
    check_on_missing(on_missing)
    if on_missing == "skip":
        chosen = {"forcing": inputs.forcing, "static_attributes": inputs.static_attributes}
        faults = unusable_basins(measured(inside), periods.train, **chosen)
        inside = without(inside, faults, on_missing)
    outside = without(outside, basins_without_attributes(outside, inputs.static_attributes), on_missing)
    if inside.sizes[BASIN] == 0:
        raise InputError("no basin is left to train on; hold out fewer, or mend the data")
    if held_out and outside.sizes[BASIN] == 0:
        raise InputError("held_out: none of these basins can be simulated; name others, or mend the data")
    return inside, outside if held_out else inside


def without(dataset: xr.Dataset, faults: Mapping[str, str], on_missing: OnMissing) -> xr.Dataset:
    """The basins that have no fault; the others are reported, or the first of them raises."""
    leave_out([f"basin {gauge_id}: {why}" for gauge_id, why in faults.items()], on_missing=on_missing)
    return dataset.sel({BASIN: [str(gauge_id) for gauge_id in dataset[BASIN].values if str(gauge_id) not in faults]})
