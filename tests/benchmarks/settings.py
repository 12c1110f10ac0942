"""Choose the settings of the bundled catchments on validation years: NSE, KGE, volume and low flows together, several seeds each.

python tests/benchmarks/settings.py [--names leaf ...] [--seeds 4] [--table settings.csv]

Every candidate is trained on the training period alone and scored on two halves of the validation years. A candidate takes the
place of the shipped settings where it is better on both halves. The test period is not looked at.
"""

import argparse
import time
from pathlib import Path

import pandas as pd

import runoff_lstm as rl
from runoff_lstm.data.readers import READERS
from runoff_lstm.experiment import read_experiment

ROOT = Path(__file__).parents[2]

CANDIDATES = {
    "shipped": [],
    "half the updates": ["training.steps={half}"],
    "twice the updates": ["training.steps={twice}"],
    "batch 16, rate 9e-3, 480 updates": ["training.batch_size=16", "training.learning_rate=9e-3", "training.steps=480"],
    "batch 16, rate 9e-3, 240 updates": ["training.batch_size=16", "training.learning_rate=9e-3", "training.steps=240"],
    "batch 4, rate 1.2e-2, 960 updates": ["training.batch_size=4", "training.learning_rate=1.2e-2", "training.steps=960"],
    "batch 8, rate 1e-2, 480 updates": ["training.batch_size=8", "training.learning_rate=1e-2", "training.steps=480"],
    "half the rate": ["training.learning_rate={half_rate}"],
    "dropout 0.2": ["model.dropout.output=0.2"],
    "dropout 0.5": ["model.dropout.output=0.5"],
    "96 units": ["model.hidden_sizes=[96]"],
    "the time of the year": ["windows.season=true"],
    "the root of discharge": ["windows.root_transform=true"],
    "weight drop 0.2": ["model.dropout.kind='weight_drop'", "model.dropout.recurrent=0.2"],
    "mean absolute error": ["training.loss='mae'"],
    "kge": ["training.loss='kge'"],
}
METRICS = ["NSE", "KGE", "KGE_beta", "log_NSE"]


def judged(scores: pd.Series) -> float:
    """One number for the four: the mean of NSE, KGE, log-NSE and how near the volume ratio is to 1."""
    return (scores["NSE"] + scores["KGE"] + scores["log_NSE"] + 1 - abs(scores["KGE_beta"] - 1)) / 4


def halves(period: rl.Period) -> list[rl.Period]:
    """The first and the second half of the years of a period."""
    start, end = pd.Timestamp(period.start), pd.Timestamp(period.end)
    middle = start + pd.DateOffset(months=12 * ((end - start).days // 730))
    return [rl.Period(str(start.date()), str((middle - pd.Timedelta("1D")).date())), rl.Period(str(middle.date()), str(end.date()))]


def trial(name: str, overrides: list[str], seed: int) -> list[dict]:
    """Train one candidate on one seed; a row of scores for each half of the validation years."""
    config = ROOT / "catchments" / name / f"{name}.toml"
    shipped = read_experiment(config).training
    filled = {"half": shipped.steps // 2, "twice": shipped.steps * 2, "half_rate": shipped.learning_rate / 2}
    experiment = read_experiment(config, overrides=[f"seed={seed}", *(one.format(**filled) for one in overrides)])
    arguments = experiment.arguments()
    dataset = READERS[experiment.data.source](experiment.data.path, **experiment.data.reader_arguments())
    validation = arguments["periods"].validation
    start = time.perf_counter()
    trained = rl.train(
        dataset,
        periods=rl.Periods(train=arguments["periods"].train),
        inputs=arguments["inputs"],
        architecture=arguments["architecture"],
        recipe=arguments["recipe"],
        seed=seed,
        device="cpu",
    )
    seconds = time.perf_counter() - start
    rows = []
    for number, half in enumerate(halves(validation), start=1):
        simulated = trained.model.simulate(dataset, period=half)["simulated"]
        observed = dataset["discharge"].sel(time=simulated["time"])
        scores = rl.evaluate(observed=observed, simulated=simulated, metrics=METRICS).iloc[0]
        rows.append({"half": number, **scores[METRICS], "judged": judged(scores), "seconds": seconds})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--names", nargs="+", default=["leaf", "baskatong", "au_saumon"])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--only", nargs="+", help="candidates by name")
    parser.add_argument(
        "--table", type=Path, default=Path("settings.csv"), help="keeps each trial, so that a stopped search resumes"
    )
    asked = parser.parse_args()
    done = pd.read_csv(asked.table) if asked.table.exists() else pd.DataFrame(columns=["catchment", "candidate", "seed"])
    for name in asked.names:
        for seed in range(1, asked.seeds + 1):
            for candidate, overrides in CANDIDATES.items():
                if asked.only and candidate not in asked.only:
                    continue
                if ((done["catchment"] == name) & (done["candidate"] == candidate) & (done["seed"] == seed)).any():
                    continue
                rows = pd.DataFrame(trial(name, overrides, seed)).assign(catchment=name, candidate=candidate, seed=seed)
                done = pd.concat([done, rows], ignore_index=True)
                done.to_csv(asked.table, index=False)
                print(rows.round(3).to_string(index=False, header=False), flush=True)
    table = done.groupby(["catchment", "candidate", "half"])[[*METRICS, "judged"]].agg(["median", "min"])
    print(table.round(3).to_string())


if __name__ == "__main__":
    main()
