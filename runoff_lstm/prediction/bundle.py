"""Write and read a trained model as one safetensors file: weights, and a header with all other fields."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from runoff_lstm.errors import InputError
from runoff_lstm.files import written_whole
from runoff_lstm.inputs.device import resolve_device
from runoff_lstm.models.build import Model, build_model
from runoff_lstm.models.own import OwnModel
from runoff_lstm.prediction.forecast import TrainedForecaster
from runoff_lstm.prediction.header import FORMAT, Header, header_of, read_header
from runoff_lstm.prediction.kinds import kind_of
from runoff_lstm.prediction.simulate import Simulator
from runoff_lstm.prediction.trained_model import TrainedModel

NAME = "runoff_lstm bundle"


def write_bundle(model: TrainedModel, path: str | Path) -> Path:
    """Write a trained model as one safetensors file, atomically.

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
    weights = {name: value.detach().cpu().contiguous() for name, value in model.module.state_dict().items()}
    header = header_of(model)
    metadata = {"format": f"{NAME} {FORMAT}", "model": header, "checksum": checksum(header, weights)}
    with written_whole(Path(path)) as part:
        save_file(weights, part, metadata=metadata)
    return Path(path)


def load_model(path: str | Path, *, device: str | torch.device = "cpu") -> Simulator | TrainedForecaster:
    """Read a trained model written by `write_bundle`.

    Returns a `Simulator`, or with lead times a `TrainedForecaster`.

    Raises
    ------
    InputError
        The file is missing, truncated, damaged, of a newer format or not a bundle of this package, or the device is not available.

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
    if not metadata.get("format", "").startswith(NAME) or "model" not in metadata:
        raise InputError(
            f"{path} is a safetensors file, but not a model of runoff_lstm; give the model.safetensors of a run folder"
        )
    try:
        header = read_header(metadata["model"])
        kept = header.format == 1 or metadata.get("checksum") == checksum(metadata["model"], weights)
        if not kept or metadata["format"] != f"{NAME} {header.format}":
            raise InputError("its checksum does not fit its content, so it was damaged or changed; write it again from its run")
        module = _module(header, weights)
        seen = tuple(one.stage for one in header.seen)
        trained_on = header.trained_on.stage
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return kind_of(header.inputs)(
        module=module.to(device).eval(),
        architecture=header.architecture,
        inputs=header.inputs,
        scaler=header.scaler,
        forcing={name: header.forcing[name] for name in header.inputs.forcing},
        time_step=pd.Timedelta(seconds=header.step_seconds),
        trained_on=trained_on,
        residual_variance=header.residual_variance,
        seen=seen,
        preparation=header.preparation,
        calibration=header.calibration,
    )


def checksum(header: str, weights: Mapping[str, Tensor]) -> str:
    """Compute the SHA-256 of the header and of every weight with name, type and shape."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(weights):
        value = weights[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _module(header: Header, weights: Mapping[str, Tensor]) -> Model:
    """Build the network from the header and load the weights."""
    try:
        module = build_model(header.architecture, header.inputs, zero_flow=header.scaler.zero_flow)
    except (RuntimeError, MemoryError, OverflowError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"the model its header describes cannot be built ({text}); write it again from its run") from None
    for name, value in weights.items():
        if value.dtype != torch.float32 or not bool(torch.isfinite(value).all()):
            raise InputError(f"the weight '{name}' is not of finite float32 numbers; write it again from its run")
    try:
        module.load_state_dict(dict(weights))
    except RuntimeError as error:
        text = " ".join(str(error).split())
        raise InputError(f"the weights do not fit the model its header describes ({text}); write it again from its run") from None
    return module
