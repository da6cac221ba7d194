"""Generalised numbers and dates: the range that a value is in."""

from __future__ import annotations

import math
from typing import Any

DEFAULT_STEP = 10.0
"""Width of the ranges of numbers, and years of those of dates, when the recipe says nothing."""


def number_range(value: Any, step: float | None, *, whole: bool) -> str | None:
    """``30–39`` for ``whole`` numbers, ends included; ``30–40`` else, its end left out; None for no number."""
    width = step or DEFAULT_STEP
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    low = math.floor(number / width)
    if not whole or not width.is_integer():
        return f"{low * width:.10g}–{(low + 1) * width:.10g}"
    first, last = low * int(width), (low + 1) * int(width) - 1
    return str(first) if first == last else f"{first}–{last}"


def years(value: Any, step: float | None) -> str | None:
    """The years around a date or a text that begins with a year: ``1980–1989``; None for another text."""
    year = value.year if hasattr(value, "year") else value[:4]
    if not str(year).isdecimal():
        return None
    width = max(1, int(step or DEFAULT_STEP))
    low = int(year) // width * width
    return str(low) if width == 1 else f"{low}–{low + width - 1}"
