"""Train on Baskatong; leaves the same run folder as `runoff-lstm train catchments/baskatong/baskatong.toml`."""

from pathlib import Path

import runoff_lstm as rl

run = rl.train_run(
    rl.default_folder("baskatong"),
    rl.read_netcdf(Path(__file__).with_name("baskatong.nc")),
    name="baskatong",
    periods=rl.Periods(
        train=rl.Period("1981-10-01", "2000-09-30"),
        validation=rl.Period("2000-10-01", "2006-09-30"),
        test=rl.Period("2006-10-01", "2017-12-31"),
    ),
    inputs=rl.Inputs(("precipitation", "potential_evapotranspiration", "temperature"), sequence_length=365, targets_per_window=365),
    architecture=rl.Architecture(hidden_sizes=(64,), dropout=rl.Dropout(output=0.4)),
    recipe=rl.Recipe(steps=480, batch_size=16, learning_rate=9e-3, schedule="one_cycle"),
    metrics=["NSE", "KGE", "KGE_r", "KGE_alpha", "KGE_beta", "RMSE", "PBIAS", "log_NSE", "FHV", "FLV"],
    seed=1,
)
print(run.scores.metrics.round(3).T)
print(run.path)
