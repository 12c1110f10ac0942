"""Observed and predicted discharge to tables of scores.

In: series with dims (basin, time), or forecasts (basin, issue_date, lead_time), as observed= and simulated=. Out: a row for
each basin. `metrics` has the formulas and METRICS, `baselines` climatology and persistence, `lead_times` scores by lead time,
`basins` what many basins say together, `matching` puts both series on the same steps.

May not import torch or models: any model's output is scored alike. hydroeval is known to `metrics` alone. An undefined score is
NaN, and a figure over many basins says of how many it is.
"""

from runoff_lstm.evaluation.baselines import climatology, persistence, score_baselines, score_yardsticks
from runoff_lstm.evaluation.basins import summary, worst_basins
from runoff_lstm.evaluation.comparison import compare, read_scores
from runoff_lstm.evaluation.lead_times import score_lead_times, summary_line
from runoff_lstm.evaluation.metrics import METRICS, evaluate

__all__ = [
    "METRICS",
    "climatology",
    "compare",
    "evaluate",
    "persistence",
    "read_scores",
    "score_baselines",
    "score_lead_times",
    "score_yardsticks",
    "summary",
    "summary_line",
    "worst_basins",
]
