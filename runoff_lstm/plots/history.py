"""The course of a training as a figure."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from runoff_lstm.errors import InputError, nearest
from runoff_lstm.plots.style import OBSERVED_COLOUR, VALIDATION_COLOUR, Values, axes_or_new, plain_log_ticks, write_note

if TYPE_CHECKING:
    from matplotlib.axes import Axes


HISTORY_COLUMNS = ("update", "train_loss", "validation_NSE")


def plot_history(axes: "Axes | None" = None, *, history: pd.DataFrame, ax: "Axes | None" = None) -> "Axes":
    """Training loss (left) and validation NSE (right) against the update, with the validation of the kept weights marked.

    Parameters
    ----------
    history
        Columns `update`, `train_loss` and `validation_NSE`, the last NaN on rows without validation, and `kept`, true in the row of
        the kept weights (without that column the best row is marked); others are not used. Without any validation the second axis,
        `axes.figure.axes[-1]`, is left out; without a row a note stands in the axes.

    Raises
    ------
    InputError
        A column is missing.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> import pandas as pd
    >>> history = pd.DataFrame({"update": [20, 40], "train_loss": [0.9, 0.4], "validation_NSE": [0.2, 0.6]})
    >>> rl.plot_history(history=history).get_xlabel()
    'update'
    """
    for name in HISTORY_COLUMNS:
        if name not in history:
            raise InputError(f"the history has no column '{name}'; {nearest(name, map(str, history.columns))}")
    axes = axes_or_new(axes, ax, size=(8, 4))
    updates, loss, validated = (history[name].to_numpy(dtype=np.float64) for name in HISTORY_COLUMNS)
    axes.set(xlabel="update", ylabel="training loss")
    if not updates.size:
        return write_note(axes, "no updates yet")
    axes.plot(updates, loss, color=OBSERVED_COLOUR, linewidth=1.1, label="training loss")
    if (loss > 0).any() and not (loss <= 0).any():
        axes.set_yscale("log")
        plain_log_ticks(axes)
    there = np.isfinite(validated)
    if there.any():
        kept = history["kept"].to_numpy(dtype=bool)[there] if "kept" in history else validated[there] == validated[there].max()
        _add_validation(axes, updates[there], validated[there], kept=int(np.argmax(kept)))
    return axes


def _add_validation(axes: "Axes", updates: Values, validated: Values, *, kept: int) -> None:
    """Validation NSE on a twin axis, one value marked; values far below zero leave the axes, to keep the rest legible."""
    twin = axes.twinx()
    twin.plot(updates, validated, "o-", color=VALIDATION_COLOUR, linewidth=1.3, markersize=3, label="validation NSE")
    twin.plot(updates[kept], validated[kept], "o", color=VALIDATION_COLOUR, markersize=9, markerfacecolor="none", label="kept")
    highest = validated.max()
    bottom = max(validated.min(), min(highest, 0.0) - 0.5)
    height = max(highest - bottom, 0.02)
    twin.set_ylim(bottom - 0.08 * height, highest + 0.2 * height)
    left = updates[kept] < (updates[0] + updates[-1]) / 2
    twin.annotate(
        f"kept: {validated[kept]:.3f} at update {updates[kept]:,.0f}",
        (updates[kept], validated[kept]),
        xytext=(-4 if left else 4, 9),
        textcoords="offset points",
        ha="left" if left else "right",
        fontsize=9,
        color=VALIDATION_COLOUR,
    )
    twin.set_ylabel("validation NSE", color=VALIDATION_COLOUR)
    twin.tick_params(axis="y", labelsize=9, color=VALIDATION_COLOUR, labelcolor=VALIDATION_COLOUR)
    twin.spines[:].set_visible(False)
