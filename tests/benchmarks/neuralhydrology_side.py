"""NeuralHydrology's half of against_neuralhydrology.py, and the clock of both halves: settings in, measurements out, as JSON.

PYTHON tests/benchmarks/neuralhydrology_side.py SETTINGS.json RESULT.json

Runs under the Python that has NeuralHydrology and imports nothing of runoff_lstm; what both halves measure, they measure with this.
"""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

Settings = dict[str, Any]
Measured = dict[str, Any]

DISCHARGE = "QObs(mm/d)"


class Enough(Exception):  # noqa: N818 - no error
    """Ends a training from within: the updates asked for are done, or the score is reached."""


class Clock:
    """When the first batch reached the model, and when each update ended."""

    def __init__(self, module: Any) -> None:
        self.first_batch: float | None = None
        self.ends: list[float] = []
        self._hook = module.register_forward_pre_hook(self._begin)

    def _begin(self, *_: Any) -> None:
        self.first_batch = time.perf_counter()
        self._hook.remove()

    def tick(self, *_: Any) -> None:
        """An update has ended."""
        self.ends.append(time.perf_counter())

    def updates_per_second(self, *, block: int, warm_up: int) -> float | None:
        """Median over blocks of updates, the first ones left out; None where too few are left."""
        marks = self.ends[block - 1 :: block][warm_up:]
        gaps = [after - before for before, after in pairwise(marks)]
        return block / statistics.median(gaps) if gaps else None


def start(settings: Settings, imports: Callable[[], None]) -> Measured:
    """Import what a half needs, set its threads; returns what the imports alone cost."""
    began = time.perf_counter()
    imports()
    seconds = time.perf_counter() - began
    import torch

    torch.set_num_threads(settings["threads"])
    return {"imports_s": seconds, "imports_bytes": peak_memory(), "torch": torch.__version__}


def peak_memory() -> int:
    """Bytes of memory this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def peak_gpu_memory(device: str) -> int | None:
    """Bytes of GPU memory that torch has held at most; None without a GPU."""
    import torch

    return torch.cuda.max_memory_allocated() if device.startswith("cuda") else None


def run_stage(stages: dict[str, Callable[[Settings], Measured]]) -> None:
    """Run the stage that the settings name, and write what it has measured."""
    settings = json.loads(Path(sys.argv[-2]).read_text())
    Path(sys.argv[-1]).write_text(json.dumps(stages[settings["stage"]](settings)))


def _imports() -> None:
    import neuralhydrology.evaluation
    import neuralhydrology.training.basetrainer  # noqa: F401


def _columns(settings: Settings) -> list[str]:
    """The forcing as the archive's files head their columns, such as prcp(mm/day)."""
    folder = Path(settings["archive"]) / "basin_mean_forcing" / settings["product"]
    with next(folder.rglob(f"{settings['gauge_ids'][0]}_*")).open() as file:
        heading = [file.readline() for _ in range(4)][-1].split()
    by_name = {column.partition("(")[0].lower(): column for column in heading}
    return [by_name[name] for name in settings["forcing"]]


def _config(settings: Settings, **different: Any) -> Any:
    """A run configuration; what is not named here is at NeuralHydrology's default."""
    from neuralhydrology.utils.config import Config

    folder = Path(settings["folder"])
    basins = folder / "basins.txt"
    basins.write_text("\n".join(settings["gauge_ids"]) + "\n")
    dates = {}
    for name, (first, last) in settings["periods"].items():
        for which, day in (("start", first), ("end", last)):
            dates[f"{name}_{which}_date"] = "/".join(reversed(day.split("-")))
    device = settings["device"]
    asked = {
        "experiment_name": "run",
        "run_dir": str(folder),
        **{f"{name}_basin_file": str(basins) for name in ("train", "validation", "test")},
        **dates,
        "device": "cuda:0" if device == "cuda" else device,
        "seed": settings["seed"],
        "metrics": ["NSE"],
        "model": "cudalstm",
        "head": "regression",
        "output_activation": "linear",
        "hidden_size": settings["hidden"],
        "initial_forget_bias": settings["forget_bias"],
        "output_dropout": settings["dropout"],
        "optimizer": "Adam",
        "loss": "NSE",
        "learning_rate": {0: settings["learning_rate"]},
        "batch_size": settings["batch_size"],
        "epochs": settings["updates"],
        "clip_gradient_norm": settings["gradient_clip"],
        "predict_last_n": 1,
        "seq_length": settings["sequence_length"],
        "num_workers": settings["workers"],
        "dataset": "camels_us",
        "data_dir": settings["archive"],
        "forcings": [settings["product"]],
        "dynamic_inputs": _columns(settings),
        "static_attributes": settings["static_attributes"],
        "target_variables": [DISCHARGE],
        "clip_targets_to_zero": [DISCHARGE],
    }
    return Config({**asked, **different})


def _tutorial(settings: Settings) -> Any:
    """The configuration of the tutorial 01-Introduction for one basin, with the forcing there is."""
    return _config(
        settings,
        hidden_size=20,
        initial_forget_bias=3,
        output_dropout=0.4,
        loss="MSE",
        learning_rate={0: 1e-2, 30: 5e-3, 40: 1e-3},
        batch_size=256,
        epochs=50,
        clip_gradient_norm=1,
        seq_length=365,
        static_attributes=[],
        validate_every=1,
        validate_n_random_basins=1,
    )


def _bytes_of(stored: Any) -> int:
    """Bytes of the arrays and tensors within dictionaries."""
    return sum(map(_bytes_of, stored.values())) if isinstance(stored, dict) else int(stored.nbytes)


def _bytes_of_lookup(table: dict[int, tuple[str, list[Any]]]) -> int:
    """Bytes of the table of samples, everything it holds but the names of the basins."""
    size = sys.getsizeof
    entries = (size(key) + size(entry) + size(entry[1]) + sum(map(size, entry[1])) for key, entry in table.items())
    return size(table) + sum(entries)


def _scores(results: dict[str, Any]) -> Measured:
    """By basin: NSE, the number of days it is over, and the mean observation on them."""
    import numpy as np

    scores: Measured = {"nse": {}, "days": {}, "observed_mean": {}}
    for gauge_id, by_frequency in results.items():
        (result,) = by_frequency.values()
        observed, simulated = (result["xr"][f"{DISCHARGE}_{which}"].values for which in ("obs", "sim"))
        shared = np.isfinite(observed) & np.isfinite(simulated)
        scores["nse"][gauge_id] = float(result["NSE"])
        scores["days"][gauge_id] = int(shared.sum())
        scores["observed_mean"][gauge_id] = float(observed[shared].mean(dtype="float64"))
    return scores


def train(settings: Settings) -> Measured:
    """Load, train the updates asked for, and leave the weights in the folder."""
    measured = start(settings, _imports)
    from neuralhydrology.training.basetrainer import BaseTrainer

    began = time.perf_counter()
    trainer = BaseTrainer(_config(settings))
    trainer.initialize_training()
    clock, log = Clock(trainer.model), trainer.experiment_logger.log_step

    def log_and_count(**losses: float) -> None:
        log(**losses)
        clock.tick()
        if len(clock.ends) == settings["updates"]:
            raise Enough

    trainer.experiment_logger.log_step = log_and_count
    with suppress(Enough):
        trainer.train_and_validate()
    peak = peak_memory()
    trainer._save_weights_and_optimizer(settings["updates"])
    dataset = trainer.loader.dataset
    stores = (dataset._x_d, dataset._y, dataset._dates, dataset._attributes, dataset._per_basin_target_stds)
    return {
        **measured,
        "load_s": clock.first_batch - began,
        "updates_per_s": clock.updates_per_second(block=settings["block"], warm_up=settings["warm_up"]),
        "windows": len(dataset),
        "index_bytes": _bytes_of_lookup(dataset.lookup_table),
        "data_bytes": sum(map(_bytes_of, stores)),
        "peak_bytes": peak,
        "gpu_bytes": peak_gpu_memory(settings["device"]),
        "run": str(trainer.cfg.run_dir),
    }


def evaluate(settings: Settings) -> Measured:
    """Score the test period with the weights of the folder, as `nh-run evaluate` does, but nothing is written."""
    measured = start(settings, _imports)
    from neuralhydrology.evaluation import get_tester
    from neuralhydrology.utils.config import Config

    began = time.perf_counter()
    run = Path(settings["run"])
    tester = get_tester(cfg=Config(run / "config.yml"), run_dir=run, period="test", init_model=True)
    reading, read = [], tester._get_dataset

    def read_timed(gauge_id: str) -> Any:
        start_reading = time.perf_counter()
        dataset = read(gauge_id)
        reading.append(time.perf_counter() - start_reading)
        return dataset

    tester._get_dataset = read_timed
    results = tester.evaluate(epoch=settings["updates"], save_results=False, metrics=["NSE"])
    seconds = time.perf_counter() - began
    memory = {"peak_bytes": peak_memory(), "gpu_bytes": peak_gpu_memory(settings["device"])}
    return {**measured, "evaluation_s": seconds, "reading_s": sum(reading), **memory, **_scores(results)}


def reach(settings: Settings) -> Measured:
    """Train at the tutorial's settings until the validation NSE is reached; validation does not count as time."""
    measured = start(settings, _imports)
    from neuralhydrology.evaluation import get_tester
    from neuralhydrology.training.basetrainer import BaseTrainer

    began = time.perf_counter()
    trainer = BaseTrainer(_tutorial(settings))
    trainer.initialize_training()
    clock, log, validate = Clock(trainer.model), trainer.experiment_logger.log_step, trainer.validator.evaluate
    scores, validating = [], []

    def log_and_count(**values: float) -> None:
        log(**values)
        if trainer.experiment_logger.tag == "train":
            clock.tick()

    def validate_timed(**options: Any) -> None:
        start_validating = time.perf_counter()
        (result,) = validate(**options)[settings["gauge_ids"][0]].values()
        scores.append(float(result["NSE"]))
        validating.append(time.perf_counter() - start_validating)
        if scores[-1] >= settings["target"]:
            raise Enough

    trainer.experiment_logger.log_step, trainer.validator.evaluate = log_and_count, validate_timed
    reached = False
    try:
        trainer.train_and_validate()
    except Enough:
        reached = True
    ended = time.perf_counter() - sum(validating)
    tester = get_tester(cfg=trainer.cfg, run_dir=trainer.cfg.run_dir, period="test", init_model=False)
    test = _scores(tester.evaluate(save_results=False, metrics=["NSE"], model=trainer.model))
    return {
        **measured,
        "reached": reached,
        "load_s": clock.first_batch - began,
        "training_s": ended - clock.first_batch,
        "updates": len(clock.ends),
        "best_nse": max(scores),
        **test,
    }


if __name__ == "__main__":
    run_stage({"train": train, "evaluate": evaluate, "reach": reach})
