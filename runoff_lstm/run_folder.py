"""From plain arguments to a run folder: train, score, draw, and leave behind what a hydrologist can use and a resume needs."""

import datetime
import json
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import tomli_w
import xarray as xr

from runoff_lstm.bundle import TrainedModel, load_model, write_bundle
from runoff_lstm.evaluation import check_metrics, evaluate, score_yardsticks
from runoff_lstm.files import written_whole
from runoff_lstm.fitting import Progress, Recipe
from runoff_lstm.forecast_plots import plot_forecasts, plot_lead_times
from runoff_lstm.gaps import measured
from runoff_lstm.inventory import basins_without_attributes, unusable_basins
from runoff_lstm.lead_times import observed_ahead, score_lead_times
from runoff_lstm.models import Architecture, Dropout
from runoff_lstm.periods import Period, Periods
from runoff_lstm.plots import figure_hydrograph, plot_distribution, plot_history, plot_map, write_figure
from runoff_lstm.progress import training_bar
from runoff_lstm.readers import OnMissing, leave_out
from runoff_lstm.regional import worst_basins
from runoff_lstm.schema import BASIN, DISCHARGE, SOURCE, TIME, InputError, is_precipitation, nearest, times_of
from runoff_lstm.training import Device, Inputs, check_inputs, prepare, resolve_device

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = ("NSE", "KGE", "KGE_r", "KGE_alpha", "KGE_beta", "RMSE")


@dataclass(frozen=True)
class Scores:
    """What one period's evaluation gives.

    Attributes
    ----------
    metrics, yardsticks
        A row per gauge: the model's, and those of climatology and persistence.
    simulation
        `observed` and `simulated`, dims (basin, time), mm d-1 (mm h-1).
    """

    metrics: pd.DataFrame
    yardsticks: pd.DataFrame
    simulation: xr.Dataset


@dataclass(frozen=True)
class LeadScores:
    """What one period's forecasts give.

    Attributes
    ----------
    table
        A row for each model or yardstick, gauge and lead time; see `score_lead_times`.
    forecast
        (basin, issue_date, lead_time), mm d-1 (mm h-1).
    """

    table: pd.DataFrame
    forecast: xr.DataArray


@dataclass(frozen=True)
class Run:
    """A finished run: its name, folder, model and history, what was used of each period, and the scores of the test period.

    `scores` of a simulation, `lead_scores` of forecasts; None where there is no test period.
    """

    name: str
    path: Path
    model: TrainedModel
    history: pd.DataFrame
    coverage: pd.DataFrame
    scores: Scores | None
    lead_scores: LeadScores | None = None


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
    further: Mapping[str, Any] | None = None,
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
    further
        Tables of the experiment that others act on, to be kept in the folder's experiment.toml.
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
    check_metrics(metrics)
    inside, dataset = split_basins(dataset, periods=periods, inputs=inputs, held_out=held_out, on_missing=on_missing)
    model = None if start_from is None else load_model(start_from)
    training = prepare(
        inside,
        periods=periods,
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
    if not resume:
        form = training.model.architecture
        settings = _settings(dataset, name=name, periods=periods, inputs=inputs, recipe=recipe, architecture=form)
        settings |= {"evaluation": {"metrics": list(metrics), "held_out": list(held_out)}, "seed": seed}
        settings["data"] |= {} if on_missing == "refuse" else {"on_missing": on_missing}
        if start_from is not None:
            settings["fine_tuning"] = {"start_from": str(Path(start_from).resolve()), "frozen": list(frozen)}
        create_folder(folder, {**settings, **(further or {})}, device)
    with nullcontext(observe) if observe is not None else training_bar(name, show=True) as told:
        trained = training.run(checkpoint=folder / "checkpoint.pt", resume=resume, observe=told)
    write_csv(trained.history.set_index("update"), folder / "history.csv")
    write_csv(trained.coverage, folder / "coverage.csv")
    write_bundle(trained.model, folder / "model.safetensors")
    write_figure(plot_history(history=trained.history), folder / "history.png")
    scores = lead_scores = None
    if periods.test is not None and inputs.lead_times:
        lead_scores = evaluate_forecasts(folder, trained.model, dataset, name=name, periods=periods)
    elif periods.test is not None:
        scores = evaluate_run(folder, trained.model, dataset, name=name, periods=periods, period_name="test", metrics=metrics)
    return Run(name, folder, trained.model, trained.history, trained.coverage, scores, lead_scores)


def evaluate_run(
    folder: Path,
    model: TrainedModel,
    dataset: xr.Dataset,
    *,
    name: str,
    periods: Periods,
    period_name: str = "test",
    metrics: Sequence[str] = METRICS,
) -> Scores:
    """Simulate and score one period, beside climatology and persistence; write tables, netCDF and pictures into the folder.

    With several basins there are also the worst ten with what may explain it, the distribution of the first metric and, where the
    data know the gauges' places, its map.

    Raises
    ------
    InputError
        The experiment has no such period, or no discharge is observed in it.
    """
    period = check_scored(dataset, periods, period_name)
    simulated = model.simulate(dataset, period=period)["simulated"]
    return score_period(folder, dataset, simulated, name=name, periods=periods, period_name=period_name, metrics=metrics)


def evaluate_forecasts(
    folder: Path, model: TrainedModel, dataset: xr.Dataset, *, name: str, periods: Periods, period_name: str = "test"
) -> LeadScores:
    """Forecast from every step of one period and score by lead time, beside persistence and climatology; see `score_forecasts`."""
    period = check_scored(dataset, periods, period_name)
    issued = last_issue_dates(times_of(dataset), period, model.lead_times)
    forecast = model.forecast(dataset, period=issued)["forecast"]
    return score_forecasts(folder, dataset, forecast, name=name, periods=periods, period_name=period_name)


def last_issue_dates(times: pd.DatetimeIndex, period: Period, lead_times: int) -> Period:
    """The issue dates of a period whose forecasts end within it."""
    steps = period.steps(times)
    if steps.stop - lead_times <= steps.start:
        raise InputError(f"the period {period} is not longer than the {lead_times} lead times; choose a longer one")
    return Period.of_steps(times, slice(steps.start, steps.stop - lead_times))


def score_forecasts(
    folder: Path, dataset: xr.Dataset, forecast: xr.DataArray, *, name: str, periods: Periods, period_name: str = "test"
) -> LeadScores:
    """Score forecasts (basin, issue_date, lead_time) of one period and leave tables, netCDF and pictures in the folder."""
    dataset = measured(dataset.sel({BASIN: forecast[BASIN]}))
    scored = partial(score_lead_times, forecast, observed=dataset[DISCHARGE], train=periods.train.label_slice, name="lstm")
    scores, by_season = LeadScores(scored(), forecast), scored(by="season")
    write_csv(by_season.set_index("model"), folder / f"{period_name}_lead_scores_by_season.csv")
    made = xr.Dataset({"forecast": forecast, "observed": observed_ahead(dataset[DISCHARGE], forecast)})
    made[BASIN].attrs = {"cf_role": "timeseries_id", "long_name": "gauge id"}
    with written_whole(folder / f"{period_name}_forecasts.nc") as part:
        made.assign_attrs(Conventions="CF-1.11", title=f"{name}: forecast and observed discharge").to_netcdf(part)
    prefix = "" if period_name == "test" else f"{period_name}_"
    write_figure(plot_lead_times(scores=scores.table), folder / f"{prefix}lead_times.png")
    write_figure(_spaghetti(dataset[DISCHARGE], scores, name=name), folder / f"{prefix}forecasts.png")
    write_csv(scores.table.set_index("model"), folder / f"{period_name}_lead_scores.csv")  # last: where it is, all is
    return scores


def _spaghetti(observed: xr.DataArray, scores: LeadScores, *, name: str) -> "Axes":
    """The forecasts of half a year around the largest flood of the basin whose NSE at lead time 1 is the median one."""
    first = scores.table[(scores.table["model"] == "lstm") & (scores.table["lead_time"] == 1)].sort_values("NSE")
    gauge_id = str(first["gauge_id"].iloc[len(first) // 2])
    forecast = scores.forecast.sel({BASIN: gauge_id})
    issued = forecast.indexes["issue_date"]
    series = observed.sel({BASIN: gauge_id, TIME: slice(issued[0], issued[-1])})
    peak = int(np.nanargmax(series.values)) if series.notnull().any() else 0
    begin = min(max(0, peak - 60), max(0, len(issued) - 120))
    lead_times = forecast.sizes["lead_time"]
    title = f"{name}, {gauge_id}: forecasts of {lead_times} steps, one in {max(1, lead_times // 2)} shown"
    return plot_forecasts(observed=series[begin : begin + 120], forecast=forecast, every=max(1, lead_times // 2), title=title)


def score_period(
    folder: Path,
    dataset: xr.Dataset,
    simulated: xr.DataArray,
    *,
    name: str,
    periods: Periods,
    period_name: str = "test",
    metrics: Sequence[str] = METRICS,
) -> Scores:
    """Score a simulation (basin, time) of one period, beside climatology and persistence, and write what `evaluate_run` writes."""
    period = periods.named()[period_name]
    dataset = measured(dataset.sel({BASIN: simulated[BASIN]}))
    observed = dataset[DISCHARGE].sel({TIME: simulated[TIME]})
    scores = Scores(
        metrics=evaluate(observed=observed, simulated=simulated, metrics=metrics),
        yardsticks=score_yardsticks(
            observed=dataset[DISCHARGE], train=periods.train.label_slice, test=period.label_slice, metrics=metrics
        ),
        simulation=_simulation(observed, simulated, name),
    )
    write_csv(scores.yardsticks, folder / f"{period_name}_yardsticks.csv")
    with written_whole(folder / f"{period_name}_simulation.nc") as part:
        scores.simulation.to_netcdf(part)
    prefix = "" if period_name == "test" else f"{period_name}_"
    write_figure(_hydrograph(dataset, scores, name=name), folder / f"{prefix}hydrograph.png")
    if dataset.sizes[BASIN] > 1:
        first = str(scores.metrics.columns[0])
        values = scores.metrics[first]
        worst = worst_basins(dataset, values, train=periods.train.label_slice, test=period.label_slice)
        write_csv(worst, folder / f"{period_name}_worst_basins.csv")
        curves = {"model": values} | {
            str(one).partition(" (")[0]: table[first] for one, table in scores.yardsticks.groupby("yardstick")
        }
        write_figure(plot_distribution(scores=curves, metric=first), folder / f"{prefix}distribution.png")
        if "gauge_lat" in dataset and "gauge_lon" in dataset:
            chart = plot_map(scores=values, latitude=dataset["gauge_lat"], longitude=dataset["gauge_lon"], metric=first)
            write_figure(chart, folder / f"{prefix}map.png")
    write_csv(scores.metrics, folder / f"{period_name}_metrics.csv")  # last: where it is, all is
    return scores


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
    if on_missing == "skip":
        chosen = {"forcing": inputs.forcing, "static_attributes": inputs.static_attributes}
        faults = unusable_basins(measured(inside), periods.train, **chosen)
        inside = _without(inside, faults, on_missing)
    outside = _without(outside, basins_without_attributes(outside, inputs.static_attributes), on_missing)
    if inside.sizes[BASIN] == 0:
        raise InputError("no basin is left to train on; hold out fewer, or mend the data")
    if held_out and outside.sizes[BASIN] == 0:
        raise InputError("held_out: none of these basins can be simulated; name others, or mend the data")
    return inside, outside if held_out else inside


def _without(dataset: xr.Dataset, faults: Mapping[str, str], on_missing: OnMissing) -> xr.Dataset:
    """The basins that have no fault; the others are told, or the first of them refused."""
    leave_out([f"basin {gauge_id}: {why}" for gauge_id, why in faults.items()], on_missing=on_missing)
    return dataset.sel({BASIN: [str(gauge_id) for gauge_id in dataset[BASIN].values if str(gauge_id) not in faults]})


def check_scored(dataset: xr.Dataset, periods: Periods, name: str) -> Period:
    """The period of that name, refused where the experiment does not have it or no discharge is observed in it."""
    if name not in periods.named():
        raise InputError(f"the experiment has no {name} period; it has {', '.join(periods.named())}")
    period = periods.named()[name]
    observed = measured(dataset)[DISCHARGE].isel({TIME: period.steps(times_of(dataset))})
    if not bool(observed.notnull().any()):
        raise InputError(f"no discharge is observed in the {name} period {period}; nothing can be scored")
    return period


def default_folder(name: str) -> Path:
    """`runs/<name>-<timestamp>` below the current folder."""
    return Path("runs") / f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"


def create_folder(folder: Path, settings: Mapping[str, Any], device: Device) -> None:
    """Make the folder and write what was asked for and where it runs, before anything is computed."""
    resolve_device(device)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already and not empty; choose another --run-dir, or resume it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error}); choose another --run-dir") from None
    with written_whole(folder / "experiment.toml") as part:
        part.write_text(tomli_w.dumps(settings), encoding="utf-8")
    with written_whole(folder / "provenance.json") as part:
        part.write_text(json.dumps(_provenance(device), indent=2) + "\n", encoding="utf-8")


def _given(settings: Architecture | Dropout | Recipe) -> dict[str, Any]:
    """What is set, as a table; TOML knows no None."""
    return {key: value for key, value in asdict(settings).items() if value is not None}


def _settings(
    dataset: xr.Dataset, *, name: str, periods: Periods, inputs: Inputs, recipe: Recipe, architecture: Architecture
) -> dict[str, Any]:
    """The experiment as a table that the command line reads back: the form of an experiment file."""
    source = json.loads(dataset.attrs.get(SOURCE, "{}"))
    asked = asdict(inputs)
    return {
        "name": name,
        "data": {**source, "forcing": list(asked["forcing"]), "static_attributes": list(asked["static_attributes"])},
        "periods": {key: [period.start.date(), period.end.date()] for key, period in periods.named().items()},
        "windows": {key: value for key, value in asked.items() if key not in ("forcing", "static_attributes") and value},
        "model": {**_given(architecture), "dropout": _given(architecture.dropout)},
        "training": _given(recipe),
    }


def _provenance(device: Device) -> dict[str, Any]:
    """Versions, commit, device and date."""
    packages = ("runoff-lstm", "torch", "xarray", "pandas", "numpy", "netCDF4", "hydroeval")
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "versions": {"python": platform.python_version(), **{package: version(package) for package in packages}},
        "git_commit": commit.stdout.strip() or None,
        "device": str(resolve_device(device)),
        "platform": platform.platform(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _simulation(observed: xr.DataArray, simulated: xr.DataArray, name: str) -> xr.Dataset:
    """Observed and simulated discharge as a CF Dataset."""
    observed = observed.astype("float32").assign_attrs(long_name="observed discharge", units=simulated.attrs["units"])
    dataset = xr.Dataset({"observed": observed, "simulated": simulated}).drop_attrs(deep=False)
    dataset[BASIN].attrs = {"cf_role": "timeseries_id", "long_name": "gauge id"}
    return dataset.assign_attrs(Conventions="CF-1.11", featureType="timeSeries", title=f"{name}: observed and simulated discharge")


def _hydrograph(dataset: xr.Dataset, scores: Scores, *, name: str) -> "Figure":
    """The picture of the basin whose NSE (or first metric) is the median one; of the only basin where there is one."""
    first = scores.metrics.columns[0]
    ranked = scores.metrics[first].sort_values(na_position="first")
    gauge_id = str(ranked.index[len(ranked) // 2])
    one = scores.simulation.sel({BASIN: gauge_id})
    rain = [str(variable) for variable in dataset.data_vars if is_precipitation(str(variable))]
    precipitation = dataset[rain[0]].sel({BASIN: gauge_id, TIME: one[TIME]}) if rain else None
    of_gauge: dict[str, float] = dict(zip(scores.metrics.columns, scores.metrics.loc[gauge_id].to_numpy(float), strict=True))
    shown = {metric: value for metric, value in of_gauge.items() if metric in ("NSE", "KGE", "RMSE")}
    title = name if len(ranked) == 1 else f"{name}, {gauge_id} (the median of {len(ranked)} basins)"
    return figure_hydrograph(
        observed=one["observed"], simulated=one["simulated"], precipitation=precipitation, scores=shown, name=title
    )


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table with six digits, whole or not at all."""
    with written_whole(path) as part:
        table.to_csv(part, float_format="%.6g")
