"""What the ways to forecast share: recurrent layers over the known past, and a forecast from each issue date."""

from typing import Literal, get_args

from torch import Tensor

from runoff_lstm.models.dropout import Masks
from runoff_lstm.models.recurrent import OverLayers, beside, joined
from runoff_lstm.models.stack import Stack, State

ForecastMethod = Literal["direct", "encoder_decoder", "recursive"]


METHODS = get_args(ForecastMethod)


class ForecastModel(OverLayers):
    """What the ways share: recurrent layers over the known past."""

    def __init__(self, stack: Stack, *, lead_times: int) -> None:
        super().__init__(stack)
        self.lead_times = lead_times

    def forward(
        self,
        forcing: Tensor,
        static_attributes: Tensor,
        state: State | None = None,
        *,
        targets: int | None = None,
        future: Tensor | None = None,
        masks: Masks | None = None,
    ) -> tuple[Tensor, State]:
        """Forecast from the last steps of a sequence.

        Parameters
        ----------
        forcing
            (batch, time, forcing), scaled, with the observed discharge among it.
        static_attributes
            (batch, attribute), scaled; attribute may be 0.
        state
            What the last call returned, to go on from there.
        targets
            Number of steps at the end that are issue dates; None: all of them.
        future
            (batch, targets + lead - 1, future forcing): what is known of the steps after the first issue date.
        masks
            To drop just this; None: fresh ones are drawn in training, and nothing is dropped in evaluation mode.

        Returns
        -------
        discharge, state
            (batch, targets, lead) in scaled units, and the state after the last step.
        """
        inputs = joined(forcing, static_attributes)
        hidden, after = self.stack(inputs, state, last=targets, masks=masks)
        return self.leads(beside(hidden, inputs), static_attributes, future), after

    def leads(self, hidden: Tensor, static_attributes: Tensor, future: Tensor | None) -> Tensor:
        """(batch, targets, lead) from the hidden states of the issue dates with their inputs behind, (batch, targets, unit)."""
        raise NotImplementedError


def each_lead(future: Tensor, lead_times: int) -> Tensor:
    """(batch, target, lead, forcing): what each issue date is given, from (batch, target + lead - 1, forcing)."""
    return future.unfold(1, lead_times, 1).transpose(2, 3)
