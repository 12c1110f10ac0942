"""Which kind of trained model belongs to which inputs."""

from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.prediction.forecast import TrainedForecaster
from runoff_lstm.prediction.simulate import Simulator


def kind_of(inputs: Inputs) -> type[Simulator] | type[TrainedForecaster]:
    """The class of a model that sees these inputs: with lead times it forecasts."""
    return TrainedForecaster if inputs.lead_times else Simulator
