"""Train on the Riviere Au Saumon; leaves the same run folder as `runoff-lstm train catchments/au_saumon/au_saumon.toml`."""

from pathlib import Path

import runoff_lstm as rl

run = rl.train_run(
    rl.default_folder("au_saumon"),
    rl.read_netcdf(Path(__file__).with_name("au_saumon.nc")),
    name="au_saumon",
    periods=rl.Periods(
        train=rl.Period("1976-10-01", "1990-09-30"),
        validation=rl.Period("1990-10-01", "1995-09-30"),
        test=rl.Period("1995-10-01", "2003-12-31"),
    ),
    inputs=rl.Inputs(("precipitation", "potential_evapotranspiration", "temperature"), sequence_length=365, targets_per_window=365),
    architecture=rl.Architecture(hidden_sizes=(64,), dropout=rl.Dropout(output=0.4)),
    recipe=rl.Recipe(steps=1920, batch_size=4, learning_rate=1.2e-2, schedule="one_cycle", validate_every=80),
    metrics=["NSE", "KGE", "KGE_r", "KGE_alpha", "KGE_beta", "RMSE", "PBIAS", "log_NSE", "FHV", "FLV"],
    seed=1,
)
print(run.scores.metrics.round(3).T)
print(run.path)
