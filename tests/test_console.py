import pandas as pd
import pytest

from runoff_lstm.console import show_inventory


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
