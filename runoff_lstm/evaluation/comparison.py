"""Two tables of scores basin by basin, with a paired test, where they were scored alike."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.names import BASIN, TIME
from runoff_lstm.data.periods import AnyPeriod
from runoff_lstm.data.times import date_label, step_label
from runoff_lstm.errors import InputError, nearest
from runoff_lstm.evaluation.basins import best_of, count_of
from runoff_lstm.evaluation.metrics import METRICS, folded, known_metric

EXACT = 50
"""Number of differences up to which the signed-rank test counts all signs, where no two differences are equal in size."""


FEWEST = 6
"""Number of differences from which a two-sided signed-rank test can give a p-value below 0.05."""


@dataclass(frozen=True)
class Comparison:
    """A metric of the same basins from two sources; `str()` of it says it in lines of text.

    Attributes
    ----------
    metric
        Name of the metric.
    values
        Index gauge_id; columns `ours`, `reference`, `difference` (ours minus theirs).
    basins
        Number of basins with a finite value in both; all other attributes are of these.
    ours, reference
        Medians.
    median_difference
        Of the differences.
    better, equal
        Share of basins in which ours is nearer to the best value of the metric, and in which both are as near; NaN where the best
        value is not known.
    p_value
        Two-sided, of a Wilcoxon signed-rank test that the differences of the values (not of their distances to the best one) are
        symmetric about zero, zeros left out: exact up to 50
        differences without ties, else by the normal approximation with the correction for ties; NaN where all are zero.
    notes
        Sentences on basins left out and on what was, or may have been, scored differently.
    """

    metric: str
    values: pd.DataFrame
    basins: int
    ours: float
    reference: float
    median_difference: float
    better: float
    equal: float
    p_value: float
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Medians, shares and test, then the notes, a line each."""
        medians = f"{self.metric} of {count_of(self.basins)}: median {self.ours:.4f}, reference {self.reference:.4f}"
        verdict = f"better in {self.better:.1%} of the basins"
        if math.isnan(self.better):
            verdict = (
                f"which is better cannot be told: the best value of '{self.metric}' is not known (give it: best=0, or --best 0)"
            )
        elif self.equal > 0:
            verdict += f", equal in {self.equal:.1%}"
        lines = [medians, f"{verdict}, median difference {self.median_difference:+.4f}, {self._tested()}"]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _tested(self) -> str:
        """The p-value, or why there is none worth printing."""
        differ = int((self.values["difference"] != 0).sum())
        if differ < FEWEST:
            return f"no signed-rank test, which needs {FEWEST} basins that differ ({differ} of {self.basins} do)"
        tiny = np.finfo(float).tiny
        return "Wilcoxon signed-rank p " + (f"= {self.p_value:.3g}" if self.p_value > tiny else f"< {tiny:.3g}")


@dataclass(frozen=True)
class Scored:
    """A metric out of a table of scores, and what is known of how it was scored.

    Attributes
    ----------
    source
        The folder or file, as it was named.
    scores, days
        Index gauge_id; `days` the number of steps scored, None where the table does not say.
    observed
        Discharge that was scored against, dims (basin, time); None where the table is not part of a run folder.
    period
        As the run folder's experiment.toml states it; None where there is none.
    """

    source: str
    scores: "pd.Series[float]"
    days: "pd.Series[float] | None" = None
    observed: xr.DataArray | None = None
    period: AnyPeriod | None = None


def compare(ours: "pd.Series[float]", reference: "pd.Series[float]", *, best: float | None = None) -> Comparison:
    """Compare a metric basin by basin; both are indexed by gauge id, and what either lacks is left out and counted.

    The metric is the name of `ours`, in any letter case. See `rl.compare_tables` for two files or run folders, which also checks
    that both were scored alike.

    Parameters
    ----------
    ours, reference
        A value per basin.
    best
        Best value of the metric; None: that of `runoff_lstm.evaluation.metrics.METRICS`.

    Raises
    ------
    InputError
        No basin has a value in both, a gauge id comes twice, or the two are different metrics.

    References
    ----------
    Wilcoxon (1945), Biometrics Bulletin 1, 80-83, doi:10.2307/3001968.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> import pandas as pd
    >>> ours, theirs = (pd.Series([nse, nse + 0.1], ["a", "b"], name="NSE") for nse in (0.7, 0.6))
    >>> len(rl.compare(ours, theirs).values)
    2
    """
    metric, theirs = (known_metric(str(one.name)) for one in (ours, reference))
    if metric is not None and theirs is not None and metric != theirs:
        raise InputError(f"ours is {ours.name}, the reference {reference.name}; compare one metric")
    for name, one in (("ours", ours), ("the reference", reference)):
        if one.index.has_duplicates:
            raise InputError(f"{name} has gauge id '{one.index[one.index.duplicated()][0]}' twice; keep one row")
    both = pd.DataFrame({"ours": ours, "reference": reference}).replace([np.inf, -np.inf], np.nan)
    values = both.dropna()
    if values.empty:
        raise InputError(
            f"no basin has a value in both tables (ours begin with {', '.join(map(str, ours.index[:2]))}, the reference's with "
            f"{', '.join(map(str, reference.index[:2]))}); check the gauge ids, leading zeros among them"
        )
    values["difference"] = values["ours"] - values["reference"]
    better, equal = _shares(values, metric or str(ours.name), best)
    return Comparison(
        metric=metric or str(ours.name),
        values=values,
        basins=len(values),
        ours=float(values["ours"].median()),
        reference=float(values["reference"].median()),
        median_difference=float(values["difference"].median()),
        better=better,
        equal=equal,
        p_value=_signed_rank_p(values["difference"]),
        notes=tuple(_left_out(ours, reference, both)),
    )


def compare_scored(ours: Scored, reference: Scored, *, best: float | None = None) -> Comparison:
    """Compare a metric of two sources basin by basin, as `compare` does, where both were scored alike.

    Raises
    ------
    InputError
        As `compare`; or the two were scored over different periods, or in different units.
    """
    compared = compare(ours.scores, reference.scores, best=best)
    gauge_ids = [str(one) for one in compared.values.index]
    return replace(compared, notes=(*compared.notes, *_scored_apart(ours, reference, gauge_ids)))


def read_scores(path: str | Path, metric: str) -> "pd.Series[float]":
    """One metric of a table of scores in CSV, index of gauge ids as text; the first column (or `gauge_id`, `basin`) is the id.

    The column is found in any letter case; a metric of `METRICS` then has its name there.
    """
    path = Path(path)
    table = _table_of(path)
    column = _column(table, metric)
    if column is None:
        raise InputError(f"{path} has no column '{metric}'; {nearest(metric, map(str, table.columns))}")
    return _numbers(table[column], path).rename(known_metric(column) or column)


def read_days(path: Path) -> "pd.Series[float] | None":
    """The number of steps scored out of a table of scores in CSV; None where it has no such column."""
    table = _table_of(path)
    column = _column(table, "days")
    return None if column is None else _numbers(table[column], path)


def _shares(values: pd.DataFrame, metric: str, best: float | None) -> tuple[float, float]:
    """The share of basins in which ours is nearer to the best value, and in which both are as near."""
    best = best_of(metric, best)
    if best is None:
        return math.nan, math.nan
    ours, theirs = ((values[name] - best).abs() for name in ("ours", "reference"))
    return float((ours < theirs).mean()), float((ours == theirs).mean())


def _left_out(ours: "pd.Series[float]", reference: "pd.Series[float]", both: pd.DataFrame) -> Iterator[str]:
    """A sentence on each kind of basin that one table or the other has in vain."""
    shared = ours.index.intersection(reference.index)
    kinds = {
        "without a value in ours or the reference": shared[both.loc[shared].isna().any(axis=1)],
        "only in ours": ours.index.difference(shared),
        "only in the reference": reference.index.difference(shared),
    }
    for kind, gauge_ids in kinds.items():
        if len(gauge_ids):
            yield f"{count_of(len(gauge_ids))} {kind} left out (first {gauge_ids[0]})"


def _scored_apart(ours: Scored, reference: Scored, gauge_ids: list[str]) -> Iterator[str]:
    """Refuse what was not scored alike; a sentence on each difference that leaves the two comparable, and on what is not known."""
    metric = known_metric(str(ours.scores.name))
    in_units = metric is not None and METRICS[metric].units == "as discharge"
    _check_alike(ours, reference, in_units=in_units)
    if ours.days is not None and reference.days is not None:
        yield from _days_apart(ours.days.loc[gauge_ids], reference.days.loc[gauge_ids])
    if ours.observed is not None and reference.observed is not None:
        yield from _observed_apart(*(one.reindex({BASIN: gauge_ids}) for one in (ours.observed, reference.observed)))
    unsaid: dict[str, list[str]] = {}
    for one in (ours, reference):
        known = {
            "period": one.observed is not None or one.period is not None,
            "days scored": one.days is not None,
            "unit": one.observed is not None or not in_units,
        }
        unsaid.setdefault(" and ".join(name for name, is_known in known.items() if not is_known), []).append(one.source)
    for what, sources in unsaid.items():
        if what:
            yield f"{what} not stated by {' and '.join(sources)}; make sure that both were scored alike"


def _days_apart(ours: "pd.Series[float]", reference: "pd.Series[float]") -> Iterator[str]:
    apart = (ours - reference).abs()
    if (apart > 0).any():
        most = str(apart.idxmax())
        yield (
            f"the number of days scored differs in {int((apart > 0).sum())} of {count_of(len(apart))}, most in {most}: "
            f"{ours[most]:.0f} against {reference[most]:.0f}"
        )


def _observed_apart(ours: xr.DataArray, reference: xr.DataArray) -> Iterator[str]:
    one, other = ours.values.astype(np.float64), reference.values.astype(np.float64)
    apart = np.flatnonzero((np.abs(one - other) > 1e-4 * np.abs(other) + 1e-6).any(axis=1))
    if apart.size:
        first = ours[BASIN].values[apart[0]]
        yield f"observed discharge differs in {apart.size} of {count_of(len(one))} (first {first}); check the sources of both"


def _check_alike(ours: Scored, reference: Scored, *, in_units: bool) -> None:
    """Refuse scores over different periods, or of a metric that has the unit of discharge in different units."""
    remedy = "give both the same [periods] in experiment.toml and run runoff-lstm evaluate again"
    if ours.observed is not None and reference.observed is not None:
        one, other = (scored.indexes[TIME] for scored in (ours.observed, reference.observed))
        if not one.equals(other):
            raise InputError(f"{ours.source} was scored over {_span(one)}, {reference.source} over {_span(other)}; {remedy}")
        units = [str(scored.attrs.get("units")) for scored in (ours.observed, reference.observed)]
        if in_units and units[0] != units[1]:
            raise InputError(f"{ours.source} is in {units[0]}, {reference.source} in {units[1]}; compare a metric without a unit")
    elif ours.period is not None and reference.period is not None and ours.period != reference.period:
        raise InputError(f"{ours.source} was scored over {ours.period}, {reference.source} over {reference.period}; {remedy}")


def _span(times: pd.Index) -> str:
    """First and last step of a time axis, and how many of which length."""
    step = f" of {step_label(times[1] - times[0])}" if len(times) > 1 else ""
    return f"{date_label(times[0])} to {date_label(times[-1])} ({len(times)} steps{step})"


def _table_of(path: Path) -> pd.DataFrame:
    """A table of scores as text, index of gauge ids."""
    if not path.is_file():
        raise InputError(f"{path} is not there; give a table of scores in CSV, a row a gauge")
    try:
        table = pd.read_csv(path, dtype=str)
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise InputError(f"{path} is not a table in CSV ({str(error).strip()}); give a table of scores, a row a gauge") from None
    column = next((name for name in ("gauge_id", "basin", "basin_id") if name in table), str(table.columns[0]))
    table = table.set_index(column)
    if table.index.has_duplicates:
        raise InputError(f"{path} has gauge id '{table.index[table.index.duplicated()][0]}' twice; keep one row")
    return table


def _column(table: pd.DataFrame, name: str) -> str | None:
    """The column of that name, else the only one that has it in another letter case."""
    alike = [str(column) for column in table if folded(str(column)) == folded(name)]
    if name not in alike and len(alike) > 1:
        raise InputError(f"the columns {' and '.join(alike)} may both be '{name}'; give the name as it stands in the table")
    return name if name in alike else next(iter(alike), None)


def _numbers(text: "pd.Series[str]", path: Path) -> "pd.Series[float]":
    """A column of text as numbers, an empty cell as NaN."""
    numbers: pd.Series[float] = pd.to_numeric(text, errors="coerce")
    wrong = numbers.isna() & text.notna()
    if wrong.any():
        gauge_id = text.index[wrong][0]
        raise InputError(f"{path}, basin {gauge_id}: {text.name} is '{text[gauge_id]}', not a number; correct or empty the cell")
    return numbers


def _signed_rank_p(differences: "pd.Series[float]") -> float:
    """Two-sided p-value of the signed-rank test, zeros left out."""
    some = differences[differences != 0]
    count = len(some)
    if not count:
        return math.nan
    ranks = some.abs().rank()
    positive = float(ranks[some > 0].sum())
    ties = ranks.value_counts().to_numpy(float)
    if count <= EXACT and ties.max() == 1:
        return min(1.0, 2 * _share_of_signs(count, min(positive, count * (count + 1) / 2 - positive)))
    variance = count * (count + 1) * (2 * count + 1) / 24 - float((ties**3 - ties).sum()) / 48
    z = (positive - count * (count + 1) / 4) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2))  # 2 (1 - cdf(z)) would round to zero above z = 8.3


def _share_of_signs(count: int, most: float) -> float:
    """The share of all ways to sign the ranks 1 to `count` whose positive ranks sum up to no more than `most`."""
    ways = np.zeros(count * (count + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, count + 1):
        ways[rank:] += ways[:-rank].copy()
    return float(ways[: int(most) + 1].sum() / 2.0**count)
