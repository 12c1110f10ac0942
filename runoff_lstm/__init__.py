"""Runoff modelling with LSTMs: from a catchment's files to a scored and trusted discharge simulation.

Names are loaded when they are first used, so that importing the package is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runoff_lstm.data.checks import check_basins
    from runoff_lstm.data.filling import derive, fill_by_climatology, fill_by_interpolation, fill_from_earlier, mend
    from runoff_lstm.data.inventory import inventory
    from runoff_lstm.data.masks import measured
    from runoff_lstm.data.periods import Period, Periods, Stretches
    from runoff_lstm.data.readers import READERS, read_camels_us, read_caravan, read_csv, read_netcdf, write_dataset
    from runoff_lstm.data.resampling import resample
    from runoff_lstm.errors import InputError
    from runoff_lstm.evaluation.basins import compare, compare_tables, read_scores, summary, worst_basins
    from runoff_lstm.evaluation.lead_times import forecast_dataset, score_lead_times, summary_line
    from runoff_lstm.evaluation.metrics import METRICS, climatology, evaluate, persistence
    from runoff_lstm.inputs.scaling import Scaler
    from runoff_lstm.inputs.windows import Batch, Windows
    from runoff_lstm.keras_bridge import from_keras, keras_windows, to_keras
    from runoff_lstm.models import Architecture, Dropout
    from runoff_lstm.plots.forecasts import plot_forecasts, plot_lead_times
    from runoff_lstm.prediction.bundle import load_model, write_bundle
    from runoff_lstm.prediction.trained_model import (
        IncompleteInputWarning,
        OutsideTrainingRangeWarning,
        SilentGaugeWarning,
        TrainedModel,
        UnseenBasinWarning,
    )
    from runoff_lstm.runs.ensemble import cross_validate, load_models, train_ensemble
    from runoff_lstm.runs.run import default_folder, train_run
    from runoff_lstm.runs.scores import evaluate_run
    from runoff_lstm.runs.walk_forward import FineTune, LSTMForecaster, Walk, walk_forward
    from runoff_lstm.training.loop import Recipe
    from runoff_lstm.training.setup import Inputs, train

_HOME = {
    "prediction.bundle": ("load_model", "write_bundle"),
    "data.checks": ("check_basins",),
    "evaluation.metrics": ("METRICS", "climatology", "evaluate", "persistence"),
    "training.loop": ("Recipe",),
    "plots.forecasts": ("plot_forecasts", "plot_lead_times"),
    "runs.walk_forward": ("FineTune", "LSTMForecaster", "Walk", "walk_forward"),
    "data.masks": ("measured",),
    "data.filling": ("derive", "fill_by_climatology", "fill_by_interpolation", "fill_from_earlier", "mend"),
    "data.inventory": ("inventory",),
    "keras_bridge": ("from_keras", "keras_windows", "to_keras"),
    "evaluation.lead_times": ("forecast_dataset", "score_lead_times", "summary_line"),
    "runs.ensemble": ("cross_validate", "load_models", "train_ensemble"),
    "models": ("Architecture", "Dropout"),
    "data.periods": ("Period", "Periods", "Stretches"),
    "data.readers": ("READERS", "read_camels_us", "read_caravan", "read_csv", "read_netcdf", "write_dataset"),
    "evaluation.basins": ("compare", "compare_tables", "read_scores", "summary", "worst_basins"),
    "data.resampling": ("resample",),
    "runs.run": ("default_folder", "train_run"),
    "runs.scores": ("evaluate_run",),
    "inputs.windows": ("Batch", "Windows"),
    "inputs.scaling": ("Scaler",),
    "data.schema": ("InputError",),
    "prediction.trained_model": (
        "IncompleteInputWarning",
        "OutsideTrainingRangeWarning",
        "SilentGaugeWarning",
        "TrainedModel",
        "UnseenBasinWarning",
    ),
    "training.setup": ("Inputs", "train"),
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
