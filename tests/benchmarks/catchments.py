"""Scores and times of the shipped configs, several seeds, each as the command a user runs.

python tests/benchmarks/catchments.py [SEEDS]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[2]


def main() -> None:
    seeds = range(1, int(sys.argv[1]) + 1 if len(sys.argv) > 1 else 4)
    rows = []
    for name in ("leaf", "baskatong", "au_saumon"):
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                command = ["train", ROOT / "catchments" / name / f"{name}.toml", "--run-dir", run, "--seed", seed, "--quiet"]
                start = time.perf_counter()
                subprocess.run([sys.executable, "-m", "runoff_lstm.cli", *map(str, command)], check=True, stderr=subprocess.DEVNULL)
                whole = time.perf_counter() - start
                scores, history = pd.read_csv(run / "test_metrics.csv"), pd.read_csv(run / "history.csv")
                rows.append(
                    {
                        "catchment": name,
                        "seed": seed,
                        "validation_NSE": history["validation_NSE"].max(),
                        **scores[["NSE", "KGE", "RMSE"]].iloc[0],
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
