"""Inputs: the input variables of a model and the length of its windows."""

from collections.abc import Sequence
from dataclasses import dataclass

from runoff_lstm.errors import InputError, as_flag, as_integer, as_integers, as_names, nearest
from runoff_lstm.inputs.features import check_lags, input_names, refuse_made_names


def leads_of(lead_times: int) -> range:
    """List the leads: steps from the last input step to the predicted ones.

    A simulation is a forecast with the single lead 0.

    >>> list(leads_of(0)), list(leads_of(3))
    ([0], [1, 2, 3])
    """
    return range(1, lead_times + 1) if lead_times else range(1)


@dataclass(frozen=True)
class Inputs:
    """Input variables of a model, their lags and the length of its windows.

    Attributes
    ----------
    forcing, static_attributes
        Names of variables over (basin, time) and over (basin,), in the order of the network inputs.
    sequence_length, targets_per_window
        Minimum number of steps that each prediction uses; number of steps that each window predicts (1: strict many-to-one).
    discharge_lags
        Lags in steps of observed discharge as an input. With lead times the default is lag 0, the discharge of the issue date.
    season
        Whether the time of the year is an input, as sine and cosine.
    root_transform
        Whether targets and inputs use the square root of discharge, which reduces the weight of floods. Losses use the root;
        simulations and scores use discharge. It is the squared root plus the variance of the root, because the mean of a square
        is above the square of a mean (see `TrainedModel.residual_variance`).
    lead_times
        0: simulate. n: forecast discharge at lead times 1 to n from an issue date; the targets of a window are then issue dates.
    forecast_forcing
        Names from `forcing` that are known beyond the issue date too, up to the last lead.

    Raises
    ------
    InputError
        A value has another type (a single name is a list of one), a name is reserved for a feature, or settings conflict.

    Examples
    --------
    >>> Inputs(["rain", "temperature"], sequence_length=30).forcing
    ('rain', 'temperature')
    """

    forcing: Sequence[str]
    static_attributes: Sequence[str] = ()
    sequence_length: int = 365
    targets_per_window: int = 1
    discharge_lags: Sequence[int] = ()
    season: bool = False
    root_transform: bool = False
    lead_times: int = 0
    forecast_forcing: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._coerce()
        if self.lead_times and not self.discharge_lags:
            object.__setattr__(self, "discharge_lags", (0,))
        check_lags(self.discharge_lags, lead_times=self.lead_times)
        refuse_made_names((*self.forcing, *self.static_attributes), input_names(self.discharge_lags, season=self.season))
        if self.forecast_forcing and not self.lead_times:
            raise InputError(f"forecast_forcing = {list(self.forecast_forcing)} needs lead_times, such as lead_times = 7")
        for name in self.forecast_forcing:
            if name not in self.forcing:
                raise InputError(f"forecast_forcing: '{name}' is not among the forcing; {nearest(name, self.forcing)}")

    @property
    def leads(self) -> range:
        """Predicted leads.

        `range(1)`, the step itself, for a simulation; `range(1, n + 1)` for forecasts.
        """
        return leads_of(self.lead_times)

    @property
    def features(self) -> list[str]:
        """Names of the network inputs at each step, in order: forcing, then features (see `input_names`)."""
        return [*self.forcing, *input_names(self.discharge_lags, season=self.season)]

    @property
    def future(self) -> tuple[int, ...]:
        """Positions of `forecast_forcing` in the forcing."""
        return tuple(self.forcing.index(name) for name in self.forecast_forcing)

    def _coerce(self) -> None:
        """Convert names and lags to tuples, so that equal inputs compare equal.

        Raise on other types, with the name.
        """
        coerced: dict[str, object] = {
            name: as_names(name, getattr(self, name)) for name in ("forcing", "static_attributes", "forecast_forcing")
        }
        coerced["discharge_lags"] = as_integers("discharge_lags", self.discharge_lags)
        coerced |= {name: as_integer(name, getattr(self, name), least=1) for name in ("sequence_length", "targets_per_window")}
        coerced["lead_times"] = as_integer("lead_times", self.lead_times, least=0)
        coerced |= {name: as_flag(name, getattr(self, name)) for name in ("season", "root_transform")}
        for name, value in coerced.items():
            object.__setattr__(self, name, value)
