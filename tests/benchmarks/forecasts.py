"""Scores by lead time of the shipped forecast configs, seed by seed and together, or with the weather of the days to come given.

python tests/benchmarks/forecasts.py [SEEDS] [--perfect]
"""

import argparse
import tempfile
import time
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from brief import BRIEF

from runoff_lstm.data.readers import READERS
from runoff_lstm.data.times import times_of
from runoff_lstm.evaluation.lead_times import score_lead_times
from runoff_lstm.experiment import read_experiment
from runoff_lstm.prediction.forecast import last_issue_dates
from runoff_lstm.prediction.input_warnings import OutsideTrainingRangeWarning
from runoff_lstm.runs.run import train_run
from runoff_lstm.runs.scores import mean_of
from runoff_lstm.runs.walk_forward import LSTMForecaster, walk_forward

ROOT = Path(__file__).parents[2]

PERFECT = ["model.dropout.recurrent=0.1", "model.forecast='encoder_decoder'", "training.steps=480", "training.learning_rate=1e-2"]
"""Settings for forecasts that are given the forcing to come."""

QUICK = ["training.steps=2", "training.validate_every=2", "model.hidden_sizes=[4]", "windows.lead_times=2"] if BRIEF else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    warnings.filterwarnings("ignore", category=OutsideTrainingRangeWarning)
    parser.add_argument("seeds", type=int, nargs="?", default=3)
    parser.add_argument("--names", nargs="+", default=["leaf", "baskatong", "au_saumon"])
    parser.add_argument("--perfect", action="store_true", help="give the observed forcing as a forecast")
    asked = parser.parse_args()
    for name in asked.names:
        config = ROOT / "catchments" / name / "forecast.toml"
        forcing = tomllib.loads(config.read_text())["data"]["forcing"]
        overrides = [f"windows.forecast_forcing={forcing}", *PERFECT] if asked.perfect else []
        tables, forecasts, seconds, walks = [], [], [], []
        for seed in range(1, asked.seeds + 1):
            experiment = read_experiment(config, overrides=[*overrides, *QUICK, f"seed={seed}"])
            dataset = READERS[experiment.data.source](experiment.data.path, **experiment.data.reader_arguments())
            arguments = experiment.arguments()
            with tempfile.TemporaryDirectory() as folder:
                run = train_run(Path(folder) / "run", dataset, **arguments, observe=lambda _: None)
            tables.append(run.scores.table.assign(seed=seed))
            forecasts.append(run.scores.forecast)
            seconds.append(run.history["seconds"].iloc[-1])
            inputs = arguments["inputs"]
            period = last_issue_dates(times_of(dataset), arguments["periods"].test, inputs.lead_times)
            start = time.perf_counter()
            forecaster = LSTMForecaster(inputs, experiment.training, model=run.model)
            made = walk_forward(
                forecaster, dataset, period=period, lead_times=inputs.lead_times, forecast_forcing=inputs.forecast_forcing
            )
            walks.append(time.perf_counter() - start)
        table = pd.concat(tables, ignore_index=True)
        table.loc[table["model"] == "lstm", "model"] = "lstm, seed " + table["seed"].astype(str)
        together = score_lead_times(
            mean_of(forecasts), observed=dataset["discharge"], train=arguments["periods"].train.label_slice, name="lstm, ensemble"
        )
        wide = table.drop_duplicates(["model", "lead_time"]).pivot_table(index="model", columns="lead_time", values="NSE")
        own = [one for one in wide.index if one.startswith("lstm")]
        wide.loc["lstm, median"] = wide.loc[own].median()
        wide.loc["lstm, ensemble"] = together[together["model"] == "lstm, ensemble"].set_index("lead_time")["NSE"]
        print(
            f"\n{name}: training {np.median(seconds):.1f} s, walk over {made.sizes['issue_date']} origins {np.median(walks):.2f} s"
        )
        print(wide.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
