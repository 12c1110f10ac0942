"""A forecast by one head with an output for each lead time."""

import torch
from torch import Tensor, nn

from runoff_lstm.models.forecasts.base import ForecastModel, each_lead
from runoff_lstm.models.heads import build_head
from runoff_lstm.models.stack import Stack


class DirectForecast(ForecastModel):
    """One head with an output for each lead time, on the hidden state and inputs of the issue date and any forcing to come.

    Parameters
    ----------
    stack
        The layers; their inputs are the forcing and, behind it, the static attributes.
    lead_times, n_future
        Number of lead times, and of the forcing variables known beyond the issue date.
    """

    def __init__(self, stack: Stack, *, lead_times: int, n_future: int = 0) -> None:
        super().__init__(stack, lead_times=lead_times)
        size = stack.sizes[-1] + stack.sizes[0]
        mixed = nn.Sequential(nn.Linear(size + lead_times * n_future, size), nn.ReLU(), build_head("leads", size, lead_times))
        self.head = mixed if n_future else build_head("leads", size, lead_times)

    def leads(self, hidden: Tensor, static_attributes: Tensor, future: Tensor | None) -> Tensor:  # noqa: ARG002
        if future is not None:
            hidden = torch.cat([hidden, each_lead(future, self.lead_times).flatten(2)], dim=2)
        discharge: Tensor = self.head(hidden)
        return discharge
