"""Colours, axes, ticks and files that all figures share."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from runoff_lstm.errors import InputError, as_instance
from runoff_lstm.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Values = npt.NDArray[np.float64]


OBSERVED_COLOUR = "#222222"


SIMULATED_COLOUR = "#D55E00"


SIMULATED_COLOURS = (SIMULATED_COLOUR, "#0072B2", "#009E73", "#CC79A7", "#E69F00")
"""Of several simulations, in order; told apart by those who confuse red and green too (Okabe and Ito)."""


PRECIPITATION_COLOUR = "#9DBEDC"


PRECIPITATION_TEXT = "#4A7BA6"


VALIDATION_COLOUR = "#0072B2"


QUIET = "#6B6B6B"


GRID = "#E4E4E4"


MOST_CHARACTERS = 200
"""Of a title; the middle of a longer one is left out."""


BESIDE_LEGEND = 0.5
"""Share of the width of Axes that a title has where the legend stands opposite."""


def axes_or_new(axes: "Axes | None", ax: "Axes | None" = None, *, size: tuple[float, float]) -> "Axes":
    """The Axes given, or those of a new figure, without what is not read: no top and right line, a quiet grid behind."""
    from matplotlib.axes import Axes as _Axes
    from matplotlib.figure import Figure

    if axes is not None and ax is not None:
        raise InputError("axes and ax are two names of one argument; give one of them")
    axes = ax if axes is None else axes
    if axes is not None:
        as_instance("axes", axes, _Axes, "axes = figure.add_subplot(), or leave it out")
    if axes is None:
        axes = Figure(figsize=size, dpi=120, layout="constrained").add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(colors=OBSERVED_COLOUR, labelsize=9, color=QUIET)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def date_ticks(axes: "Axes") -> None:
    """Dates along x as short as they can be without doubt about month and year."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=5, maxticks=13)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator,
        formats=["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S.%f"],
        offset_formats=["", "%Y", "%Y", "%d %b %Y", "%d %b %Y", "%d %b %Y %H:%M"],
    )
    axes.xaxis.set_major_formatter(formatter)


def typeset(units: str) -> str:
    """A unit with its exponents raised.

    >>> print(typeset("mm d-1"), typeset("m3 s-1"))
    mm d$^{-1}$ m$^{3}$ s$^{-1}$
    """
    return re.sub(r"(?<=[A-Za-z])(-?\d+)", r"$^{\1}$", units)


def write_figure(drawn: "Figure | Axes", path: str | Path) -> None:
    """Write a figure, or the one that Axes stand in, as PNG, whole or not at all: an interrupted write leaves an older file alone.

    Raises
    ------
    InputError
        The name does not end in .png.

    Examples
    --------
    >>> import runoff_lstm as rl
    >>> import tempfile, pandas as pd
    >>> axes = rl.plot_distribution(scores=pd.Series([0.5, 0.7]))
    >>> rl.write_figure(axes, tempfile.mkdtemp() + "/scores.png")
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: figures are written as PNG; let the name end in .png")
    with written_whole(path) as part:
        figure_of(drawn).savefig(part, format="png")


def figure_of(drawn: "Figure | Axes") -> "Figure":
    """The whole figure that Axes stand in; a figure itself."""
    figure = drawn.get_figure(root=True)
    assert figure is not None  # axes of this module always stand in one
    return figure


def width_of(axes: "Axes") -> float:
    """Width of Axes in inches, as they stand before the layout is final, which makes them wider."""
    return float(axes.get_window_extent().width / figure_of(axes).dpi)


def fitted(text: str, *, width: float, size: float) -> str:
    """Text in as many lines as it needs to be no wider than so many inches, at a font size in points.

    Lines break at blanks, and within a word that is wider by itself.
    """
    room = 0.95 * 72 * width  # a renderer that fits glyphs to pixels sets some text wider than its outline
    if _text_width(text, size) <= room:
        return text
    lines = [""]
    for word in text.split():
        for piece in _pieces(word, room=room, size=size):
            joined = f"{lines[-1]} {piece}".strip()
            if lines[-1] and _text_width(joined, size) > room:
                lines.append(piece)
            else:
                lines[-1] = joined
    return "\n".join(lines)


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """Text with its middle left out where it has more characters than `most`.

    >>> shortened("0123456789", most=5)
    '01 … 89'
    """
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-(most // 2) :]}"


def _pieces(word: str, *, room: float, size: float) -> list[str]:
    """A word in parts that are each no wider than `room`; an escaped character or a formula between $ stays whole."""
    parts = [""]
    for atom in re.findall(r"\\.|\$[^$]*\$|.", word):
        if parts[-1] and _text_width(parts[-1] + atom, size) > room:
            parts.append("")
        parts[-1] += atom
    return parts


def _text_width(text: str, size: float) -> float:
    """Width of a line of text in points."""
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=size).get_extents().width) if text.strip() else 0.0


def plain(text: str) -> str:
    """Foreign text, such as a name, that matplotlib shows as it stands: no sign in it begins a formula."""
    return text.replace("$", r"\$")


def plain_log_ticks(axes: "Axes") -> None:
    """Ticks written 0.1, 1, 10 on a logarithmic y axis, with more in between where it spans little."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    bottom, top = axes.get_ylim()
    decades = np.log10(top / bottom)
    axes.yaxis.set_major_locator(LogLocator(subs=range(1, 10) if decades < 0.7 else (1, 2, 5) if decades < 2.5 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def write_note(axes: "Axes", note: str) -> "Axes":
    axes.text(0.5, 0.5, note, transform=axes.transAxes, color=QUIET, ha="center", va="center")
    axes.set(xticks=[], yticks=[])
    return axes
