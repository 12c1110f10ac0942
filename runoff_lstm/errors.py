"""The one error for what a user gave, hints and checks that end in it, and the log as a Python user sees it."""

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
    """What the user gave cannot be used as it is; the message says in one sentence what, where and what to do.

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
    """A hint that ends an error message: the known names most like `name`, or all of them where they are few.

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
    """The value where it is one of the words that `name` may have; else refuse it with the nearest of them.

    >>> check_choice("mode", "window", ["windows", "continuous"])
    Traceback (most recent call last):
    runoff_lstm.errors.InputError: mode = 'window' is not known; did you mean 'windows'? (windows, continuous)
    """
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        raise InputError(unknown_choice(name, value, known))
    return value


def unknown_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """The sentence that refuses a value: the nearest choice, and all of them where they are few."""
    hint = nearest(str(value), choices)
    among = f" ({', '.join(choices)})" if hint.startswith("did") and len(choices) <= 12 else ""
    return f"{name} = {value!r} is not known; {hint}{among}"


def check_keywords(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a keyword that a function does not have, with the nearest one that it has.

    >>> check_keywords("read_csv", ["unitz"], ["units", "rename"])
    Traceback (most recent call last):
    runoff_lstm.errors.InputError: read_csv has no argument 'unitz'; did you mean 'units'?
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise InputError(f"{where} has no argument '{name}'; {nearest(name, names)}")


def as_integer(name: str, value: object, *, least: int | None = None) -> int:
    """A whole number as an int, numpy's too; anything else, True and False included, is refused by the argument's name.

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
    """A number as a float, numpy's too; a text, a truth value or NaN is refused by the argument's name.

    >>> as_number("learning_rate", 1)
    1.0
    """
    given = isinstance(value, numbers.Real) or (isinstance(value, SupportsFloat) and getattr(value, "ndim", None) == 0)
    number = float(value) if given and not isinstance(value, bool) else math.nan  # type: ignore[arg-type]
    if math.isnan(number):
        raise InputError(f"{name} = {_shown(value)} must be a number, such as {name} = 0.1")
    return number


def as_flag(name: str, value: object) -> bool:
    """True or False, numpy's too; anything else is refused by the argument's name.

    >>> as_flag("season", True)
    True
    """
    if not isinstance(value, bool) and type(value).__name__ != "bool":
        raise InputError(f"{name} = {_shown(value)} must be True or False")
    return bool(value)


def as_text(name: str, value: object) -> str:
    """A text; anything else is refused by the argument's name."""
    if not isinstance(value, str):
        raise InputError(f'{name} = {_shown(value)} must be text; write {name} = "{_shown(value)}"')
    return value


def as_names(name: str, value: object) -> tuple[str, ...]:
    """Names as a tuple; one text is one name, anything but texts is refused by the argument's name.

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
    """Whole numbers as a tuple; one number is a tuple of one, anything else is refused by the argument's name.

    >>> as_integers("hidden_sizes", 64), as_integers("hidden_sizes", [64, 32])
    ((64,), (64, 32))
    """
    if isinstance(value, numbers.Number):
        value = [value]
    return tuple(as_integer(name, one, least=least) for one in _listed(name, value, "[1, 2]"))


def as_instance(name: str, value: object, kind: type[Kind], write: str) -> Kind:
    """A value of the right class; anything else is refused by the argument's name, with what to write instead."""
    if isinstance(value, kind):
        return value
    if isinstance(value, type) and issubclass(value, kind):
        raise InputError(f"{name} is the class {value.__name__} itself; write {write}")
    raise InputError(f"{name} = {_shown(value)} is no {kind.__name__}; write {write}")


def _listed(name: str, value: object, example: str) -> list[object]:
    """The members of a list, tuple, array or other ordered collection; a dict or set, which has no order, is refused."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | dict | set | frozenset):
        raise InputError(f"{name} = {_shown(value)} must be a list, such as {name} = {example}")
    return list(value)


def _shown(value: object) -> str:
    """A value in an error: as it is written where that is short, else its type."""
    text = one_line(repr(value))
    return text if len(text) <= 60 and " object at 0x" not in text else f"a {type(value).__name__}"


def one_line(text: str) -> str:
    """Foreign text as one line of a terminal: without breaks, what cannot be printed spelled out, the middle of a long one cut.

    >>> one_line("not a unit:" + chr(10) + "  buckets")
    'not a unit: buckets'
    """
    joined = re.sub(r"\s*[\r\n]+\s*", " ", text.strip())
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in joined)
    return shown if len(shown) <= LONGEST_LINE else f"{shown[: LONGEST_LINE // 2]} ... {shown[-LONGEST_LINE // 2 :]}"


LONGEST_LINE = 2000
"""Characters of a message."""


PACKAGE = "runoff_lstm"


class _ShownByUs(logging.StreamHandler[TextIO]):
    """Writes plain lines to the standard error of the moment, in a notebook to its output.

    Where the root logger or that of the package has another handler, that one shows them, and this one keeps still.
    """

    def emit(self, record: logging.LogRecord) -> None:
        others = [one for one in logging.getLogger(PACKAGE).handlers if one is not self]
        if others or logging.getLogger().handlers:
            return
        self.stream = sys.stdout if "ipykernel" in sys.modules else sys.stderr
        super().emit(record)


def show_log() -> None:
    """Give the package's logger its handler and, unless one is set, the level INFO; a second call changes nothing.

    `logging.getLogger("runoff_lstm").setLevel("WARNING")` keeps counts from being shown.
    """
    logger = logging.getLogger(PACKAGE)
    if any(isinstance(one, _ShownByUs) for one in logger.handlers):
        return
    handler = _ShownByUs()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
