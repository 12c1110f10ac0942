"""From a few plain numbers to a model: what architecture there is, and how it is built."""

from dataclasses import dataclass, field
from typing import Literal

from runoff_lstm.models.dropout import Dropout
from runoff_lstm.models.heads import HeadKind
from runoff_lstm.models.lstm import LSTM, State
from runoff_lstm.schema import InputError

__all__ = ["LSTM", "Architecture", "Dropout", "State", "build_model"]


@dataclass(frozen=True)
class Architecture:
    """All that fixes a model's form, but for the number of its inputs.

    Attributes
    ----------
    type
        "lstm".
    hidden_sizes
        Hidden size of each layer; several numbers: stacked.
    dropout
        Probability to drop, by place.
    forget_bias
        Bias of the forget gate at the start.
    head
        "linear", or "softplus" that never gives a negative discharge.
    """

    type: Literal["lstm"] = "lstm"
    hidden_sizes: tuple[int, ...] = (64,)
    dropout: Dropout = field(default_factory=Dropout)
    forget_bias: float = 3.0
    head: HeadKind = "linear"

    def __post_init__(self) -> None:
        if not self.hidden_sizes or min(self.hidden_sizes) < 1:
            raise InputError(f"hidden_sizes = {list(self.hidden_sizes)}: give each layer a size of at least 1, such as [64]")


def build_model(architecture: Architecture, *, n_forcings: int, n_static_attributes: int = 0, zero_flow: float = 0.0) -> LSTM:
    """A fresh model, initialised from torch's random state.

    Parameters
    ----------
    architecture
        Its form.
    n_forcings, n_static_attributes
        Number of inputs.
    zero_flow
        Scaled value of zero discharge, below which a softplus head never falls.
    """
    return LSTM(
        n_forcings,
        n_static_attributes,
        hidden_sizes=architecture.hidden_sizes,
        output_dropout=architecture.dropout.output,
        forget_bias=architecture.forget_bias,
        head=architecture.head,
        zero_flow=zero_flow,
    )
