"""From a few plain numbers to a model: what architecture there is, and how it is built."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from runoff_lstm.data.schema import check_choice
from runoff_lstm.errors import InputError
from runoff_lstm.inputs.features import input_names
from runoff_lstm.models.dropout import Dropout, LayerType
from runoff_lstm.models.ealstm import EALSTM
from runoff_lstm.models.forecast import (
    METHODS,
    DirectForecast,
    EncoderDecoderForecast,
    ForecastMethod,
    ForecastModel,
    RecursiveForecast,
)
from runoff_lstm.models.heads import HeadKind, build_head
from runoff_lstm.models.recurrent import RecurrentModel
from runoff_lstm.models.stack import InitialState, Stack, State

__all__ = ["EALSTM", "Architecture", "Dropout", "ForecastModel", "Model", "RecurrentModel", "Stack", "State", "build_model"]

Model = RecurrentModel | ForecastModel
"""What turns forcing into discharge: of the same step, or at lead times."""

ModelType = Literal["lstm", "gru", "rnn", "ealstm"]


@dataclass(frozen=True)
class Architecture:
    """All that fixes a model's form, but for the number of its inputs.

    Attributes
    ----------
    type
        "lstm", "gru", "rnn", or "ealstm" (Kratzert et al. 2019: one layer, its input gate set by the static attributes).
    hidden_sizes
        Hidden size of each layer; several numbers: stacked.
    dropout
        What is dropped in training, where, and with which probability.
    forget_bias
        LSTM: bias of the forget gate at the start; None: 3 in a single layer, 1 in each layer of a stack (measured in
        notebooks/stacked_lstm.ipynb: several slow layers in a row hardly pass a flood on).
    initial_state
        "zero", or "learned": one state for all windows, trained with the weights.
    head
        "linear", or "softplus" that never gives a negative discharge.
    forecast
        How lead times are forecast: "direct" (one head with an output for each), "encoder_decoder" (a second LSTM over the lead
        times) or "recursive" (one step at a time, fed back); None: nothing is forecast.
    """

    type: ModelType = "lstm"
    hidden_sizes: tuple[int, ...] = (64,)
    dropout: Dropout = field(default_factory=Dropout)
    forget_bias: float | None = None
    initial_state: InitialState = "zero"
    head: HeadKind = "linear"
    forecast: ForecastMethod | None = None

    def __post_init__(self) -> None:
        check_choice("type", self.type, get_args(ModelType))
        check_choice("initial_state", self.initial_state, get_args(InitialState))
        check_choice("head", self.head, get_args(HeadKind))
        if self.forecast is not None:
            check_choice("forecast", self.forecast, METHODS)
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise InputError(f"hidden_sizes = {list(self.hidden_sizes)}: give each layer a size of at least 1, such as [64]")
        if self.type == "ealstm" and len(self.hidden_sizes) > 1:
            raise InputError(f'hidden_sizes = {list(self.hidden_sizes)}: an "ealstm" has one layer; give one size, or take "lstm"')
        if self.forget_bias is not None and self.layer_type != "lstm":
            raise InputError(f'forget_bias = {self.forget_bias}: type = "{self.type}" has no forget gate; leave forget_bias out')
        if self.forecast is not None and self.head != "linear":
            raise InputError(f'head = "{self.head}" is for simulations; leave it out where forecast = "{self.forecast}"')
        self.dropout.check(self.layer_type, len(self.hidden_sizes))

    @property
    def layer_type(self) -> LayerType:
        """The kind of cell: an entity-aware LSTM is an LSTM with fewer weights."""
        return "lstm" if self.type == "ealstm" else self.type


def build_model(
    architecture: Architecture,
    *,
    n_forcings: int,
    n_static_attributes: int = 0,
    zero_flow: float = 0.0,
    from_discharge: bool = False,
    lead_times: int = 0,
    future: tuple[int, ...] = (),
) -> Model:
    """A fresh model, initialised from torch's random state.

    Parameters
    ----------
    architecture
        Its form.
    n_forcings, n_static_attributes
        Number of inputs; the forcing includes the observed discharge and its flags, which come last.
    zero_flow
        Scaled value of zero discharge, below which a softplus head never falls, and of which a logarithm is counted.
    from_discharge
        Whether observed discharge is among the forcing; a head of a simulation then sees the inputs too.
    lead_times, future
        Of forecasts: number of lead times, and the places of the forcing that is known beyond the issue date.
    """
    ahead = len(future) if architecture.forecast == "recursive" else 0
    stack = _build_stack(architecture, n_forcings=n_forcings + ahead, n_static_attributes=n_static_attributes)
    match architecture.forecast:
        case None:
            size = stack.sizes[-1] + (stack.sizes[0] if from_discharge else 0)
            return RecurrentModel(stack, build_head(architecture.head, size, zero_flow), inputs_to_head=from_discharge)
        case "direct":
            return DirectForecast(stack, lead_times=lead_times, n_future=len(future))
        case "encoder_decoder":
            return EncoderDecoderForecast(
                stack,
                lead_times=lead_times,
                n_future=len(future),
                n_static_attributes=n_static_attributes,
                dropout=architecture.dropout.output or 0.0,
            )
        case "recursive":
            weather = n_forcings - len(input_names([0]))
            return RecursiveForecast(stack, lead_times=lead_times, n_forcings=weather, future=future, zero_flow=zero_flow)


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
