"""From discharge series to figures: takes Axes where given, returns the Axes drawn on.

Without Axes a `matplotlib.figure.Figure` of its own is made, never pyplot's, so that nothing needs a display and nothing stays
behind; end a notebook's cell with `.figure` to see it: `plot_hydrograph(...).figure`. `ax=` is another name for `axes=`. Series are
those of one basin: a DataArray (time,) with its unit in `attrs["units"]` (where only one discharge states it, the other is taken to
share it), or pandas or numpy data (see `as_series`), whose unit may be unknown. Anything else is an InputError, two units for
discharge as well.
"""

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import BASIN, DAY, TIME
from runoff_lstm.data.times import times_of
from runoff_lstm.errors import InputError
from runoff_lstm.evaluation.matching import SeriesLike, as_series
from runoff_lstm.evaluation.metrics import METRICS
from runoff_lstm.plots.style import (
    BESIDE_LEGEND,
    OBSERVED_COLOUR,
    PRECIPITATION_COLOUR,
    PRECIPITATION_TEXT,
    QUIET,
    SIMULATED_COLOUR,
    SIMULATED_COLOURS,
    VALIDATION_COLOUR,
    Values,
    axes_or_new,
    date_ticks,
    fitted,
    plain,
    plain_log_ticks,
    shortened,
    typeset,
    width_of,
    write_note,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import StepPatch


LOG_DECADES = 1e5


OBSERVED = "observed"


UNKNOWN_UNITS, UNKNOWN_DATES = "unknown_units", "unknown_dates"
"""Marks of a series that was given as a table or plain numbers, without a unit, or without dates."""


def plot_hydrograph(
    axes: "Axes | None" = None,
    *,
    observed: SeriesLike,
    simulated: SeriesLike | Mapping[str, SeriesLike] | None = None,
    precipitation: SeriesLike | None = None,
    title: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """Discharge of one basin against time, with precipitation hanging from the top.

    Parameters
    ----------
    axes, ax
        Where to draw; None: a new figure.
    observed, simulated
        Discharge of one basin, same unit; several simulations by the name of each, or none. NaN leaves a gap in the line; a lone
        value between two gaps becomes a dot.
    precipitation
        dims (time,); drawn on a second, inverted axis at the right, `axes.figure.axes[-1]`.
    title
        Set above the axes at the left, opposite the legend.

    Raises
    ------
    InputError
        A series is of several basins, without dates or without a step, or two are in different units.

    Examples
    --------
    >>> dates = pd.date_range("2000-01-01", periods=3)
    >>> flow = pd.Series([1.0, 4.0, 2.0], dates)
    >>> axes = plot_hydrograph(observed=flow, simulated={"small": 0.8 * flow, "large": 1.2 * flow})
    >>> [one.get_text() for one in axes.get_legend().get_texts()]
    ['observed', 'small', 'large']
    """
    runs = {} if simulated is None else dict(simulated) if isinstance(simulated, Mapping) else {"simulated": simulated}
    series = one_basin(**{OBSERVED: observed, **runs})
    for name, one in series.items():
        _check_dated(one, name)
    units = _stated_units(**series)
    axes = axes_or_new(axes, ax, size=(10, 4))
    first, last = (pick(one[TIME].values[end] for one in series.values()) for pick, end in ((min, 0), (max, -1)))
    drawn: list[Artist] = []
    for (name, one), colour in zip(series.items(), cycle((OBSERVED_COLOUR, *SIMULATED_COLOURS)), strict=False):
        times, flow = one[TIME].values, _values(one)
        width = 0.8 if flow.size > 1500 else 1.3
        drawn += axes.plot(times, flow, color=colour, linewidth=width, alpha=0.85, label=plain(shortened(name, 40)))
        lone = _lone_values(flow)
        axes.plot(times[lone], flow[lone], ".", color=colour, markersize=3)
    highest, lowest = (_extreme(*series.values(), pick=pick) for pick in ("max", "min"))
    headroom = 1.05 if precipitation is None else 1.35
    axes.set_ylim(min(lowest, 0.0), headroom * highest if highest > 0 else 1.0)
    axes.set_ylabel(_in_units("discharge", units))
    if precipitation is not None:
        (rain,) = list(one_basin(observed=series[OBSERVED], precipitation=precipitation).values())[1:]
        drawn.append(_hang_precipitation(axes, rain, units=_stated_units(precipitation=rain), start=first, end=last))
    axes.set_xlim(first, last if last > first else first + DAY)
    date_ticks(axes)
    axes.legend(
        handles=drawn,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=max(3, len(drawn)),
        frameon=False,
        fontsize=9,
        borderaxespad=0.2,
    )
    axes.set_title(fitted(title, width=BESIDE_LEGEND * width_of(axes), size=10), loc="left", fontsize=10)
    return axes


def plot_flow_duration(
    axes: "Axes | None" = None, *, observed: SeriesLike, simulated: SeriesLike, ax: "Axes | None" = None
) -> "Axes":
    """Flow-duration curves: the share of time for which a discharge is exceeded, on a logarithmic discharge axis.

    The i-th largest of n values has the exceedance probability 100 i / (n + 1) % (Weibull). Only times present in both series
    count. Values of zero or below count too, but cannot be drawn; a note in the axes says how many.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> observed = data["discharge"]
    >>> flow = observed[0]
    >>> rl.plot_flow_duration(observed=flow, simulated=1.1 * flow).get_xlabel()
    'exceedance probability [%]'
    """
    observed, simulated = one_basin(observed=observed, simulated=simulated).values()
    units = _stated_units(observed=observed, simulated=simulated)
    axes = axes_or_new(axes, ax, size=(5, 4))
    axes.set(xlabel="exceedance probability [%]", ylabel=_in_units("discharge", units), xlim=(0, 100))
    flows = dict(zip(("observed", "simulated"), _shared(observed, simulated), strict=True))
    steps = _step_name(observed)
    if not flows["observed"].size:
        return write_note(axes, f"no {steps} in common")
    for (name, flow), colour in zip(flows.items(), (OBSERVED_COLOUR, SIMULATED_COLOUR), strict=True):
        exceedance, falling = _exceedance(flow)
        axes.plot(exceedance, np.where(falling > 0, falling, np.nan), color=colour, linewidth=1.4, alpha=0.9, label=name)
    axes.set_yscale("log")
    positive = np.concatenate([flow[flow > 0] for flow in flows.values()])
    if positive.size:
        axes.set_ylim(max(positive.min() / 1.5, positive.max() / LOG_DECADES), positive.max() * 1.5)
    plain_log_ticks(axes)
    hidden = {name: int((flow <= 0).sum()) for name, flow in flows.items()}
    if any(hidden.values()):
        counts = ", ".join(f"{name} on {count:,}" for name, count in hidden.items())
        note = f"zero flow, not drawn:\n{counts}\nof {flows['observed'].size:,} {steps}"
        axes.text(0.97, 0.78, note, transform=axes.transAxes, fontsize=8, color=QUIET, ha="right", va="top")
    axes.legend(loc="upper right", frameon=False, fontsize=9)
    return axes


def plot_scatter(axes: "Axes | None" = None, *, observed: SeriesLike, simulated: SeriesLike, ax: "Axes | None" = None) -> "Axes":
    """Simulated against observed discharge, with equal limits and the 1:1 line.

    Times missing in either are left out. Where the largest value exceeds eight times the observed median both axes are scaled by
    the square root, which spreads the low flows and, unlike a logarithm, keeps zeros.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> observed = data["discharge"]
    >>> flow = observed[0]
    >>> rl.plot_scatter(observed=flow, simulated=1.1 * flow).get_xlabel()
    'observed [mm d$^{-1}$]'
    """
    observed, simulated = one_basin(observed=observed, simulated=simulated).values()
    units = _stated_units(observed=observed, simulated=simulated)
    axes = axes_or_new(axes, ax, size=(4.5, 4.5))
    axes.set(xlabel=_in_units("observed", units), ylabel=_in_units("simulated", units), box_aspect=1)
    x, y = _shared(observed, simulated)
    steps = _step_name(observed)
    if not x.size:
        return write_note(axes, f"no {steps} in common")
    highest, lowest = max(x.max(), y.max()), min(x.min(), y.min(), 0.0)
    limits = (lowest, 1.05 * highest if highest > 0 else 1.0)
    if highest > 8 * np.median(x):
        _square_root_scale(axes, highest=limits[1])
    axes.plot(limits, limits, color=QUIET, linewidth=0.9, linestyle=(0, (5, 3)), label="1:1")
    axes.scatter(x, y, s=8, color=VALIDATION_COLOUR, alpha=float(np.clip(400 / x.size, 0.18, 0.8)), linewidths=0)
    axes.set(xlim=limits, ylim=limits)
    axes.legend(loc="upper left", framealpha=0.85, edgecolor="none", fontsize=9)
    axes.text(0.97, 0.03, f"{x.size:,} {steps}", transform=axes.transAxes, fontsize=8, color=QUIET, ha="right", va="bottom")
    return axes


def figure_hydrograph(
    *,
    observed: SeriesLike,
    simulated: SeriesLike,
    precipitation: SeriesLike | None = None,
    scores: Mapping[str, float],
    name: str,
) -> "Figure":
    """One picture of a basin: hydrograph, the year of the largest observed peak, flow-duration curve and scatter.

    A record no longer than a year is not shown twice: the second row is left out.

    Parameters
    ----------
    observed, simulated
        Discharge, dims (time,), same unit.
    precipitation
        dims (time,).
    scores
        Value by name; the unit of those in `runoff_lstm.evaluation.metrics.METRICS` is added. NaN is written as "undefined".
    name
        The basin's, first in the title.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> observed = data["discharge"]
    >>> flow = observed[0]
    >>> len(rl.figure_hydrograph(observed=flow, simulated=flow, scores={"NSE": 1.0}, name="made up").axes)
    4
    """
    from matplotlib.figure import Figure

    observed, simulated = one_basin(observed=observed, simulated=simulated).values()
    for given, one in ((OBSERVED, observed), ("simulated", simulated)):
        _check_dated(one, given)
    units = _stated_units(observed=observed, simulated=simulated)
    observed, simulated = xr.align(observed, simulated, join="outer")
    first, last = observed[TIME].values[[0, -1]]
    year = _year_of_peak(observed)
    has_zoom = year.start > first or year.stop < last
    figure = Figure(figsize=(11, 10 if has_zoom else 7), dpi=120)
    figure.set_layout_engine("constrained", h_pad=0.08, w_pad=0.08, hspace=0.03)
    grid = figure.add_gridspec(3 if has_zoom else 2, 2, height_ratios=[1, 1, 1.15][not has_zoom :], width_ratios=(1.6, 1))
    heading = plain(f"{shortened(name)}, {_date(first)} to {_date(last)}")
    written = ", ".join(_score(metric, value, units) for metric, value in scores.items())
    title = f"{heading}: {written}" if written else heading
    figure.suptitle(fitted(title, width=0.976 * figure.get_figwidth(), size=13), fontsize=13, x=0.012, ha="left")

    whole = figure.add_subplot(grid[0, :])
    plot_hydrograph(whole, observed=observed, simulated=simulated, precipitation=precipitation, title="whole period")
    if has_zoom:
        whole.axvspan(year.start, year.stop, color="#B58A2B", alpha=0.15, linewidth=0, zorder=-1)
        plot_hydrograph(
            figure.add_subplot(grid[1, :]),
            observed=observed.sel(time=year),
            simulated=simulated.sel(time=year),
            precipitation=precipitation,
            title="year of the largest observed peak (shaded above)",
        )
    plot_flow_duration(figure.add_subplot(grid[-1, 0]), observed=observed, simulated=simulated)
    plot_scatter(figure.add_subplot(grid[-1, 1]), observed=observed, simulated=simulated)
    return figure


def one_basin(**named: object) -> dict[str, xr.DataArray]:
    """Each series as a DataArray (time,), of whatever kind it was given as; dates that one lacks are those of another.

    Raises
    ------
    InputError
        A series is of several basins, has another dimension or no step.
    """
    made: dict[str, xr.DataArray] = {}
    for name in sorted(named, key=lambda one: not _has_dates(named[one])):  # those with dates lend them
        first = next(iter(made.values()), None)
        dated = first if first is not None and not first.attrs.get(UNKNOWN_DATES) else None
        made[name] = _of_one_basin(name, named[name], dated)
    return {name: made[name] for name in named}


def _of_one_basin(name: str, value: object, like: xr.DataArray | None) -> xr.DataArray:
    if isinstance(value, xr.DataArray) and value.dims == (TIME,) and TIME in value.indexes:
        series = value
    elif isinstance(value, xr.DataArray) and TIME in value.dims:
        raise InputError(f"{name} has dims {value.dims}; one basin, dims ('time',), can be drawn: choose it with .sel(basin=...)")
    else:
        table = as_series(name, value, like=None if like is None or _has_dates(value) else like.expand_dims(BASIN))
        if table.sizes[BASIN] != 1:
            raise InputError(f"{name} has {table.sizes[BASIN]} basins; one can be drawn: choose it, such as by its column")
        series = table.isel({BASIN: 0}, drop=True)
        unknown = {UNKNOWN_UNITS: True, **({} if like is not None or _has_dates(value) else {UNKNOWN_DATES: True})}
        series = series.assign_attrs(series.attrs if "units" in series.attrs else unknown)
    if not series.size:
        raise InputError(f"{name} has no time step; nothing can be drawn")
    return series


def _has_dates(value: object) -> bool:
    return TIME in value.indexes if isinstance(value, xr.DataArray) else isinstance(getattr(value, "index", None), pd.DatetimeIndex)


def _check_dated(series: xr.DataArray, name: str) -> None:
    if series.attrs.get(UNKNOWN_DATES):
        raise InputError(f"{name} has no dates to draw it against; give a DataArray, or a pandas Series with dates as its index")


def _stated_units(**named: xr.DataArray) -> str:
    """The unit of all; where one carries none, arithmetic having dropped it, that of the others; empty where none can have one."""
    stated = {name: str(series.attrs["units"]) for name, series in named.items() if "units" in series.attrs}
    if not stated and all(series.attrs.get(UNKNOWN_UNITS) for series in named.values()):
        return ""
    if not stated:
        first = next(name for name, series in named.items() if not series.attrs.get(UNKNOWN_UNITS))
        raise InputError(f'{" and ".join(named)} without a unit; set {first}.attrs["units"] = "mm d-1"')
    if len(set(stated.values())) > 1:
        raise InputError(f"{', '.join(f'{name} is in {units}' for name, units in stated.items())}; convert one of them")
    return next(iter(stated.values()))


def _in_units(label: str, units: str) -> str:
    return f"{label} [{typeset(units)}]" if units else label


def _values(series: xr.DataArray) -> Values:
    return series.values.astype(np.float64)


def _shared(observed: xr.DataArray, simulated: xr.DataArray) -> tuple[Values, Values]:
    """The values of both at the times at which neither is missing."""
    one, other = (_values(series) for series in xr.align(observed, simulated, join="inner"))
    there = np.isfinite(one) & np.isfinite(other)
    return one[there], other[there]


def _exceedance(flow: Values) -> tuple[Values, Values]:
    """Exceedance probability [%] and the flow in falling order.

    >>> _exceedance(np.array([1.0, 4.0, 2.0]))
    (array([25., 50., 75.]), array([4., 2., 1.]))
    """
    return 100 * np.arange(1, flow.size + 1) / (flow.size + 1), np.sort(flow)[::-1]


def _lone_values(flow: Values) -> npt.NDArray[np.bool_]:
    """Where a value stands between two gaps, so that no line shows it.

    >>> _lone_values(np.array([1.0, 2.0, np.nan, 3.0, np.nan])).tolist()
    [False, False, False, True, False]
    """
    there = np.pad(np.isfinite(flow), 1)
    return np.asarray(there[1:-1] & ~there[:-2] & ~there[2:], dtype=np.bool_)


def _extreme(*series: xr.DataArray, pick: Literal["max", "min"]) -> float:
    """The largest or smallest value of all; zero where none is there."""
    flow = np.concatenate([_values(one) for one in series])
    flow = flow[np.isfinite(flow)]
    return float(getattr(flow, pick)()) if flow.size else 0.0


def _year_of_peak(observed: xr.DataArray) -> slice:
    """The year with the largest observed value, counted from the record's start, so that hydrological years stay whole.

    A last, incomplete year is moved back to end with the record. Without observations it is the first year.
    """
    times, flow = times_of(observed), _values(observed)
    peak = times[int(np.argmax(np.where(np.isfinite(flow), flow, -np.inf)))]
    year = pd.DateOffset(years=1)
    start = max(one for one in pd.date_range(times[0], peak, freq=year) if one <= peak)
    end = min(start + year - pd.Timedelta(seconds=1), times[-1])
    return slice(max(times[0], end - year + pd.Timedelta(seconds=1)), end)


def _step_name(series: xr.DataArray) -> str:
    """What to call the time steps of a series in a count."""
    times = times_of(series)
    return "days" if len(times) < 2 or times[1] - times[0] == DAY else "time steps"


def _date(moment: np.datetime64) -> str:
    return f"{pd.Timestamp(moment):%Y-%m-%d}"


def _score(metric: str, value: float, units: str) -> str:
    """'RMSE 0.71 mm d-1', typeset."""
    unit = METRICS[metric].units if metric in METRICS else "1"
    unit = {"1": "", "as discharge": typeset(units)}.get(unit, unit)
    return f"{metric} {value:.2f} {unit}".rstrip() if np.isfinite(value) else f"{metric} undefined"


def _hang_precipitation(
    axes: "Axes", precipitation: xr.DataArray, *, units: str, start: np.datetime64, end: np.datetime64
) -> "StepPatch":
    """Bars from the top of a twin axis, behind the discharge; each as wide as its time step, starting at its time stamp."""
    from matplotlib.ticker import MaxNLocator

    within = precipitation.sel(time=slice(start, end))
    (within,) = one_basin(**{f"precipitation from {_date(start)} to {_date(end)}": within}).values()
    times, amount = times_of(within), _values(within)
    edges = times.append(times[-1:] + (times[1] - times[0] if len(times) > 1 else DAY))
    twin = axes.twinx()
    axes.set_zorder(twin.get_zorder() + 1)
    axes.patch.set_visible(False)
    bars = twin.stairs(amount, edges, fill=True, facecolor=PRECIPITATION_COLOUR, edgecolor=PRECIPITATION_COLOUR, linewidth=0.5)
    bars.set_label("precipitation")
    highest = _extreme(within, pick="max") or 1.0
    twin.set_ylim(3.5 * highest, 0)
    twin.set_yticks([tick for tick in MaxNLocator(3).tick_values(0, highest) if 0 <= tick <= 1.2 * highest])
    twin.set_ylabel(_in_units("precipitation", units), loc="top", color=PRECIPITATION_TEXT)
    twin.tick_params(axis="y", labelsize=9, color=PRECIPITATION_TEXT, labelcolor=PRECIPITATION_TEXT)
    twin.spines[:].set_visible(False)
    return bars


def _square_root_scale(axes: "Axes", *, highest: float) -> None:
    """Both axes by the square root, below zero its mirror image, with ticks 1, 2, 5, 10, ... as far as they stand clear."""

    def forward(values: Values) -> Values:
        return np.sign(values) * np.sqrt(np.abs(values))

    def inverse(values: Values) -> Values:
        return np.sign(values) * values**2

    axes.set_xscale("function", functions=(forward, inverse))
    axes.set_yscale("function", functions=(forward, inverse))
    decade = np.floor(np.log10(highest))
    ticks = [highest]
    for tick in (digit * 10**power for power in np.arange(decade, decade - 4, -1) for digit in (5, 2, 1)):
        if tick <= highest and min(np.sqrt(ticks[-1]) - np.sqrt(tick), np.sqrt(tick)) > 0.085 * np.sqrt(highest):
            ticks.append(tick)
    labels = [f"{tick:g}" for tick in ticks]
    axes.set_xticks([0, *ticks[1:]], ["0", *labels[1:]])
    axes.set_yticks([0, *ticks[1:]], ["0", *labels[1:]])
