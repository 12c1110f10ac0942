"""Train on the Leaf River; leaves the same run folder as `runoff-lstm train catchments/leaf/leaf.toml`."""

from pathlib import Path

import runoff_lstm as rl

run = rl.train_run(
    rl.default_folder("leaf"),
    rl.read_netcdf(Path(__file__).with_name("leaf.nc")),
    name="leaf",
    periods=rl.Periods(
        train=rl.Period("1958-10-01", "1972-09-30"),
        validation=rl.Period("1972-10-01", "1977-09-30"),
        test=rl.Period("1977-10-01", "1987-12-31"),
    ),
    inputs=rl.Inputs(("precipitation", "potential_evapotranspiration"), sequence_length=365, targets_per_window=365),
    architecture=rl.Architecture(hidden_sizes=(96,), dropout=rl.Dropout(output=0.4)),
    recipe=rl.Recipe(steps=960, batch_size=4, learning_rate=1.2e-2, schedule="one_cycle", validate_every=40),
    metrics=["NSE", "KGE", "KGE_r", "KGE_alpha", "KGE_beta", "RMSE", "PBIAS", "log_NSE", "FHV", "FLV"],
    seed=1,
)
print(run.scores.metrics.round(3).T)
print(run.path)
