"""From an experiment file (TOML) to checked plain values; an unknown key is refused with the nearest known one."""

import datetime
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    create_model,
)

from runoff_lstm.data.names import DISCHARGE
from runoff_lstm.data.periods import Period, period_of
from runoff_lstm.data.preparation import MENDED, needed_variables
from runoff_lstm.data.readers import SOURCES, OnMissing, Source
from runoff_lstm.data.splits import Periods
from runoff_lstm.errors import InputError, nearest, unknown_choice
from runoff_lstm.files import check_name, expand_path, literal_path
from runoff_lstm.inputs.spec import Inputs
from runoff_lstm.models.architecture import Architecture
from runoff_lstm.reference import describe
from runoff_lstm.runs.ensemble import FoldKind
from runoff_lstm.runs.scores import METRICS
from runoff_lstm.runs.walk_forward import Walk
from runoff_lstm.training.recipe import Recipe

_PATHS = (("data", "path"), ("data", "attributes"), ("data", "gauge_ids"), ("fine_tuning", "start_from"))
"""Keys that hold a path, if they hold a text."""


def _moment(value: Any) -> Any:
    """Numbers, and text of a number, would be taken for seconds since 1970."""
    if isinstance(value, datetime.date) or (isinstance(value, str) and not value.strip().isdigit()):
        return value
    raise ValueError("a date is written as 1999-10-01")


Moment = Annotated[datetime.date | datetime.datetime, BeforeValidator(_moment)]
Dates = tuple[Moment, Moment]


def _form(dates: Any) -> str:
    """Whether these are the dates of one period or of several."""
    return "list[Dates]" if isinstance(dates, list) and dates and isinstance(dates[0], list | tuple) else "tuple[Dates]"


OneOrMore = Annotated[
    Annotated[Dates, Tag("tuple[Dates]")] | Annotated[list[Dates], Tag("list[Dates]")],
    Discriminator(_form),
]

_UNION = re.compile(r"(str|date|datetime|Fill|(list|tuple|literal|function-before)\[.*\])$")
"""What pydantic adds to the place of a fault to tell the alternatives apart; no key of the file."""


Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Table(BaseModel):
    """A table of the file: no key beyond those named here."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Resample(Table):
    """[data.resample]: to which step, and the share of its values that has to be there; see `runoff_lstm.data.filling`."""

    step: str
    share: float = 1.0


class Derive(Table):
    """[data.derive.NAME]: a variable from others."""

    formula: str
    units: str


class Fill(Table):
    """[data.fill.NAME], or several [[data.fill.NAME]]: what is put into gaps of no more than `limit` steps."""

    method: Literal["earlier", "interpolation", "climatology"]
    limit: int = Field(ge=1)
    period: str | None = None
    tries: int | None = Field(default=None, ge=1)


class Data(Table):
    """[data]: where the data are, and what the model takes of them; the keys of the sources come beside, see `experiment_table`."""

    source: str
    path: str
    gauge_ids: list[str] | str | None = None
    forcing: list[str]
    static_attributes: list[str] = []
    on_missing: OnMissing = "refuse"
    resample: Resample | None = None
    derive: dict[str, Derive] = {}
    fill: dict[str, Fill | list[Fill]] = {}

    def reader_arguments(self) -> dict[str, Any]:
        """What to call the reader with, beside the path."""
        given = self.model_dump(
            exclude={"source", "path", "forcing", "static_attributes", *MENDED}, exclude_defaults=True, exclude_none=True
        )
        wanted = [*self.forcing, *self.static_attributes, DISCHARGE]
        variables, _ = needed_variables(wanted, {name: one.formula for name, one in self.derive.items()})
        return {**given, "variables": variables}

    def preparation(self, *, asked: bool = False) -> dict[str, Any]:
        """How the data are read, but where they are and what a model takes of them; with `asked` also what was set to be empty."""
        beside = {"source", "path", "gauge_ids", "forcing", "static_attributes"}
        tidy = self.model_dump(exclude=beside, exclude_none=True, exclude_defaults=True)
        if not asked:
            return tidy
        given = self.model_dump(exclude=beside, exclude_none=True, exclude_unset=True)
        return {key: tidy.get(key, value) for key, value in given.items()}

    def mending(self) -> dict[str, Any]:
        """What to call `mend` with; empty where the data are taken as they are."""
        return self.model_dump(include=set(MENDED), exclude_defaults=True, exclude_none=True)


class PeriodTable(Table):
    """[periods]: first and last day, or moment, of each, both included; of training in several stretches a list of such pairs."""

    train: OneOrMore
    validation: Dates | None = None
    test: Dates | None = None


class WindowTable(Table):
    """[windows]: what each prediction sees, how many steps a window predicts, and how far ahead; see `Inputs`."""

    sequence_length: int = Field(default=365, ge=1)
    targets_per_window: int = Field(default=1, ge=1)
    discharge_lags: tuple[int, ...] = ()
    season: bool = False
    root_transform: bool = False
    lead_times: int = Field(default=0, ge=0)
    forecast_forcing: tuple[str, ...] = ()


class EvaluationTable(Table):
    """[evaluation]: the columns of the table of scores, and basins that are scored without having been trained on."""

    metrics: list[str] = list(METRICS)
    held_out: list[str] = []


class FineTuning(Table):
    """[fine_tuning]: a trained model to go on from, and its parts that stay as they are."""

    start_from: str
    frozen: list[str] = []


class Folds(Table):
    """[folds]: train once for each fold, and score what it has kept from training."""

    number: int = Field(ge=1)
    by: FoldKind = "basin"
    seed: Seed = 0


class Experiment(Table):
    """A whole experiment file."""

    name: Annotated[str, AfterValidator(check_name)]
    seed: Seed = 0
    seeds: int = Field(default=1, ge=1, le=10_000)
    data: Data
    periods: PeriodTable
    windows: WindowTable = Field(default_factory=lambda: WindowTable.model_validate({}))
    model: Architecture | None = None
    training: Recipe
    evaluation: EvaluationTable = EvaluationTable()
    fine_tuning: FineTuning | None = None
    folds: Folds | None = None
    walk_forward: Walk | None = None

    def arguments(self) -> dict[str, Any]:
        """The experiment as the arguments of `train_run`."""
        others = {name: Period(*dates) for name, dates in self.periods if name != "train" and dates is not None}
        inputs = Inputs(tuple(self.data.forcing), tuple(self.data.static_attributes), **self.windows.model_dump())
        return {
            "name": self.name,
            "periods": Periods(train=period_of(self.periods.train), **others),
            "inputs": inputs,
            "recipe": self.training,
            "architecture": self.model,
            "metrics": self.evaluation.metrics,
            "seed": self.seed,
            "held_out": tuple(self.evaluation.held_out),
            "on_missing": self.data.on_missing,
            "walk": self.walk_forward,
            **({} if self.fine_tuning is None else self.fine_tuning.model_dump()),
        }

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """The JSON schema of the file, each key described as in catchments/reference.toml."""
        return describe(super().model_json_schema(*args, **options))

    def settings(self) -> dict[str, Any]:
        """The experiment as a table to write: what was given, with absolute paths."""
        table = self.model_dump(mode="python", exclude_none=True, exclude_unset=True)
        for section, key in (("data", "path"), ("data", "attributes"), ("fine_tuning", "start_from")):
            if key in table.get(section, {}):
                table[section][key] = literal_path(table[section][key])
        return table


def experiment_table() -> type[Experiment]:
    """The experiment file with the sources there are: their names, and the keys of [data] that one of them takes."""
    return _experiment_table(tuple(SOURCES.items()))


@cache
def _experiment_table(sources: tuple[tuple[str, Source], ...]) -> type[Experiment]:
    own: Any = {name: (kind | None, None) for _, source in sources for name, kind in source.options.items()}
    kinds: Any = Literal[tuple(name for name, _ in sources)]
    data: type[Data] = create_model("Data", __base__=Data, source=(kinds, ...), **own)
    return create_model("Experiment", __base__=Experiment, data=(data, ...))


def read_experiment(path: str | Path, *, overrides: Sequence[str] = ()) -> Experiment:
    """Read and check an experiment file.

    Parameters
    ----------
    path
        TOML file. Paths in it are relative to it; `~` and `$VARIABLES` are expanded, `$$` is the sign itself. With
        `extends = "base.toml"` it takes all of that file that it does not set itself, but the keys of `without = ["periods.test"]`.
    overrides
        "training.steps=500": values that take the place of the file's, in TOML.

    Raises
    ------
    InputError
        The file, or one that it extends, is missing or no TOML, files extend each other in a circle, a key is unknown (the nearest
        is named) or has a wrong type, a variable is not set.
    """
    path = Path(path)
    table = _extended(path)
    for override in overrides:
        _override(table, override)
    form = experiment_table()
    try:
        experiment = form.model_validate(table)
    except ValidationError as error:
        raise InputError(f"{path}: {_sentence(error, form)}") from None
    _refuse_what_does_not_apply(experiment, path)
    located: dict[str, Any] = {"data": _located(experiment.data, path.resolve().parent)}
    if experiment.fine_tuning is not None:
        start_from = str(expand_path(experiment.fine_tuning.start_from, path.resolve().parent))
        located["fine_tuning"] = experiment.fine_tuning.model_copy(update={"start_from": start_from})
    return experiment.model_copy(update=located)


def read_data_table(table: Mapping[str, Any], *, overrides: Sequence[str] = ()) -> Data:
    """Check a table [data] that is given by itself; paths in it are relative to the current folder, overrides as "data.decimal=3".

    Raises
    ------
    InputError
        As `read_experiment`.
    """
    whole: dict[str, Any] = {"data": {"forcing": [], **table}}
    for override in overrides:
        _override(whole, override)
    kind: Any = experiment_table().model_fields["data"].annotation
    form: Any = create_model("Alone", __base__=Table, data=(kind, ...))
    try:
        data: Data = form.model_validate(whole).data
    except ValidationError as error:
        raise InputError(_sentence(error, form)) from None
    check_applies(data)
    return _located(data, Path.cwd())


def _extended(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The table of a file, laid key by key over that of the file it extends; `above` are the files that extend this one."""
    if path.resolve() in above:
        chain = " extends ".join(one.name for one in (*above[above.index(path.resolve()) :], path))
        raise InputError(f"{above[-1]}: extends goes in a circle ({chain}); leave one out")
    table = _toml(path)
    base, without = table.pop("extends", None), table.pop("without", [])
    if not isinstance(base, str | None) or not isinstance(without, list) or (without and base is None):
        raise InputError(f'{path}: write extends = "base.toml", and with it without = ["periods.test"] for keys to leave out')
    if base is None:
        return table
    there = expand_path(base, path.resolve().parent)
    below = _extended(there, (*above, path.resolve()))
    for key in without:
        _leave_out(below, str(key), where=f"{path}: without: {there.name}")
    if there.parent != path.resolve().parent:
        _locate(below, there.parent, but=table)
    return _laid_over(below, table)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = nearest(path.name, [one.name for one in path.parent.glob("*.toml")]) if path.parent.is_dir() else "no such folder"
        raise InputError(f"{path} is not there; {near}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a readable TOML file: {error}") from None


def _leave_out(table: dict[str, Any], key: str, *, where: str) -> None:
    """Remove one key, in dots, from a table, in place."""
    *tables, last = key.split(".")
    for name in tables:
        table = table.get(name, {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict) or last not in table:
        raise InputError(f"{where} has no {key}; {nearest(last, table if isinstance(table, dict) else ())}")
    del table[last]


def _locate(table: dict[str, Any], folder: Path, *, but: Mapping[str, Any]) -> None:
    """Make the paths of a table absolute, in place, save those that another one sets."""
    for section, key in _PATHS:
        given = table.get(section)
        if isinstance(given, dict) and isinstance(given.get(key), str) and key not in but.get(section, {}):
            given[key] = literal_path(expand_path(given[key], folder))


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables as one, key by key; what is above wins."""
    joined = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            joined[key] = _laid_over(below[key], above[key])
    return joined


def _refuse_what_does_not_apply(experiment: Experiment, path: Path) -> None:
    """Keys of [data] that the source does not take, and tables that exclude each other."""
    try:
        check_applies(experiment.data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if experiment.walk_forward is not None and not experiment.windows.lead_times:
        raise InputError(f"{path}: [walk_forward] needs [windows] lead_times, such as lead_times = 7")
    if experiment.folds is not None and experiment.seeds > 1:
        raise InputError(f"{path}: [folds] and seeds = {experiment.seeds} do not go together; leave one out")


def check_applies(data: Data) -> None:
    """Refuse keys of [data] that its source does not take."""
    taken = SOURCES[data.source].options
    for name in sorted(data.model_fields_set - set(Data.model_fields) - set(taken)):
        others = [f'"{one}"' for one, source in SOURCES.items() if name in source.options]
        raise InputError(f'[data] {name} is for source = {" or ".join(others)}, not "{data.source}"; remove it')


def _located(data: Data, folder: Path) -> Data:
    """The same data section with absolute paths, and a file of gauge ids read."""
    located: dict[str, Any] = {"path": str(expand_path(data.path, folder))}
    if getattr(data, "attributes", None):
        located["attributes"] = str(expand_path(getattr(data, "attributes"), folder))  # noqa: B009 - a key of some sources
    if isinstance(data.gauge_ids, str):
        file = expand_path(data.gauge_ids, folder)
        if not file.is_file():
            raise InputError(
                f"[data] gauge_ids: {file} is not there; give a list of ids in quotes, or a text file with one id a line"
            )
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"[data] gauge_ids: {file} is no text ({error}); give a text file with one id a line") from None
        located["gauge_ids"] = [line.strip() for line in lines if line.strip()]
    return data.model_copy(update=located)


def _override(table: dict[str, Any], override: str) -> None:
    """Set one value by its dotted key, in place."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {override}: write it as training.steps=500")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # a number of thousands of digits, thousands of brackets
        value = text.strip()
    *tables, last = key.strip().split(".")
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise InputError(f"--set {override}: {name} is a value, not a table")
    table[last] = value


def _sentence(error: ValidationError, form: type[Table]) -> str:
    """The first thing that is wrong, by its place in the file; an unknown key before all else: it may be a missing one misspelt."""
    unknown = ("extra_forbidden", "unexpected_keyword_argument")
    first = min(error.errors(), key=lambda one: one["type"] not in unknown)
    place = [str(part) for part in first["loc"] if not _UNION.match(str(part))]
    where = f"[{'.'.join(place[:-1])}] {place[-1]}" if len(place) > 1 else place[0] if place else "the file"
    if first["type"] in unknown:
        return f"{where}: unknown key; {nearest(place[-1], _known_keys(form, place[:-1]))}"
    if first["type"] in ("missing", "missing_argument"):
        return f"{where} is missing; add it"
    if first["type"] == "literal_error":
        known = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        return unknown_choice(where, first["input"], known)
    message = str(first["ctx"]["error"]) if "error" in first.get("ctx", {}) else first["msg"][:1].lower() + first["msg"][1:]
    given = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    return f"{where}{given}: {message}"


def _known_keys(form: type[Table], place: Sequence[str]) -> list[str]:
    """The keys a table of the file may have."""
    here: Any = form
    for name in place:
        field = _fields(here).get(name)
        if field is not None:  # else the name of a variable, in [data.fill.NAME]
            here = next(_tables(field.annotation if hasattr(field, "annotation") else field.type), None)
    return list(_fields(here))


def _fields(table: Any) -> dict[str, Any]:
    """Of a table of the file, pydantic's or a dataclass."""
    return getattr(table, "model_fields", None) or getattr(table, "__dataclass_fields__", {})


def _tables(annotation: Any) -> Iterator[Any]:
    """The tables that a key may hold."""
    if isinstance(annotation, type) and _fields(annotation):  # a validator of pydantic is a dataclass, too
        yield annotation
    for one in get_args(annotation):
        yield from _tables(one)
