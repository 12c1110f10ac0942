"""The class of a trained model, selected by its inputs."""

from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.prediction.forecast import TrainedForecaster
from runoff_lstm.prediction.simulate import Simulator


def kind_of(inputs: Inputs) -> type[Simulator] | type[TrainedForecaster]:
    """Return the class for these inputs: `TrainedForecaster` with lead times, else `Simulator`."""
    return TrainedForecaster if inputs.lead_times else Simulator
