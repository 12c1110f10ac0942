"""The reference of the experiment file, catchments/reference.toml: the one home of what each key means."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runoff_lstm.files import literal_path

VARIABLE = "NAME"
"""Stands in a heading of the reference for the name of a variable: [data.fill.NAME]."""

_UNSET = re.compile(r"^# (?=\[|\w+ = )", re.MULTILINE)
_LINE = re.compile(r"\[(?P<table>[\w.]+)\]|(?P<key>\w+) = (?:[^#\"]|\"[^\"]*\")*# (?P<comment>.*)")


def catchments() -> Path:
    """The folder of the bundled catchments: inside an installed package, beside the package in a clone."""
    package = Path(__file__).parent
    return next(folder for folder in (package / "catchments", package.parent / "catchments") if folder.is_dir())


def reference() -> str:
    """The text of catchments/reference.toml."""
    return (catchments() / "reference.toml").read_text(encoding="utf-8")


def template() -> str:
    """The reference with the whole path of its data, so that it can be trained on from any folder."""
    data = literal_path(catchments() / "leaf" / "leaf.nc")
    return reference().replace('"leaf/leaf.nc"', f'"{data}"')


def examples() -> dict[str, Any]:
    """Every key of the reference with its value, keys that are commented out included."""
    return tomllib.loads(_UNSET.sub("", reference()))


def descriptions() -> dict[tuple[str, ...], str]:
    """The comment of every key, by its tables and name, such as ("data", "fill", "limit")."""
    found: dict[tuple[str, ...], str] = {}
    table: tuple[str, ...] = ()
    for line in _UNSET.sub("", reference()).splitlines():
        matched = _LINE.match(line)
        if matched and matched["table"]:
            table = tuple(part for part in matched["table"].split(".") if part != VARIABLE)
        elif matched:
            found[*table, matched["key"]] = matched["comment"]
    return found


def describe(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema of the experiment file with the comment of each key as its description."""
    _describe(schema, schema.get("$defs", {}), descriptions(), ())
    return schema


def _describe(table: dict[str, Any], tables: dict[str, Any], comments: dict[tuple[str, ...], str], place: tuple[str, ...]) -> None:
    for name, key in table.get("properties", {}).items():
        if (*place, name) in comments:
            key["description"] = comments[*place, name]
        for one in _references(key):
            _describe(tables[one], tables, comments, (*place, name))


def _references(node: Any) -> Iterator[str]:
    """The tables that a part of a schema refers to."""
    for name, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if name == "$ref":
            yield value.rpartition("/")[2]
        else:
            yield from _references(value)
