"""From what a model makes of a period, a simulation or forecasts, to the scores, tables, netCDF and pictures of a run folder."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.masks import measured
from runoff_lstm.data.names import BASIN, DISCHARGE, ISSUE_DATE, LEAD_TIME, TIME, is_precipitation, without_counts
from runoff_lstm.data.periods import AnyPeriod
from runoff_lstm.data.schema import check_basins
from runoff_lstm.data.splits import Periods
from runoff_lstm.data.times import times_of
from runoff_lstm.errors import InputError, nearest
from runoff_lstm.evaluation.baselines import score_baselines
from runoff_lstm.evaluation.basins import count_of, defined, median_basin, share_of_basins, worst_basins
from runoff_lstm.evaluation.lead_times import score_lead_times
from runoff_lstm.evaluation.matching import observed_ahead
from runoff_lstm.evaluation.metrics import evaluate
from runoff_lstm.files import write_csv, write_netcdf
from runoff_lstm.inputs.device import Threads
from runoff_lstm.plots.basins import plot_distribution, plot_map
from runoff_lstm.plots.forecasts import plot_forecasts, plot_lead_times
from runoff_lstm.plots.hydrograph import figure_hydrograph
from runoff_lstm.plots.style import plain, shortened, write_figure
from runoff_lstm.prediction.forecast import last_issue_dates
from runoff_lstm.prediction.input_warnings import as_ungauged, each_warning_once
from runoff_lstm.prediction.stages import check_unseen
from runoff_lstm.prediction.trained_model import TrainedModel
from runoff_lstm.runs.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOG = logging.getLogger(__name__)

METRICS = ("NSE", "KGE", "KGE_r", "KGE_alpha", "KGE_beta", "RMSE")

WORST = 10
"""Scored basins in the table of the worst."""


class UnscoredError(InputError):
    """Nothing of a run could be scored, whatever it learns; the message names basins and period."""


@dataclass(frozen=True)
class Scores:
    """What one period's evaluation gives.

    Attributes
    ----------
    metrics, baselines
        A row per gauge: the model's, and those of climatology and persistence.
    simulation
        `observed` and `simulated`, dims (basin, time), mm d-1 (mm h-1).
    """

    metrics: pd.DataFrame
    baselines: pd.DataFrame
    simulation: xr.Dataset

    @property
    def yardsticks(self) -> pd.DataFrame:
        """`baselines` with its first column under its old name, `yardstick`; gone in the next release."""
        warnings.warn(
            "Scores.yardsticks is now Scores.baselines, its column yardstick is baseline", DeprecationWarning, stacklevel=2
        )
        return self.baselines.rename(columns={"baseline": "yardstick"})


@dataclass(frozen=True)
class LeadScores:
    """What one period's forecasts give.

    Attributes
    ----------
    table
        A row for each model or baseline, gauge and lead time; see `score_lead_times`.
    forecast
        (basin, issue_date, lead_time), mm d-1 (mm h-1).
    """

    table: pd.DataFrame
    forecast: xr.DataArray


def evaluate_run(
    folder: Path,
    models: Sequence[TrainedModel],
    dataset: xr.Dataset,
    *,
    name: str,
    periods: Periods,
    period_name: str = "test",
    metrics: Sequence[str] = METRICS,
    ungauged: bool = False,
    threads: Threads = None,
) -> Scores | LeadScores:
    """Simulate or forecast one period by the mean of the models, and score it; see `score`.

    Parameters
    ----------
    ungauged
        The basins are scored as ungauged: that they were not in training is the purpose, and no warning.
    threads
        See `TrainedModel.simulate`.

    Raises
    ------
    InputError
        The experiment has no such period, no discharge is observed in it, or it is the test and a model has seen it.
    """
    dataset = check_basins(dataset)
    chosen: dict[str, Any] = {"name": name, "periods": periods, "period_name": period_name, "metrics": metrics}
    chosen |= {"ungauged": ungauged, "threads": threads}
    return evaluate_checked(RunFolder(Path(folder)), models, dataset, observed=measured(dataset), **chosen)


def evaluate_checked(
    folder: RunFolder,
    models: Sequence[TrainedModel],
    dataset: xr.Dataset,
    *,
    observed: xr.Dataset,
    name: str,
    periods: Periods,
    period_name: str = "test",
    metrics: Sequence[str] = METRICS,
    ungauged: bool = False,
    threads: Threads = None,
) -> Scores | LeadScores:
    """Do what `evaluate_run` does, of a Dataset that is checked; `observed` is the same with discharge as it was measured."""
    period = check_scored(observed, periods, period_name)
    for model in models if period_name == "test" else ():
        check_unseen(model.seen, dataset[BASIN].values, period_name, period)
    with each_warning_once(), as_ungauged(on_purpose=ungauged):
        parts = [made_by(model, dataset, period, threads=threads) for model in models]
    return score(folder, observed, mean_of(parts), name=name, periods=periods, period_name=period_name, metrics=metrics)


def made_by(model: TrainedModel, dataset: xr.Dataset, period: AnyPeriod, *, threads: Threads = None) -> xr.DataArray:
    """A simulation (basin, time) of a period, or the forecasts (basin, issue_date, lead_time) that end within it."""
    if not model.lead_times:
        parts = [model.simulate(dataset, period=one, threads=threads)["simulated"] for one in period.parts]
        return xr.concat(parts, dim=TIME)
    issued = [last_issue_dates(times_of(dataset), one, model.lead_times) for one in period.parts]
    parts = [model.forecast(dataset, period=one, threads=threads)["forecast"] for one in issued]
    return xr.concat(parts, dim=ISSUE_DATE)


def check_made(model: TrainedModel, dataset: xr.Dataset, period: AnyPeriod) -> None:
    """Refuse a period of which a model can make nothing, whatever it learns; arguments as for `made_by`."""
    for one in period.parts:
        asked = last_issue_dates(times_of(dataset), one, model.lead_times) if model.lead_times else one
        try:
            model.windows(dataset, period=asked)
        except InputError as error:
            raise UnscoredError(str(error)) from None


def mean_of(members: Sequence[xr.DataArray]) -> xr.DataArray:
    """The mean of the hydrographs, or forecasts, of an ensemble's members: NaN where any of them is."""
    return xr.concat(members, dim="model").mean("model", skipna=False, keep_attrs=True)


def score(
    folder: RunFolder,
    observed: xr.Dataset,
    made: xr.DataArray,
    *,
    name: str,
    periods: Periods,
    period_name: str = "test",
    metrics: Sequence[str] = METRICS,
) -> Scores | LeadScores:
    """Score a simulation or forecasts of one period, beside climatology and persistence; write tables, netCDF and pictures.

    `observed` is the Dataset of all periods with discharge as it was measured; see `measured`.

    With several basins a simulation also leaves the undefined and the worst ten with what may explain it, the distribution of the
    first metric and, where the data know the gauges' places, its map. Forecasts are scored by lead time (see `score_lead_times`),
    whatever `metrics`.
    """
    if LEAD_TIME in made.dims:
        return _score_forecasts(folder, observed, made, name=name, periods=periods, period_name=period_name)
    return _score_simulation(folder, observed, made, name=name, periods=periods, period_name=period_name, metrics=metrics)


def check_scored(observed: xr.Dataset, periods: Periods, name: str) -> AnyPeriod:
    """The period of that name, refused where the experiment does not have it or no discharge is observed in it."""
    if name not in periods.named():
        raise InputError(f"the experiment has no {name} period; {nearest(str(name), periods.named())}")
    period = periods.named()[name]
    discharge = observed[DISCHARGE].isel({TIME: period.positions(times_of(observed))})
    if not bool(discharge.notnull().any()):
        gauge_ids = list(map(str, observed[BASIN].values))
        named = f"basin {', '.join(gauge_ids[:3])}{' ...' if len(gauge_ids) > 3 else ''}"
        raise UnscoredError(f"{named}: no discharge is observed in the {name} period {period} to score; choose another period")
    return period


def _score_forecasts(
    folder: RunFolder, dataset: xr.Dataset, forecast: xr.DataArray, *, name: str, periods: Periods, period_name: str
) -> LeadScores:
    dataset = without_counts(dataset.sel({BASIN: forecast[BASIN]}))
    train = periods.train.labels(times_of(dataset))
    scored = partial(score_lead_times, forecast, observed=dataset[DISCHARGE], train=train, name="lstm")
    scores, by_season = LeadScores(scored(), forecast), scored(by="season")
    write_csv(by_season.set_index("model"), folder.lead_scores_by_season(period_name))
    made = xr.Dataset({"forecast": forecast, "observed": observed_ahead(dataset[DISCHARGE], forecast)})
    made[BASIN].attrs = {"cf_role": "timeseries_id", "long_name": "gauge id"}
    made = made.assign_attrs(Conventions="CF-1.11", title=f"{name}: forecast and observed discharge")
    write_netcdf(made, folder.forecasts(period_name))
    write_figure(plot_lead_times(scores=scores.table), folder.lead_times_plot(period_name))
    write_figure(_spaghetti(dataset[DISCHARGE], scores, name=name), folder.forecasts_plot(period_name))
    write_csv(scores.table.set_index("model"), folder.lead_scores(period_name))  # last: where it is, all is
    return scores


def _spaghetti(observed: xr.DataArray, scores: LeadScores, *, name: str) -> "Axes":
    """The forecasts of half a year around the largest flood of the basin whose NSE at lead time 1 is the median one."""
    own = scores.table[scores.table["model"] == "lstm"]
    by_lead = own.pivot(index="gauge_id", columns="lead_time", values="NSE").add_prefix("NSE at lead time ")
    gauge_id, heading = _basin_to_draw(by_lead, name)
    forecast = scores.forecast.sel({BASIN: gauge_id})
    issued = forecast.indexes["issue_date"]
    series = observed.sel({BASIN: gauge_id, TIME: slice(issued[0], issued[-1])})
    peak = int(np.nanargmax(series.values)) if series.notnull().any() else 0
    begin = min(max(0, peak - 60), max(0, len(issued) - 120))
    lead_times = forecast.sizes["lead_time"]
    title = plain(f"{heading}: forecasts of {lead_times} steps, one in {max(1, lead_times // 2)} shown")
    return plot_forecasts(observed=series[begin : begin + 120], forecast=forecast, every=max(1, lead_times // 2), title=title)


def _score_simulation(
    folder: RunFolder,
    dataset: xr.Dataset,
    simulated: xr.DataArray,
    *,
    name: str,
    periods: Periods,
    period_name: str,
    metrics: Sequence[str],
) -> Scores:
    dataset = without_counts(dataset.sel({BASIN: simulated[BASIN]}))
    train, test = (one.labels(times_of(dataset)) for one in (periods.train, periods.named()[period_name]))
    observed = dataset[DISCHARGE].sel({TIME: simulated[TIME]})
    scores = Scores(
        metrics=evaluate(observed=observed, simulated=simulated, metrics=metrics),
        baselines=score_baselines(
            observed=dataset[DISCHARGE],
            train=train,
            test=test,
            beside=simulated,
            metrics=metrics,
        ),
        simulation=_simulation(observed, simulated, name),
    )
    write_csv(scores.baselines, folder.baselines(period_name))
    write_netcdf(scores.simulation, folder.simulation(period_name))
    write_figure(_hydrograph(dataset, scores, name=name), folder.hydrograph_plot(period_name))
    if dataset.sizes[BASIN] > 1:
        first = str(scores.metrics.columns[0])
        values = scores.metrics[first]
        number = WORST + len(values) - len(defined(values))  # however many are undefined, the worst of those scored are there
        worst = worst_basins(dataset, values, train=train, test=test, number=number)
        write_csv(worst, folder.worst_basins(period_name))
        curves = {"model": values} | {
            str(one).partition(" (")[0]: table[first] for one, table in scores.baselines.groupby("baseline")
        }
        write_figure(plot_distribution(scores=curves, metric=first), folder.distribution_plot(period_name))
        if "gauge_lat" in dataset and "gauge_lon" in dataset:
            chart = plot_map(scores=values, latitude=dataset["gauge_lat"], longitude=dataset["gauge_lon"], metric=first)
            write_figure(chart, folder.map_plot(period_name))
    write_csv(scores.metrics, folder.metrics(period_name))  # last: where it is, all is
    return scores


def _simulation(observed: xr.DataArray, simulated: xr.DataArray, name: str) -> xr.Dataset:
    """Observed and simulated discharge as a CF Dataset."""
    observed = observed.astype("float32").assign_attrs(long_name="observed discharge", units=simulated.attrs["units"])
    dataset = xr.Dataset({"observed": observed, "simulated": simulated}).drop_attrs(deep=False)
    dataset[BASIN].attrs = {"cf_role": "timeseries_id", "long_name": "gauge id"}
    return dataset.assign_attrs(Conventions="CF-1.11", featureType="timeSeries", title=f"{name}: observed and simulated discharge")


def _hydrograph(dataset: xr.Dataset, scores: Scores, *, name: str) -> "Figure":
    """The picture of the basin whose NSE (or first metric) is the median one; of the only basin where there is one."""
    metrics = scores.metrics.drop(columns="days")
    gauge_id, heading = _basin_to_draw(metrics, name)
    one = scores.simulation.sel({BASIN: gauge_id})
    rain = [str(variable) for variable in dataset.data_vars if is_precipitation(str(variable))]
    precipitation = dataset[rain[0]].sel({BASIN: gauge_id, TIME: one[TIME]}) if rain else None
    of_gauge: dict[str, float] = dict(zip(metrics.columns, metrics.loc[gauge_id].to_numpy(float), strict=True))
    is_scored = any(np.isfinite(value) for value in of_gauge.values())
    shown = {metric: value for metric, value in of_gauge.items() if is_scored and metric in ("NSE", "KGE", "RMSE")}
    return figure_hydrograph(
        observed=one["observed"], simulated=one["simulated"], precipitation=precipitation, scores=shown, name=heading
    )


def _basin_to_draw(scores: pd.DataFrame, name: str) -> tuple[str, str]:
    """The gauge id to draw, and its heading: the median basin of those scored by the first metric that has a value in any.

    `scores` has a row per gauge and a column per metric. Where none has a value, it is the first basin, and the heading says so.
    """
    basins = len(scores)
    for metric in map(str, scores.columns):
        gauge_id = median_basin(scores[metric])
        if gauge_id is None:
            continue
        by = "" if metric == scores.columns[0] else f" by {metric}"
        chosen = f"the median of {share_of_basins(len(defined(scores[metric])), of=basins)}{by}"
        return gauge_id, name if basins == 1 else f"{shortened(name, 120)}, {gauge_id} ({chosen})"
    gauge_id = str(scores.index[0])
    unscored = "it could not be scored" if basins == 1 else f"none of {count_of(basins)} could be scored"
    LOG.warning("%s: %s; too few observed and simulated steps in common, or discharge that does not vary", name, unscored)
    return gauge_id, f"{shortened(name, 120)}{'' if basins == 1 else f', {gauge_id}'} ({unscored})"
