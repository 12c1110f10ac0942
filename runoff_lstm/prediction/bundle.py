"""From a trained model to one safetensors file and back: weights, scaler, names, units and settings, all that simulation needs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from runoff_lstm.data.periods import period_of
from runoff_lstm.device import resolve_device
from runoff_lstm.errors import InputError
from runoff_lstm.files import written_whole
from runoff_lstm.inputs.features import input_names
from runoff_lstm.inputs.scaling import Scaler
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.models.build import build_model
from runoff_lstm.models.dropout import Dropout
from runoff_lstm.models.own import OwnModel
from runoff_lstm.prediction.stages import Stage
from runoff_lstm.prediction.trained_model import TrainedModel

FORMAT = "runoff_lstm bundle 1"


def write_bundle(model: TrainedModel, path: str | Path) -> Path:
    """Write a trained model as one safetensors file, whole or not at all.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> periods = rl.Periods(train=("2000-02-01", "2000-12-31"), validation=("2001-01-01", "2001-06-30"))
    >>> inputs = rl.Inputs(["rain", "temperature"], sequence_length=30)
    >>> recipe = rl.Recipe(steps=3, batch_size=16, validate_every=3)
    >>> form = rl.Architecture(hidden_sizes=4)
    >>> trained = rl.train(data, periods=periods, inputs=inputs, recipe=recipe, architecture=form, device="cpu")
    >>> import tempfile
    >>> rl.write_bundle(trained.model, tempfile.mkdtemp() + "/model.safetensors").name
    'model.safetensors'
    """
    if isinstance(model.module, OwnModel):
        raise InputError(
            f"module = {type(model.module.module).__name__} is your own, and a bundle cannot make it again; keep its weights by "
            "torch.save(module.state_dict(), ...) beside the code of the module"
        )
    header: dict[str, Any] = {
        "architecture": asdict(model.architecture),
        "scaler": asdict(model.scaler),
        "forcing": dict(model.forcing),
        "static_attributes": list(model.static_attributes),
        "sequence_length": model.sequence_length,
        "targets_per_window": model.targets_per_window,
        "step_seconds": model.time_step.total_seconds(),
        "training_period": [[one.start.isoformat(), one.end.isoformat()] for one in model.training_period.parts],
        "gauge_ids": list(model.gauge_ids),
        "discharge_lags": list(model.discharge_lags),
        "season": model.season,
        "residual_variance": list(model.residual_variance),
        "lead_times": model.lead_times,
        "forecast_forcing": list(model.forecast_forcing),
        "seen": [stage.to_plain() for stage in model.seen],
    }
    weights = {name: value.detach().cpu().contiguous() for name, value in model.module.state_dict().items()}
    with written_whole(Path(path)) as part:
        save_file(weights, part, metadata={"format": FORMAT, "model": json.dumps(header)})
    return Path(path)


def load_model(path: str | Path, *, device: str | torch.device = "cpu") -> TrainedModel:
    """Read a trained model that `write_bundle` wrote.

    Raises
    ------
    InputError
        The file is missing, cut short, damaged, or not a bundle of this package, or the device is not available.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> data = rl.example_basins()
    >>> periods = rl.Periods(train=("2000-02-01", "2000-12-31"), validation=("2001-01-01", "2001-06-30"))
    >>> inputs = rl.Inputs(["rain", "temperature"], sequence_length=30)
    >>> recipe = rl.Recipe(steps=3, batch_size=16, validate_every=3)
    >>> form = rl.Architecture(hidden_sizes=4)
    >>> trained = rl.train(data, periods=periods, inputs=inputs, recipe=recipe, architecture=form, device="cpu")
    >>> import tempfile
    >>> path = rl.write_bundle(trained.model, tempfile.mkdtemp() + "/model.safetensors")
    >>> rl.load_model(path).units
    'mm d-1'
    """
    device = resolve_device(device)
    if not Path(path).is_file():
        raise InputError(f"{path} is not there; a trained model is the file model.safetensors of a run folder")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a whole safetensors file ({error}); write it again from its run") from None
    if metadata.get("format") != FORMAT:
        raise InputError(
            f"{path} is a safetensors file, but not a model of runoff_lstm; give the model.safetensors of a run folder"
        )
    header = json.loads(metadata["model"])
    form = header.pop("architecture")
    architecture = Architecture(**{**form, "dropout": Dropout(**form["dropout"]), "hidden_sizes": tuple(form["hidden_sizes"])})
    scaler = Scaler(**header.pop("scaler"))
    lags, forecast_forcing = (tuple(header.get(name, ())) for name in ("discharge_lags", "forecast_forcing"))
    module = build_model(
        architecture,
        n_forcings=len(header["forcing"]) + len(input_names(lags, season=header.get("season", False))),
        n_static_attributes=len(header["static_attributes"]),
        zero_flow=scaler.zero_flow,
        from_discharge=bool(lags),
        lead_times=header.get("lead_times", 0),
        future=tuple(list(header["forcing"]).index(name) for name in forecast_forcing),
    )
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"{path}: the weights do not fit the model its header describes ({error}); write it again") from None
    return TrainedModel(
        module=module.to(device).eval(),
        architecture=architecture,
        scaler=scaler,
        forcing=header["forcing"],
        static_attributes=tuple(header["static_attributes"]),
        sequence_length=header["sequence_length"],
        targets_per_window=header["targets_per_window"],
        time_step=pd.Timedelta(seconds=header["step_seconds"]),
        training_period=period_of(header["training_period"]),
        gauge_ids=tuple(header["gauge_ids"]),
        discharge_lags=lags,
        season=header.get("season", False),
        residual_variance=tuple(header.get("residual_variance", ())),
        lead_times=header.get("lead_times", 0),
        forecast_forcing=forecast_forcing,
        seen=tuple(map(Stage.of_plain, header.get("seen", ()))),
    )
