"""From the last layer's hidden states to discharge in scaled units."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from runoff_lstm.errors import check_choice

HeadKind = Literal["linear", "softplus"]
"""What a simulation may choose from; forecasts take "leads"."""


class LinearHead(nn.Module):
    """A weighted sum of the hidden state for each lead: (..., hidden) -> (..., lead). May fall below zero flow."""

    def __init__(self, hidden_size: int, outputs: int = 1, *, zero_flow: float = 0.0) -> None:  # noqa: ARG002 - as every head
        super().__init__()
        self.linear = nn.Linear(hidden_size, outputs)

    def forward(self, hidden: Tensor) -> Tensor:
        discharge: Tensor = self.linear(hidden)
        return discharge


class SoftplusHead(nn.Module):
    """A weighted sum through ln(1 + e^x), counted from zero flow: (..., hidden) -> (..., lead), never negative.

    Parameters
    ----------
    hidden_size, outputs
        Size of the hidden state, and number of leads.
    zero_flow
        Scaled value of zero discharge.
    """

    def __init__(self, hidden_size: int, outputs: int = 1, *, zero_flow: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, outputs)
        self.zero_flow = zero_flow

    def forward(self, hidden: Tensor) -> Tensor:
        discharge: Tensor = F.softplus(self.linear(hidden)) + self.zero_flow
        return discharge


class LeadsHead(nn.Linear):
    """A weighted sum for each lead, or each variable of the next step: (..., hidden) -> (..., lead)."""

    def __init__(self, hidden_size: int, outputs: int = 1, *, zero_flow: float = 0.0) -> None:  # noqa: ARG002 - as every head
        super().__init__(hidden_size, outputs)


HEADS = {"linear": LinearHead, "softplus": SoftplusHead, "leads": LeadsHead}
"""Every head, by name; each is made of the hidden size, the number of outputs and `zero_flow`."""


def build_head(kind: str, hidden_size: int, outputs: int = 1, *, zero_flow: float = 0.0) -> nn.Module:
    """The head of that kind: (..., hidden) -> (..., output) in scaled units."""
    check_choice("head", kind, HEADS)
    head: nn.Module = HEADS[kind](hidden_size, outputs, zero_flow=zero_flow)
    return head
