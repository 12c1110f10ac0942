"""The recurrent cells as their equations, one step after another, in the letters of the literature.

Slower than torch.nn and meant to be read, taken apart and looked into; the parameters have the names and shapes of one layer of
torch.nn.RNN, GRU and LSTM, so that weights go over by `load_state_dict`, either way.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from runoff_lstm.models.dropout import LayerType

Activation = Callable[[Tensor], Tensor]


class RNNStep(NamedTuple):
    """One step of an RNN: hidden state (batch, unit)."""

    h: Tensor


class GRUStep(NamedTuple):
    """One step of a GRU, each (batch, unit): hidden state, and the gates that made it."""

    h: Tensor
    r: Tensor
    z: Tensor
    n: Tensor


class LSTMStep(NamedTuple):
    """One step of an LSTM, each (batch, unit): hidden state, cell state, and the gates that made them."""

    h: Tensor
    c: Tensor
    i: Tensor
    f: Tensor
    g: Tensor
    o: Tensor


Step = RNNStep | GRUStep | LSTMStep


class _Cell(nn.Module):
    """What the cells share: their parameters, and the walk along a sequence.

    Parameters
    ----------
    n_inputs, hidden_size
        Number of features and of units.
    batch_first
        Whether sequences are (batch, time, feature), else (time, batch, feature).
    """

    gates: int
    """Blocks of rows in the weights."""
    n_states: int
    """What is handed on from step to step: the first fields of a step."""

    def __init__(self, n_inputs: int, hidden_size: int, *, batch_first: bool = True) -> None:
        super().__init__()
        self.hidden_size, self.batch_first = hidden_size, batch_first
        bound = 1 / math.sqrt(hidden_size)  # as torch.nn draws them
        shapes = {
            "weight_ih_l0": (self.gates * hidden_size, n_inputs),
            "weight_hh_l0": (self.gates * hidden_size, hidden_size),
            "bias_ih_l0": (self.gates * hidden_size,),
            "bias_hh_l0": (self.gates * hidden_size,),
        }
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))

    def step(self, x: Tensor, *state: Tensor) -> Any:
        """One step; x is (batch, feature), each state (batch, unit)."""
        raise NotImplementedError

    def _affine(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """W x + b and U h + b of all gates at once, each (batch, gate * unit)."""
        weight, recurrent, bias, recurrent_bias = self.parameters()
        return x @ weight.T + bias, h @ recurrent.T + recurrent_bias

    def steps(self, sequence: Tensor, state: Tensor | tuple[Tensor, ...] | None = None) -> Any:
        """Every step of a sequence: states and gates, each shaped like the sequence with units for features.

        `state` is (1, batch, unit), of an LSTM a tuple of two, as torch.nn returns it; zero where none is given.
        """
        dim = 1 if self.batch_first else 0
        given = (state,) if isinstance(state, Tensor) else state
        if given is None:
            given = (sequence.new_zeros(1, sequence.shape[1 - dim], self.hidden_size),) * self.n_states
        now, made = tuple(one[0] for one in given), []
        for x in sequence.unbind(dim):
            made.append(self.step(x, *now))
            now = made[-1][: self.n_states]
        return type(made[0])(*(torch.stack(values, dim) for values in zip(*made, strict=True)))

    def forward(self, sequence: Tensor, state: Tensor | tuple[Tensor, ...] | None = None) -> tuple[Tensor, Any]:
        """The hidden states of a sequence and the last state, as torch.nn has them."""
        made = self.steps(sequence, state)
        last = tuple(one.select(1 if self.batch_first else 0, -1)[None] for one in made[: self.n_states])
        return made.h, last[0] if self.n_states == 1 else last


class RNNCell(_Cell):
    """A recurrent layer without gates: the state of the step before, squashed again and again, is all it remembers.

    References
    ----------
    Elman (1990), Cogn. Sci. 14, 179-211, doi:10.1207/s15516709cog1402_1.
    """

    gates, n_states = 1, 1

    def step(self, x: Tensor, h: Tensor) -> RNNStep:  # type: ignore[override]
        """h(t) = tanh(W x(t) + U h(t-1) + b); x is (batch, feature), h is (batch, unit)."""
        inner, recurrent = self._affine(x, h)
        return RNNStep(torch.tanh(inner + recurrent))


class GRUCell(_Cell):
    """A recurrent layer that keeps a part of its hidden state and renews the rest, by two gates and without a cell.

    References
    ----------
    Cho et al. (2014), arXiv:1406.1078; the reset gate acts after the product with U, as in torch.nn.GRU.
    """

    gates, n_states = 3, 1

    def step(self, x: Tensor, h: Tensor) -> GRUStep:  # type: ignore[override]
        """One step; x is (batch, feature), h is (batch, unit)."""
        inner, recurrent = self._affine(x, h)
        x_r, x_z, x_n = inner.chunk(3, dim=1)  # the order of torch
        h_r, h_z, h_n = recurrent.chunk(3, dim=1)
        r = torch.sigmoid(x_r + h_r)  # reset gate: how much of the state the candidate sees
        z = torch.sigmoid(x_z + h_z)  # update gate: how much of the state is kept
        n = torch.tanh(x_n + r * h_n)  # candidate
        h = (1 - z) * n + z * h
        return GRUStep(h, r, z, n)


class LSTMCell(_Cell):
    """A recurrent layer with a cell that keeps what its gates let in, until they let it go.

    Parameters
    ----------
    n_inputs, hidden_size, batch_first
        Number of features and of units; whether sequences are (batch, time, feature), else (time, batch, feature).
    activation
        Of the candidate and of the cell state; tanh in the literature, and in torch.nn.LSTM the only one.

    References
    ----------
    Hochreiter and Schmidhuber (1997), Neural Comput. 9, 1735-1780, doi:10.1162/neco.1997.9.8.1735.
    Gers et al. (2000), Neural Comput. 12, 2451-2471, doi:10.1162/089976600300015015 (forget gate).
    """

    gates, n_states = 4, 2

    def __init__(self, n_inputs: int, hidden_size: int, *, batch_first: bool = True, activation: Activation = torch.tanh) -> None:
        super().__init__(n_inputs, hidden_size, batch_first=batch_first)
        self.activation = activation

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> LSTMStep:  # type: ignore[override]
        """One step; x is (batch, feature), h and c are (batch, unit)."""
        inner, recurrent = self._affine(x, h)
        i, f, g, o = (inner + recurrent).chunk(4, dim=1)  # the order of torch
        i = torch.sigmoid(i)  # input gate: how much of the candidate is let in
        f = torch.sigmoid(f)  # forget gate: how much of the cell is kept
        g = self.activation(g)  # candidate
        o = torch.sigmoid(o)  # output gate: how much of the cell is shown
        c = f * c + i * g
        h = o * self.activation(c)
        return LSTMStep(h, c, i, f, g, o)


CELLS: dict[LayerType, type[_Cell]] = {"lstm": LSTMCell, "gru": GRUCell, "rnn": RNNCell}
