"""What the package logs is shown once: in a script, in a notebook, beside the logging of a user's own."""

import subprocess
import sys

import pytest

SCRIPT = """
{before}
import numpy as np, pandas as pd, xarray as xr
import runoff_lstm as rl
{after}
days = pd.date_range("2000-01-01", periods=60)
flow = np.linspace(1, 2, 60, dtype="float32")[None].copy()
flow[0, 40:44] = np.nan
data = xr.Dataset(
    {{name: (("basin", "time"), flow if name == "discharge" else np.arange(60.0)[None], {{"units": "mm d-1"}})
     for name in ("discharge", "rain")}},
    {{"basin": ["01013500"], "time": days}},
)
rl.fill_by_interpolation(data, "discharge", limit=4)
rl.train(data, periods=rl.Periods(("2000-01-01", "2000-02-20")), inputs=rl.Inputs("rain", sequence_length=5),
         recipe=rl.Recipe(steps=1), device="cpu", architecture=rl.Architecture(hidden_sizes=2))
"""
FILLED = "basin 01013500: discharge: 4 value(s) filled by interpolation"
USED = "train: 43 of 51 steps are used; 4 have too little history of complete forcing, 4 no observed discharge"


def written(before="", after=""):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before, after=after)], capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    ("before", "after", "times"),
    [
        ("", "", 1),
        ("import logging; logging.basicConfig(level=logging.INFO)", "", 1),
        ("", "import logging; logging.basicConfig(level=logging.INFO)", 1),
        ("", "import logging; logging.getLogger('runoff_lstm').addHandler(logging.StreamHandler())", 1),
        ("", "import logging; logging.getLogger('runoff_lstm').setLevel('WARNING')", 0),
    ],
)
def test_counts_of_what_is_filled_and_left_out_are_shown_once(before, after, times):
    out, err = written(before, after)
    assert out == ""
    assert (err.count(FILLED), err.count(USED)) == (times, times)


def test_in_a_notebook_they_are_part_of_the_output():
    out, err = written("import sys; sys.modules['ipykernel'] = None")
    assert err == ""
    assert out.count(FILLED) == out.count(USED) == 1
