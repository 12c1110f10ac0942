"""Runoff modelling with LSTMs: from a catchment's files to a scored and trusted discharge simulation.

Names are loaded when they are first used, so that importing the package is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runoff_lstm.bundle import load_model, write_bundle
    from runoff_lstm.checks import check_basins
    from runoff_lstm.evaluation import METRICS, climatology, evaluate, persistence
    from runoff_lstm.filled import measured
    from runoff_lstm.fitting import Recipe
    from runoff_lstm.forecast_plots import plot_forecasts, plot_lead_times
    from runoff_lstm.forecasting import FineTune, LSTMForecaster, Walk, walk_forward
    from runoff_lstm.gaps import derive, fill_by_climatology, fill_by_interpolation, fill_from_earlier, mend
    from runoff_lstm.inventories import inventory
    from runoff_lstm.keras_bridge import from_keras, keras_windows, to_keras
    from runoff_lstm.lead_times import forecast_dataset, score_lead_times, summary_line
    from runoff_lstm.many_runs import cross_validate, load_models, train_ensemble
    from runoff_lstm.models import Architecture, Dropout
    from runoff_lstm.periods import Period, Periods, Stretches
    from runoff_lstm.readers import READERS, read_camels_us, read_caravan, read_csv, read_netcdf, write_dataset
    from runoff_lstm.regional import compare, compare_tables, read_scores, summary, worst_basins
    from runoff_lstm.resampling import resample
    from runoff_lstm.run_folder import default_folder, train_run
    from runoff_lstm.run_scores import evaluate_run
    from runoff_lstm.sampling import Batch, Windows
    from runoff_lstm.scaling import Scaler
    from runoff_lstm.schema import InputError
    from runoff_lstm.trained_model import (
        IncompleteInputWarning,
        OutsideTrainingRangeWarning,
        SilentGaugeWarning,
        TrainedModel,
        UnseenBasinWarning,
    )
    from runoff_lstm.training import Inputs, train

_HOME = {
    "bundle": ("load_model", "write_bundle"),
    "checks": ("check_basins",),
    "evaluation": ("METRICS", "climatology", "evaluate", "persistence"),
    "fitting": ("Recipe",),
    "forecast_plots": ("plot_forecasts", "plot_lead_times"),
    "forecasting": ("FineTune", "LSTMForecaster", "Walk", "walk_forward"),
    "filled": ("measured",),
    "gaps": ("derive", "fill_by_climatology", "fill_by_interpolation", "fill_from_earlier", "mend"),
    "inventories": ("inventory",),
    "keras_bridge": ("from_keras", "keras_windows", "to_keras"),
    "lead_times": ("forecast_dataset", "score_lead_times", "summary_line"),
    "many_runs": ("cross_validate", "load_models", "train_ensemble"),
    "models": ("Architecture", "Dropout"),
    "periods": ("Period", "Periods", "Stretches"),
    "readers": ("READERS", "read_camels_us", "read_caravan", "read_csv", "read_netcdf", "write_dataset"),
    "regional": ("compare", "compare_tables", "read_scores", "summary", "worst_basins"),
    "resampling": ("resample",),
    "run_folder": ("default_folder", "train_run"),
    "run_scores": ("evaluate_run",),
    "sampling": ("Batch", "Windows"),
    "scaling": ("Scaler",),
    "schema": ("InputError",),
    "trained_model": (
        "IncompleteInputWarning",
        "OutsideTrainingRangeWarning",
        "SilentGaugeWarning",
        "TrainedModel",
        "UnseenBasinWarning",
    ),
    "training": ("Inputs", "train"),
}

__all__ = [
    "METRICS",
    "READERS",
    "Architecture",
    "Batch",
    "Dropout",
    "FineTune",
    "IncompleteInputWarning",
    "InputError",
    "Inputs",
    "LSTMForecaster",
    "OutsideTrainingRangeWarning",
    "Period",
    "Periods",
    "Recipe",
    "Scaler",
    "SilentGaugeWarning",
    "Stretches",
    "TrainedModel",
    "UnseenBasinWarning",
    "Walk",
    "Windows",
    "check_basins",
    "climatology",
    "compare",
    "compare_tables",
    "cross_validate",
    "default_folder",
    "derive",
    "evaluate",
    "evaluate_run",
    "fill_by_climatology",
    "fill_by_interpolation",
    "fill_from_earlier",
    "forecast_dataset",
    "from_keras",
    "inventory",
    "keras_windows",
    "load_model",
    "load_models",
    "measured",
    "mend",
    "persistence",
    "plot_forecasts",
    "plot_lead_times",
    "read_camels_us",
    "read_caravan",
    "read_csv",
    "read_netcdf",
    "read_scores",
    "resample",
    "score_lead_times",
    "summary",
    "summary_line",
    "to_keras",
    "train",
    "train_ensemble",
    "train_run",
    "walk_forward",
    "worst_basins",
    "write_bundle",
    "write_dataset",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("runoff-lstm")
    for home, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"runoff_lstm.{home}"), name)
    raise AttributeError(f"module 'runoff_lstm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
