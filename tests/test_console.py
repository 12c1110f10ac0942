import pandas as pd
import pytest
import xarray as xr

from runoff_lstm.console import show_inventory, show_many
from runoff_lstm.many_runs import ManyRuns
from runoff_lstm.run_scores import Scores


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


@pytest.mark.parametrize("name", ["[/red]", "[bold]x", ":smile:"])
def test_names_and_gauge_ids_are_shown_as_they_stand(name, capsys, tmp_path):
    show_inventory(pd.DataFrame({"observed": [5]}, index=pd.Index([name], name="basin")))
    assert name in capsys.readouterr().out
    scores = Scores(pd.DataFrame({"NSE": [0.5]}, index=[name]), pd.DataFrame({"yardstick": [name], "NSE": [0.1]}), xr.Dataset())
    runs = pd.DataFrame({"folder": [name], "NSE": [0.5]}, index=pd.Index([name], name=name))
    show_many(ManyRuns(tmp_path, runs, scores), name)
    assert capsys.readouterr().out.count(name) == 5
