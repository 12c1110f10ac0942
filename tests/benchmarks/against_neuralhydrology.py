"""The same basins, settings and periods through NeuralHydrology and runoff_lstm: speed, memory, evaluation, time to a score.

python tests/benchmarks/against_neuralhydrology.py --neuralhydrology PYTHON [--part speed|evaluation|time-to-nse] [--archive FOLDER]
    [--basins N] [--updates N] [--hidden N] [--rounds N] [--device cuda]

NeuralHydrology is no dependency of the project and lives in an environment of its own; PYTHON is the Python of that. Made from the
root of the repository (the constraints pin torch to the version that both sides then have):

    python -m venv ENVIRONMENT
    ENVIRONMENT/bin/pip install -c constraints.txt torch "neuralhydrology==1.13.0"

FOLDER is an archive of CAMELS-US with Maurer-extended forcing and the attributes (by default `camels_us` in the folder that
RUNOFF_LSTM_DATA names). Each side runs in a process of its own, one after the other. Equal on both: basins, days, forcing,
attributes, strict many-to-one windows, hidden size, batch, Adam and its rate, the loss NSE*, dropout of the output, clipping,
forget bias, float32, threads. Where NeuralHydrology differs, it is left as it is: its scaler also sees the days of history before
the training period, attributes are scaled with n - 1 and sorted by name, dropout and head run on every step of a window though
only the last one counts, the loss is asked for after every update, and batches are put together sample by sample by `num_workers`
(default 0, as here). It reads basin after basin, runoff_lstm as many at a time as there are processors; it keeps weights once an
epoch, runoff_lstm its whole state every two seconds. For every window NeuralHydrology holds a tuple, a list and two integers.

Time to a score is told apart: there each side has its own settings, NeuralHydrology those of its tutorial for one basin (hidden 20,
365 days, batch 256, rate 1e-2, MSE, 50 epochs; with the five forcings of one product instead of fifteen of three), runoff_lstm
windows of 365 shared targets, four of them an update, a gradient that reaches 92 days back, and the tutorial's hidden size (20) at
a constant rate of 1.5e-2: settings to get there soon, not to get furthest. The score is that of the validation period,
NeuralHydrology's after every epoch, ours after every five updates; what scoring takes is left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from neuralhydrology_side import Clock, Enough, Measured, Settings, peak_gpu_memory, peak_memory, run_stage, start

if TYPE_CHECKING:
    import xarray as xr

    from runoff_lstm.prediction.inference import Mode
    from runoff_lstm.prediction.trained_model import TrainedModel

PRODUCT = "maurer_extended"
FORCING = ["prcp", "srad", "tmax", "tmin", "vp"]
STATIC_ATTRIBUTES = [
    *("elev_mean", "slope_mean", "area_gages2", "frac_forest", "lai_max", "lai_diff", "gvf_max", "gvf_diff"),
    *("soil_depth_pelletier", "soil_depth_statsgo", "soil_porosity", "soil_conductivity", "max_water_content"),
    *("sand_frac", "silt_frac", "clay_frac", "carbonate_rocks_frac", "geol_permeability"),
    *("p_mean", "pet_mean", "aridity", "frac_snow", "high_prec_freq", "high_prec_dur", "low_prec_freq", "low_prec_dur"),
    "p_seasonality",
]
PERIODS = {
    "train": ("1999-10-01", "2008-09-30"),
    "validation": ("1980-10-01", "1989-09-30"),
    "test": ("1989-10-01", "1999-09-30"),
}
SIDE = Path(__file__).with_name("neuralhydrology_side.py")
NAMES = ("NeuralHydrology", "runoff_lstm")

SPEED = {
    "updates_per_s": ("updates a second, median", 1),
    "load_s": ("from files to the first batch, s", 1),
    "imports_s": ("imports before that, s", 1),
    "peak_bytes": ("peak memory, MB", 1e6),
    "imports_bytes": ("of it after imports, MB", 1e6),
    "gpu_bytes": ("peak GPU memory, MB", 1e6),
    "index_bytes": ("index of windows, MB", 1e6),
    "index_per_window": ("index, bytes a window", 1),
    "data_bytes": ("series laid out for batches, MB", 1e6),
    "windows": ("windows", 1),
}
EVALUATION = {
    "evaluation_s": ("evaluation, files to NSE, s", 1),
    "reading_s": ("of it reading, s", 1),
    "peak_bytes": ("peak memory, MB", 1e6),
    "gpu_bytes": ("peak GPU memory, MB", 1e6),
    "median_nse": ("median test NSE", 1),
    "scored_days": ("days scored", 1),
}
REACH = {
    "training_s": ("training to the target, s", 1),
    "load_s": ("from files to the first batch, s", 1),
    "imports_s": ("imports before that, s", 1),
    "updates": ("updates", 1),
    "best_nse": ("best validation NSE", 1),
    "median_nse": ("test NSE where it stopped", 1),
}
"""Rows of the three tables: key, name, and what to divide by."""


def _imports() -> None:
    import runoff_lstm.data.readers.camels_us
    import runoff_lstm.training.setup  # noqa: F401


def _read(settings: Settings) -> "xr.Dataset":
    from runoff_lstm.data.readers import read_camels_us

    variables = [*FORCING, *settings["static_attributes"], "discharge"]
    return read_camels_us(settings["archive"], settings["gauge_ids"], products=[PRODUCT], variables=variables)


def _simulate(dataset: "xr.Dataset", model: "TrainedModel", mode: "Mode") -> "xr.DataArray":
    from runoff_lstm.data.periods import Period

    return model.simulate(dataset, period=Period(*PERIODS["test"]), mode=mode)["simulated"]


def _score(dataset: "xr.Dataset", simulated: "xr.DataArray") -> Measured:
    from runoff_lstm.evaluation.metrics import evaluate

    observed = dataset["discharge"].sel(time=simulated["time"])
    table = evaluate(observed=observed, simulated=simulated, metrics=["NSE"])
    mean = observed.where(simulated.notnull()).astype("float64").mean("time")
    return {
        "nse": table["NSE"].to_dict(),
        "days": table["days"].to_dict(),
        "observed_mean": dict(zip(table.index, mean.values.tolist(), strict=True)),
    }


def train(settings: Settings) -> Measured:
    """Our half: load, train the updates asked for, and leave the model in the folder."""
    measured = start(settings, _imports)
    from runoff_lstm.data.periods import Period
    from runoff_lstm.data.splits import Periods
    from runoff_lstm.inputs.checks import check
    from runoff_lstm.inputs.spec import Inputs
    from runoff_lstm.models.architecture import Architecture
    from runoff_lstm.models.dropout import Dropout
    from runoff_lstm.prediction.bundle import write_bundle
    from runoff_lstm.training.recipe import Recipe
    from runoff_lstm.training.setup import prepare

    folder = Path(settings["folder"])
    began = time.perf_counter()
    inputs = Inputs(tuple(FORCING), tuple(settings["static_attributes"]), settings["sequence_length"])
    training = prepare(
        check(_read(settings), inputs, Periods(train=Period(*PERIODS["train"]))),
        recipe=Recipe(
            steps=settings["updates"],
            batch_size=settings["batch_size"],
            learning_rate=settings["learning_rate"],
            gradient_clip=settings["gradient_clip"],
            loss="nse",
            validate_every=settings["updates"],
        ),
        architecture=Architecture(
            hidden_sizes=(settings["hidden"],), dropout=Dropout(output=settings["dropout"]), forget_bias=settings["forget_bias"]
        ),
        seed=settings["seed"],
        device=settings["device"],
    )
    clock = Clock(training.model.module)
    training.run(checkpoint=folder / "checkpoint.pt", observe=clock.tick)
    peak = peak_memory()
    windows = training.windows["train"]
    tiles = vars(windows.training_tiles(seed=0, epoch=0)).values()
    return {
        **measured,
        "load_s": clock.first_batch - began,
        "updates_per_s": clock.updates_per_second(block=settings["block"], warm_up=settings["warm_up"]),
        "windows": windows.n_targets,
        "index_bytes": sum(one.nbytes for one in tiles) + windows.index_bytes,
        "data_bytes": windows.data_bytes,
        "peak_bytes": peak,
        "gpu_bytes": peak_gpu_memory(settings["device"]),
        "run": str(write_bundle(training.model, folder / "model.safetensors")),
    }


def evaluate(settings: Settings) -> Measured:
    """Our half: score the test period with the model of the folder, from the files on."""
    measured = start(settings, _imports)
    from runoff_lstm.prediction.bundle import load_model

    began = time.perf_counter()
    model = load_model(settings["run"], device=settings["device"])
    dataset = _read(settings)
    reading = time.perf_counter() - began
    strict = _simulate(dataset, model, "windows")
    scores = _score(dataset, strict)
    seconds = time.perf_counter() - began
    memory = {"peak_bytes": peak_memory(), "gpu_bytes": peak_gpu_memory(settings["device"])}

    began_again = time.perf_counter()
    at_once = _simulate(dataset, model, "continuous")
    again = _score(dataset, at_once)
    one_pass = {
        "one_pass_s": reading + time.perf_counter() - began_again,
        "one_pass_nse": statistics.median(again["nse"].values()),
        "one_pass_difference": float(abs(at_once - strict).median()),
    }
    return {**measured, "evaluation_s": seconds, "reading_s": reading, **memory, **scores, **one_pass}


def reach(settings: Settings) -> Measured:
    """Our half: train until the validation NSE is reached; validation does not count as time."""
    measured = start(settings, _imports)
    from runoff_lstm.data.periods import Period
    from runoff_lstm.data.splits import Periods
    from runoff_lstm.inputs.checks import check
    from runoff_lstm.inputs.spec import Inputs
    from runoff_lstm.models.architecture import Architecture
    from runoff_lstm.training.loop import fit
    from runoff_lstm.training.recipe import Recipe
    from runoff_lstm.training.setup import prepare

    began = time.perf_counter()
    dataset = _read({**settings, "static_attributes": []})
    inputs = Inputs(tuple(FORCING), sequence_length=365, targets_per_window=365)
    periods = Periods(train=Period(*PERIODS["train"]), validation=Period(*PERIODS["validation"]))
    training = prepare(
        check(dataset, inputs, periods),
        recipe=Recipe(steps=960, batch_size=4, learning_rate=1.5e-2, gradient_length=92, validate_every=5),
        architecture=Architecture(hidden_sizes=(20,)),
        seed=settings["seed"],
        device=settings["device"],
    )
    clock = Clock(training.model.module)
    scores, validating = [], []

    def validate() -> float:
        start_validating = time.perf_counter()
        scores.append(training.validation_nse())
        validating.append(time.perf_counter() - start_validating)
        if scores[-1] >= settings["target"]:
            raise Enough
        return scores[-1]

    module, reached = training.model.module, False
    try:
        fit(
            module,
            training.windows["train"],
            training.recipe,
            scale=training.scale,
            validate=validate,
            seed=settings["seed"],
            checkpoint=Path(settings["folder"]) / "checkpoint.pt",
            observe=clock.tick,
        )
    except Enough:
        reached = True
        clock.tick()
    ended = time.perf_counter() - sum(validating)
    return {
        **measured,
        "reached": reached,
        "load_s": clock.first_batch - began,
        "training_s": ended - clock.first_batch,
        "updates": len(clock.ends),
        "best_nse": max(scores),
        **_score(dataset, _simulate(dataset, training.model, "windows")),
    }


def run_side(name: str, settings: Settings, python: str, folder: Path) -> Measured:
    """One stage of one side in a process of its own."""
    print(f"{settings['stage']}: {name} ...", file=sys.stderr, flush=True)
    folder.mkdir(exist_ok=True)
    asked, answer = folder / "settings.json", folder / "result.json"
    asked.write_text(json.dumps({**settings, "folder": str(folder)}))
    half = [python, SIDE] if name == "NeuralHydrology" else [sys.executable, __file__, "--ours"]
    done = subprocess.run([*map(str, half), str(asked), str(answer)], capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        sys.exit(f"{name} failed at {settings['stage']}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(answer.read_text())


def round_of(stages: list[str], settings: Settings, python: str) -> dict[str, dict[str, Measured]]:
    """The stages once, side by side: measurements by stage and side."""
    measured: dict[str, dict[str, Measured]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        runs: dict[str, str] = {}
        for stage in stages:
            measured[stage] = {}
            for name in NAMES:
                asked = {**settings, "stage": stage, "run": runs.get(name)}
                one = run_side(name, asked, python, Path(temporary) / f"{stage}_{name}")
                runs[name] = one.get("run", "")
                if "windows" in one:
                    one["index_per_window"] = one["index_bytes"] / one["windows"]
                if "nse" in one:
                    one["median_nse"] = statistics.median(one["nse"].values())
                    one["scored_days"] = sum(one["days"].values())
                measured[stage][name] = one
            check_same(stage, measured[stage])
    return measured


def check_same(stage: str, sides: dict[str, Measured]) -> None:
    """Refuse to compare scores over other days or observations, or trainings on other windows."""
    theirs, ours = (sides[name] for name in NAMES)
    if theirs.get("windows") != ours.get("windows"):
        sys.exit(f"{stage}: {theirs['windows']} windows against {ours['windows']}; the two sides do not see the same days")
    for gauge_id, days in ours.get("days", {}).items():
        if theirs["days"].get(gauge_id, 0) != days:
            sys.exit(f"basin {gauge_id}: {theirs['days'].get(gauge_id, 0)} days scored against {days}")
        means = theirs["observed_mean"][gauge_id], ours["observed_mean"][gauge_id]
        if abs(means[0] - means[1]) > 1e-4 * means[1]:
            sys.exit(f"basin {gauge_id}: mean observed discharge {means[0]:.6g} against {means[1]:.6g} mm d-1")


def print_table(title: str, rows: dict[str, tuple[str, float]], rounds: list[dict[str, Measured]]) -> None:
    """Medians over the rounds, and the ratio of theirs to ours."""
    print(f"\n{title}\n{'':36s} {NAMES[0]:>16s} {NAMES[1]:>16s}  theirs / ours")
    for key, (name, unit) in rows.items():
        values = [[one[side].get(key) for one in rounds] for side in NAMES]
        if any(value is None for side in values for value in side):
            continue
        theirs, ours = (statistics.median(side) / unit for side in values)
        ratio = f"{theirs / ours:9.2f}" if ours > 0 and "nse" not in key else ""
        print(f"{name:36s} {theirs:16.6g} {ours:16.6g}  {ratio}")


def print_one_pass(rounds: list[dict[str, Measured]]) -> None:
    """What our other way to simulate takes, a state kept through the whole record, and how far it is from the windows."""
    theirs = statistics.median(one[NAMES[0]]["evaluation_s"] for one in rounds)
    seconds, nse, difference = (
        statistics.median(one[NAMES[1]][f"one_pass_{key}"] for one in rounds) for key in ("s", "nse", "difference")
    )
    print(
        f"{NAMES[1]} in one continuous pass, files to NSE: {seconds:.3g} s (theirs / ours {theirs / seconds:.3g}), median test NSE "
        f"{nse:.6g}, median difference from the windows {difference:.3g} mm d-1"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neuralhydrology", required=True, metavar="PYTHON", help="Python of the environment that has it")
    parser.add_argument("--part", choices=["speed", "evaluation", "time-to-nse"], help="default: all three")
    parser.add_argument("--archive", type=Path, default=Path(os.environ.get("RUNOFF_LSTM_DATA", ".")) / "camels_us")
    parser.add_argument("--basins", type=int, help="the first N of the archive; default: all")
    parser.add_argument("--updates", type=int, help="default: 60, on a GPU 500")
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--sequence-length", type=int, default=270)
    parser.add_argument("--rounds", type=int, default=1, help="times to run everything; medians are printed")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workers", type=int, default=0, help="num_workers of NeuralHydrology; its default is 0")
    parser.add_argument("--gauge-id", default="01013500", help="time-to-nse: the basin")
    parser.add_argument("--target", type=float, default=0.80, help="time-to-nse: NSE to reach on the validation period")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    asked.updates = asked.updates or (500 if asked.device == "cuda" else 60)
    return asked


def settings_of(asked: argparse.Namespace) -> Settings:
    """What both sides are told; reads the series once, so that both find them in the system's cache."""
    import pandas as pd  # here, so that it counts among our half's imports

    forcing = sorted((asked.archive / "basin_mean_forcing" / PRODUCT).rglob("*_forcing_leap.txt"))
    folder = asked.archive / "camels_attributes_v2.0"
    if not forcing or not folder.is_dir():
        sys.exit(f"{asked.archive} lacks basin_mean_forcing/{PRODUCT} or camels_attributes_v2.0; name such a folder with --archive")
    gauge_ids = [file.name[:8] for file in forcing[: asked.basins]]
    for file in (*forcing[: asked.basins], *(asked.archive / "usgs_streamflow").rglob("*.txt")):
        file.read_bytes()
    tables = [pd.read_csv(file, sep=";", dtype={"gauge_id": str}, index_col="gauge_id") for file in folder.glob("camels_*.txt")]
    table = pd.concat(tables, axis=1).loc[gauge_ids, STATIC_ATTRIBUTES]
    return {
        "archive": str(asked.archive.resolve()),
        "product": PRODUCT,
        "gauge_ids": gauge_ids,
        "forcing": FORCING,
        "static_attributes": [name for name in STATIC_ATTRIBUTES if table[name].nunique() > 1],  # the others tell nothing
        "periods": PERIODS,
        "hidden": asked.hidden,
        "sequence_length": asked.sequence_length,
        "batch_size": 256,
        "learning_rate": 1e-3,
        "dropout": 0.4,
        "forget_bias": 5,
        "gradient_clip": 1,
        "updates": asked.updates,
        "block": 50 if asked.device == "cuda" else 1,  # our training looks at a GPU's losses, and so waits for it, every 50 updates
        "warm_up": 1 if asked.device == "cuda" else 5,
        "target": asked.target,
        "seed": asked.seed,
        "threads": asked.threads,
        "workers": asked.workers,
        "device": asked.device,
    }


def main() -> None:
    asked = parse()
    settings, python = settings_of(asked), str(Path(asked.neuralhydrology).absolute())
    if asked.part != "time-to-nse":
        stages = ["train", "evaluate"] if asked.part != "speed" else ["train"]
        rounds = [round_of(stages, settings, python) for _ in range(asked.rounds)]
        torches = {name: rounds[0]["train"][name]["torch"] for name in NAMES}
        print(f"{len(settings['gauge_ids'])} basins, {len(settings['static_attributes'])} attributes, torch {torches}")
        print(f"hidden {asked.hidden}, {asked.sequence_length} days, batch 256, {asked.device}, {asked.threads} threads")
        print(f"num_workers {asked.workers}, {asked.rounds} round(s)")
        print_table(f"Training, {asked.updates} updates", SPEED, [one["train"] for one in rounds])
        if "evaluate" in stages:
            days = f"{PERIODS['test'][0]} to {PERIODS['test'][1]}, after {asked.updates} updates"
            print_table(f"Evaluation, {days}", EVALUATION, [one["evaluate"] for one in rounds])
            print_one_pass([one["evaluate"] for one in rounds])
    if asked.part in (None, "time-to-nse"):
        one_basin = {**settings, "gauge_ids": [asked.gauge_id], "static_attributes": []}
        reached = [round_of(["reach"], {**one_basin, "seed": asked.seed + n}, python)["reach"] for n in range(asked.rounds)]
        print_table(f"Validation NSE {asked.target:.2f} of basin {asked.gauge_id}, each at its own settings", REACH, reached)
        for name in NAMES:
            print(f"{name}: reached in {sum(one[name]['reached'] for one in reached)} of {asked.rounds} round(s)")


if __name__ == "__main__":
    if "--ours" in sys.argv:
        run_stage({"train": train, "evaluate": evaluate, "reach": reach})
    else:
        main()
