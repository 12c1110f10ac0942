"""What of a figure would be cut at its edge once it is drawn."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text


def cut(figure) -> list[str]:
    """The texts of a drawn figure that reach over its edge; ticks beyond the ends of an axis are not drawn."""
    FigureCanvasAgg(figure).draw()
    frame = figure.bbox.padded(1)
    ticks = [label for axes in figure.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    found = []
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text not in ticks:
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            found += [] if inside else [text.get_text()]
    return found
