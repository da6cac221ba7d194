"""Charts as SVG, without a script or a font: they open anywhere, and say their figures when pointed at.

Everything that comes from the data is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from tidemill.datasets.histogram import Histogram

WIDTH = 900
_LINE = 24
_NAMES = 230
_BINS = 30


@dataclass(frozen=True)
class Bar:
    """A segment of a bar: its length, its colour (a CSS value) and what it says when pointed at."""

    value: float
    colour: str
    says: str


def bars(rows: Sequence[tuple[str, Sequence[Bar], str]], says: str, *, most: float | None = None) -> str:
    """Horizontal bars of stacked segments, a line each: name, segments, what stands behind them."""
    longest = most or max((sum(bar.value for bar in segments) for _, segments, _ in rows), default=0) or 1
    shapes = []
    for index, (name, segments, behind) in enumerate(rows):
        top, x = index * _LINE, float(_NAMES)
        shown = name if len(name) <= 32 else name[:31] + "…"
        shapes.append(f'<text class="label" x="{_NAMES - 10}" y="{top + 16}" text-anchor="end">{escape(shown)}</text>')
        for bar in segments:
            length = (WIDTH - _NAMES - 110) * min(1.0, bar.value / longest)
            shapes.append(_rectangle(x, top + 4, length, 16, bar.colour, bar.says))
            x += length
        shapes.append(f'<text x="{x + 8:.1f}" y="{top + 16}">{escape(behind)}</text>')
    return _svg(WIDTH, max(1, len(rows)) * _LINE, shapes, says)


def before_and_after(before: Histogram | None, after: Histogram | None, says: str) -> str:
    """Two distributions over one axis: the earlier one behind, the later one in front, each by its share of rows."""
    both = [one for one in (before, after) if one is not None]
    if not both:
        return ""
    low, high = _range(both)
    edges = np.linspace(low, high, _BINS + 1)
    shares = [
        (_shares(one, edges), colour) for one, colour in ((before, "var(--before)"), (after, "var(--after)")) if one
    ]
    most = max(float(share.max()) for share, _ in shares) or 1.0
    height, step = 120, WIDTH / _BINS
    shapes = []
    for place, (share, colour) in enumerate(shares):
        inset = 1.0 if place == 0 else step * 0.25
        when = "before" if colour == "var(--before)" else "after"
        for index in np.flatnonzero(share):
            tall = (height - 6) * float(share[index]) / most
            title = f"{edges[index]:.4g} to {edges[index + 1]:.4g}, {when}: {share[index]:.1%}"
            shapes.append(
                _rectangle(index * step + inset, height - tall, step - 2 * inset, max(tall, 1), colour, title)
            )
    for place in range(0, _BINS + 1, 6):
        anchor = "start" if place == 0 else "end" if place == _BINS else "middle"
        shapes.append(
            f'<text x="{place * step:.1f}" y="{height + 16}" text-anchor="{anchor}">{edges[place]:.4g}</text>'
        )
    return _svg(WIDTH, height + 22, shapes, says)


def legend(entries: Mapping[str, str]) -> str:
    """What colours mean."""
    shown = (f'<span><i style="background:{colour}"></i>{escape(name)}</span>' for name, colour in entries.items())
    return f'<div class="legend">{"".join(shown)}</div>'


def _range(histograms: Sequence[Histogram]) -> tuple[float, float]:
    """From the smallest to the largest number, as far as a few extreme ones do not press the others together."""
    low = min(one.quantile(0.005) for one in histograms)
    high = max(one.quantile(0.995) for one in histograms)
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _shares(histogram: Histogram, edges: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[
    tuple[int], np.dtype[np.float64]
]:  # fmt: skip
    inside = np.clip(histogram.centres(), edges[0], edges[-1])
    rows, _ = np.histogram(inside, edges, weights=np.array(histogram.counts, np.float64))
    return np.asarray(rows / max(1, histogram.rows), np.float64)


def _rectangle(x: float, y: float, width: float, height: float, colour: str, says: str) -> str:
    if width <= 0 or height <= 0:
        return ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="{colour}">'
        f"<title>{escape(says)}</title></rect>"
    )


def _svg(width: int, height: int, shapes: Sequence[str], says: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(says)}">{"".join(shapes)}</svg>'
