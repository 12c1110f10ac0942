import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from runoff_lstm.runs.ensemble import ManyRuns
from runoff_lstm.runs.scores import LeadScores, Scores
from runoff_lstm.runs.tables import show_inventory, show_many, show_scores

NAN = np.nan


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10593, "10593"),
        (10593.0, "10593"),
        (0.28584, "0.286"),
        (float("nan"), "nan"),
        (pd.NaT, "NaT"),
        (pd.Timestamp("2000-02-29"), "2000-02-29"),
    ],
)
def test_counts_are_shown_whole_and_dates_as_days(value, text, capsys):
    show_inventory(pd.DataFrame({"observed": [value]}, index=pd.Index(["07340300"], name="basin")))
    assert text in capsys.readouterr().out.split()


def scored(**columns):
    """Scores of a model, and the same of both baselines but for what a test changes."""
    gauge_ids = pd.Index([f"{place:02d}" for place in range(len(next(iter(columns.values()))))], name="gauge_id")
    metrics = pd.DataFrame(columns, index=gauge_ids)
    baselines = pd.concat([metrics.assign(baseline=name) for name in ("climatology", "persistence")])
    return Scores(metrics, baselines, xr.Dataset())


def rows_of(output):
    """The cells of each row of a table by its first one."""
    rows = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in output.splitlines() if re.match(" *[│┃]", line)]
    return {row[0]: row[1:] for row in rows}


def test_every_median_says_of_how_many_basins_it_is_where_the_title_does_not(capsys):
    found = scored(NSE=[0.9, NAN, 0.7, NAN, NAN], RMSE=[1.0, 2.0, 3.0, 4.0, NAN], KGE=[NAN] * 5, days=[10, 20, 30, 40, 0])
    found.baselines.loc[found.baselines["baseline"] == "climatology", "NSE"] = [0.1, 0.2, 0.3, 0.4, NAN]
    show_scores(found, "leaf")
    output = capsys.readouterr().out
    assert "leaf, median of 4 of 5 basins" in " ".join(output.split())
    rows = rows_of(output)
    assert rows["NSE"] == ["0.800 (of 2)", "0.250", "0.800 (of 2)"]
    assert rows["RMSE"] == ["2.500", "2.500", "2.500"]
    assert rows["KGE"] == ["--", "--", "--"]
    assert rows["days"] == ["25", "25", "25"]  # of the basins scored: a score of 0 days is none
    assert "NSE: median 0.8000, mean 0.8000, at or below 0 in 0 of 2 basins, undefined in 3 more" in output


def test_scores_of_one_basin_and_of_all_basins_are_shown_without_numbers_of_basins(capsys):
    show_scores(scored(NSE=[0.9], days=[10]), "leaf")
    assert rows_of(capsys.readouterr().out) == {
        "": ["model", "climatology", "persistence"],
        "NSE": ["0.900"] * 3,
        "days": ["10"] * 3,
    }
    show_scores(scored(NSE=[0.9, 0.5], days=[10, 10]), "leaf")
    output = capsys.readouterr().out
    assert "leaf, median of 2 basins" in output
    assert "(of" not in output
    show_scores(scored(NSE=[NAN, NAN], days=[0, 0]), "leaf")
    output = capsys.readouterr().out
    assert "leaf, median of 0 of 2 basins" in output
    assert "NSE: undefined in all 2 basins" in output


def test_medians_by_lead_time_say_of_how_many_basins_they_are(capsys):
    rows = [
        ("lstm", gauge_id, lead, value, 1.0, 10)
        for gauge_id, lead, value in (("a", 1, 0.9), ("b", 1, NAN), ("a", 2, 0.5), ("b", 2, 0.7))
    ]
    table = pd.DataFrame(rows, columns=["model", "gauge_id", "lead_time", "NSE", "RMSE", "days"])
    show_scores(LeadScores(table, xr.DataArray(0.0, attrs={"units": "mm d-1"})), "leaf")
    output = capsys.readouterr().out
    assert "median of 2 basins" in output
    assert rows_of(output)["1"] == ["0.900 (of 1)"]
    assert rows_of(output)["2"] == ["0.600"]
    assert "RMSE [mm d-1], median of 2 basins, all lead times" in " ".join(output.split())


def test_the_table_of_runs_says_of_how_many_basins_each_run_and_median_is(capsys):
    runs = pd.DataFrame(
        {
            "folder": ["fold-1", "fold-2"],
            "NSE": [0.5, 0.6],
            "days": [10.0, 10.0],
            "basins": [3, 2],
            "NSE_basins": [1, 2],
            "days_basins": [3, 2],
        },
        index=pd.Index([1, 2], name="fold"),
    )
    show_many(ManyRuns(Path("runs/folds"), runs, scored(NSE=[0.9], days=[10])), "region")
    rows = rows_of(capsys.readouterr().out)
    assert rows["fold"] == ["NSE", "days", "basins"]
    assert rows["1"] == ["0.500 (of 1)", "10", "3"]
    assert rows["2"] == ["0.600", "10", "2"]


@pytest.mark.parametrize("name", ["[/red]", "[bold]x", ":smile:"])
def test_names_and_gauge_ids_are_shown_as_they_stand(name, capsys, tmp_path):
    show_inventory(pd.DataFrame({"observed": [5]}, index=pd.Index([name], name="basin")))
    assert name in capsys.readouterr().out
    metrics = pd.DataFrame({"NSE": [0.5], "days": [10]}, index=[name])
    scores = Scores(metrics, metrics.assign(baseline=name), xr.Dataset())
    counts = {"basins": [1], "NSE_basins": [1]}
    runs = pd.DataFrame({"folder": [name], "NSE": [0.5], **counts}, index=pd.Index([name], name=name))
    show_many(ManyRuns(tmp_path, runs, scores), name)
    assert capsys.readouterr().out.count(name) == 5
