"""From the scores of many basins to what they say together: a summary, the worst with a reason, a comparison with another table."""

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.evaluation import METRICS
from runoff_lstm.schema import BASIN, DISCHARGE, TIME, InputError, Labels, is_precipitation, nearest

EXACT = 50
"""Number of differences up to which the signed-rank test counts all signs, where no two differences are equal in size."""

DRY_SHARE, GAP_SHARE, ARID_FLOW, ARIDITY, CHANGED = 0.1, 0.2, 0.1, 1.5, 1.5


@dataclass(frozen=True)
class Comparison:
    """A metric of the same basins from two sources.

    Attributes
    ----------
    values
        Index gauge_id; columns `ours`, `reference`, `difference` (ours minus theirs).
    basins
        How many both have, with a number.
    ours, reference
        Medians over those.
    median_difference
        Of the differences.
    better
        The share of basins in which ours is nearer to the best value of the metric.
    p_value
        Two-sided, of a Wilcoxon signed-rank test that the differences are symmetric about zero, zeros left out: exact up to 50
        differences without ties, else by the normal approximation with the correction for ties; NaN where all are zero.
    """

    values: pd.DataFrame
    basins: int
    ours: float
    reference: float
    median_difference: float
    better: float
    p_value: float


@dataclass(frozen=True)
class Summary:
    """A metric over many basins; `at_or_below_zero` is a number of basins, those without a value are left out of all three."""

    median: float
    mean: float
    at_or_below_zero: int
    basins: int


def summary(scores: "pd.Series[float]") -> Summary:
    """What is quoted of a metric over many basins.

    >>> summary(pd.Series([0.5, 0.75, -0.5, math.nan]))
    Summary(median=0.5, mean=0.25, at_or_below_zero=1, basins=3)
    """
    known = scores.dropna()
    return Summary(float(known.median()), float(known.mean()), int((known <= 0).sum()), len(known))


def compare(ours: "pd.Series[float]", reference: "pd.Series[float]") -> Comparison:
    """Compare a metric basin by basin; both are indexed by gauge id, and what either lacks is left out.

    The metric is the name of `ours`; higher is better where it is not one of `runoff_lstm.evaluation.METRICS`.

    Raises
    ------
    InputError
        No basin is in both.

    References
    ----------
    Wilcoxon (1945), Biometrics Bulletin 1, 80-83, doi:10.2307/3001968.
    """
    values = pd.DataFrame({"ours": ours, "reference": reference}).replace([np.inf, -np.inf], np.nan).dropna()
    if values.empty:
        raise InputError(
            f"no basin has a value in both tables (ours begin with {', '.join(map(str, ours.index[:2]))}, the reference's with "
            f"{', '.join(map(str, reference.index[:2]))}); check the gauge ids, leading zeros among them"
        )
    values["difference"] = values["ours"] - values["reference"]
    name = str(ours.name)
    return Comparison(
        values,
        len(values),
        float(values["ours"].median()),
        float(values["reference"].median()),
        float(values["difference"].median()),
        float((_distance(values["ours"], name) < _distance(values["reference"], name)).mean()),
        _signed_rank_p(values["difference"]),
    )


def read_scores(path: str | Path, metric: str) -> "pd.Series[float]":
    """One metric of a table of scores in CSV, index of gauge ids as text; the first column (or `gauge_id`, `basin`) is the id."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is not there; give a table of scores in CSV, a row a gauge")
    try:
        table = pd.read_csv(path, dtype=str)
    except (UnicodeDecodeError, pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise InputError(f"{path} is not a table in CSV ({str(error).strip()}); give a table of scores, a row a gauge") from None
    column = next((name for name in ("gauge_id", "basin", "basin_id") if name in table), str(table.columns[0]))
    table = table.set_index(column)
    if metric not in table:
        raise InputError(f"{path} has no column '{metric}'; {nearest(metric, map(str, table.columns))}")
    if table.index.has_duplicates:
        raise InputError(f"{path} has gauge id '{table.index[table.index.duplicated()][0]}' twice; keep one row")
    numbers: pd.Series[float] = pd.to_numeric(table[metric], errors="coerce")
    return numbers


def worst_basins(dataset: xr.Dataset, scores: "pd.Series[float]", *, train: Labels, test: Labels, number: int = 10) -> pd.DataFrame:
    """The basins with the worst scores, and what in the data may explain it.

    Parameters
    ----------
    dataset
        Canonical, with `discharge`; precipitation and the attribute `aridity` are looked at where they are there.
    scores
        Of the test period, index gauge_id. The worst are those without a value, then those farthest from the best value of the
        metric in the Series' name; the lowest, where it is not one of `runoff_lstm.evaluation.METRICS`.
    train, test
        Either period as labels, for `dataset.sel(time=train)`.
    number
        How many.

    Returns
    -------
    DataFrame
        Index gauge_id, from the worst on; columns the score's name, `mean_discharge` of the test period [mm per step], `zero_flow`
        and `missing`, shares of its steps, and `seen`, what stands out, in words.
    """
    rain = [str(name) for name in dataset.data_vars if is_precipitation(str(name)) and TIME in dataset[name].dims]
    rows = {}
    for gauge_id, score in _from_the_worst(scores).head(number).items():
        one = dataset.sel({BASIN: gauge_id})
        tested, trained = one[DISCHARGE].sel({TIME: test}).values, one[DISCHARGE].sel({TIME: train}).values
        there = tested[np.isfinite(tested)]
        mean, zero, missing = (
            (float(there.mean()), float((there == 0).mean()), 1 - there.size / tested.size)
            if there.size
            else (math.nan, math.nan, 1.0)
        )
        seen = []
        if zero > DRY_SHARE:
            seen.append(f"no flow {zero:.0%} of the time")
        if "aridity" in one and one["aridity"].ndim == 0 and float(one["aridity"]) > ARIDITY:
            seen.append(f"arid (aridity {float(one['aridity']):.1f})")
        elif mean < ARID_FLOW:
            seen.append(f"hardly any flow ({mean:.2g} mm)")
        if missing > GAP_SHARE:
            seen.append(f"{missing:.0%} not observed")
        if rain and mean > float(one[rain[0]].sel({TIME: test}).mean()):
            seen.append("more discharge than precipitation")
        if there.size and np.isfinite(trained).any():
            ratio = mean / max(float(np.nanmean(trained)), 1e-9)
            if not 1 / CHANGED < ratio < CHANGED:
                seen.append(f"{ratio:.1f} times the discharge of the training period")
        rows[str(gauge_id)] = [score, mean, zero, missing, "; ".join(seen) or "nothing that the data show"]
    columns = [str(scores.name), "mean_discharge", "zero_flow", "missing", "seen"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("gauge_id")


def _from_the_worst(scores: "pd.Series[float]") -> "pd.Series[float]":
    distance = _distance(scores, str(scores.name))
    return scores[distance.sort_values(ascending=False, na_position="first", kind="stable").index]


def _distance(scores: "pd.Series[float]", metric: str) -> "pd.Series[float]":
    """From the best value of the metric; the lower the better, which the distance itself need not be."""
    return (scores - METRICS[metric].best).abs() if metric in METRICS else -scores


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
    return 2 * NormalDist().cdf(-abs(z))


def _share_of_signs(count: int, most: float) -> float:
    """The share of all ways to sign the ranks 1 to `count` whose positive ranks sum up to no more than `most`."""
    ways = np.zeros(count * (count + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, count + 1):
        ways[rank:] += ways[:-rank].copy()
    return float(ways[: int(most) + 1].sum() / 2.0**count)
