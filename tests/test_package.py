"""The public names. `python -m tests.test_package --write` accepts changed signatures."""

import ast
import difflib
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import is_typeddict

import pytest

import runoff_lstm

STORED = Path(__file__).with_name("public_signatures.txt")
ACCEPT = "python -m tests.test_package --write"
EMPTY = inspect.Parameter.empty


@pytest.mark.parametrize("name", runoff_lstm.__all__)
def test_every_name_of_the_package_is_that_of_its_module(name):
    found = getattr(runoff_lstm, name)
    homes = [home for home, names in runoff_lstm._HOME.items() if name in names]
    assert len(homes) == 1
    assert found is getattr(import_module(f"runoff_lstm.{homes[0]}"), name)


def test_the_list_of_names_is_whole_and_an_unknown_one_is_refused():
    assert sorted(runoff_lstm.__all__) == sorted(name for names in runoff_lstm._HOME.values() for name in names)
    assert dir(runoff_lstm) == sorted(runoff_lstm.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'unheard_of'"):
        runoff_lstm.unheard_of  # noqa: B018


def test_what_editors_are_told_is_the_table_and_a_wrong_name_is_one_to_them():
    tree = ast.parse(Path(runoff_lstm.__file__).read_text(encoding="utf-8"))
    (chosen,) = [one for one in tree.body if isinstance(one, ast.If)]
    told = {(home.module, one.name) for home in chosen.body for one in home.names}
    assert told == {(f"runoff_lstm.{home}", name) for home, names in runoff_lstm._HOME.items() for name in names}
    assert all(one.asname == one.name for home in chosen.body for one in home.names)  # handed on, by the rules of mypy
    for_all = [one.name for one in tree.body if isinstance(one, ast.FunctionDef)]
    assert "__getattr__" not in for_all  # it would make any name one of the package
    assert [one.name for one in chosen.orelse] == ["__getattr__", "__dir__"]


def test_a_wrong_name_is_refused_with_the_nearest_and_the_version_is_known():
    with pytest.raises(AttributeError, match="has no attribute 'evaluat'; did you mean 'evaluate'"):
        runoff_lstm.evaluat  # noqa: B018
    assert runoff_lstm.__version__.count(".") == 2


NO_EXAMPLE_YET = {
    *("LSTMForecaster", "walk_forward", "train_run", "train_ensemble", "cross_validate", "evaluate_run", "load_models", "fit"),
    *("read_camels_us", "read_caravan", "read_scores", "compare_tables"),
    *("from_keras", "keras_windows", "to_keras"),
}
"""Public names whose docstring still wants an example; the list may only become shorter."""


def test_every_public_name_has_an_example():
    documented = {name for name in runoff_lstm.__all__ if not isinstance(getattr(runoff_lstm, name), dict)}
    without = {name for name in documented if ">>>" not in (inspect.getdoc(getattr(runoff_lstm, name)) or "")}
    assert without == NO_EXAMPLE_YET


def test_no_public_signature_changes_unseen():
    stored = STORED.read_text(encoding="utf-8").splitlines()
    difference = "\n".join(difflib.unified_diff(stored, list(signatures()), "stored", "now", lineterm="", n=0))
    assert not difference, f"\n{difference}\n\nIf this is meant: {ACCEPT}"


def test_a_signature_is_written_without_modules_and_addresses():
    def example(path: Path, *, make: type = Path, each: "list[Path] | None" = None, scale: float = 0.5) -> Iterator[Path]: ...

    expected = "(path: Path, *, make: type = Path, each: list[Path] | None = None, scale: float = 0.5) -> Iterator[Path]"
    assert signature(example) == expected


def signatures() -> Iterator[str]:
    """A line for each public name, and for each public method of a public class."""
    for name in sorted(runoff_lstm.__all__):
        found = getattr(runoff_lstm, name)
        if isinstance(found, dict):
            yield f"{name} = {{{', '.join(map(str, found))}}}"
        elif is_typeddict(found):
            yield f"{name}: {', '.join(found.__annotations__)}"
        elif not inspect.isclass(found):
            yield name + signature(found)
        elif issubclass(found, Exception):
            yield f"{name}({', '.join(base.__name__ for base in found.__bases__)})"
        else:
            yield name + signature(found)
            yield from (f"{name}.{line}" for line in methods(found))


def methods(found: type) -> Iterator[str]:
    """The public methods and properties of a class that this package defines."""
    ours = [one for one in reversed(found.__mro__) if one.__module__.startswith("runoff_lstm")]
    for name, value in sorted({name: value for one in ours for name, value in vars(one).items()}.items()):
        method = getattr(value, "__func__", value)  # of a class method or a static one
        if not name.startswith("_") and inspect.isfunction(method):
            yield name + signature(method)
        elif not name.startswith("_") and isinstance(value, property):
            yield f"{name}: property"


def signature(found: object) -> str:
    """The signature by `inspect`, without the modules of its types, so that these may move."""
    whole = inspect.signature(found)
    parameters = [
        one.replace(annotation=annotation(one.annotation), default=default(one.default)) for one in whole.parameters.values()
    ]
    return str(whole.replace(parameters=parameters, return_annotation=annotation(whole.return_annotation)))


class Written:
    """Something that `inspect` writes as the given text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def annotation(value: object) -> object:
    """A type by its last name; `*<class 'a.b.Options'>` is what Python makes of `Unpack[Options]`."""
    if value is EMPTY:
        return value
    text = value if isinstance(value, str) else inspect.formatannotation(value)
    text = re.sub(r"\*<class '([\w.]+)'>", r"Unpack[\1]", text)
    return Written(re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", text))


def default(value: object) -> object:
    """A default as it is written; a class or function by its name, whose representation has a module or an address."""
    return Written(value.__name__) if inspect.isfunction(value) or (inspect.isclass(value) and value is not EMPTY) else value


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"usage: {ACCEPT}")
    STORED.write_text("\n".join(signatures()) + "\n", encoding="utf-8")
