"""From the scores of many basins to figures: their distribution and their map; conventions as in `plots`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from runoff_lstm.errors import InputError, nearest
from runoff_lstm.evaluation.basins import count_of, defined, share_of_basins
from runoff_lstm.evaluation.metrics import METRICS
from runoff_lstm.plots.style import (
    OBSERVED_COLOUR,
    PRECIPITATION_COLOUR,
    QUIET,
    SIMULATED_COLOUR,
    VALIDATION_COLOUR,
    Values,
    axes_or_new,
    figure_of,
    fitted,
    plain,
    shortened,
    width_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def plot_distribution(
    axes: "Axes | None" = None,
    *,
    scores: "Mapping[str, pd.Series[float]] | pd.Series[float]",
    metric: str = "NSE",
    lowest: float = -0.2,
    ax: "Axes | None" = None,
) -> "Axes":
    """Cumulative distribution of a metric over basins, a curve for each table: how many basins score no better than that.

    Parameters
    ----------
    scores
        By name, a value per basin, or those of one table alone; what is undefined is left out, and a table without any value is
        named as such. The first is drawn strongest.
    metric
        What the values are, for the axis.
    lowest
        Left end of the axis of a metric that ends at 1; the share of basins below it is where a curve begins. The axis of others
        holds 96 of 100 values.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> import pandas as pd
    >>> rl.plot_distribution(scores={"ours": pd.Series([0.5, 0.7, 0.8])}).get_xlabel()
    'NSE'
    """
    scores = _by_name(scores, metric)
    axes = axes_or_new(axes, ax, size=(6, 4.2))
    colours = (SIMULATED_COLOUR, VALIDATION_COLOUR, QUIET, PRECIPITATION_COLOUR, OBSERVED_COLOUR)
    for place, (name, values) in enumerate(scores.items()):
        ranked = np.sort(defined(values).to_numpy(np.float64))
        share = np.arange(1, ranked.size + 1) / max(ranked.size, 1)
        label = f"{plain(shortened(name, 80))}, " + (
            f"median {np.median(ranked):.3f} ({count_of(ranked.size)})" if ranked.size else f"undefined in {count_of(len(values))}"
        )
        label = fitted(label, width=0.85 * width_of(axes), size=9)
        axes.step(
            ranked, share, where="post", color=colours[place % len(colours)], linewidth=2.0 if place == 0 else 1.3, label=label
        )
    axes.axhline(0.5, color=QUIET, linewidth=0.7, linestyle=(0, (5, 3)))
    every = np.concatenate([values.to_numpy(np.float64) for values in scores.values()]) if scores else np.zeros(0)
    axes.set(xlim=_ends(metric, every, lowest=lowest), ylim=(0, 1), xlabel=metric, ylabel="share of basins at or below")
    if scores:
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), frameon=False, fontsize=9, borderaxespad=0.2)  # clear of any curve
    return axes


def plot_map(
    axes: "Axes | None" = None,
    *,
    scores: "pd.Series[float]",
    latitude: "xr.DataArray | pd.Series[float]",
    longitude: "xr.DataArray | pd.Series[float]",
    metric: str = "NSE",
    limits: tuple[float, float] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """A metric at the gauges: a dot each at its longitude and latitude, coloured by its value; undefined ones are open circles.

    Parameters
    ----------
    scores
        A value per basin, index gauge_id.
    latitude, longitude
        Of the gauges in degrees, dims (basin,), or a Series by gauge id.
    metric, limits
        What the values are, and the two ends of the colours; values beyond have the colour of the end. None: 0 and 1 for a metric
        that ends at 1, else such that 96 of 100 values lie between.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> import pandas as pd
    >>> by_gauge = pd.DataFrame({"NSE": [0.5, 0.7], "lat": [44.6, 47.2], "lon": [-67.9, -68.6]}, ["01022500", "01013500"])
    >>> axes = rl.plot_map(scores=by_gauge["NSE"], latitude=by_gauge["lat"], longitude=by_gauge["lon"])
    >>> axes.get_ylabel()
    'latitude [°]'
    """
    axes = axes_or_new(axes, ax, size=(8, 4.6))
    gauge_ids = [str(gauge_id) for gauge_id in scores.index]
    north, east = (_places(place, gauge_ids) for place in (latitude, longitude))
    values: Values = np.asarray(scores, dtype=np.float64)
    lowest, highest = limits or _ends(metric, values, lowest=0.0)
    order = np.argsort(-values)  # the lowest lie on top
    known = order[np.isfinite(values[order])]
    unknown = ~np.isfinite(values)
    size = float(np.clip(6000 / max(len(values), 1), 12, 60))
    dots = axes.scatter(
        east[known],
        north[known],
        c=values[known],
        s=size,
        cmap="viridis",
        vmin=lowest,
        vmax=highest,
        linewidths=0.3,
        edgecolors="white",
    )
    if unknown.any():
        axes.scatter(east[unknown], north[unknown], s=size, facecolors="none", edgecolors=QUIET, linewidths=0.8, label="undefined")
        axes.legend(loc="lower left", frameon=False, fontsize=9)
    below, above = bool((values < lowest).any()), bool((values > highest).any())
    extend = {(True, False): "min", (False, True): "max", (True, True): "both"}.get((below, above), "neither")
    bar = figure_of(axes).colorbar(dots, ax=axes, extend=extend, shrink=0.85)
    bar.set_label(metric)
    bar.outline.set_visible(False)
    middle = float(np.nanmean(north)) if np.isfinite(north).any() else 0.0
    axes.set_aspect(1 / max(np.cos(np.radians(middle)), 0.1))
    axes.set(xlabel="longitude [°]", ylabel="latitude [°]")
    middle_score = f"median {np.median(values[known]):.3f}" if known.size else "undefined in all"
    axes.set_title(
        f"{metric} of {share_of_basins(known.size or len(values), of=len(values))}, {middle_score}", loc="left", fontsize=10
    )
    return axes


def _places(places: "xr.DataArray | pd.Series[float]", gauge_ids: list[str]) -> Values:
    """Latitude or longitude of these gauges; one that is not there is refused."""
    known = places.to_series() if isinstance(places, xr.DataArray) else places
    known = known.set_axis(known.index.map(str))
    for gauge_id in gauge_ids:
        if gauge_id not in known.index:
            raise InputError(f"basin {gauge_id} has a score and no place on the map; {nearest(gauge_id, known.index)}")
    return np.asarray(known.loc[gauge_ids], dtype=np.float64)


def _by_name(scores: object, metric: str) -> "dict[str, pd.Series[float]]":
    """A value per basin by the name of each table; one table alone goes by the name of the metric."""
    import pandas as pd

    given = dict(scores) if isinstance(scores, Mapping | pd.DataFrame) else {metric: scores}
    return {str(name): pd.Series(np.asarray(values, dtype=np.float64)) for name, values in given.items()}


def _ends(metric: str, values: Values, *, lowest: float) -> tuple[float, float]:
    """Ends of an axis or of colours: `lowest` to 1 for a metric that ends at 1, else such that 96 of 100 values lie between.

    >>> _ends("NSE", np.array([-3.0, 0.5, np.nan]), lowest=0.0)
    (0.0, 1.0)
    """
    there = values[np.isfinite(values)]
    if not there.size or (there.max() <= 1 and (metric not in METRICS or METRICS[metric].range.endswith(" 1]"))):
        return lowest, 1.0
    low, high = np.quantile(there, (0.02, 0.98))
    return float(low), float(max(high, low + 1e-6))
