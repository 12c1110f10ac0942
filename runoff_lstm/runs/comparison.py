"""Compare two run folders or tables of scores basin by basin, including period, unit and observations of the scoring."""

from pathlib import Path

import xarray as xr

from runoff_lstm.data.names import BASIN, TIME
from runoff_lstm.data.periods import AnyPeriod, period_of
from runoff_lstm.errors import InputError
from runoff_lstm.evaluation.comparison import Comparison, Scored, compare_scored, read_days, read_scores
from runoff_lstm.runs.folder import RunFolder


def compare_tables(ours: str | Path, reference: str | Path, metric: str = "NSE", *, best: float | None = None) -> Comparison:
    """Compare a metric of two run folders or tables of scores (CSV) basin by basin.

    Both must be scored over the same period, in the same unit. Minor differences, and facts missing from a table, are in `notes`.

    Parameters
    ----------
    ours, reference
        A run folder (its test period), or a table of scores in CSV.
    metric
        A column of both, in any letter case.
    best
        See `compare`.

    Raises
    ------
    InputError
        As `compare` and `read_scores`, or the periods or units of the two differ.
    """
    one, other = (_read_scored(Path(path), metric) for path in (ours, reference))
    return compare_scored(one, other, best=best)


def table_of(path: Path) -> Path:
    """Return the path of the table of scores of a run folder or file."""
    return RunFolder(path).metrics() if path.is_dir() else path


def _read_scored(path: Path, metric: str) -> Scored:
    """Read a metric of a test period or table, with the other files in its run folder."""
    table = table_of(path)
    folder = RunFolder(table.parent)
    by_lead = folder.lead_scores()
    if path.is_dir() and not table.is_file() and by_lead.is_file():
        raise InputError(f"{path} holds forecasts, scored by lead time in {by_lead.name}; compare runs that simulate")
    scores = read_scores(table, metric)
    period_name = folder.period_scored(table)
    return Scored(
        source=str(path),
        scores=scores,
        days=read_days(table),
        observed=None if period_name is None else _observed(folder.simulation(period_name)),
        period=None if period_name is None else _stated_period(folder, period_name),
    )


def _observed(path: Path) -> xr.DataArray | None:
    """Read the observed discharge of a run's simulation, dims (basin, time)."""
    if not path.is_file():
        return None
    with xr.open_dataset(path) as opened:
        observed: xr.DataArray = opened["observed"].transpose(BASIN, TIME).load()
    return observed


def _stated_period(folder: RunFolder, name: str) -> AnyPeriod | None:
    """Read a period of an experiment file.

    None for temporal folds, scored on blocks of the training period.
    """
    settings = folder.settings()
    dates = settings.get("periods", {}).get(name)
    return None if dates is None or settings.get("folds", {}).get("by") == "period" else period_of(dates)
