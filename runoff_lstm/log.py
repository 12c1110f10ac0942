"""What readers, fills and trainings log, shown once: by a handler of the package's own where nobody else shows it."""

import logging
import sys
from typing import TextIO

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
