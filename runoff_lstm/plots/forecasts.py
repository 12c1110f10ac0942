"""From forecasts and their scores to figures: skill against lead time, and forecast hydrographs; conventions as in `plots`."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import BASIN, ISSUE_DATE, LEAD_TIME, TIME
from runoff_lstm.errors import InputError, nearest
from runoff_lstm.evaluation.baselines import BASELINES
from runoff_lstm.evaluation.basins import count_of
from runoff_lstm.evaluation.matching import SeriesLike, as_forecast, as_series, valid_times
from runoff_lstm.evaluation.metrics import GAUGE_ID, METRICS
from runoff_lstm.plots.style import (
    BESIDE_LEGEND,
    OBSERVED_COLOUR,
    QUIET,
    SIMULATED_COLOUR,
    VALIDATION_COLOUR,
    axes_or_new,
    date_ticks,
    fitted,
    plain,
    shortened,
    typeset,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_lead_times(
    axes: "Axes | None" = None, *, scores: pd.DataFrame, metric: str = "NSE", units: str = "", ax: "Axes | None" = None
) -> "Axes":
    """A score against lead time, a line for each model and baseline; over several basins the median, and half of them shaded.

    Parameters
    ----------
    scores
        Table of `score_lead_times`; several models may be one below the other.
    metric
        A column of it.
    units
        Of the metric, for the axis.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> import pandas as pd
    >>> table = pd.DataFrame({"model": "lstm", "gauge_id": "leaf", "lead_time": [1, 2], "NSE": [0.9, 0.8]})
    >>> rl.plot_lead_times(scores=table).get_xlabel()
    'lead time [steps]'
    """
    if metric not in scores:
        raise InputError(f"the table of scores has no column '{metric}'; {nearest(str(metric), map(str, scores.columns))}")
    axes = axes_or_new(axes, ax, size=(6.4, 4))
    basins = scores[GAUGE_ID].nunique()
    styles = {"persistence": (VALIDATION_COLOUR, "--"), "climatology": (QUIET, ":")}
    models = [str(name) for name in scores["model"].unique() if name not in BASELINES]
    fresh = iter(("#009E73", "#CC79A7", "#56B4E9", "#E69F00", OBSERVED_COLOUR) * len(models))
    for place, name in enumerate([*models, *BASELINES]):
        by_lead = scores[scores["model"] == name].groupby(LEAD_TIME)[metric]
        if not by_lead.ngroups:
            continue
        middle = by_lead.median()
        colour, line = styles.get(name, (SIMULATED_COLOUR if place == 0 else next(fresh), "-"))
        label = fitted(plain(shortened(name, 80)) + _fewer(by_lead.count(), of=basins), width=0.45 * width_of(axes), size=9)
        axes.plot(middle.index, middle, color=colour, linestyle=line, marker="o", markersize=3.5, linewidth=1.6, label=label)
        if basins > 1 and name not in BASELINES:
            axes.fill_between(middle.index, by_lead.quantile(0.25), by_lead.quantile(0.75), color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="lead time [steps]", ylabel=f"{metric} [{typeset(units)}]" if units else metric)
    axes.set_xticks(sorted(scores[LEAD_TIME].unique()))
    best = METRICS[metric].best if metric in METRICS else 1.0
    if best == 1 and scores[metric].notna().any():
        axes.set_ylim(max(-1.0, float(scores[metric].min()) - 0.05), 1.02)
    axes.legend(frameon=False, fontsize=9)
    if basins > 1:
        axes.set_title(f"median of {count_of(basins)}, half of them shaded", loc="left", fontsize=10)
    return axes


def _fewer(counts: "pd.Series[int]", *, of: int) -> str:
    """Of how many basins the medians of a model are, lead by lead, where not of all.

    >>> _fewer(pd.Series([5, 5]), of=5), _fewer(pd.Series([2, 2]), of=5), _fewer(pd.Series([2, 4]), of=5)
    ('', ' (of 2)', ' (of 2 to 4)')
    """
    fewest, most = int(counts.min()), int(counts.max())
    if fewest == of:
        return ""
    return f" (of {fewest})" if fewest == most else f" (of {fewest} to {most})"


def plot_forecasts(
    axes: "Axes | None" = None,
    *,
    observed: SeriesLike,
    forecast: xr.DataArray,
    every: int = 1,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Forecast hydrographs of one basin over the observed one, each beginning at its issue date.

    Parameters
    ----------
    observed
        Discharge, dims (time,), of the time to show.
    forecast
        dims (issue_date, lead_time), same unit; those issued within the time of `observed` are drawn.
    every
        Show one issue date in so many, so that lines can be told apart.
    title
        Set above the axes at the left.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> observed = data["discharge"]
    >>> import numpy as np
    >>> issued = data.indexes["time"][400:410]
    >>> made = rl.forecast_dataset(np.ones((2, 10, 3)), basin=data["basin"], issue_dates=issued, units="mm d-1", step="1D")
    >>> rl.plot_forecasts(observed=observed[0, 395:415], forecast=made["forecast"][0]).get_ylabel()
    'discharge [mm d$^{-1}$]'
    """
    observed = as_series("observed", observed)
    forecast = as_forecast(forecast, observed)
    for name, given in (("observed", observed), ("forecast", forecast)):
        if given.sizes[BASIN] != 1:
            raise InputError(f"{name} has {given.sizes[BASIN]} basins; one can be drawn: choose it with .sel(basin=...)")
    observed, forecast = observed.isel({BASIN: 0}), forecast.isel({BASIN: 0})
    axes = axes_or_new(axes, ax, size=(10, 4))
    times, flow = pd.DatetimeIndex(observed.indexes[TIME]), observed.values
    issued = pd.DatetimeIndex(forecast.indexes[ISSUE_DATE])
    shown = np.flatnonzero((issued >= times[0]) & (issued <= times[-1]))[::every]
    if not len(shown):
        raise InputError(f"no forecast is issued from {times[0]:%Y-%m-%d} to {times[-1]:%Y-%m-%d}; show another time")
    axes.plot(times, flow, color=OBSERVED_COLOUR, linewidth=1.5, label="observed", zorder=3)
    ahead = valid_times(issued[shown], forecast.sizes[LEAD_TIME], step=times[1] - times[0])
    begin = observed.reindex({TIME: issued[shown]}).values
    for place, number in enumerate(shown):
        from_here = slice(0, 1) if np.isfinite(begin[place]) else slice(0, 0)
        moments = np.concatenate([issued[number : number + 1].to_numpy()[from_here], ahead[place]])
        values = np.concatenate([begin[place : place + 1][from_here], forecast.values[number]])
        label = "forecast" if place == 0 else None
        axes.plot(moments, values, color=SIMULATED_COLOUR, linewidth=1.0, alpha=0.75, label=label)
    axes.plot(issued[shown], begin, "o", color=SIMULATED_COLOUR, markersize=3.5, label="issue date", zorder=4)
    axes.set_ylim(0, None)
    axes.set_xlim(*np.array([times[0], max(times[-1], pd.Timestamp(ahead[-1][-1]))], dtype="datetime64[ns]"))
    units = observed.attrs.get("units", "")
    axes.set_ylabel(f"discharge [{typeset(units)}]" if units else "discharge")
    date_ticks(axes)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, frameon=False, fontsize=9, borderaxespad=0.2)
    axes.set_title(fitted(title, width=BESIDE_LEGEND * width_of(axes), size=10), loc="left", fontsize=10)
    return axes
