"""Runoff modelling with LSTMs: from a catchment's files to a scored and trusted discharge simulation.

Names are loaded when they are first used, so that importing the package is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from runoff_lstm.errors import show_log

show_log()

_HOME = {
    "data.derived": ("derive",),
    "data.example": ("example_basins",),
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
    "data.readers.csv": ("CsvForm",),
    "data.readers.options": ("ReaderOptions",),
    "data.resampling": ("resample",),
    "data.schema": ("check_basins",),
    "data.splits": ("Periods",),
    "errors": ("InputError",),
    "evaluation.baselines": (
        "climatology",
        "persistence",
        "score_baselines",
    ),
    "evaluation.basins": (
        "summary",
        "worst_basins",
    ),
    "evaluation.comparison": (
        "compare",
        "read_scores",
    ),
    "evaluation.lead_times": (
        "score_lead_times",
        "summary_line",
    ),
    "evaluation.metrics": (
        "METRICS",
        "Metric",
        "evaluate",
        "register_metric",
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
    "models.own": ("Network",),
    "plots.basins": (
        "plot_distribution",
        "plot_map",
    ),
    "plots.forecasts": (
        "plot_forecasts",
        "plot_lead_times",
    ),
    "plots.history": ("plot_history",),
    "plots.hydrograph": (
        "figure_hydrograph",
        "plot_flow_duration",
        "plot_hydrograph",
        "plot_scatter",
    ),
    "plots.style": ("write_figure",),
    "prediction.bundle": (
        "load_model",
        "write_bundle",
    ),
    "prediction.forecast": (
        "TrainedForecaster",
        "forecast_dataset",
    ),
    "prediction.input_warnings": (
        "IncompleteInputWarning",
        "OutsideTrainingRangeWarning",
        "SilentGaugeWarning",
        "UnseenBasinWarning",
    ),
    "prediction.simulate": ("Simulator",),
    "prediction.stages": ("Stage",),
    "prediction.trained_model": ("TrainedModel",),
    "runs.comparison": ("compare_tables",),
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
    "training.loop": ("fit",),
    "training.recipe": (
        "Progress",
        "Recipe",
        "TrainingError",
    ),
    "training.setup": ("train",),
    "training.validation": ("Trained",),
}
"""The one table of public names: by the module that defines them."""

_WHERE = {name: home for home, names in _HOME.items() for name in names}

__all__ = sorted(_WHERE)  # noqa: PLE0605 - of the table, and nothing else

__version__: str

if TYPE_CHECKING:  # for editors and mypy, which cannot read the table; a test holds both against each other
    from runoff_lstm.data.derived import derive as derive
    from runoff_lstm.data.example import example_basins as example_basins
    from runoff_lstm.data.filling import fill_by_climatology as fill_by_climatology
    from runoff_lstm.data.filling import fill_by_interpolation as fill_by_interpolation
    from runoff_lstm.data.filling import fill_from_earlier as fill_from_earlier
    from runoff_lstm.data.inventory import inventory as inventory
    from runoff_lstm.data.masks import measured as measured
    from runoff_lstm.data.periods import Period as Period
    from runoff_lstm.data.periods import Stretches as Stretches
    from runoff_lstm.data.preparation import mend as mend
    from runoff_lstm.data.readers import READERS as READERS
    from runoff_lstm.data.readers import SOURCES as SOURCES
    from runoff_lstm.data.readers import Source as Source
    from runoff_lstm.data.readers import read_camels_us as read_camels_us
    from runoff_lstm.data.readers import read_caravan as read_caravan
    from runoff_lstm.data.readers import read_csv as read_csv
    from runoff_lstm.data.readers import read_netcdf as read_netcdf
    from runoff_lstm.data.readers import write_dataset as write_dataset
    from runoff_lstm.data.readers.csv import CsvForm as CsvForm
    from runoff_lstm.data.readers.options import ReaderOptions as ReaderOptions
    from runoff_lstm.data.resampling import resample as resample
    from runoff_lstm.data.schema import check_basins as check_basins
    from runoff_lstm.data.splits import Periods as Periods
    from runoff_lstm.errors import InputError as InputError
    from runoff_lstm.evaluation.baselines import climatology as climatology
    from runoff_lstm.evaluation.baselines import persistence as persistence
    from runoff_lstm.evaluation.baselines import score_baselines as score_baselines
    from runoff_lstm.evaluation.basins import summary as summary
    from runoff_lstm.evaluation.basins import worst_basins as worst_basins
    from runoff_lstm.evaluation.comparison import compare as compare
    from runoff_lstm.evaluation.comparison import read_scores as read_scores
    from runoff_lstm.evaluation.lead_times import score_lead_times as score_lead_times
    from runoff_lstm.evaluation.lead_times import summary_line as summary_line
    from runoff_lstm.evaluation.metrics import METRICS as METRICS
    from runoff_lstm.evaluation.metrics import Metric as Metric
    from runoff_lstm.evaluation.metrics import evaluate as evaluate
    from runoff_lstm.evaluation.metrics import register_metric as register_metric
    from runoff_lstm.inputs.batch import Batch as Batch
    from runoff_lstm.inputs.scaling import Scaler as Scaler
    from runoff_lstm.inputs.spec import Inputs as Inputs
    from runoff_lstm.inputs.windows import Windows as Windows
    from runoff_lstm.keras_bridge import from_keras as from_keras
    from runoff_lstm.keras_bridge import keras_windows as keras_windows
    from runoff_lstm.keras_bridge import to_keras as to_keras
    from runoff_lstm.models.architecture import Architecture as Architecture
    from runoff_lstm.models.dropout import Dropout as Dropout
    from runoff_lstm.models.own import Network as Network
    from runoff_lstm.plots.basins import plot_distribution as plot_distribution
    from runoff_lstm.plots.basins import plot_map as plot_map
    from runoff_lstm.plots.forecasts import plot_forecasts as plot_forecasts
    from runoff_lstm.plots.forecasts import plot_lead_times as plot_lead_times
    from runoff_lstm.plots.history import plot_history as plot_history
    from runoff_lstm.plots.hydrograph import figure_hydrograph as figure_hydrograph
    from runoff_lstm.plots.hydrograph import plot_flow_duration as plot_flow_duration
    from runoff_lstm.plots.hydrograph import plot_hydrograph as plot_hydrograph
    from runoff_lstm.plots.hydrograph import plot_scatter as plot_scatter
    from runoff_lstm.plots.style import write_figure as write_figure
    from runoff_lstm.prediction.bundle import load_model as load_model
    from runoff_lstm.prediction.bundle import write_bundle as write_bundle
    from runoff_lstm.prediction.forecast import TrainedForecaster as TrainedForecaster
    from runoff_lstm.prediction.forecast import forecast_dataset as forecast_dataset
    from runoff_lstm.prediction.input_warnings import IncompleteInputWarning as IncompleteInputWarning
    from runoff_lstm.prediction.input_warnings import OutsideTrainingRangeWarning as OutsideTrainingRangeWarning
    from runoff_lstm.prediction.input_warnings import SilentGaugeWarning as SilentGaugeWarning
    from runoff_lstm.prediction.input_warnings import UnseenBasinWarning as UnseenBasinWarning
    from runoff_lstm.prediction.simulate import Simulator as Simulator
    from runoff_lstm.prediction.stages import Stage as Stage
    from runoff_lstm.prediction.trained_model import TrainedModel as TrainedModel
    from runoff_lstm.runs.comparison import compare_tables as compare_tables
    from runoff_lstm.runs.ensemble import cross_validate as cross_validate
    from runoff_lstm.runs.ensemble import train_ensemble as train_ensemble
    from runoff_lstm.runs.folder import default_folder as default_folder
    from runoff_lstm.runs.folder import load_models as load_models
    from runoff_lstm.runs.run import train_run as train_run
    from runoff_lstm.runs.scores import evaluate_run as evaluate_run
    from runoff_lstm.runs.walk_forward import FineTune as FineTune
    from runoff_lstm.runs.walk_forward import LSTMForecaster as LSTMForecaster
    from runoff_lstm.runs.walk_forward import Walk as Walk
    from runoff_lstm.runs.walk_forward import walk_forward as walk_forward
    from runoff_lstm.training.loop import fit as fit
    from runoff_lstm.training.recipe import Progress as Progress
    from runoff_lstm.training.recipe import Recipe as Recipe
    from runoff_lstm.training.recipe import TrainingError as TrainingError
    from runoff_lstm.training.setup import train as train
    from runoff_lstm.training.validation import Trained as Trained
else:  # so that a wrong name is one to them, too

    def __getattr__(name):
        if name == "__version__":
            return import_module("importlib.metadata").version("runoff-lstm")
        if name in _WHERE:
            return getattr(import_module(f"runoff_lstm.{_WHERE[name]}"), name)
        for source in import_module("runoff_lstm.data.readers").SOURCES.values() if name.startswith("read_") else ():
            if source.read.__name__ == name:  # of an archive that is a row of SOURCES alone
                return source.read
        raise AttributeError(f"module 'runoff_lstm' has no attribute {name!r}; {_nearest(name)}")

    def __dir__():
        return __all__


def _nearest(name: str) -> str:
    return str(import_module("runoff_lstm.errors").nearest(name, __all__))
