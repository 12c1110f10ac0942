"""Tables and series as figures.

In: series, tables of scores or a history. Out: matplotlib Axes or Figures; `style` has the colours, ticks and the one writer of
files.

May import evaluation for the names of metrics, never a model or a run. matplotlib is imported when a figure is drawn, so that
the command's help stays quick.
"""

from runoff_lstm.plots.basins import plot_distribution, plot_map
from runoff_lstm.plots.forecasts import plot_forecasts, plot_lead_times
from runoff_lstm.plots.history import plot_history
from runoff_lstm.plots.hydrograph import figure_hydrograph, plot_flow_duration, plot_hydrograph, plot_scatter
from runoff_lstm.plots.style import (
    GRID,
    OBSERVED_COLOUR,
    PRECIPITATION_COLOUR,
    QUIET,
    SIMULATED_COLOUR,
    VALIDATION_COLOUR,
    write_figure,
)

__all__ = [
    "GRID",
    "OBSERVED_COLOUR",
    "PRECIPITATION_COLOUR",
    "QUIET",
    "SIMULATED_COLOUR",
    "VALIDATION_COLOUR",
    "figure_hydrograph",
    "plot_distribution",
    "plot_flow_duration",
    "plot_forecasts",
    "plot_history",
    "plot_hydrograph",
    "plot_lead_times",
    "plot_map",
    "plot_scatter",
    "write_figure",
]
