"""Train, validation and test periods that do not overlap, and folds of basins and of years."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from runoff_lstm.data.periods import AnyPeriod, Period, Stretches, as_period, as_single_period
from runoff_lstm.errors import InputError


@dataclass(frozen=True)
class Periods:
    """Train, validation and test period of an experiment.

    Training may have several stretches.

    Raises
    ------
    InputError
        Two periods share a day: scores on training days are not valid. Or a value is neither a period nor a pair of dates.

    Examples
    --------
    >>> periods = Periods(train=("1999-10-01", "2008-09-30"), test=("1989-10-01", "1999-09-30"))
    >>> str(periods.test)
    '1989-10-01 to 1999-09-30'
    """

    train: AnyPeriod
    validation: Period | None = None
    test: Period | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "train", as_period("train", self.train))
        for name in ("validation", "test"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, as_single_period(name, getattr(self, name)))
        for (name, period), (other_name, other) in combinations(self.named().items(), 2):
            if period.overlaps(other):
                raise InputError(
                    f"the {name} period ({period}) and the {other_name} period ({other}) overlap; move one of the dates"
                )

    def named(self) -> dict[str, AnyPeriod]:
        """Return the periods that are set, by name."""
        pairs: dict[str, AnyPeriod | None] = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: period for name, period in pairs.items() if period is not None}

    def check(self, times: pd.DatetimeIndex) -> None:
        """Raise on a period outside the record; the error gives its name."""
        for name, period in self.named().items():
            try:
                period.positions(times)
            except InputError as error:
                raise InputError(f"[periods] {name}: {error}") from None


def ungauged_folds(gauge_ids: Sequence[str], number: int, *, seed: int = 0) -> list[tuple[str, ...]]:
    """Draw `number` random folds of basins of nearly equal size.

    Each fold is held out of training once and then scored.

    Raises
    ------
    InputError
        There are fewer than two folds, or fewer basins than folds.

    Examples
    --------
    >>> ungauged_folds(["a", "b", "c", "d", "e"], 2, seed=1)
    [('b', 'd', 'e'), ('a', 'c')]
    """
    if len(gauge_ids) < 2:
        raise InputError('one basin cannot be split into folds of basins; take by = "period", folds of years')
    if not 2 <= number <= len(gauge_ids):
        raise InputError(f"{len(gauge_ids)} basins cannot be split into {number} folds; choose from 2 to {len(gauge_ids)}")
    order = np.random.default_rng(seed).permutation(len(gauge_ids))
    return [tuple(gauge_ids[place] for place in sorted(order[fold::number])) for fold in range(number)]


def temporal_folds(period: AnyPeriod, number: int) -> list[Periods]:
    """Make folds that walk forward through a period.

    The period is cut into `number` + 1 equal blocks. Fold i trains on the first i blocks and is tested on the next one. Training
    data grow with each fold, and never lie after a test block.

    Raises
    ------
    InputError
        There is less than one fold, a block would be shorter than a day, or the period has several stretches.

    Examples
    --------
    >>> [str(fold.test) for fold in temporal_folds(Period("2001-01-01", "2003-12-31"), 2)]
    ['2002-01-01 to 2002-12-31', '2003-01-01 to 2003-12-31']
    """
    if isinstance(period, Stretches):
        raise InputError(f"folds of years walk through one training period, not through {period}; give a single one")
    days = pd.date_range(period.start.normalize(), period.end.normalize(), freq="D")
    if not 1 <= number < len(days):
        raise InputError(f"the period {period} cannot be cut into {number} folds; choose from 1 to {len(days) - 1}")
    first = [days[len(days) * block // (number + 1)] for block in range(number + 1)]
    ends = [day - pd.Timedelta(1, "D") for day in first[1:]] + [days[-1]]
    return [Periods(train=Period(first[0], ends[fold]), test=Period(first[fold + 1], ends[fold + 1])) for fold in range(number)]
