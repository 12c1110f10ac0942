"""From all that is known at an issue date to discharge at lead times 1 to n, in three ways: direct, encoder-decoder, recursive.

Every way runs its layers once over a whole window and forecasts from each of its last steps: an issue date sees the steps up to its
own, and of the steps beyond it only the forcing that is given as a forecast.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from runoff_lstm.inputs.features import observation_inputs
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
        mixed = nn.Sequential(nn.Linear(size + lead_times * n_future, size), nn.ReLU(), nn.Linear(size, lead_times))
        self.head = mixed if n_future else nn.Linear(size, lead_times)

    def leads(self, hidden: Tensor, static_attributes: Tensor, future: Tensor | None) -> Tensor:  # noqa: ARG002
        if future is not None:
            hidden = torch.cat([hidden, _ahead(future, self.lead_times).flatten(2)], dim=2)
        discharge: Tensor = self.head(hidden)
        return discharge


class EncoderDecoderForecast(ForecastModel):
    """A second LSTM over the lead times, its first state made from the issue date's hidden state and inputs by a learned map.

    Its inputs are the forcing to come, if given, the static attributes, and how far it has got.

    Parameters
    ----------
    stack
        The layers over the past; their inputs are the forcing and, behind it, the static attributes.
    lead_times, n_future, n_static_attributes
        Number of lead times, of the forcing variables known beyond the issue date, and of attributes.
    dropout
        Probability to drop an entry of the second LSTM's hidden state before its head, in training.

    References
    ----------
    Sutskever et al. (2014), arXiv:1409.3215; in hydrology Xiang et al. (2020), doi:10.1029/2019WR025326, and, with a state handed
    over by a learned map, Nearing et al. (2024), Nature 627, 559-563, doi:10.1038/s41586-024-07145-1.
    """

    def __init__(
        self, stack: Stack, *, lead_times: int, n_future: int = 0, n_static_attributes: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__(stack, lead_times=lead_times)
        size = stack.sizes[-1]
        self.hand_over = nn.Linear(size + stack.sizes[0], 2 * size)
        self.decoder = nn.LSTM(n_future + n_static_attributes + 1, size, batch_first=True)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(size, 1)

    def leads(self, hidden: Tensor, static_attributes: Tensor, future: Tensor | None) -> Tensor:
        batch, issued, _ = hidden.shape
        lead = torch.linspace(1 / self.lead_times, 1, self.lead_times, device=hidden.device)
        inputs = [lead[:, None].expand(batch, issued, -1, 1)]
        inputs += [] if future is None else [_ahead(future, self.lead_times)]
        inputs += [static_attributes[:, None, None].expand(-1, issued, self.lead_times, -1)]
        h, c = self.hand_over(hidden).flatten(0, 1)[None].chunk(2, dim=2)
        made, _ = self.decoder(torch.cat(inputs, dim=3).flatten(0, 1), (torch.tanh(h).contiguous(), c.contiguous()))
        discharge: Tensor = self.head(self.dropout(made))
        return discharge.view(batch, issued, self.lead_times)


class RecursiveForecast(ForecastModel):
    """One step ahead at a time: the discharge that was forecast is fed back as if it had been observed.

    In training it predicts the next step alone, after observations. The forcing that is not known beyond the issue date is
    predicted with the discharge and fed back too; the forcing that is known enters a step ahead of the observations.

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
        self.head = nn.Linear(stack.sizes[-1] + stack.sizes[0], 1 + len(self.predicted))

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
        """As of `ForecastModel`; in training (batch, targets, 1 + predicted forcing) of the next step instead of the lead times."""
        targets = targets or forcing.shape[1]
        inputs = joined(self._with_next(forcing, future, targets), static_attributes)
        if self.training:
            hidden, after = self.stack(inputs, state, last=targets, masks=masks)
            return self.head(beside(hidden, inputs)), after
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
        ahead = None if future is None else _ahead(future, self.lead_times).flatten(0, 1)
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


def _ahead(future: Tensor, lead_times: int) -> Tensor:
    """(batch, target, lead, forcing): what each issue date is given, from (batch, target + lead - 1, forcing)."""
    return future.unfold(1, lead_times, 1).transpose(2, 3)
