"""The recurrent cells as their equations, one step after another, in the letters of the literature.

Slower than torch.nn and meant to be read, taken apart and looked into; the parameters have the names and shapes of one layer of
torch.nn.RNN and torch.nn.LSTM, so that weights go over by `load_state_dict`, either way.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


class LSTMStep(NamedTuple):
    """One step of an LSTM, each (batch, unit): hidden state, cell state, and the gates that made them."""

    h: Tensor
    c: Tensor
    i: Tensor
    f: Tensor
    g: Tensor
    o: Tensor


class RNNCell(nn.Module):
    """A recurrent layer without gates: the state of the step before, squashed again and again, is all it remembers.

    Parameters
    ----------
    n_inputs, hidden_size
        Number of features and of units.
    batch_first
        Whether sequences are (batch, time, feature), else (time, batch, feature).

    References
    ----------
    Elman (1990), Cogn. Sci. 14, 179-211, doi:10.1207/s15516709cog1402_1.
    """

    def __init__(self, n_inputs: int, hidden_size: int, *, batch_first: bool = True) -> None:
        super().__init__()
        self.hidden_size, self.batch_first = hidden_size, batch_first
        _add_parameters(self, gates=1, n_inputs=n_inputs, hidden_size=hidden_size)

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        """h(t) = tanh(W x(t) + U h(t-1) + b); x is (batch, feature), h is (batch, unit)."""
        return torch.tanh(_affine(self, x, h))

    def forward(self, sequence: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run a sequence from a state (1, batch, unit), zero where none is given; returns the hidden states and the last one."""
        steps = sequence.unbind(1 if self.batch_first else 0)
        h = sequence.new_zeros(len(steps[0]), self.hidden_size) if state is None else state[0]
        hidden = []
        for x in steps:
            h = self.step(x, h)
            hidden.append(h)
        return torch.stack(hidden, dim=1 if self.batch_first else 0), h[None]


class LSTMCell(nn.Module):
    """A recurrent layer with a cell that keeps what its gates let in, until they let it go.

    Parameters
    ----------
    n_inputs, hidden_size
        Number of features and of units.
    batch_first
        Whether sequences are (batch, time, feature), else (time, batch, feature).
    activation
        Of the candidate and of the cell state; tanh in the literature, and in torch.nn.LSTM the only one.

    References
    ----------
    Hochreiter and Schmidhuber (1997), Neural Comput. 9, 1735-1780, doi:10.1162/neco.1997.9.8.1735.
    Gers et al. (2000), Neural Comput. 12, 2451-2471, doi:10.1162/089976600300015015 (forget gate).
    """

    def __init__(self, n_inputs: int, hidden_size: int, *, batch_first: bool = True, activation: Activation = torch.tanh) -> None:
        super().__init__()
        self.hidden_size, self.batch_first, self.activation = hidden_size, batch_first, activation
        _add_parameters(self, gates=4, n_inputs=n_inputs, hidden_size=hidden_size)

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> LSTMStep:
        """One step; x is (batch, feature), h and c are (batch, unit)."""
        i, f, g, o = _affine(self, x, h).chunk(4, dim=1)  # the order of torch
        i = torch.sigmoid(i)  # input gate: how much of the candidate is let in
        f = torch.sigmoid(f)  # forget gate: how much of the cell is kept
        g = self.activation(g)  # candidate
        o = torch.sigmoid(o)  # output gate: how much of the cell is shown
        c = f * c + i * g
        h = o * self.activation(c)
        return LSTMStep(h, c, i, f, g, o)

    def steps(self, sequence: Tensor, state: tuple[Tensor, Tensor] | None = None) -> LSTMStep:
        """Every step of a sequence: hidden state, cell state and gates, each shaped like the sequence with units for features.

        `state` is hidden and cell state, each (1, batch, unit), as torch.nn.LSTM returns them; zero where none is given.
        """
        dim = 1 if self.batch_first else 0
        h = c = sequence.new_zeros(sequence.shape[1 - dim], self.hidden_size)
        if state is not None:
            h, c = state[0][0], state[1][0]
        made = []
        for x in sequence.unbind(dim):
            made.append(self.step(x, h, c))
            h, c = made[-1].h, made[-1].c
        return LSTMStep(*(torch.stack(values, dim) for values in zip(*made, strict=True)))

    def forward(self, sequence: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The hidden states of a sequence and the last hidden and cell state, as torch.nn.LSTM has them."""
        made = self.steps(sequence, state)
        dim = 1 if self.batch_first else 0
        return made.h, (made.h.select(dim, -1)[None], made.c.select(dim, -1)[None])


def _add_parameters(cell: nn.Module, *, gates: int, n_inputs: int, hidden_size: int) -> None:
    """The parameters of one layer of torch.nn, initialised as there: uniform within 1 / sqrt(hidden size)."""
    bound = 1 / math.sqrt(hidden_size)
    shapes = {
        "weight_ih_l0": (gates * hidden_size, n_inputs),
        "weight_hh_l0": (gates * hidden_size, hidden_size),
        "bias_ih_l0": (gates * hidden_size,),
        "bias_hh_l0": (gates * hidden_size,),
    }
    for name, shape in shapes.items():
        cell.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))


def _affine(cell: nn.Module, x: Tensor, h: Tensor) -> Tensor:
    """W x + U h + b of all gates at once, (batch, gates * unit)."""
    weight, recurrent, bias, recurrent_bias = cell.parameters()
    return x @ weight.T + h @ recurrent.T + bias + recurrent_bias
