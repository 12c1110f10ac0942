"""Train on 531 basins of CAMELS-US; leaves the same run folder as `runoff-lstm train catchments/camels_us/camels_us.toml`.

The data are taken from the folder that the environment variable RUNOFF_LSTM_DATA names. In the end each basin is compared with the
values of the paper (Kratzert et al. 2019, doi:10.5194/hess-23-5089-2019), where the folder has them.
"""

import os
from pathlib import Path

import runoff_lstm as rl

HERE = Path(__file__).parent
DATA = Path(os.environ["RUNOFF_LSTM_DATA"])
PAPER = DATA / "reference" / "ealstm_paper_531" / "test_metrics_531camels_lstm_seed111.csv"

FORCING = ("prcp", "srad", "tmax", "tmin", "vp")
STATIC_ATTRIBUTES = (
    *("elev_mean", "slope_mean", "area_gages2", "frac_forest", "lai_max", "lai_diff", "gvf_max", "gvf_diff"),
    *("soil_depth_pelletier", "soil_depth_statsgo", "soil_porosity", "soil_conductivity", "max_water_content"),
    *("sand_frac", "silt_frac", "clay_frac", "carbonate_rocks_frac", "geol_permeability"),
    *("p_mean", "pet_mean", "aridity", "frac_snow", "high_prec_freq", "high_prec_dur", "low_prec_freq", "low_prec_dur"),
    "p_seasonality",
)

dataset = rl.read_netcdf(
    DATA / "camels_us_531.nc",
    HERE.joinpath("basins.txt").read_text().split(),
    variables=[*FORCING, *STATIC_ATTRIBUTES, "discharge"],
    rename={"discharge": "discharge_cfs"},
    units={"discharge": "ft3 s-1"},
    attributes=DATA / "camels_us" / "camels_attributes_v2.0",
)
run = rl.train_run(
    rl.default_folder("camels_us"),
    dataset,
    name="camels_us",
    periods=rl.Periods(
        train=rl.Period("1999-10-01", "2008-09-30"),
        validation=rl.Period("1980-10-01", "1989-09-30"),
        test=rl.Period("1989-10-01", "1999-09-30"),
    ),
    inputs=rl.Inputs(FORCING, STATIC_ATTRIBUTES, sequence_length=365, targets_per_window=365, root_transform=True, season=True),
    architecture=rl.Architecture(hidden_sizes=(256,), dropout=rl.Dropout(output=0.4)),
    recipe=rl.Recipe(
        steps=5600,
        batch_size=16,
        learning_rate=5e-3,
        schedule="one_cycle",
        loss="mse",
        precision="bfloat16",
        gradient_length=92,
        validate_every=2800,
    ),
    metrics=["NSE", "KGE", "KGE_r", "KGE_alpha", "KGE_beta", "RMSE", "alpha_NSE", "beta_NSE", "FHV", "FLV", "FMS"],
    seed=1,
)
print(rl.summary(run.scores.metrics["NSE"]))
print(run.path)
if PAPER.is_file():
    compared = rl.compare(run.scores.metrics["NSE"], rl.read_scores(PAPER, "NSE"))
    print(f"the paper's first seed: median {compared.reference:.3f}; better in {compared.better:.0%}, p = {compared.p_value:.2g}")
