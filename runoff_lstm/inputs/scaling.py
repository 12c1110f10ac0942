"""Scaling: mean and standard deviation of the training period, scaled values and their inverse.

Only the training period is used: no value of validation or test enters a mean, a standard deviation or a range.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.names import BASIN, DISCHARGE, TIME
from runoff_lstm.data.periods import AnyPeriod, as_period
from runoff_lstm.data.times import times_of
from runoff_lstm.errors import InputError, as_names
from runoff_lstm.inputs.checks import Checked, check_names


@dataclass(frozen=True)
class Scaler:
    """Mean, standard deviation and range of variables over the training period.

    All basins are pooled.

    Attributes
    ----------
    mean, std
        By variable, in its own unit. Population standard deviation (divided by n), as in the published benchmark.
    minimum, maximum
        By variable: the range of the training data.
    root_transform
        Whether the square root of discharge is scaled. Mean and standard deviation are then those of the root; the range is that
        of discharge itself.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> scaler = rl.Scaler.fit(data, ("2000-01-01", "2000-12-31"), forcing=["rain"])
    >>> abs(float(scaler.apply(data)["rain"][:, :366].mean())) < 1e-5
    True
    """

    mean: Mapping[str, float]
    std: Mapping[str, float]
    minimum: Mapping[str, float]
    maximum: Mapping[str, float]
    root_transform: bool = False

    @classmethod
    def fit(
        cls,
        dataset: xr.Dataset,
        period: AnyPeriod,
        *,
        forcing: Sequence[str],
        static_attributes: Sequence[str] = (),
        root_transform: bool = False,
    ) -> "Scaler":
        """Compute mean, standard deviation and range of the training period.

        Parameters
        ----------
        dataset
            Canonical Dataset, dims (basin, time). NaN is left out.
        period
            The training period; no other day is used.
        forcing, static_attributes
            Names of the variables; `discharge` is always added.
        root_transform
            See the attribute.

        Raises
        ------
        InputError
            A variable is missing or has no value in the training period. A variable is constant: it cannot be scaled and holds no
            information. A basin has no discharge in the training period.
        """
        forcing, static_attributes = as_names("forcing", forcing), as_names("static_attributes", static_attributes)
        period = as_period("period", period)
        check_names(as_dataset(dataset), forcing=forcing, static_attributes=static_attributes, from_discharge=True)
        return cls._fit(dataset, period, forcing, static_attributes, root_transform=root_transform)

    @classmethod
    def of(cls, checked: Checked) -> "Scaler":
        """Fit the scaler to checked data; see `fit`."""
        inputs = checked.inputs
        return cls._fit(
            checked.measured,
            checked.periods.train,
            inputs.forcing,
            inputs.static_attributes,
            root_transform=inputs.root_transform,
        )

    @classmethod
    def _fit(
        cls,
        dataset: xr.Dataset,
        period: AnyPeriod,
        forcing: Sequence[str],
        static_attributes: Sequence[str],
        *,
        root_transform: bool,
    ) -> "Scaler":
        training = dataset[[*forcing, DISCHARGE]].isel(time=period.positions(times_of(dataset)))
        unobserved = training[DISCHARGE].isnull().all(TIME)
        if bool(unobserved.any()):
            gauge_ids = ", ".join(training[BASIN].values[unobserved.values][:5])
            raise InputError(
                f"basin {gauge_ids}: no discharge is observed in the training period {period}; "
                "choose another period or leave the basin out"
            )
        values = {name: training[name].values for name in (*forcing, DISCHARGE)}
        values |= {name: dataset[name].values for name in static_attributes}
        ranges = {name: _range(name, one, period, root=root_transform and name == DISCHARGE) for name, one in values.items()}
        mean, std, minimum, maximum = ({name: one[place] for name, one in ranges.items()} for place in range(4))
        return cls(mean, std, minimum, maximum, root_transform)

    @property
    def zero_flow(self) -> float:
        """Scaled value of zero discharge."""
        return -self.mean[DISCHARGE] / self.std[DISCHARGE]

    def widened(self, dataset: xr.Dataset, period: AnyPeriod) -> "Scaler":
        """Widen the range to the training period of further data, for fine-tuning.

        Mean and deviation stay the same.
        """
        within = dataset.isel(time=period.positions(times_of(dataset)))
        low, high = dict(self.minimum), dict(self.maximum)
        for name in self.mean:
            values = within[name].values
            if np.isfinite(values).any():
                low[name], high[name] = min(low[name], float(np.nanmin(values))), max(high[name], float(np.nanmax(values)))
        return replace(self, minimum=low, maximum=high)

    def apply(self, dataset: xr.Dataset) -> xr.Dataset:
        """Scale the variables of a dataset to float32 with mean 0 and deviation 1 over the training period.

        The result holds the variables that both the Scaler and the dataset have.
        """
        known = [name for name in self.mean if name in dataset]
        return dataset[known].assign(
            {name: dataset[name].copy(data=self.scale(name, dataset[name].values)) for name in known},
        )

    def scale(self, name: str, values: np.ndarray) -> np.ndarray:
        """Scale values of one variable to float32; NaN stays NaN."""
        if name == DISCHARGE and self.root_transform:
            values = np.sqrt(np.maximum(values, 0.0))
        return ((values - self.mean[name]) / self.std[name]).astype(np.float32)

    def invert(self, name: str, scaled: np.ndarray) -> np.ndarray:
        """Convert scaled values to the unit of the variable, float32.

        This is the inverse of `scale`.
        """
        values = scaled.astype(np.float64) * self.std[name] + self.mean[name]
        if name == DISCHARGE and self.root_transform:
            values = np.maximum(values, 0.0) ** 2
        return values.astype(np.float32)


@dataclass(frozen=True)
class DischargeScale:
    """Zero flow and standard deviation of discharge, for the losses.

    Attributes
    ----------
    zero_flow
        Scaled value of zero discharge.
    basin_std
        Standard deviation of the discharge of each basin over the training period in mm d-1, dims (basin,). With a root
        transform: that of the root.
    """

    zero_flow: float
    basin_std: np.ndarray

    @classmethod
    def fit(cls, dataset: xr.Dataset, period: AnyPeriod, scaler: Scaler) -> "DischargeScale":
        """Compute the deviation of discharge of each basin over the training period only."""
        discharge = dataset[DISCHARGE].isel(time=period.positions(times_of(dataset))).values.astype(np.float64)
        per_day = 24.0 if dataset[DISCHARGE].attrs.get("units") == "mm h-1" else 1.0
        flow = discharge * per_day
        return cls(scaler.zero_flow, np.nanstd(np.sqrt(flow) if scaler.root_transform else flow, axis=1))


def _range(name: str, values: np.ndarray, period: AnyPeriod, *, root: bool = False) -> tuple[float, float, float, float]:
    """Compute mean and deviation (of the root), and the range of the values themselves."""
    present = values[~np.isnan(values)].astype(np.float64)
    if present.size == 0:
        raise InputError(f"{name} has no value in the training period {period}; choose another period or leave it out")
    scaled = np.sqrt(present) if root else present
    mean, std = float(scaled.mean()), float(scaled.std())
    if not std > 1e-6 * abs(mean):
        raise InputError(
            f"{name} has the same value ({present[0]:.6g}) throughout the training data; it tells the model nothing: leave it out"
        )
    return mean, std, float(present.min()), float(present.max())
