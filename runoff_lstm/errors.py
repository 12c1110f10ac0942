"""The one error for what a user gave, and the hint that names the nearest known word."""

import difflib
from collections.abc import Iterable


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
