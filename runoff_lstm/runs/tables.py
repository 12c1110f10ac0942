"""Print scores as tables on the terminal."""

import os
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from runoff_lstm.runs.ensemble import ManyRuns
    from runoff_lstm.runs.run import Run
    from runoff_lstm.runs.scores import LeadScores, Scores


def show_run(run: "Run", *, quiet: bool) -> None:
    if quiet:
        return
    for period, sums in run.coverage.groupby("period", sort=False).sum(numeric_only=True).iterrows():
        left_out = f"{sums['without_history']} without enough history, {sums['without_discharge']} without discharge"
        typer.echo(f"{period}: {sums['used']} of {sums['steps']} steps used ({left_out})")
    if run.scores is not None:
        show_scores(run.scores, f"{run.name}, test period")
    typer.echo(f"run folder: {os.path.relpath(run.path)}")


def show_many(done: "ManyRuns", name: str) -> None:
    """Print a row per run with its first metrics (all are in runs.csv), then the joint scores."""
    from rich.table import Table

    metrics = [str(column) for column in done.runs if f"{column}_basins" in done.runs][:7]  # fits a narrow terminal
    by_lead = metrics[0].startswith("NSE lead")
    table = Table(title=f"{name}: medians of each run" + (", NSE" if by_lead else ""))
    names = (one.removeprefix("NSE ") if by_lead else one for one in metrics)
    for heading in (str(done.runs.index.name), *names, "basins"):
        table.add_column(heading, justify="right")
    for label, row in done.runs.iterrows():
        cells = (_figure(row[one], row[f"{one}_basins"], one, of=row["basins"]) for one in metrics)
        table.add_row(str(label), *cells, str(row["basins"]))
    _console().print(table)
    show_scores(done.scores, f"{name}, all together")
    typer.echo(f"run folder: {os.path.relpath(done.path)}")


def show_inventory(found: "pd.DataFrame") -> None:
    """Print a row per basin, at most the first 20, with the columns that have a nonzero value in any basin."""
    from rich import box
    from rich.table import Table

    most = 20
    shown = [str(name) for name in found if name == "observed" or (found[name].notna() & (found[name] != 0)).any()]
    table = Table(
        title=f"{len(found)} basins" + (f", the first {most}" if len(found) > most else ""),
        caption=None if len(shown) == len(found.columns) else "columns of zeros are left out",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("gauge id", justify="right", min_width=8, overflow="fold")
    for heading in shown:
        table.add_column(
            heading.replace("_", " "), justify="right", no_wrap=heading in ("first", "last"), min_width=5, overflow="fold"
        )
    for gauge_id, values in found[shown].head(most).iterrows():
        table.add_row(str(gauge_id), *map(_cell, values))
    _console().print(table)


def _console() -> "Console":
    """Return the terminal, with markup and :emoji: codes in names printed unchanged."""
    from rich.console import Console

    return Console(markup=False, emoji=False)


def _cell(value: Any) -> str:
    """Format a date, a count or a share as text."""
    if hasattr(value, "year"):
        return str(value)[:10]
    return f"{value:.0f}" if value == round(value, 0) else f"{value:.3f}"


def show_scores(scores: "Scores | LeadScores", title: str) -> None:
    """Print a table of model and baselines, one row per metric.

    Forecasts are shown by lead time. Over several basins the values are medians. A median over a different number of basins than in
    the title is followed by that number.
    """
    from rich.table import Table

    from runoff_lstm.evaluation.basins import medians, share_of_basins
    from runoff_lstm.runs.scores import LeadScores

    if isinstance(scores, LeadScores):
        _show_lead_scores(scores, title)
        return

    columns = {"model": medians(scores.metrics)}
    for name, table in scores.baselines.groupby("baseline"):
        columns[str(name)] = medians(table.drop(columns="baseline"))
    basins, scored = len(scores.metrics), columns["model"]["days"][1]
    shown = Table(title=title if basins == 1 else f"{title}, median of {share_of_basins(scored, of=basins)}")
    for heading in ("", *columns):
        shown.add_column(heading, justify="right" if heading else "left", max_width=22)
    for metric in map(str, scores.metrics.columns):
        cells = (_figure(*one[metric], metric, of=scored) for one in columns.values())
        shown.add_row(metric, *cells)
    _console().print(shown)
    if basins > 1 and "NSE" in scores.metrics:
        typer.echo(_nse_line(scores.metrics["NSE"]))


def _nse_line(nse: "pd.Series[float]") -> str:
    """Summarise the NSE over many basins in one line."""
    from runoff_lstm.evaluation.basins import summary

    of = summary(nse)
    if not of.basins:
        return f"NSE: undefined in all {of.undefined} basins"
    undefined = f", undefined in {of.undefined} more" if of.undefined else ""
    share = f"at or below 0 in {of.at_or_below_zero} of {of.basins} basins{undefined}"
    return f"NSE: median {of.median:.4f}, mean {of.mean:.4f}, {share}"


def _show_lead_scores(scores: "LeadScores", title: str) -> None:
    """Print NSE by lead time of model and baselines (medians over basins), then a line of RMSE for each."""
    from rich.table import Table

    from runoff_lstm.evaluation.basins import count_of, median_text
    from runoff_lstm.evaluation.lead_times import summary_line

    table = scores.table
    basins, models = table["gauge_id"].nunique(), list(table["model"].unique())
    of_basins = "" if basins == 1 else f", median of {count_of(basins)}"
    shown = Table(title=f"{title}, NSE{of_basins}")
    for heading in ("lead time", *models):
        shown.add_column(heading, justify="right")
    for lead, rows in table.groupby("lead_time"):
        shown.add_row(str(lead), *(median_text(rows.loc[rows["model"] == model, "NSE"], of=basins) for model in models))
    _console().print(shown)
    typer.echo(f"RMSE [{scores.forecast.attrs['units']}]{of_basins}, all lead times together in brackets, then each:")
    for model in models:
        typer.echo(summary_line(table, model))


def _figure(median: float, basins: float, metric: str, *, of: int) -> str:
    """Format a median, with its number of basins if that differs from `of`."""
    if not basins:
        return "--"
    count = "" if basins == of else f" (of {basins:.0f})"
    return (f"{median:.0f}" if metric == "days" else f"{median + 0.0:.3f}") + count
