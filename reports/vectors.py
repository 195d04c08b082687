"""Figures as SVG text: axes, curves, points and bars, coloured by classes so that a page's style decides the theme.

Every place is written with one decimal, so the same numbers give the same bytes. A series has a colour, a dash and a
marker of its own: one of the three is enough to tell it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

__all__ = ["Axis", "Panel", "decades", "marker", "nice_ticks", "octaves"]

_DASHES = ("", "7 4", "2 3", "9 3 2 3")
_SHAPES = ("circle", "square", "diamond", "triangle")

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`, by value or by logarithm, with ticks and what stands at them."""

    low: float
    high: float
    label: str
    ticks: Sequence[float]
    name: Callable[[float], str]
    log: bool = False

    def part(self, value: float) -> float:
        """Where `value` is between the ends, as a fraction, cut to them."""
        low, high, at = (math.log(max(x, 1e-300)) if self.log else x for x in (self.low, self.high, value))
        return min(1.0, max(0.0, (at - low) / (high - low))) if high > low else 0.5


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`.

    >>> nice_ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    raw = max(high - low, 1e-12) / most
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def octaves(low: float, high: float) -> list[float]:
    """Powers of two from `low` to `high`, at most twelve."""
    found = [2.0**i for i in range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)]
    return found[:: max(1, math.ceil(len(found) / 12))]


def decades(low: float, high: float) -> list[float]:
    """1, 2, 5 of each power of ten, or the powers alone where the range is long."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    parts = (1, 2, 5) if last - first <= 3 else (1,)
    found = [m * 10.0**e for e in range(first, last + 1) for m in parts]
    kept = [value for value in found if low <= value * 1.000001 and value <= high * 1.000001]
    return kept[:: max(1, math.ceil(len(kept) / 12))]


def marker(x: float, y: float, series: int, size: float = 4.0, title: str = "", paint: str = "") -> str:
    """The mark of a series at a place; `paint` is a class of style in place of the series' colour."""
    shape, s = _SHAPES[series % len(_SHAPES)], size
    inside = f"<title>{escape(title)}</title>" if title else ""
    paint = f'class="mark {paint or f"s{series % 4}"}"'
    if shape == "circle":
        return f'<circle {paint} cx="{x:.1f}" cy="{y:.1f}" r="{s:.1f}">{inside}</circle>'
    corners = {
        "square": ((-s, -s), (s, -s), (s, s), (-s, s)),
        "diamond": ((0, -1.4 * s), (1.4 * s, 0), (0, 1.4 * s), (-1.4 * s, 0)),
        "triangle": ((0, -1.3 * s), (1.3 * s, s), (-1.3 * s, s)),
    }[shape]
    places = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon {paint} points="{places}">{inside}</polygon>'


@dataclass
class Panel:
    """One pair of axes that is filled from behind to the front."""

    x: Axis
    y: Axis
    width: int = 720
    height: int = 340
    left: int = 58
    right: int = 16
    top: int = 34
    bottom: int = 48
    parts: list[str] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)

    def at(self, x: float, y: float) -> Point:
        """The place of a point in the picture."""
        wide, high = self.width - self.left - self.right, self.height - self.top - self.bottom
        return self.left + wide * self.x.part(x), self.top + high * (1 - self.y.part(y))

    def line(self, points: Sequence[Point], series: int, name: str = "") -> None:
        """A curve; named ones go into the legend."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in points))
        gaps = _DASHES[(series + series // 4) % 4]
        dash = f' stroke-dasharray="{gaps}"' if gaps else ""
        self.parts.append(f'<polyline class="line s{series % 4}"{dash} points="{places}"/>')
        if name:
            key = f'<line class="line s{series % 4}"{dash} x1="0" x2="26" y1="0" y2="0"/>{marker(13, 0, series)}'
            self.keys.append((key, name))

    def marks(self, points: Sequence[tuple[float, float, str]], series: int) -> None:
        """Marks, each with what it says when it is pointed at."""
        self.parts += [marker(*self.at(x, y), series, title=title) for x, y, title in points]

    def level(self, y: float, name: str, low: float | None = None, high: float | None = None) -> None:
        """A horizontal line, with a band from `low` to `high` behind it; a named one goes into the legend."""
        right = self.width - self.right
        if low is not None and high is not None:
            top, end = self.at(self.x.low, high)[1], self.at(self.x.low, low)[1]
            box = f'x="{self.left}" y="{top:.1f}" width="{right - self.left}" height="{max(0.5, end - top):.1f}"'
            self.parts.insert(0, f'<rect class="band" {box}/>')
        place = self.at(self.x.low, y)[1]
        self.parts.append(f'<line class="level" x1="{self.left}" x2="{right}" y1="{place:.1f}" y2="{place:.1f}"/>')
        if name:
            self.keys.append(('<line class="level" x1="0" x2="26" y1="0" y2="0"/>', name))

    def svg(self, title: str, description: str) -> str:
        """The whole picture, with its text alternative."""
        said = f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
        legend, above = self._legend()
        box = f'viewBox="0 {-above} {self.width} {self.height + above}"'
        inside = "".join((self._grid(), *self.parts, legend))
        return f'<svg role="img" aria-label="{escape(title)}. {escape(description)}" {box}>{said}{inside}</svg>'

    def _grid(self) -> str:
        right, floor = self.width - self.right, self.height - self.bottom
        rows = [(self.at(self.x.low, v)[1], self.y.name(v)) for v in self.y.ticks]
        columns = [(self.at(v, self.y.low)[0], self.x.name(v)) for v in self.x.ticks]
        drawn = [f'<line class="grid" x1="{self.left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>' for y, _ in rows]
        drawn += [f'<text class="tick" x="{self.left - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(n)}</text>'
                  for y, n in rows]  # fmt: skip
        drawn += [f'<text class="tick" x="{x:.1f}" y="{floor + 17}" text-anchor="middle">{escape(n)}</text>'
                  for x, n in columns]  # fmt: skip
        drawn.append(f'<line class="axis" x1="{self.left}" x2="{right}" y1="{floor}" y2="{floor}"/>')
        middle = (self.left + right) / 2
        drawn.append(f'<text class="name" x="{middle:.1f}" y="{self.height - 8}" text-anchor="middle">'
                     f"{escape(self.x.label)}</text>")  # fmt: skip
        return "".join(drawn)

    def _legend(self) -> tuple[str, int]:
        """The keys in as many rows as they need, and how far these reach above the picture."""
        rows: list[list[tuple[float, str, str]]] = [[]]
        first = place = 6.4 * len(self.y.label) + 22
        for key, name in self.keys:
            wide = 50 + 6.3 * len(name)
            if rows[-1] and place + wide > self.width:
                place = first
                rows.append([])
            rows[-1].append((place, key, name))
            place += wide
        above = 19 * (len(rows) - 1)
        drawn = [f'<text class="name" x="2" y="{13 - above}">{escape(self.y.label)}</text>']
        drawn += [
            f'<g transform="translate({x:.1f} {9 - above + 19 * i})">{key}<text class="key" x="32" y="4">'
            f"{escape(name)}</text></g>"
            for i, row in enumerate(rows)
            for x, key, name in row
        ]
        return "".join(drawn), above
