"""Score a simulation or forecasts of a period; write tables, netCDF and plots to the run folder."""

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
"""Number of scored basins in the table of the worst."""


class UnscoredError(InputError):
    """No part of a run can be scored, whatever its weights.

    The message names basins and period.
    """


@dataclass(frozen=True)
class Scores:
    """Scores of the simulation of one period.

    Attributes
    ----------
    metrics, baselines
        A row per gauge: scores of the model, and of climatology and persistence.
    simulation
        `observed` and `simulated`, dims (basin, time), mm d-1 (mm h-1).
    """

    metrics: pd.DataFrame
    baselines: pd.DataFrame
    simulation: xr.Dataset

    @property
    def yardsticks(self) -> pd.DataFrame:
        """Return `baselines` with its first column named `yardstick`.

        To be removed in the next release.
        """
        warnings.warn(
            "Scores.yardsticks is now Scores.baselines, its column yardstick is baseline", DeprecationWarning, stacklevel=2
        )
        return self.baselines.rename(columns={"baseline": "yardstick"})


@dataclass(frozen=True)
class LeadScores:
    """Scores of the forecasts of one period.

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
    """Simulate or forecast one period and score it; see `score`.

    Several models are averaged.

    Parameters
    ----------
    ungauged
        Whether the basins are scored as ungauged. If so, basins not in training give no warning.
    threads
        See `TrainedModel.simulate`.

    Raises
    ------
    InputError
        The period is not in the experiment, has no observed discharge, or is the test period and was used to train or validate a
        model.
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
    """Evaluate as `evaluate_run`, for a checked Dataset.

    `observed` is the same Dataset with measured discharge only; see `measured`.
    """
    period = check_scored(observed, periods, period_name)
    for model in models if period_name == "test" else ():
        check_unseen(model.seen, dataset[BASIN].values, period_name, period)
    with each_warning_once(), as_ungauged(on_purpose=ungauged):
        parts = [made_by(model, dataset, period, threads=threads) for model in models]
    return score(folder, observed, mean_of(parts), name=name, periods=periods, period_name=period_name, metrics=metrics)


def made_by(model: TrainedModel, dataset: xr.Dataset, period: AnyPeriod, *, threads: Threads = None) -> xr.DataArray:
    """Simulate a period (basin, time), or forecast within it (basin, issue_date, lead_time)."""
    if not model.lead_times:
        parts = [model.simulate(dataset, period=one, threads=threads)["simulated"] for one in period.parts]
        return xr.concat(parts, dim=TIME)
    issued = [last_issue_dates(times_of(dataset), one, model.lead_times) for one in period.parts]
    parts = [model.forecast(dataset, period=one, threads=threads)["forecast"] for one in issued]
    return xr.concat(parts, dim=ISSUE_DATE)


def check_made(model: TrainedModel, dataset: xr.Dataset, period: AnyPeriod) -> None:
    """Raise an error if a model cannot simulate or forecast any step of a period.

    Arguments as for `made_by`.
    """
    for one in period.parts:
        asked = last_issue_dates(times_of(dataset), one, model.lead_times) if model.lead_times else one
        try:
            model.windows(dataset, period=asked)
        except InputError as error:
            raise UnscoredError(str(error)) from None


def mean_of(members: Sequence[xr.DataArray]) -> xr.DataArray:
    """Average the hydrographs or forecasts of ensemble members.

    NaN where any member is NaN.
    """
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
    """Score a simulation or forecasts of one period and the baselines; write the results.

    The results are tables, netCDF and plots. `observed` is the Dataset of all periods with measured discharge only; see `measured`.

    With several basins a simulation also gives a table of undefined scores and the ten worst with possible causes, and a plot of
    the distribution of the first metric. If the data have gauge coordinates, a map is drawn too. Forecasts are scored by lead time
    (see `score_lead_times`), whatever `metrics`.
    """
    if LEAD_TIME in made.dims:
        return _score_forecasts(folder, observed, made, name=name, periods=periods, period_name=period_name)
    return _score_simulation(folder, observed, made, name=name, periods=periods, period_name=period_name, metrics=metrics)


def check_scored(observed: xr.Dataset, periods: Periods, name: str) -> AnyPeriod:
    """Return the named period.

    Raises an error if it does not exist or has no observed discharge.
    """
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
    write_csv(scores.table.set_index("model"), folder.lead_scores(period_name))  # written last: marks complete results
    return scores


def _spaghetti(observed: xr.DataArray, scores: LeadScores, *, name: str) -> "Axes":
    """Plot forecasts around the largest flood, for half a year.

    The basin is the one with the median NSE at lead time 1.
    """
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
        number = WORST + len(values) - len(defined(values))  # undefined scores are listed in addition to the worst
        worst = worst_basins(dataset, values, train=train, test=test, number=number)
        write_csv(worst, folder.worst_basins(period_name))
        curves = {"model": values} | {
            str(one).partition(" (")[0]: table[first] for one, table in scores.baselines.groupby("baseline")
        }
        write_figure(plot_distribution(scores=curves, metric=first), folder.distribution_plot(period_name))
        if "gauge_lat" in dataset and "gauge_lon" in dataset:
            chart = plot_map(scores=values, latitude=dataset["gauge_lat"], longitude=dataset["gauge_lon"], metric=first)
            write_figure(chart, folder.map_plot(period_name))
    write_csv(scores.metrics, folder.metrics(period_name))  # written last: marks complete results
    return scores


def _simulation(observed: xr.DataArray, simulated: xr.DataArray, name: str) -> xr.Dataset:
    """Build a CF Dataset of observed and simulated discharge."""
    observed = observed.astype("float32").assign_attrs(long_name="observed discharge", units=simulated.attrs["units"])
    dataset = xr.Dataset({"observed": observed, "simulated": simulated}).drop_attrs(deep=False)
    dataset[BASIN].attrs = {"cf_role": "timeseries_id", "long_name": "gauge id"}
    return dataset.assign_attrs(Conventions="CF-1.11", featureType="timeSeries", title=f"{name}: observed and simulated discharge")


def _hydrograph(dataset: xr.Dataset, scores: Scores, *, name: str) -> "Figure":
    """Plot the hydrograph of the only basin, or of the basin with the median NSE (or first metric)."""
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
    """Select the gauge id to plot, and its heading.

    This is the median basin by the first metric with a value in any basin. `scores` has a row per gauge and a column per metric.
    Without any value the first basin is selected, and the heading says so.
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
