"""The entity-aware LSTM: what enters a cell is set by the static attributes alone, so that each basin has its pattern of cells."""

from typing import Any

import torch
from torch import Tensor

from runoff_lstm.models.dropout import Dropout
from runoff_lstm.models.stack import InitialState, Stack


class EALSTM(Stack):
    """One LSTM layer whose input gate sees nothing but the static attributes s, and whose other gates never see them.

        i = sigmoid(W_i s + b_i)                     one value for each basin and unit, the same at every step
        f = sigmoid(W_f x + U_f h + b_f)             as in the LSTM, and g and o likewise
        c = f c + i g,  h = o tanh(c)

    This is an LSTM on (x, s) with a fixed set of weights at zero. So it is kept: the layer is torch's, at its full speed, the
    weights that the equations do not have begin at zero, and their gradient is zero.

    Parameters
    ----------
    n_forcings, n_static_attributes
        Number of input features of either kind, in this order along the last dimension of the sequence.
    hidden_size
        Number of cells.
    dropout, forget_bias, initial_state
        See `Stack`.

    References
    ----------
    Kratzert et al. (2019), Hydrol. Earth Syst. Sci. 23, 5089-5110, doi:10.5194/hess-23-5089-2019.
    """

    there_ih: Tensor
    there_hh: Tensor

    def __init__(
        self,
        n_forcings: int,
        n_static_attributes: int,
        hidden_size: int,
        *,
        dropout: Dropout | None = None,
        forget_bias: float | None = None,
        initial_state: InitialState = "zero",
    ) -> None:
        super().__init__(
            n_forcings + n_static_attributes, (hidden_size,), dropout=dropout, forget_bias=forget_bias, initial_state=initial_state
        )
        there_ih = torch.zeros(4 * hidden_size, n_forcings + n_static_attributes)  # gates i, f, g, o
        there_ih[:hidden_size, n_forcings:] = 1
        there_ih[hidden_size:, :n_forcings] = 1
        there_hh = torch.ones(4 * hidden_size, hidden_size)
        there_hh[:hidden_size] = 0
        self.register_buffer("there_ih", there_ih, persistent=False)
        self.register_buffer("there_hh", there_hh, persistent=False)
        with torch.no_grad():
            for name, there in (("weight_ih_l0", there_ih), ("weight_hh_l0", there_hh)):
                self.layers[0].get_parameter(name).mul_(there)
        self._stop_gradients()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy: hooks are not copied with the weights."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._stop_gradients()

    def _stop_gradients(self) -> None:
        """Let no gradient reach the weights that the equations do not have."""
        weight_ih, weight_hh = (self.layers[0].get_parameter(name) for name in ("weight_ih_l0", "weight_hh_l0"))
        weight_ih.register_hook(lambda gradient: gradient * self.there_ih)  # type: ignore[no-untyped-call]
        weight_hh.register_hook(lambda gradient: gradient * self.there_hh)  # type: ignore[no-untyped-call]

    def input_gate(self, static_attributes: Tensor) -> Tensor:
        """The input gate of every basin, from its scaled attributes (basin, attribute): (basin, unit), each in (0, 1).

        Basins with similar rows store the weather in similar cells: the gate is an embedding of the basin, learned from discharge.
        """
        weight, bias_ih, bias_hh = (self.layers[0].get_parameter(name) for name in ("weight_ih_l0", "bias_ih_l0", "bias_hh_l0"))
        size, n_static = self.sizes[1], static_attributes.shape[1]
        return torch.sigmoid(static_attributes @ weight[:size, -n_static:].T + bias_ih[:size] + bias_hh[:size])
