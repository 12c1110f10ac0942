"""A forecast one step at a time, fed back as if it had been observed."""

import torch
from torch import Tensor

from runoff_lstm.inputs.features import observation_inputs
from runoff_lstm.models.dropout import Masks
from runoff_lstm.models.forecasts.base import ForecastModel, each_lead
from runoff_lstm.models.heads import build_head
from runoff_lstm.models.recurrent import beside, joined
from runoff_lstm.models.stack import Stack, State


class RecursiveForecast(ForecastModel):
    """One step ahead at a time: the discharge that was forecast is fed back as if it had been observed.

    `next_step` predicts one step ahead of observations, and is what a training learns; the model itself rolls it out over the lead
    times. The forcing that is not known beyond the issue date is predicted with the discharge and fed back too; the forcing that is
    known enters a step ahead of the observations.

    Parameters
    ----------
    stack
        The layers; their inputs are the forcing, what is made of observed discharge (see `observation_inputs`), the forcing known
        ahead, and the attributes.
    lead_times
        Number of lead times.
    n_forcings, future
        Number of forcing variables, without the observed discharge, and the places of those known beyond the issue date.
    zero_flow
        Scaled value of zero discharge.
    """

    def __init__(
        self, stack: Stack, *, lead_times: int, n_forcings: int, future: tuple[int, ...] = (), zero_flow: float = 0.0
    ) -> None:
        super().__init__(stack, lead_times=lead_times)
        self.zero_flow = zero_flow
        self.n_forcings, self.future = n_forcings, list(future)
        self.predicted = [place for place in range(n_forcings) if place not in future]
        self.head = build_head("leads", stack.sizes[-1] + stack.sizes[0], 1 + len(self.predicted))

    def next_step(
        self,
        forcing: Tensor,
        static_attributes: Tensor,
        state: State | None = None,
        *,
        targets: int | None = None,
        future: Tensor | None = None,
        masks: Masks | None = None,
    ) -> tuple[Tensor, State]:
        """Predict the step after each of the last steps: (batch, targets, 1 + predicted forcing); arguments as of `forward`."""
        targets = targets or forcing.shape[1]
        inputs = joined(self._with_next(forcing, future, targets), static_attributes)
        hidden, after = self.stack(inputs, state, last=targets, masks=masks)
        return self.head(beside(hidden, inputs)), after

    def forward(
        self,
        forcing: Tensor,
        static_attributes: Tensor,
        state: State | None = None,
        *,
        targets: int | None = None,
        future: Tensor | None = None,
        masks: Masks | None = None,  # noqa: ARG002 - a mask of the whole sequence does not fit the steps of a rollout
    ) -> tuple[Tensor, State]:
        """Roll the next step out over the lead times; see `ForecastModel`."""
        targets = targets or forcing.shape[1]
        inputs = joined(self._with_next(forcing, future, targets), static_attributes)
        before = inputs.shape[1] - targets
        if before:
            _, state = self.stack(inputs[:, :before], state, last=1)
        made, states = [], []
        for step in range(before, inputs.shape[1]):
            hidden, state = self.stack(inputs[:, step : step + 1], state)
            made.append(hidden)
            states.append(state)
        assert state is not None
        handed = tuple(
            tuple(torch.stack(one, dim=2).flatten(1, 2) for one in zip(*layer, strict=True)) for layer in zip(*states, strict=True)
        )
        hidden = beside(torch.cat(made, dim=1), inputs)
        return self._fed_back(hidden, handed, forcing, static_attributes, future), state

    def _fed_back(self, hidden: Tensor, state: State, forcing: Tensor, static_attributes: Tensor, future: Tensor | None) -> Tensor:
        """(batch, targets, lead) from hidden (batch, targets, unit) and state (1, batch * targets, unit) of the issue dates."""
        batch, targets, _ = hidden.shape
        attributes = static_attributes[:, None].expand(-1, targets, -1).flatten(0, 1)
        ahead = None if future is None else each_lead(future, self.lead_times).flatten(0, 1)
        now = self.head(hidden).flatten(0, 1)
        made = [now[:, 0]]
        for lead in range(1, self.lead_times):
            weather = forcing.new_empty(len(now), self.n_forcings)
            weather[:, self.predicted] = now[:, 1:].to(weather.dtype)
            parts = [weather, observation_inputs(now[:, 0].to(weather.dtype), zero_flow=self.zero_flow)]
            if ahead is not None:
                weather[:, self.future] = ahead[:, lead - 1]
                parts.append(ahead[:, lead])
            inputs = joined(torch.cat(parts, dim=1)[:, None], attributes)
            step, state = self.stack(inputs, state)
            now = self.head(beside(step, inputs)[:, 0])
            made.append(now[:, 0])
        return torch.stack(made, dim=1).view(batch, targets, self.lead_times)

    def _with_next(self, forcing: Tensor, future: Tensor | None, targets: int) -> Tensor:
        """The forcing, and behind it what is known of the step ahead."""
        if future is None:
            return forcing
        ahead = torch.cat([forcing[:, 1:, self.future], future[:, targets - 1 : targets]], dim=1)
        return torch.cat([forcing, ahead], dim=2)
