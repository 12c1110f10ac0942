"""The error for invalid input, the checks and hints that raise it, and the handler of the package's log."""

import difflib
import logging
import math
import numbers
import re
import sys
from collections.abc import Iterable, Sequence
from typing import SupportsFloat, SupportsIndex, TextIO, TypeVar

Kind = TypeVar("Kind")


class InputError(ValueError):
    """Invalid input from the user.

    The message states in one sentence the place, the fault and the remedy.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> try:
    ...     rl.Period("2000-01-01", "1999-01-01")
    ... except rl.InputError as error:
    ...     print(error)
    the period 2000-01-01 to 1999-01-01 ends before it starts; swap the two dates
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for the end of an error message.

    The hint is the known name most like `name`. Without a close match, it lists the first twelve known names.

    >>> nearest("prpc", ["prcp", "tmax"])
    "did you mean 'prcp'?"
    """
    names = [str(one) for one in known]
    folded = {one.lower(): one for one in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{folded[close[0]]}'?"
    shown = ", ".join(names[:12]) or "nothing"
    return f"there is {shown}{' ...' if len(names) > 12 else ''}"


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return the value if it is one of the choices.

    Anything else raises an error with the nearest choice.

    >>> check_choice("mode", "window", ["windows", "continuous"])
    Traceback (most recent call last):
    runoff_lstm.errors.InputError: mode = 'window' is not known; did you mean 'windows'? (windows, continuous)
    """
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        raise InputError(unknown_choice(name, value, known))
    return value


def unknown_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return the error text for an unknown value.

    The text names the nearest choice, and lists all choices where there are at most twelve.
    """
    hint = nearest(str(value), choices)
    among = f" ({', '.join(choices)})" if hint.startswith("did") and len(choices) <= 12 else ""
    return f"{name} = {value!r} is not known; {hint}{among}"


def check_keywords(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise on an unknown keyword of a function, with the nearest known one.

    >>> check_keywords("read_csv", ["unitz"], ["units", "rename"])
    Traceback (most recent call last):
    runoff_lstm.errors.InputError: read_csv has no argument 'unitz'; did you mean 'units'?
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise InputError(f"{where} has no argument '{name}'; {nearest(name, names)}")


def as_integer(name: str, value: object, *, least: int | None = None) -> int:
    """Return a whole number as an int.

    Accepts numpy integers and floats without a fraction. Anything else raises an error that names the argument, as do True and
    False.

    >>> as_integer("steps", 240.0)
    240
    """
    whole = isinstance(value, SupportsIndex) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool) or type(value).__name__ == "bool":
        raise InputError(f"{name} = {_shown(value)} must be a whole number, such as {name} = {max(least or 0, 1)}")
    number = int(value)  # type: ignore[call-overload]
    if least is not None and number < least:
        raise InputError(f"{name} = {number} must be {f'{least} or more' if least else 'zero or more'}")
    return int(number)


def as_number(name: str, value: object) -> float:
    """Return a number as a float.

    Accepts numpy numbers. Text, True, False and NaN raise an error that names the argument.

    >>> as_number("learning_rate", 1)
    1.0
    """
    given = isinstance(value, numbers.Real) or (isinstance(value, SupportsFloat) and getattr(value, "ndim", None) == 0)
    number = float(value) if given and not isinstance(value, bool) else math.nan  # type: ignore[arg-type]
    if math.isnan(number):
        raise InputError(f"{name} = {_shown(value)} must be a number, such as {name} = 0.1")
    return number


def as_flag(name: str, value: object) -> bool:
    """Return True or False.

    Accepts numpy's booleans. Anything else raises an error that names the argument.

    >>> as_flag("season", True)
    True
    """
    if not isinstance(value, bool) and type(value).__name__ != "bool":
        raise InputError(f"{name} = {_shown(value)} must be True or False")
    return bool(value)


def as_text(name: str, value: object) -> str:
    """Return a text; anything else raises an error that names the argument."""
    if not isinstance(value, str):
        raise InputError(f'{name} = {_shown(value)} must be text; write {name} = "{_shown(value)}"')
    return value


def as_names(name: str, value: object) -> tuple[str, ...]:
    """Return names as a tuple.

    A single text is one name. Anything but texts raises an error that names the argument.

    >>> as_names("forcing", "precipitation"), as_names("forcing", ["rain", "temperature"])
    (('precipitation',), ('rain', 'temperature'))
    """
    if isinstance(value, str):
        return (str(value),)
    each = _listed(name, value, '["a", "b"]')
    for one in each:
        if not isinstance(one, str):
            raise InputError(f'{name} holds {_shown(one)}, which is no name; write names as text, such as {name} = ["a", "b"]')
    return tuple(str(one) for one in each)


def as_integers(name: str, value: object, *, least: int | None = None) -> tuple[int, ...]:
    """Return whole numbers as a tuple.

    A single number becomes a tuple of one. Anything else raises an error that names the argument.

    >>> as_integers("hidden_sizes", 64), as_integers("hidden_sizes", [64, 32])
    ((64,), (64, 32))
    """
    if isinstance(value, numbers.Number):
        value = [value]
    return tuple(as_integer(name, one, least=least) for one in _listed(name, value, "[1, 2]"))


def as_instance(name: str, value: object, kind: type[Kind], write: str) -> Kind:
    """Return a value of the given class.

    Anything else raises an error that names the argument and the text to write instead.
    """
    if isinstance(value, kind):
        return value
    if isinstance(value, type) and issubclass(value, kind):
        raise InputError(f"{name} is the class {value.__name__} itself; write {write}")
    raise InputError(f"{name} = {_shown(value)} is no {kind.__name__}; write {write}")


def _listed(name: str, value: object, example: str) -> list[object]:
    """Return the members of a list, tuple, array or other ordered collection.

    Raises on text, on bytes, and on a dict or set, which has no order.
    """
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | dict | set | frozenset):
        raise InputError(f"{name} = {_shown(value)} must be a list, such as {name} = {example}")
    return list(value)


def _shown(value: object) -> str:
    """Format a value for an error: its `repr` if that is short, else its type."""
    text = one_line(repr(value))
    return text if len(text) <= 60 and " object at 0x" not in text else f"a {type(value).__name__}"


def one_line(text: str) -> str:
    """Format foreign text as one line of a terminal.

    Removes line breaks, escapes characters that cannot be printed, and cuts the middle of a long text.

    >>> one_line("not a unit:" + chr(10) + "  buckets")
    'not a unit: buckets'
    """
    joined = re.sub(r"\s*[\r\n]+\s*", " ", text.strip())
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in joined)
    return shown if len(shown) <= LONGEST_LINE else f"{shown[: LONGEST_LINE // 2]} ... {shown[-LONGEST_LINE // 2 :]}"


LONGEST_LINE = 2000
"""Longest message, in characters."""


PACKAGE = "runoff_lstm"


class _ShownByUs(logging.StreamHandler[TextIO]):
    """Handler that writes plain lines to the current standard error.

    In a notebook it writes to the output. It writes nothing if the root logger or the package's logger has another handler.
    """

    def emit(self, record: logging.LogRecord) -> None:
        others = [one for one in logging.getLogger(PACKAGE).handlers if one is not self]
        if others or logging.getLogger().handlers:
            return
        self.stream = sys.stdout if "ipykernel" in sys.modules else sys.stderr
        super().emit(record)


def show_log() -> None:
    """Show the package's log.

    Adds a handler to the package's logger, and sets the level INFO unless a level is set. A second call changes nothing.
    `logging.getLogger("runoff_lstm").setLevel("WARNING")` hides counts.
    """
    logger = logging.getLogger(PACKAGE)
    if any(isinstance(one, _ShownByUs) for one in logger.handlers):
        return
    handler = _ShownByUs()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
