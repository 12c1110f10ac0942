"""From forcing (batch, time, forcing) and static attributes to scaled discharge: LSTM layers of any sizes on torch.nn.LSTM."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from runoff_lstm.models.cells import LSTMCell, LSTMStep
from runoff_lstm.models.heads import HeadKind, build_head

State = tuple[tuple[Tensor, Tensor], ...]
"""Hidden and cell state of every layer, each (1, batch, hidden), as torch.nn.LSTM has them."""


class LSTM(nn.Module):
    """A vanilla LSTM, or several stacked, each layer passing its whole sequence on to the next, and a head on the last one.

    Static attributes are joined to the forcing at every step. The state begins at zero unless one is given.

    Parameters
    ----------
    n_forcings, n_static_attributes
        Number of input features of either kind.
    hidden_sizes
        Hidden size of each layer; several numbers: stacked.
    output_dropout
        Probability to drop an entry of the last layer's hidden state, fresh for every sample and step, in training only.
    forget_bias
        Added at the start to the forget gate, so that the cells begin by remembering: the gate's bias in `bias_hh` is set to it.
    head, zero_flow
        "linear", or "softplus" that never falls below `zero_flow`, the scaled value of zero discharge.

    References
    ----------
    Hochreiter and Schmidhuber (1997), Neural Comput. 9, 1735-1780, doi:10.1162/neco.1997.9.8.1735.
    Gers et al. (2000), Neural Comput. 12, 2451-2471, doi:10.1162/089976600300015015 (forget gate).
    """

    def __init__(
        self,
        n_forcings: int,
        n_static_attributes: int = 0,
        *,
        hidden_sizes: Sequence[int] = (64,),
        output_dropout: float = 0.0,
        forget_bias: float = 3.0,
        head: HeadKind = "linear",
        zero_flow: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = [n_forcings + n_static_attributes, *hidden_sizes]
        layers = [nn.LSTM(size, hidden, batch_first=True) for size, hidden in zip(sizes, hidden_sizes, strict=False)]
        for layer in layers:
            forget_gate = slice(layer.hidden_size, 2 * layer.hidden_size)  # gate order of torch: i, f, g, o
            nn.init.constant_(layer.get_parameter("bias_hh_l0")[forget_gate], forget_bias)
        self.layers = nn.ModuleList(layers)
        self.dropout = nn.Dropout(output_dropout)
        self.head = build_head(head, hidden_sizes[-1], zero_flow)

    def forward(
        self, forcing: Tensor, static_attributes: Tensor, state: State | None = None, *, targets: int | None = None
    ) -> tuple[Tensor, State]:
        """Run the sequence.

        Parameters
        ----------
        forcing
            (batch, time, forcing), scaled.
        static_attributes
            (batch, attribute), scaled; attribute may be 0.
        state
            What the last call returned, to go on from there.
        targets
            Number of steps at the end to predict; None: all of them.

        Returns
        -------
        discharge, state
            (batch, targets) in scaled units, and the state after the last step.
        """
        sequence = _joined(forcing, static_attributes)
        after = []
        for place, layer in enumerate(self.layers):
            sequence, last = layer(sequence, None if state is None else state[place])
            after.append(last)
        if targets is not None:
            sequence = sequence[:, -targets:]
        return self.head(self.dropout(sequence)), tuple(after)

    def record(self, forcing: Tensor, static_attributes: Tensor) -> list[LSTMStep]:
        """What happens inside each layer at every step of a sequence: states and gates, each (batch, time, unit).

        The sequence runs through the cells as their equations, from a zero state and without dropout; the hidden states are those
        that `forward` makes, to float tolerance.
        """
        sequence, made = _joined(forcing, static_attributes), []
        for layer in self.layers:
            hidden_size = layer.get_parameter("weight_hh_l0").shape[1]
            cell = LSTMCell(sequence.shape[2], hidden_size).to(sequence.device)
            cell.load_state_dict(layer.state_dict())
            made.append(cell.steps(sequence))
            sequence = made[-1].h
        return made


def _joined(forcing: Tensor, static_attributes: Tensor) -> Tensor:
    """Static attributes joined to the forcing at every step."""
    if not static_attributes.shape[1]:
        return forcing
    return torch.cat([forcing, static_attributes[:, None].expand(-1, forcing.shape[1], -1)], dim=2)
