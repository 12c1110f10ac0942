"""Recurrent layers one on the other: LSTM, GRU or RNN, with every kind of dropout, on torch's own layers wherever that is exact."""

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from runoff_lstm.errors import check_choice
from runoff_lstm.models.dropout import Dropout, LayerMasks, LayerType, Masks, draw_masks
from runoff_lstm.models.masked_loop import Weights, run_masked

State = tuple[tuple[Tensor, ...], ...]
"""For every layer its hidden state h, of an LSTM also its cell state c, each (1, batch, unit)."""

InitialState = Literal["zero", "learned"]

_LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
_WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


class Stack(nn.Module):
    """Layers of any sizes, each passing its whole sequence of hidden states on to the next.

    The layers are torch.nn.LSTM, GRU or RNN (tanh) and run as such, on cuDNN or oneDNN, without dropout and with every kind that
    masks only their inputs, outputs or weights. Kinds that reach into the loop (see `LayerMasks.in_loop`) run step by step in
    training. In evaluation mode nothing is dropped.

    Parameters
    ----------
    n_inputs
        Number of input features.
    hidden_sizes
        Hidden size of each layer.
    layer_type
        "lstm", "gru" or "rnn".
    dropout
        What to drop in training.
    forget_bias
        LSTM: the forget gate's bias in `bias_hh` at the start; large, the cells begin by remembering. None: as torch draws it.
    initial_state
        "zero", or "learned": one state for all rows, zero at the start of training.
    return_sequences
        Whether the last layer gives its whole sequence (batch, time, unit) or its last step (batch, unit).

    References
    ----------
    Hochreiter and Schmidhuber (1997), Neural Comput. 9, 1735-1780, doi:10.1162/neco.1997.9.8.1735.
    Gers et al. (2000), Neural Comput. 12, 2451-2471, doi:10.1162/089976600300015015 (forget gate).
    Cho et al. (2014), arXiv:1406.1078 (GRU).
    """

    def __init__(
        self,
        n_inputs: int,
        hidden_sizes: Sequence[int] = (64,),
        *,
        layer_type: LayerType = "lstm",
        dropout: Dropout | None = None,
        forget_bias: float | None = None,
        initial_state: InitialState = "zero",
        return_sequences: bool = True,
    ) -> None:
        super().__init__()
        check_choice("layer_type", layer_type, _LAYERS)
        check_choice("initial_state", initial_state, get_args(InitialState))
        self.layer_type, self.sizes, self.return_sequences = layer_type, (n_inputs, *hidden_sizes), return_sequences
        self.dropout = dropout or Dropout()
        self.dropout.check(layer_type, len(hidden_sizes))
        self.layers = nn.ModuleList(_LAYERS[layer_type](size, hidden, batch_first=True) for size, hidden in pairwise(self.sizes))
        if forget_bias is not None:
            for layer, size in zip(self.layers, hidden_sizes, strict=True):
                nn.init.constant_(layer.get_parameter("bias_hh_l0")[size : 2 * size], forget_bias)  # gates i, f, g, o
        n_states = 2 if layer_type == "lstm" else 1
        learned = hidden_sizes if initial_state == "learned" else ()
        self.initial_states = nn.ParameterList(nn.Parameter(torch.zeros(n_states, size)) for size in learned)

    def forward(
        self, sequence: Tensor, state: State | None = None, *, last: int | None = None, masks: Masks | None = None
    ) -> tuple[Tensor, State]:
        """Run the sequence.

        Parameters
        ----------
        sequence
            (batch, time, feature).
        state
            What the last call returned, to go on from there; None: the initial state.
        last
            Number of steps at the end to return; None: all of them.
        masks
            To drop just this; None: fresh ones are drawn in training, and nothing is dropped in evaluation mode.

        Returns
        -------
        hidden, state
            (batch, last, unit), or (batch, unit) without `return_sequences`, and the state after the last step.
        """
        batch, steps, _ = sequence.shape
        last = 1 if not self.return_sequences else steps if last is None else last
        if masks is None and self.training and self.dropout.drops_anything:
            masks = draw_masks(
                self.dropout,
                layer_type=self.layer_type,
                sizes=self.sizes,
                batch=batch,
                steps=steps,
                output_steps=last,
                device=sequence.device,
                dtype=sequence.dtype,
            )
        state, after = self.first_state(sequence) if state is None else state, []
        for place, layer in enumerate(self.layers):
            layer_masks = LayerMasks() if masks is None else masks.layers[place]
            sequence, layer_state = self._run(layer, sequence, state[place], layer_masks)
            after.append(layer_state)
        if last < steps:
            sequence = sequence[:, -last:]
        if masks is not None and masks.output is not None:
            sequence = sequence * masks.output
        return sequence if self.return_sequences else sequence[:, 0], tuple(after)

    def first_state(self, sequence: Tensor) -> State:
        """The initial state for every row of a sequence (batch, time, feature)."""
        batch = len(sequence)
        if len(self.initial_states):
            return tuple(tuple(one.expand(1, batch, -1).contiguous() for one in learned) for learned in self.initial_states)
        zeros = (sequence.new_zeros(1, batch, size) for size in self.sizes[1:])
        return tuple((zero, zero) if self.layer_type == "lstm" else (zero,) for zero in zeros)

    def _run(
        self, layer: nn.Module, sequence: Tensor, state: tuple[Tensor, ...], masks: LayerMasks
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One layer: as torch runs it, with masked weights, or in our loop."""
        weight_ih, weight_hh, bias_ih, bias_hh = (layer.get_parameter(name) for name in _WEIGHTS)
        weights = (
            weight_ih if masks.weight_ih is None else weight_ih * masks.weight_ih,
            weight_hh if masks.weight_hh is None else weight_hh * masks.weight_hh,
            bias_ih,
            bias_hh,
        )
        if masks.in_loop:
            with torch.autocast(sequence.device.type, enabled=False):
                sequence = sequence.to(weight_hh.dtype)
                begin = tuple(one[0].to(sequence.dtype) for one in state)
                hidden, after = run_masked(self.layer_type, weights, sequence, begin, masks)
            return hidden, tuple(one[None] for one in after)
        if masks.inputs is not None:
            sequence = sequence * masks.inputs
        if masks.weight_ih is None and masks.weight_hh is None:
            hidden, after = layer(sequence, state if self.layer_type == "lstm" else state[0])
            return hidden, after if self.layer_type == "lstm" else (after,)
        return _run_torch(self.layer_type, weights, sequence, state)


def _run_torch(
    layer_type: LayerType, weights: Weights, sequence: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A layer of torch with weights that are not its parameters."""
    run: Any = {"lstm": torch.lstm, "gru": torch.gru, "rnn": torch.rnn_tanh}[layer_type]
    begin = state if layer_type == "lstm" else state[0]
    options = {"has_biases": True, "num_layers": 1, "dropout": 0.0, "bidirectional": False, "batch_first": True}
    with warnings.catch_warnings():
        # cuDNN wants all weights in one block of memory, and copies these into one
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
        hidden, *after = run(sequence, begin, weights, train=torch.is_grad_enabled(), **options)
    return hidden, tuple(after)
