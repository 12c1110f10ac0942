"""Training and validation stages of a model: basins and periods on which it must not be scored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from runoff_lstm.data.periods import AnyPeriod, Period, period_of
from runoff_lstm.errors import InputError

StageKind = Literal["train", "validation"]

_DONE = {"train": "trained", "validation": "validated"}


@dataclass(frozen=True)
class Stage:
    """Basins and period of a training ("train") or of a validation ("validation").

    Attributes
    ----------
    kind
        "train" or "validation".
    gauge_ids
        The basins.
    period
        The period of the stage.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> str(rl.Stage("train", ("01013500",), rl.Period("2000-01-01", "2000-12-31")).period)
    '2000-01-01 to 2000-12-31'
    """

    kind: StageKind
    gauge_ids: tuple[str, ...]
    period: AnyPeriod

    def to_plain(self) -> dict[str, Any]:
        """Convert the stage to JSON-compatible types."""
        dates = [[one.start.isoformat(), one.end.isoformat()] for one in self.period.parts]
        return {"kind": self.kind, "gauge_ids": list(self.gauge_ids), "period": dates}

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> "Stage":
        """Invert `to_plain`."""
        return cls(plain["kind"], tuple(plain["gauge_ids"]), period_of(plain["period"]))


def check_unseen(
    seen: Iterable[Stage],
    gauge_ids: Iterable[str],
    name: str,
    period: AnyPeriod,
    *,
    ungauged: bool = False,
    kinds: Sequence[StageKind] = ("train", "validation"),
) -> None:
    """Raise an error if basins and period to score were used in training or validation.

    A model fine-tuned from another one inherits its stages.

    Parameters
    ----------
    seen
        Stages of the model.
    gauge_ids, name, period
        Basins to score, name of the period, and the period.
    ungauged
        Whether the basins count as ungauged. If so, they must not appear in any stage, whatever its period.
    kinds
        Kinds of the stages to check.
    """
    asked = set(map(str, gauge_ids))
    for stage in seen:
        both = sorted(asked & set(stage.gauge_ids)) if stage.kind in kinds else []
        if both and ungauged:
            raise InputError(
                f"the model was {_DONE[stage.kind]} on basin {both[0]}, which is held out as if it were ungauged; "
                "start from a model that has not seen it"
            )
        if both and stage.period.overlaps(period):
            raise InputError(
                f"the model was {_DONE[stage.kind]} on basin {both[0]} in {stage.period}, which overlaps the {name} period "
                f"({period}): a score there would mean nothing; choose another period, or a model that has not seen it"
            )


def merged(seen: Iterable[Stage]) -> tuple[Stage, ...]:
    """Merge overlapping stages of the same kind and basins.

    A walk produces many of them.
    """
    kept: list[Stage] = []
    for stage in seen:
        place = next((place for place, before in enumerate(kept) if _joins(before, stage)), None)
        if place is None:
            kept.append(stage)
        else:
            kept[place] = Stage(stage.kind, stage.gauge_ids, _union(kept[place].period, stage.period))
    return tuple(kept)


def _joins(one: Stage, other: Stage) -> bool:
    single = isinstance(one.period, Period) and isinstance(other.period, Period)
    return single and (one.kind, one.gauge_ids) == (other.kind, other.gauge_ids) and one.period.overlaps(other.period)


def _union(one: AnyPeriod, other: AnyPeriod) -> Period:
    """Return the union of two overlapping periods."""
    both = (*one.parts, *other.parts)
    return Period(min(part.start for part in both), max(both, key=lambda part: part.last_moment).end)
