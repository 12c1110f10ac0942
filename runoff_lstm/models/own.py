"""A network of the user's own in the place of one of ours: what it has to be, and the one place that holds it against that."""

from typing import Any, Protocol

from torch import Tensor, nn

from runoff_lstm.errors import InputError, as_instance


class Network(Protocol):
    """What `train(module=...)` takes: a `torch.nn.Module` that is called like this.

    Examples
    --------
    >>> import torch
    >>> class Mean(torch.nn.Module):
    ...     def forward(self, forcing, static_attributes, *, targets):
    ...         return forcing.mean(dim=2)[:, -targets:], None
    >>> Mean()(torch.zeros(8, 30, 2), torch.zeros(8, 0), targets=5)[0].shape
    torch.Size([8, 5])
    """

    def __call__(self, forcing: Tensor, static_attributes: Tensor, *, targets: int) -> tuple[Tensor, Any]:
        """Predict the last steps of each window.

        Parameters
        ----------
        forcing
            (batch, window, forcing), scaled, in the order of `Inputs.forcing`; what is made of observed discharge and the season
            comes last.
        static_attributes
            (batch, attribute), scaled; attribute may be 0.
        targets
            Steps at the end of the window to predict.

        Returns
        -------
        discharge, state
            (batch, targets) or (batch, targets, lead), in scaled units; the state is not looked at, and may be None. With
            `forecast_forcing` the call has `future=` beside, (batch, targets + lead - 1, forcing).
        """


class OwnModel(nn.Module):
    """A network of the user's own, its outputs checked and brought to the form of ours.

    Parameters
    ----------
    module
        See `Network`.
    lead_times
        0: it simulates.
    """

    def __init__(self, module: nn.Module, *, lead_times: int = 0) -> None:
        super().__init__()
        self.module = as_instance("module", module, nn.Module, "module = MyNetwork(), a torch.nn.Module (see runoff_lstm.Network)")
        self.lead_times = lead_times

    def forward(
        self,
        forcing: Tensor,
        static_attributes: Tensor,
        state: Any = None,
        *,
        targets: int | None = None,
        future: Tensor | None = None,
    ) -> tuple[Tensor, Any]:
        """Call the network; a continuous pass, which goes on from a state, is refused."""
        name = type(self.module).__name__
        if state is not None or targets is None:
            raise InputError(f'module = {name} is your own, and has no state to go on from; simulate with mode = "windows"')
        known_ahead = {} if future is None else {"future": future}
        made = self.module(forcing, static_attributes, targets=targets, **known_ahead)
        discharge, after = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
        leads = max(self.lead_times, 1)
        wanted = (len(forcing), targets, leads)
        if isinstance(discharge, Tensor) and discharge.shape == wanted[:2] and not self.lead_times:
            discharge = discharge[..., None]  # the one lead 0
        if not isinstance(discharge, Tensor) or discharge.shape != wanted:
            found = tuple(discharge.shape) if isinstance(discharge, Tensor) else type(discharge).__name__
            form = wanted if self.lead_times else wanted[:2]
            dims = "(batch, targets, lead)" if self.lead_times else "(batch, targets)"
            raise InputError(f"module = {name} gives {found}, not {form}: {dims}; return (discharge, state) of that form")
        return discharge, after
