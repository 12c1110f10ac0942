"""From forcing (batch, time, forcing) and static attributes to scaled discharge: a stack of recurrent layers and a head."""

from typing import cast

import torch
from torch import Tensor, nn

from runoff_lstm.models.cells import CELLS, Step
from runoff_lstm.models.dropout import Masks
from runoff_lstm.models.stack import Stack, State


class OverLayers(nn.Module):
    """What every model of ours begins with: recurrent layers over the forcing, static attributes joined to it at every step."""

    def __init__(self, stack: Stack) -> None:
        super().__init__()
        self.stack = stack

    def remember(self, forcing: Tensor, static_attributes: Tensor) -> State:
        """The state after a sequence, to go on from there."""
        _, after = self.stack(joined(forcing, static_attributes), last=1)
        return cast(State, after)


class RecurrentModel(OverLayers):
    """Recurrent layers and a head on the hidden state of the last one.

    Static attributes are joined to the forcing at every step. The state begins as the layers say unless one is given.

    Parameters
    ----------
    stack
        The layers; their inputs are the forcing and, behind it, the static attributes.
    head
        From the last layer's hidden state to discharge.
    inputs_to_head
        Whether the head sees the inputs of its step beside the hidden state: where observed discharge is among them, most of
        what it has to know is there already.
    """

    def __init__(self, stack: Stack, head: nn.Module, *, inputs_to_head: bool = False) -> None:
        super().__init__(stack)
        self.head, self.inputs_to_head = head, inputs_to_head

    def forward(
        self,
        forcing: Tensor,
        static_attributes: Tensor,
        state: State | None = None,
        *,
        targets: int | None = None,
        masks: Masks | None = None,
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
        masks
            To drop just this; None: fresh ones are drawn in training, and nothing is dropped in evaluation mode.

        Returns
        -------
        discharge, state
            (batch, targets, lead) in scaled units, with the one lead 0, and the state after the last step.
        """
        inputs = joined(forcing, static_attributes)
        hidden, after = self.stack(inputs, state, last=targets, masks=masks)
        return self.head(beside(hidden, inputs) if self.inputs_to_head else hidden), after

    def record(self, forcing: Tensor, static_attributes: Tensor) -> list[Step]:
        """What happens inside each layer at every step of a sequence: states and gates, each (batch, time, unit).

        The sequence runs through the cells as their equations, without dropout; the hidden states are those that `forward` makes,
        to float tolerance.
        """
        sequence, made = joined(forcing, static_attributes), []
        begin = self.stack.first_state(sequence)
        for place, layer in enumerate(self.stack.layers):
            hidden_size = layer.get_parameter("weight_hh_l0").shape[1]
            cell = CELLS[self.stack.layer_type](sequence.shape[2], hidden_size).to(sequence.device, sequence.dtype)
            cell.load_state_dict(layer.state_dict())
            made.append(cell.steps(sequence, begin[place]))
            sequence = made[-1].h
        return made


def beside(hidden: Tensor, inputs: Tensor) -> Tensor:
    """The hidden states (batch, targets, unit) with the inputs of their steps, the last ones of (batch, time, feature), behind."""
    return torch.cat([hidden, inputs[:, -hidden.shape[1] :].to(hidden.dtype)], dim=2)


def joined(forcing: Tensor, static_attributes: Tensor) -> Tensor:
    """Static attributes joined to the forcing at every step."""
    if not static_attributes.shape[1]:
        return forcing
    return torch.cat([forcing, static_attributes[:, None].expand(-1, forcing.shape[1], -1)], dim=2)
