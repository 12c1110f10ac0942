"""Figures of tables and series; takes and returns matplotlib Axes."""

from runoff_lstm.plots.basins import plot_distribution, plot_map
from runoff_lstm.plots.forecasts import plot_forecasts, plot_lead_times
from runoff_lstm.plots.hydrograph import (
    figure_hydrograph,
    plot_flow_duration,
    plot_history,
    plot_hydrograph,
    plot_scatter,
    write_figure,
)

__all__ = [
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
