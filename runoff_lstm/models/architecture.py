"""Architecture: the form of a model, checked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from runoff_lstm.errors import InputError, as_instance, as_integers, as_number, check_choice
from runoff_lstm.models.dropout import Dropout, LayerType
from runoff_lstm.models.forecasts.base import METHODS, ForecastMethod
from runoff_lstm.models.heads import HeadKind
from runoff_lstm.models.stack import InitialState

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

    Raises
    ------
    InputError
        A word is not known, a value is of another type (one size is a list of one), or settings exclude each other.

    Examples
    --------
    >>> Architecture(hidden_sizes=[64, 32]).hidden_sizes
    (64, 32)
    """

    type: ModelType = "lstm"
    hidden_sizes: Sequence[int] = (64,)
    dropout: Dropout = field(default_factory=Dropout)
    forget_bias: float | None = None
    initial_state: InitialState = "zero"
    head: HeadKind = "linear"
    forecast: ForecastMethod | None = None

    def __post_init__(self) -> None:
        check_choice("type", self.type, get_args(ModelType))
        check_choice("initial_state", self.initial_state, get_args(InitialState))
        check_choice("head", self.head, get_args(HeadKind))
        object.__setattr__(self, "hidden_sizes", as_integers("hidden_sizes", self.hidden_sizes))
        as_instance("dropout", self.dropout, Dropout, "dropout = Dropout(output=0.4)")
        if self.forget_bias is not None:
            object.__setattr__(self, "forget_bias", as_number("forget_bias", self.forget_bias))
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
