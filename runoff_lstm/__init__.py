"""Runoff modelling with LSTMs: from a catchment's files to a scored and trusted discharge simulation.

Names are loaded when they are first used, so that importing the package is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runoff_lstm.data.derived import derive
    from runoff_lstm.data.filling import fill_by_climatology, fill_by_interpolation, fill_from_earlier
    from runoff_lstm.data.inventory import inventory
    from runoff_lstm.data.masks import measured
    from runoff_lstm.data.periods import Period, Stretches
    from runoff_lstm.data.preparation import mend
    from runoff_lstm.data.readers import (
        READERS,
        SOURCES,
        Source,
        read_camels_us,
        read_caravan,
        read_csv,
        read_netcdf,
        write_dataset,
    )
    from runoff_lstm.data.resampling import resample
    from runoff_lstm.data.schema import check_basins
    from runoff_lstm.data.splits import Periods
    from runoff_lstm.errors import InputError
    from runoff_lstm.evaluation.baselines import climatology, persistence
    from runoff_lstm.evaluation.basins import summary, worst_basins
    from runoff_lstm.evaluation.comparison import compare, compare_tables, read_scores
    from runoff_lstm.evaluation.lead_times import score_lead_times, summary_line
    from runoff_lstm.evaluation.metrics import METRICS, evaluate
    from runoff_lstm.inputs.batch import Batch
    from runoff_lstm.inputs.scaling import Scaler
    from runoff_lstm.inputs.spec import Inputs
    from runoff_lstm.inputs.windows import Windows
    from runoff_lstm.keras_bridge import from_keras, keras_windows, to_keras
    from runoff_lstm.models.architecture import Architecture
    from runoff_lstm.models.dropout import Dropout
    from runoff_lstm.plots.forecasts import plot_forecasts, plot_lead_times
    from runoff_lstm.prediction.bundle import load_model, write_bundle
    from runoff_lstm.prediction.forecast import forecast_dataset
    from runoff_lstm.prediction.trained_model import (
        IncompleteInputWarning,
        OutsideTrainingRangeWarning,
        SilentGaugeWarning,
        TrainedModel,
        UnseenBasinWarning,
    )
    from runoff_lstm.runs.ensemble import cross_validate, train_ensemble
    from runoff_lstm.runs.folder import default_folder, load_models
    from runoff_lstm.runs.run import train_run
    from runoff_lstm.runs.scores import evaluate_run
    from runoff_lstm.runs.walk_forward import FineTune, LSTMForecaster, Walk, walk_forward
    from runoff_lstm.training.recipe import Recipe
    from runoff_lstm.training.setup import train

_HOME = {
    "data.derived": ("derive",),
    "data.filling": (
        "fill_by_climatology",
        "fill_by_interpolation",
        "fill_from_earlier",
    ),
    "data.inventory": ("inventory",),
    "data.masks": ("measured",),
    "data.periods": (
        "Period",
        "Stretches",
    ),
    "data.preparation": ("mend",),
    "data.readers": (
        "READERS",
        "SOURCES",
        "Source",
        "read_camels_us",
        "read_caravan",
        "read_csv",
        "read_netcdf",
        "write_dataset",
    ),
    "data.resampling": ("resample",),
    "data.schema": (
        "InputError",
        "check_basins",
    ),
    "data.splits": ("Periods",),
    "evaluation.baselines": (
        "climatology",
        "persistence",
    ),
    "evaluation.basins": (
        "summary",
        "worst_basins",
    ),
    "evaluation.comparison": (
        "compare",
        "compare_tables",
        "read_scores",
    ),
    "evaluation.lead_times": (
        "score_lead_times",
        "summary_line",
    ),
    "evaluation.metrics": (
        "METRICS",
        "evaluate",
    ),
    "inputs.batch": ("Batch",),
    "inputs.scaling": ("Scaler",),
    "inputs.spec": ("Inputs",),
    "inputs.windows": ("Windows",),
    "keras_bridge": (
        "from_keras",
        "keras_windows",
        "to_keras",
    ),
    "models.architecture": ("Architecture",),
    "models.dropout": ("Dropout",),
    "plots.forecasts": (
        "plot_forecasts",
        "plot_lead_times",
    ),
    "prediction.bundle": (
        "load_model",
        "write_bundle",
    ),
    "prediction.forecast": ("forecast_dataset",),
    "prediction.trained_model": (
        "IncompleteInputWarning",
        "OutsideTrainingRangeWarning",
        "SilentGaugeWarning",
        "TrainedModel",
        "UnseenBasinWarning",
    ),
    "runs.ensemble": (
        "cross_validate",
        "train_ensemble",
    ),
    "runs.folder": (
        "default_folder",
        "load_models",
    ),
    "runs.run": ("train_run",),
    "runs.scores": ("evaluate_run",),
    "runs.walk_forward": (
        "FineTune",
        "LSTMForecaster",
        "Walk",
        "walk_forward",
    ),
    "training.recipe": ("Recipe",),
    "training.setup": ("train",),
}

__all__ = [
    "METRICS",
    "READERS",
    "SOURCES",
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
    "Source",
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
    for source in import_module("runoff_lstm.data.readers").SOURCES.values() if name.startswith("read_") else ():
        if source.read.__name__ == name:  # of an archive that is a row of SOURCES alone
            return source.read
    raise AttributeError(f"module 'runoff_lstm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
