"""The look of the figures: one palette, one type, and bytes that depend on the data alone.

Colours are those of Okabe & Ito (2008), "Color Universal Design"; every one is paired with a marker or a
line style, so that a figure survives a grey printer.
"""

from __future__ import annotations

import io
from collections.abc import Callable

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "VERMILION",
    "draw",
    "literal",
    "say_missing",
]

BLACK, GREY = "#000000", "#6f6f6f"
ORANGE, GREEN, BLUE = "#E69F00", "#009E73", "#0072B2"
VERMILION, PURPLE = "#D55E00", "#CC79A7"

_SHEET = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 9.5,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 6.5,
    "savefig.dpi": 160,
}


def draw(paint: Callable[[Figure], None], width: float, height: float) -> bytes:
    """The PNG of a figure of `width` x `height` inches that `paint` fills.

    The style of the reader's own matplotlib is set aside meanwhile, and neither date nor software is
    written into the file: the same data gives the same bytes.
    """
    with style.context(["default", _SHEET]):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        paint(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def literal(text: str) -> str:
    """`text` with nothing in it that would be read as mathematics."""
    return text.replace("$", r"\$")


def say_missing(axes: Axes, message: str) -> None:
    """Write `message` where the curves would be."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, literal(message), ha="center", va="center", wrap=True, color=GREY, fontsize=11)
