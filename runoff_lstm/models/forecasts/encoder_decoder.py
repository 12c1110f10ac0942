"""A forecast by a second LSTM over the lead times."""

import torch
from torch import Tensor, nn

from runoff_lstm.models.forecasts.base import ForecastModel, each_lead
from runoff_lstm.models.heads import build_head
from runoff_lstm.models.stack import Stack


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
        self.dropout, self.head = nn.Dropout(dropout), build_head("leads", size)

    def leads(self, hidden: Tensor, static_attributes: Tensor, future: Tensor | None) -> Tensor:
        batch, issued, _ = hidden.shape
        lead = torch.linspace(1 / self.lead_times, 1, self.lead_times, device=hidden.device)
        inputs = [lead[:, None].expand(batch, issued, -1, 1)]
        inputs += [] if future is None else [each_lead(future, self.lead_times)]
        inputs += [static_attributes[:, None, None].expand(-1, issued, self.lead_times, -1)]
        h, c = self.hand_over(hidden).flatten(0, 1)[None].chunk(2, dim=2)
        made, _ = self.decoder(torch.cat(inputs, dim=3).flatten(0, 1), (torch.tanh(h).contiguous(), c.contiguous()))
        discharge: Tensor = self.head(self.dropout(made))
        return discharge.view(batch, issued, self.lead_times)
