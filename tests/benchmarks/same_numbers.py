"""Train eight small models on two commits and compare weights, simulations and forecasts bit by bit.

python tests/benchmarks/same_numbers.py BEFORE [AFTER]

Both commits (default of the second: the working tree) run one after the other on this machine, with one thread. A difference is
shown as its largest size; the exit status is the number of configurations that differ.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

ROOT = Path(__file__).parents[2]
SHARED = {"sequence_length": 30, "targets_per_window": 20}
LEADS = {**SHARED, "forcing": ("precipitation", "temperature"), "lead_times": 3, "forecast_forcing": ("precipitation",)}
CONFIGURATIONS: dict[str, dict] = {
    "shared windows": {"inputs": SHARED},
    "strict": {"inputs": {"sequence_length": 30}, "architecture": {"hidden_sizes": (8, 6), "dropout": {"output": 0.2}}},
    "root with season and attributes": {
        "inputs": {**SHARED, "root_transform": True, "season": True, "static_attributes": ("elevation", "aridity")},
        "recipe": {"loss": "nse", "gradient_length": 15},
    },
    "lag with softplus and KGE": {
        "inputs": {**SHARED, "discharge_lags": (1,)},
        "architecture": {"head": "softplus"},
        "recipe": {"loss": "kge", "hide_discharge": 0.3},
    },
    "direct, three lead times": {"inputs": LEADS, "architecture": {"forecast": "direct"}},
    "direct, one lead time": {"inputs": {**LEADS, "lead_times": 1}, "architecture": {"forecast": "direct"}},
    "encoder-decoder": {"inputs": LEADS, "architecture": {"forecast": "encoder_decoder", "dropout": {"output": 0.2}}},
    "recursive": {"inputs": LEADS, "architecture": {"forecast": "recursive"}},
}


def basins() -> xr.Dataset:
    """Three years of two made-up basins: a slow reservoir fed by showers."""
    random = np.random.default_rng(7)
    times = pd.date_range("2000-01-01", "2002-12-31", freq="D")
    rain = random.gamma(0.3, 12.0, (2, len(times)))
    warmth = 10 + 8 * np.sin(2 * np.pi * np.arange(len(times)) / 365.25) + random.normal(0, 2, (2, len(times)))
    flow, store = np.zeros_like(rain), np.array([10.0, 20.0])
    for day in range(len(times)):
        store = store + 0.6 * rain[:, day]
        flow[:, day] = store * [0.05, 0.1]
        store = store - flow[:, day]
    flow[0, 50:60] = np.nan
    over_time = {"precipitation": (rain, "mm d-1"), "temperature": (warmth, "degC"), "discharge": (flow, "mm d-1")}
    series = {name: (("basin", "time"), values.astype("float32"), {"units": units}) for name, (values, units) in over_time.items()}
    fixed = {"elevation": (("basin",), [200.0, 900.0]), "aridity": (("basin",), [0.7, 1.3])}
    return xr.Dataset(series | fixed, coords={"basin": ["01", "02"], "time": times})


def train_all(out: Path) -> None:
    """Train every configuration with the package on the path; write weights and series to `out`."""
    import torch

    import runoff_lstm as rl

    torch.set_num_threads(1)
    dataset, made = basins(), {}
    periods = rl.Periods(train=rl.Period("2000-02-15", "2001-06-30"), validation=rl.Period("2001-07-01", "2001-12-31"))
    for name, form in CONFIGURATIONS.items():
        inputs = rl.Inputs(**{"forcing": ("precipitation", "temperature"), **form["inputs"]})
        asked = form.get("architecture", {})
        architecture = rl.Architecture(
            **{"hidden_sizes": (8,), **asked, "dropout": rl.Dropout(**asked.get("dropout", {"output": 0.0}))}
        )
        recipe = rl.Recipe(**{"steps": 24, "batch_size": 8, "learning_rate": 1e-2, "validate_every": 8, **form.get("recipe", {})})
        trained = rl.train(dataset, periods=periods, inputs=inputs, architecture=architecture, recipe=recipe, seed=3, device="cpu")
        for part, values in trained.model.module.state_dict().items():
            made[f"{name}|weights|{part}"] = values.numpy()
        if inputs.lead_times:
            made[f"{name}|forecast|"] = trained.model.forecast(dataset, period=rl.Period("2002-01-01", "2002-12-28"))[
                "forecast"
            ].values
        else:
            for mode in ("windows", "continuous"):
                made[f"{name}|simulation|{mode}"] = trained.model.simulate(dataset, mode=mode)["simulated"].values
        made[f"{name}|validation|"] = trained.history["validation_NSE"].to_numpy()
    np.savez(out, **made)


def of_commit(commit: str | None, folder: Path) -> dict[str, np.ndarray]:
    """What `train_all` makes with the package of a commit; None: of the working tree."""
    tree = ROOT
    if commit is not None:
        tree = folder / "tree"
        tree.mkdir(parents=True)
        archive = subprocess.run(["git", "archive", commit, "runoff_lstm"], cwd=ROOT, check=True, capture_output=True)
        subprocess.run(["tar", "-x"], cwd=tree, input=archive.stdout, check=True)
    folder.mkdir(exist_ok=True)
    out = folder / "made.npz"
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, __file__, "--train", out], check=True, env=environment, cwd=folder)
    with np.load(out) as made:
        return dict(made)


def compared(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> dict[str, str]:
    """By configuration and kind, "equal" or how far apart."""
    verdicts = {}
    for group in dict.fromkeys(tuple(key.split("|")[:2]) for key in before):
        one, other = ([values for key, values in made.items() if tuple(key.split("|")[:2]) == group] for made in (before, after))
        if [values.shape for values in one] != [values.shape for values in other]:
            verdicts[", ".join(group)] = f"other shapes: {[v.shape for v in one]} and {[v.shape for v in other]}"
            continue
        same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))
        apart = max(float(np.nanmax(np.abs(a.astype(float) - b), initial=0.0)) for a, b in zip(one, other, strict=True))
        verdicts[", ".join(group)] = "equal" if same else f"apart by up to {apart:.3g}"
    return verdicts


def main() -> int:
    if sys.argv[1] == "--train":
        train_all(Path(sys.argv[2]))
        return 0
    before, after = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as folder:
        made = [of_commit(commit, Path(folder) / name) for commit, name in ((before, "before"), (after, "after"))]
    verdicts = compared(*made)
    print(json.dumps(verdicts, indent=1))
    return len({group.rpartition(", ")[0] for group, verdict in verdicts.items() if verdict != "equal"})


if __name__ == "__main__":
    sys.exit(main())
