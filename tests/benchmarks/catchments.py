"""Scores and times of the shipped configs, several seeds, each as the command a user runs.

python tests/benchmarks/catchments.py [SEEDS]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from brief import BRIEF, setting

ROOT = Path(__file__).parents[2]
NAMES = setting(("leaf", "baskatong", "au_saumon"), brief=("leaf",))
QUICK = ["--set", "training.steps=2", "--set", "training.validate_every=2"] if BRIEF else []


def main() -> None:
    seeds = range(1, int(sys.argv[1]) + 1 if len(sys.argv) > 1 else 4)
    rows = []
    for name in NAMES:
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                config = ROOT / "catchments" / name / f"{name}.toml"
                command = ["train", config, "--run-dir", run, "--seed", seed, "--quiet", *QUICK]
                start = time.perf_counter()
                subprocess.run([sys.executable, "-m", "runoff_lstm.cli", *map(str, command)], check=True, stderr=subprocess.DEVNULL)
                whole = time.perf_counter() - start
                scores, history = pd.read_csv(run / "test_metrics.csv"), pd.read_csv(run / "history.csv")
                rows.append(
                    {
                        "catchment": name,
                        "seed": seed,
                        "validation_NSE": history.loc[history["kept"], "validation_NSE"].iloc[0],
                        **scores[["NSE", "KGE", "KGE_beta", "log_NSE", "RMSE"]].iloc[0],
                        "training_s": history["seconds"].iloc[-1],
                        "command_s": whole,
                    }
                )
                print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    print(table.round(3).to_string(index=False))
    print(table.groupby("catchment").median().round(3).drop(columns="seed").to_string())


if __name__ == "__main__":
    main()
