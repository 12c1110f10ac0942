"""From an architecture and what it sees to a network with fresh weights."""

from runoff_lstm.errors import InputError
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.ealstm import EALSTM
from runoff_lstm.models.forecasts.base import ForecastModel
from runoff_lstm.models.forecasts.direct import DirectForecast
from runoff_lstm.models.forecasts.encoder_decoder import EncoderDecoderForecast
from runoff_lstm.models.forecasts.recursive import RecursiveForecast
from runoff_lstm.models.heads import build_head
from runoff_lstm.models.own import OwnModel
from runoff_lstm.models.recurrent import RecurrentModel
from runoff_lstm.models.stack import Stack

Model = RecurrentModel | ForecastModel | OwnModel
"""What turns forcing into discharge: of the same step, at lead times, or a network of the user's own."""


def build_model(architecture: Architecture, inputs: Inputs, *, zero_flow: float = 0.0) -> Model:
    """A fresh model for these inputs, initialised from torch's random state.

    Parameters
    ----------
    architecture
        Its form; it has a way to forecast where the inputs have lead times.
    inputs
        What it sees. Where observed discharge is among it, the head of a simulation sees the inputs too.
    zero_flow
        Scaled value of zero discharge, below which a softplus head never falls, and of which a logarithm is counted.
    """
    if (architecture.forecast is None) != (inputs.lead_times == 0):
        raise InputError(
            f"forecast = {architecture.forecast!r} and lead_times = {inputs.lead_times} do not fit; give both, or leave both out"
        )
    future, attributes = inputs.future, len(inputs.static_attributes)
    ahead = len(future) if architecture.forecast == "recursive" else 0
    stack = _build_stack(architecture, n_forcings=len(inputs.features) + ahead, n_static_attributes=attributes)
    match architecture.forecast:
        case None:
            from_discharge = bool(inputs.discharge_lags)
            size = stack.sizes[-1] + (stack.sizes[0] if from_discharge else 0)
            head = build_head(architecture.head, size, len(inputs.leads), zero_flow=zero_flow)
            return RecurrentModel(stack, head, inputs_to_head=from_discharge)
        case "direct":
            return DirectForecast(stack, lead_times=inputs.lead_times, n_future=len(future))
        case "encoder_decoder":
            return EncoderDecoderForecast(
                stack,
                lead_times=inputs.lead_times,
                n_future=len(future),
                n_static_attributes=attributes,
                dropout=architecture.dropout.output or 0.0,
            )
        case "recursive":
            return RecursiveForecast(
                stack, lead_times=inputs.lead_times, n_forcings=len(inputs.forcing), future=future, zero_flow=zero_flow
            )


def _build_stack(architecture: Architecture, *, n_forcings: int, n_static_attributes: int) -> Stack:
    """The recurrent layers, their forget gates open at the start."""
    forget_bias = architecture.forget_bias
    if forget_bias is None and architecture.layer_type == "lstm":
        forget_bias = 3.0 if len(architecture.hidden_sizes) == 1 else 1.0
    if architecture.type == "ealstm":
        if not n_static_attributes:
            raise InputError('type = "ealstm" needs static attributes for its input gate; name some, or take "lstm"')
        return EALSTM(
            n_forcings,
            n_static_attributes,
            architecture.hidden_sizes[0],
            dropout=architecture.dropout,
            forget_bias=forget_bias,
            initial_state=architecture.initial_state,
        )
    return Stack(
        n_forcings + n_static_attributes,
        architecture.hidden_sizes,
        layer_type=architecture.layer_type,
        dropout=architecture.dropout,
        forget_bias=forget_bias,
        initial_state=architecture.initial_state,
    )
