"""From the scores of many basins to what they say together: a summary, the worst with a reason, a comparison with another table."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from runoff_lstm.data.given import as_dataset
from runoff_lstm.data.names import BASIN, DISCHARGE, TIME, is_precipitation
from runoff_lstm.data.periods import AnyPeriod, as_labels
from runoff_lstm.data.times import Labels, times_of
from runoff_lstm.errors import InputError
from runoff_lstm.evaluation.metrics import METRICS, known_metric

DRY_SHARE, GAP_SHARE, ARID_FLOW, ARIDITY, CHANGED = 0.1, 0.2, 0.1, 1.5, 1.5


@dataclass(frozen=True)
class Summary:
    """A metric over many basins; `at_or_below_zero` is a number of basins, the `undefined` ones are left out of all others."""

    median: float
    mean: float
    at_or_below_zero: int
    basins: int
    undefined: int = 0


def count_of(basins: int) -> str:
    """A number of basins in words.

    >>> count_of(1), count_of(531)
    ('1 basin', '531 basins')
    """
    return f"{basins} basin" if basins == 1 else f"{basins} basins"


def defined(scores: "pd.Series[float]") -> "pd.Series[float]":
    """The scores of the basins that have one: neither missing nor infinite."""
    return scores[np.isfinite(scores.to_numpy(np.float64, na_value=np.nan))]


def summary(scores: "pd.Series[float]") -> Summary:
    """What is quoted of a metric over many basins; infinite values count as undefined.

    >>> summary(pd.Series([0.5, 0.75, -0.5, math.nan]))
    Summary(median=0.5, mean=0.25, at_or_below_zero=1, basins=3, undefined=1)
    """
    known = defined(scores)
    return Summary(float(known.median()), float(known.mean()), int((known <= 0).sum()), len(known), len(scores) - len(known))


def medians(scores: pd.DataFrame) -> dict[str, tuple[float, int]]:
    """The median of every column of a table of `evaluate`, and the number of basins with a value that it is of.

    `days` is of the basins scored, those in which any metric has a value.

    >>> medians(pd.DataFrame({"NSE": [0.5, math.nan, math.nan], "RMSE": [1.0, 3.0, math.nan], "days": [10, 20, 0]}))
    {'NSE': (0.5, 1), 'RMSE': (2.0, 2), 'days': (15.0, 2)}
    """
    metrics = scores.drop(columns="days", errors="ignore")
    scored = scores[np.isfinite(metrics.to_numpy(np.float64)).any(axis=1)]
    known = {str(name): defined(scored[name]) for name in scored}
    return {name: (float(values.median()), len(values)) for name, values in known.items()}


def median_text(values: "pd.Series[float]", *, of: int, digits: int = 3) -> str:
    """The median of the basins that have a value, with their number where that is not `of`.

    >>> [median_text(pd.Series([0.5, math.nan, 0.7]), of=basins) for basins in (3, 2)]
    ['0.600 (of 2)', '0.600']
    """
    known = defined(values)
    if known.empty:
        return "--"
    return f"{known.median() + 0.0:.{digits}f}" + ("" if len(known) == of else f" (of {len(known)})")


def share_of_basins(number: int, *, of: int) -> str:
    """How many of all basins, in words.

    >>> share_of_basins(2, of=5), share_of_basins(5, of=5)
    ('2 of 5 basins', '5 basins')
    """
    return count_of(of) if number == of else f"{number} of {count_of(of)}"


def worst_basins(
    dataset: xr.Dataset,
    scores: "pd.Series[float]",
    *,
    train: Labels | AnyPeriod,
    test: Labels | AnyPeriod,
    number: int = 10,
    best: float | None = None,
) -> pd.DataFrame:
    """The basins with the worst scores, and what in the data may explain it.

    Parameters
    ----------
    dataset
        Canonical, with `discharge`; precipitation and the attribute `aridity` are looked at where they are there.
    scores
        Of the test period, index gauge_id. The worst are those without a value, then those farthest from the best value of the
        metric in the Series' name.
    train, test
        Either period as labels, for `dataset.sel(time=train)`.
    number
        How many.
    best
        Best value of the metric; None: that of `runoff_lstm.evaluation.metrics.METRICS`.

    Returns
    -------
    DataFrame
        Index gauge_id, from the worst on; columns the score's name, `mean_discharge` of the test period [mm per step], `zero_flow`
        and `missing`, shares of its steps, and `seen`, what stands out, in words.

    Raises
    ------
    InputError
        The best value of the metric is not known.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> import pandas as pd
    >>> scores = pd.Series([0.3, 0.8], data["basin"].values, name="NSE")
    >>> worst = rl.worst_basins(data, scores, train=("2000-01-01", "2000-12-31"), test=("2001-01-01", "2001-12-30"), number=1)
    >>> worst.index.tolist()
    ['01013500']
    """
    times = times_of(as_dataset(dataset))
    train, test = as_labels("train", train, times), as_labels("test", test, times)
    rain = [str(name) for name in dataset.data_vars if is_precipitation(str(name)) and TIME in dataset[name].dims]
    rows = {}
    for gauge_id, score in _from_the_worst(scores, best).head(number).items():
        one = dataset.sel({BASIN: gauge_id})
        tested, trained = one[DISCHARGE].sel({TIME: test}).values, one[DISCHARGE].sel({TIME: train}).values
        there = tested[np.isfinite(tested)]
        mean, zero, missing = (
            (float(there.mean()), float((there == 0).mean()), 1 - there.size / tested.size)
            if there.size
            else (math.nan, math.nan, 1.0)
        )
        seen = [] if np.isfinite(score) else [f"{scores.name} undefined"]
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


def median_basin(scores: "pd.Series[float]") -> str | None:
    """The gauge id whose score is nearest to the median of those that have one; None where none has."""
    known = defined(scores)
    return None if known.empty else str((known - known.median()).abs().idxmin())


def _from_the_worst(scores: "pd.Series[float]", best: float | None) -> "pd.Series[float]":
    """The undefined first, then from the farthest from the best value on."""
    best = best_of(str(scores.name), best)
    if best is None:
        raise InputError(
            f"the best value of '{scores.name}' is not known, so the worst basins cannot be told; give it, such as best=0"
        )
    distance = (scores - best).abs().replace(math.inf, math.nan)
    return scores[distance.sort_values(ascending=False, na_position="first", kind="stable").index]


def best_of(metric: str, best: float | None) -> float | None:
    """The best value given, or that of a known metric."""
    key = known_metric(metric)
    return best if best is not None or key is None else METRICS[key].best
