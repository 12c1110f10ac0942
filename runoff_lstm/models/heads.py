"""From the last layer's hidden states to discharge in scaled units."""

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from runoff_lstm.errors import check_choice

HeadKind = Literal["linear", "softplus"]


class LinearHead(nn.Module):
    """One weighted sum of the hidden state: (..., hidden) -> (...). May fall below zero flow."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        discharge: Tensor = self.linear(hidden).squeeze(-1)
        return discharge


class SoftplusHead(nn.Module):
    """A weighted sum through ln(1 + e^x), counted from zero flow: (..., hidden) -> (...), never a negative discharge.

    Parameters
    ----------
    hidden_size
        Size of the hidden state.
    zero_flow
        Scaled value of zero discharge.
    """

    def __init__(self, hidden_size: int, zero_flow: float) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, 1)
        self.zero_flow = zero_flow

    def forward(self, hidden: Tensor) -> Tensor:
        discharge: Tensor = F.softplus(self.linear(hidden).squeeze(-1)) + self.zero_flow
        return discharge


def build_head(kind: HeadKind, hidden_size: int, zero_flow: float) -> LinearHead | SoftplusHead:
    """The head of that kind."""
    check_choice("head", kind, get_args(HeadKind))
    return SoftplusHead(hidden_size, zero_flow) if kind == "softplus" else LinearHead(hidden_size)
