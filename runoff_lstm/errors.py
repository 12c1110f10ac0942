"""The one error for what a user gave, and the hint that names the nearest known word."""

import difflib
import re
from collections.abc import Iterable, Sequence


class InputError(ValueError):
    """What the user gave cannot be used as it is; the message says in one sentence what, where and what to do."""


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
    runoff_lstm.data.schema.InputError: mode = 'window' is not known; did you mean 'windows'? (windows, continuous)
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
    runoff_lstm.data.schema.InputError: read_csv has no argument 'unitz'; did you mean 'units'?
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise InputError(f"{where} has no argument '{name}'; {nearest(name, names)}")


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
