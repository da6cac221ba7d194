"""Figures as people read them: sizes, times, shares, moments."""

from __future__ import annotations

from datetime import UTC, datetime


def size(count: float) -> str:
    """Bytes, in decimal units: ``22.9 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float | None) -> str:
    """Seconds: ``0.34 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``; empty when unknown."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def share(value: float) -> str:
    """A share in 0..1 with three decimals, as accuracies are compared."""
    return f"{value:.3f}"


def ratio(larger: float, smaller: float) -> str:
    """``4.0×``: how many times ``smaller`` fits into ``larger``."""
    return f"{larger / smaller:.1f}×" if smaller else "—"


def ago(moment: datetime) -> str:
    """How long ago: ``5 min ago``."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = max(0.0, (datetime.now(UTC) - moment).total_seconds())
    if seconds < 60:
        return "just now" if seconds < 5 else f"{seconds:.0f} s ago"
    return f"{duration(60 * (seconds // 60)).removesuffix(' 00 s')} ago"
