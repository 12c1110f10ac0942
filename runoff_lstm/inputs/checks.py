"""Check of Dataset, inputs and periods, done once before the preparation of a training."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from runoff_lstm.data.masks import measured
from runoff_lstm.data.names import BASIN, DISCHARGE, TIME, refuse_mask
from runoff_lstm.data.periods import AnyPeriod
from runoff_lstm.data.schema import check_basins
from runoff_lstm.data.splits import Periods
from runoff_lstm.data.times import times_of
from runoff_lstm.errors import InputError, nearest
from runoff_lstm.inputs.spec import Inputs


@dataclass(frozen=True)
class Checked:
    """A Dataset checked for training, returned by `check`.

    Attributes
    ----------
    dataset
        Canonical. Filled discharge may be used as an input only.
    measured
        The same with measured discharge only, for targets, scaler and scores.
    inputs, periods
        Inputs and periods of the check.
    unusable
        Basins that cannot be used for training: the reason as a clause, by gauge id.
    """

    dataset: xr.Dataset
    measured: xr.Dataset
    inputs: Inputs
    periods: Periods
    unusable: Mapping[str, str]

    @property
    def gauge_ids(self) -> list[str]:
        """Gauge ids of all basins, in order."""
        return [str(gauge_id) for gauge_id in self.dataset[BASIN].values]

    def only(self, gauge_ids: Iterable[str]) -> "Checked":
        """Select some of the basins, in the order given."""
        chosen = list(gauge_ids)
        if chosen == self.gauge_ids:
            return self
        dataset = self.dataset.sel({BASIN: chosen})
        observed = dataset if self.measured is self.dataset else self.measured.sel({BASIN: chosen})
        unusable = {gauge_id: why for gauge_id, why in self.unusable.items() if gauge_id in chosen}
        return replace(self, dataset=dataset, measured=observed, unusable=unusable)

    def refuse_unusable(self) -> None:
        """Raise on the first basin that cannot be used for training, with the number of the others."""
        if self.unusable:
            gauge_id, why = next(iter(self.unusable.items()))
            others = f" (and {len(self.unusable) - 1} more basins cannot be used)" if len(self.unusable) > 1 else ""
            raise InputError(f'basin {gauge_id}: {why}{others}; leave such basins out, by hand or by on_missing = "skip"')


def check(dataset: xr.Dataset, inputs: Inputs, periods: Periods) -> Checked:
    """Check a Dataset against the canonical form, then against inputs and periods.

    Raises
    ------
    InputError
        The Dataset is not canonical (see `check_basins`), or names or periods do not fit it (see `check_inputs`). Basins that
        cannot be used for training raise no error; they are listed in `Checked.unusable`.
    """
    dataset = check_basins(dataset)
    check_inputs(dataset, periods, inputs)
    observed = measured(dataset)
    chosen = {"forcing": inputs.forcing, "static_attributes": inputs.static_attributes}
    return Checked(dataset, observed, inputs, periods, unusable_basins(observed, periods.train, **chosen))


def check_names(
    dataset: xr.Dataset, *, forcing: Sequence[str], static_attributes: Sequence[str] = (), from_discharge: bool = False
) -> None:
    """Raise on unknown, duplicate or wrong names, and on discharge among forcing or attributes.

    With `from_discharge` a model can be trained on observed discharge alone, without forcing.
    """
    if not forcing and not from_discharge:
        raise InputError('no forcing variable is named; list at least one, such as forcing = ["precipitation"]')
    for names, dims, kind in ((forcing, {BASIN, TIME}, "forcing"), (static_attributes, {BASIN}, "static attribute")):
        known = [str(name) for name in dataset.data_vars if set(dataset[name].dims) == dims and name != DISCHARGE]
        for name in names:
            if name == DISCHARGE:
                raise InputError(
                    f"'{DISCHARGE}' is what is simulated and no {kind}; that of earlier steps is an input by discharge_lags = [1]"
                )
            refuse_mask(dataset, name, kind)
            if name not in known:
                raise InputError(f"the data have no {kind} '{name}'; {nearest(name, known)}")
        twice = [name for name in names if list(names).count(name) > 1]
        if twice:
            raise InputError(f"{kind} '{twice[0]}' is named twice; name it once")


def check_inputs(dataset: xr.Dataset, periods: Periods, inputs: Inputs) -> None:
    """Raise on periods outside the data, data without discharge, and names not in the data."""
    periods.check(times_of(dataset))
    if DISCHARGE not in dataset:
        raise InputError('the data have no discharge to learn from; name its column, such as rename = {discharge = "Qo"}')
    check_names(
        dataset,
        forcing=inputs.forcing,
        static_attributes=inputs.static_attributes,
        from_discharge=bool(inputs.discharge_lags),
    )


def unusable_basins(
    dataset: xr.Dataset, period: AnyPeriod, *, forcing: Sequence[str], static_attributes: Sequence[str]
) -> dict[str, str]:
    """Find the basins that cannot be used for training.

    Returns the reason as a clause, by gauge id.

    A basin needs discharge and at least one day of complete forcing in the training period, and every attribute.
    """
    within = dataset.isel({TIME: period.positions(times_of(dataset))})
    observed = within[DISCHARGE].notnull().any(TIME).values
    complete = np.ones((within.sizes[BASIN], within.sizes[TIME]), dtype=bool)
    for name in forcing:
        complete &= within[name].notnull().values
    faults = basins_without_attributes(dataset, static_attributes)
    for place, gauge_id in enumerate(map(str, dataset[BASIN].values)):
        if gauge_id in faults:
            continue
        if not observed[place]:
            faults[gauge_id] = f"no discharge is observed in the training period {period}"
        elif not complete[place].any():
            faults[gauge_id] = f"no day of the training period {period} has all forcing"
    return faults


def basins_without_attributes(dataset: xr.Dataset, static_attributes: Sequence[str]) -> dict[str, str]:
    """Find the basins that cannot be simulated.

    Returns the first missing attribute as a clause, by gauge id.
    """
    faults: dict[str, str] = {}
    for name in static_attributes:
        for gauge_id in dataset[BASIN].values[~np.isfinite(dataset[name].values)]:
            faults.setdefault(str(gauge_id), f"attribute {name} is missing")
    return faults
