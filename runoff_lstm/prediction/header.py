"""Header of a bundle: written from a trained model as JSON, read with every field checked."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from runoff_lstm.data.names import DISCHARGE
from runoff_lstm.errors import InputError, nearest
from runoff_lstm.inputs.scaling import Scaler
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.prediction.stages import Stage, StageKind
from runoff_lstm.prediction.trained_model import TrainedModel

FORMAT = 2
"""Format of written bundles; format 1 can be read too."""

LONGEST_STEP = 366 * 86400
"""Longest time step in seconds."""

Record = TypeVar("Record")


@dataclass(frozen=True)
class StageText:
    """A `Stage` in JSON-compatible types."""

    kind: StageKind
    gauge_ids: tuple[str, ...]
    period: tuple[tuple[str, str], ...]

    @property
    def stage(self) -> Stage:
        """Convert to a `Stage`."""
        return Stage.of_plain(asdict(self))


@dataclass(frozen=True)
class Header:
    """All fields of a trained model except its weights; see `TrainedModel`.

    Attributes
    ----------
    format, version
        Format of the bundle, and version of the package that wrote it.
    forcing
        Unit of every forcing variable, by name.
    step_seconds
        Length of one time step.
    """

    format: int
    version: str
    architecture: Architecture
    inputs: Inputs
    scaler: Scaler
    forcing: Mapping[str, str]
    step_seconds: float
    trained_on: StageText
    seen: tuple[StageText, ...]
    residual_variance: tuple[float, ...]
    preparation: Mapping[str, Any]
    calibration: Mapping[str, Any]


def package_version() -> str:
    """Return the version of this package."""
    try:
        return version("runoff-lstm")
    except PackageNotFoundError:  # not installed, run from source
        return "unknown"


def header_of(model: TrainedModel) -> str:
    """Convert a trained model to its header, as JSON."""
    return json.dumps(
        {
            "format": FORMAT,
            "version": package_version(),
            "architecture": asdict(model.architecture),
            "inputs": asdict(model.inputs),
            "scaler": asdict(model.scaler),
            "forcing": dict(model.forcing),
            "step_seconds": model.time_step.total_seconds(),
            "trained_on": model.trained_on.to_plain(),
            "seen": [stage.to_plain() for stage in model.seen],
            "residual_variance": list(model.residual_variance),
            "preparation": dict(model.preparation),
            "calibration": dict(model.calibration),
        }
    )


def read_header(text: str) -> Header:
    """Read the header from JSON, of format 1 or 2.

    Raises
    ------
    InputError
        A key is missing or unknown, a value has the wrong type, is not finite or is inconsistent, or the format is newer.
    """
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise InputError(f"its header is not JSON ({error}); write it again from its run") from None
    if not isinstance(plain, dict):
        raise InputError("its header is not a JSON object; write it again from its run")
    written = plain.get("format", 1)
    if isinstance(written, int) and written > FORMAT:
        raise InputError(
            f"it is a bundle of format {written}, written by runoff_lstm {plain.get('version', 'of an unknown version')}, and this "
            f"is runoff_lstm {package_version()}, which reads formats 1 to {FORMAT}; update runoff_lstm"
        )
    if written == 1:
        plain = _of_format_1(plain)
    header = _record(Header, plain, "", f"{plain.get('version')}", complete=written != 1)
    _check_consistent(header)
    return header


def _of_format_1(plain: dict[str, Any]) -> dict[str, Any]:
    """Convert a header of format 1 to the keys of format 2.

    Unknown keys are kept and raise an error later.
    """
    plain = {"season": False, "lead_times": 0, "discharge_lags": [], "forecast_forcing": [], "residual_variance": [], **plain}
    units, scaler = plain.get("forcing"), plain.get("scaler")
    inputs = {"forcing": list(units) if isinstance(units, dict) else units}
    if isinstance(scaler, dict):
        inputs["root_transform"] = scaler.get("root_transform", False)
    moved = [one.name for one in fields(Inputs) if one.name not in inputs]
    inputs |= {name: plain.pop(name) for name in moved if name in plain}
    for name in ("sequence_length", "targets_per_window", "static_attributes"):
        if name not in inputs:
            raise InputError(_lacks(name))
    trained_on = {"kind": "train", "gauge_ids": plain.pop("gauge_ids", None), "period": plain.pop("training_period", None)}
    if isinstance(trained_on["period"], list) and trained_on["period"] and isinstance(trained_on["period"][0], str):
        trained_on["period"] = [trained_on["period"]]
    rest = {"format": 1, "version": "unknown (format 1)", "inputs": inputs, "trained_on": trained_on, "seen": []}
    return {**rest, "preparation": {}, "calibration": {}, **plain}


def _record(kind: type[Record], plain: object, where: str, written_by: str, *, complete: bool) -> Record:
    """Build a dataclass from a JSON object.

    Unknown keys raise an error. With `complete` fields that have a default are required too.
    """
    if not isinstance(plain, dict):
        raise InputError(_wrong(where, plain, "a table"))
    known = {one.name: one for one in fields(cast(Any, kind))}
    for name in plain:
        if name not in known:
            raise InputError(
                f"its header has an unknown key '{_below(where, name)}' ({nearest(name, known)}); it was written by runoff_lstm "
                f"{written_by}, and this is {package_version()}; read it with the version that wrote it"
            )
    for name, one in known.items():
        if name not in plain and (complete or (one.default is MISSING and one.default_factory is MISSING)):
            raise InputError(_lacks(_below(where, name)))
    hints = get_type_hints(kind)
    values = {name: _value(hints[name], value, _below(where, name), written_by, complete=complete) for name, value in plain.items()}
    return kind(**values)


def _value(hint: Any, plain: Any, where: str, written_by: str, *, complete: bool) -> Any:  # noqa: PLR0911 - a row for each type
    """Convert a value to the annotated type of its field."""
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return _record(cast(type[Any], hint), plain, where, written_by, complete=complete)
    if hint is Any:
        return plain
    if origin in (Union, UnionType):
        if plain is None and NoneType in inner:
            return None
        (hint,) = (one for one in inner if one is not NoneType)
        return _value(hint, plain, where, written_by, complete=complete)
    if origin is Literal:
        if plain not in inner or isinstance(plain, bool):
            raise InputError(_wrong(where, plain, f"one of {', '.join(map(str, inner))}"))
        return plain
    if origin is Sequence:  # JSON has no tuples; converted after reading
        return _value(tuple[inner[0], ...], plain, where, written_by, complete=complete)  # type: ignore[valid-type]
    if origin is tuple:
        some = isinstance(plain, list)
        if not some or (inner[-1] is not Ellipsis and len(plain) != len(inner)):
            raise InputError(_wrong(where, plain, "a list" if inner[-1] is Ellipsis else f"a list of {len(inner)}"))
        hints = [inner[0]] * len(plain) if inner[-1] is Ellipsis else inner
        pairs = enumerate(zip(hints, plain, strict=True))
        return tuple(_value(one, value, f"{where}[{place}]", written_by, complete=complete) for place, (one, value) in pairs)
    if origin is not None:  # a Mapping
        if not isinstance(plain, dict):
            raise InputError(_wrong(where, plain, "a table"))
        return {name: _value(inner[1], value, _below(where, name), written_by, complete=complete) for name, value in plain.items()}
    return _plain_value(hint, plain, where)


def _plain_value(hint: type, plain: Any, where: str) -> Any:
    """Check that a value is a text, a flag or a finite number."""
    if hint is float and isinstance(plain, int | float) and not isinstance(plain, bool) and math.isfinite(plain):
        return float(plain)
    if hint is float or type(plain) is not hint:
        expected = {str: "a text", bool: "true or false", int: "a whole number", float: "a finite number"}[hint]
        raise InputError(_wrong(where, plain, expected))
    return plain


def _check_consistent(header: Header) -> None:
    """Raise an error for values out of range or inconsistent with each other."""
    inputs = header.inputs
    for name in ("sequence_length", "targets_per_window"):
        if getattr(inputs, name) < 1:
            raise InputError(_wrong(f"inputs.{name}", getattr(inputs, name), "a whole number of at least 1"))
    if not 0 < header.step_seconds <= LONGEST_STEP:
        raise InputError(_wrong("step_seconds", header.step_seconds, f"a number above 0, at most {LONGEST_STEP}"))
    for where, stage in (("trained_on", header.trained_on), *((f"seen[{place}]", one) for place, one in enumerate(header.seen))):
        if not stage.period:
            raise InputError(_wrong(f"{where}.period", [], "at least one pair of dates"))
    if set(header.forcing) != set(inputs.forcing):
        raise InputError(_wrong("forcing", sorted(header.forcing), f"a unit for each of {sorted(inputs.forcing)}"))
    _check_scaler(header.scaler, inputs)
    variance = header.residual_variance
    if len(variance) not in (0, len(inputs.leads)) or any(one < 0 for one in variance):
        raise InputError(_wrong("residual_variance", list(variance), f"no number, or {len(inputs.leads)} of at least 0"))


def _check_scaler(scaler: Scaler, inputs: Inputs) -> None:
    """Raise an error if the scaler does not match the inputs or cannot scale."""
    names = {*inputs.forcing, *inputs.static_attributes, DISCHARGE}
    for part in ("mean", "std", "minimum", "maximum"):
        if set(getattr(scaler, part)) != names:
            raise InputError(_wrong(f"scaler.{part}", sorted(getattr(scaler, part)), f"a number for each of {sorted(names)}"))
    for name in names:
        if scaler.std[name] <= 0:
            raise InputError(_wrong(f"scaler.std.{name}", scaler.std[name], "a number above 0"))
        if scaler.minimum[name] > scaler.maximum[name]:
            raise InputError(_wrong(f"scaler.minimum.{name}", scaler.minimum[name], f"at most {scaler.maximum[name]}"))
    if scaler.root_transform != inputs.root_transform:
        raise InputError(_wrong("scaler.root_transform", scaler.root_transform, f"inputs.root_transform = {inputs.root_transform}"))


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _lacks(where: str) -> str:
    return f"its header has no '{where}'; write it again from its run"


def _wrong(where: str, value: object, expected: str) -> str:
    shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:80]} ..."
    return f"its header has {where} = {shown}, expected {expected}; write it again from its run"
