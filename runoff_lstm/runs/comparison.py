"""From two run folders or tables of scores to their comparison basin by basin, with all that a folder tells of its scoring."""

from pathlib import Path

import xarray as xr

from runoff_lstm.data.names import BASIN, TIME
from runoff_lstm.data.periods import AnyPeriod, period_of
from runoff_lstm.errors import InputError
from runoff_lstm.evaluation.comparison import Comparison, Scored, compare_scored, read_days, read_scores
from runoff_lstm.runs.folder import RunFolder


def compare_tables(ours: str | Path, reference: str | Path, metric: str = "NSE", *, best: float | None = None) -> Comparison:
    """Compare a metric of two run folders or tables of scores (CSV) basin by basin, where both were scored alike.

    Differences that leave the comparison possible, and what a table does not say of itself, are in `notes`.

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
        As `compare` and `read_scores`; or the two were scored over different periods, or in different units.
    """
    one, other = (_read_scored(Path(path), metric) for path in (ours, reference))
    return compare_scored(one, other, best=best)


def table_of(path: Path) -> Path:
    """The table of scores that a run folder, or a file, stands for."""
    return RunFolder(path).metrics() if path.is_dir() else path


def _read_scored(path: Path, metric: str) -> Scored:
    """A metric of a run folder's test period, or of a table, with what lies beside the table in the folder."""
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
    """The observed discharge of a run's simulation, dims (basin, time)."""
    if not path.is_file():
        return None
    with xr.open_dataset(path) as opened:
        observed: xr.DataArray = opened["observed"].transpose(BASIN, TIME).load()
    return observed


def _stated_period(folder: RunFolder, name: str) -> AnyPeriod | None:
    """A period of an experiment file; None for folds of periods, which are scored on blocks of the training period."""
    settings = folder.settings()
    dates = settings.get("periods", {}).get(name)
    return None if dates is None or settings.get("folds", {}).get("by") == "period" else period_of(dates)
