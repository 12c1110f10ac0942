"""catchments/reference.toml has every key of the experiment file, with its default."""

import re
import tomllib
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from pydantic_core import PydanticUndefined

from runoff_lstm import reference
from runoff_lstm.experiment import _fields, _tables, experiment_table, read_experiment

SET = {("training", "steps"), ("periods", "validation"), ("periods", "test")}
"""Keys without a default that the reference sets all the same: a budget, and periods to score."""

OF_FILES = {("extends",), ("without",)}
"""Keys by which one file takes those of another; they are gone before the experiment is checked."""


def keys(table: Any, place: tuple[str, ...] = ()):
    """Every key of the experiment file: its place, and the field of the code."""
    for name, field in _fields(table).items():
        inner = next(_tables(annotation(field)), None)
        if inner is None:
            yield (*place, name), field
        else:
            yield from keys(inner, (*place, name))


def annotation(field):
    return field.annotation if hasattr(field, "annotation") else field.type


def default(field):
    """As TOML writes it; None where the key is required or has none."""
    factory = field.default_factory
    value = factory() if callable(factory) else field.default
    return None if value in (MISSING, PydanticUndefined) else list(value) if isinstance(value, tuple) else value


def at(table, place):
    """The value of a key; below a variable's table of any name. None where it is not there."""
    for name in place:
        if isinstance(table, list):
            table = table[0]
        table = table.get(reference.VARIABLE, table).get(name) if table is not None else None
    return table


ALL = dict(keys(experiment_table()))


@pytest.fixture(scope="module")
def given():
    """Keys of the reference that are not commented out."""
    return tomllib.loads(reference.reference())


@pytest.mark.parametrize("place", ALL, ids=".".join)
def test_every_key_is_in_the_reference_with_its_default_and_a_comment(place, given):
    name, example = ".".join(place), at(reference.examples(), place)
    assert example is not None, f"catchments/reference.toml has no line for {name}; add it with its default"
    assert place in reference.descriptions(), f"{name} has no comment"
    expected = default(ALL[place])
    if expected is not None:
        assert example == expected, f"{name} is {example!r} in the reference, and {expected!r} in the code"
    elif not getattr(ALL[place], "is_required", lambda: False)() and place not in SET:
        assert not at(given, place), f"{name} has no default; comment it out"
    TypeAdapter(annotation(ALL[place])).validate_python(example)


def test_the_reference_has_no_key_that_is_not_known():
    assert set(reference.descriptions()) == set(ALL) | OF_FILES


@pytest.mark.parametrize(("place", "comment"), reference.descriptions().items(), ids=str)
def test_a_comment_is_one_short_sentence(place, comment):
    assert re.match(r"[A-Z].*\.$|camels_us: |caravan: |[a-z_]+: [a-z]", comment)
    assert len(comment.split()) <= 20


def test_the_reference_is_an_experiment_of_the_bundled_data():
    experiment = read_experiment(reference.catchments() / "reference.toml")
    assert Path(experiment.data.path) == reference.catchments() / "leaf" / "leaf.nc"
    assert Path(experiment.data.path).is_file()


def test_the_template_is_the_reference_from_any_folder(tmp_path):
    (tmp_path / "mine.toml").write_text(reference.template(), encoding="utf-8")
    assert read_experiment(tmp_path / "mine.toml") == read_experiment(reference.catchments() / "reference.toml")


def test_the_json_schema_describes_every_key():
    schema = experiment_table().model_json_schema()
    tables = {"Experiment": schema, **schema["$defs"]}
    bare = {
        f"{name}.{key}"
        for name, table in tables.items()
        for key, one in table["properties"].items()
        if "description" not in one and "$defs" not in str(one)
    }
    assert not bare
    assert schema["$defs"]["Recipe"]["properties"]["gradient_clip"]["description"] == "Limit the norm of the gradient."
    assert "time steps" in schema["$defs"]["Fill"]["properties"]["limit"]["description"]
