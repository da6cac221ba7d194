"""HTML tables of a report. Cells that are strings are escaped; ``Markup`` is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


class Markup(str):
    """HTML that is written here, its data escaped already."""

    __slots__ = ()


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; whole numbers are grouped by thousands, floats shown with four digits, both to the right."""
    numeric = [all(isinstance(row[at], int | float) for row in rows) and bool(rows) for at in range(len(head))]
    titles = "".join(f"<th{_right(right)}>{escape(title)}</th>" for title, right in zip(head, numeric, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{_right(right)}>{cell(value)}</td>" for value, right in zip(row, numeric, strict=True))
        + "</tr>"
        for row in rows
    )  # fmt: skip
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>"


def cell(value: Any) -> str:
    """A value as a cell's content."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def examples(rows: Sequence[Mapping[str, Any]], title: str = "examples") -> str:
    """Rows that can be unfolded; none: nothing."""
    if not rows:
        return ""
    quotes = "".join(f"<blockquote>{described(row)}</blockquote>" for row in rows)
    return f"<details><summary>{escape(title)}</summary>{quotes}</details>"


def described(row: Mapping[str, Any]) -> str:
    """A row in one line: where it is, and what is in it."""
    where = f"{escape(str(row.get('part', 'data')))}, row {row.get('row')}"
    values = [
        f"<b>{escape(name)}</b> {escape(str(value))}"
        for name, value in row.items()
        if name not in ("part", "row") and value is not None
    ]
    return f"{where}: {'; '.join(values)}"


def listed(names: Sequence[str], shown: int = 8) -> str:
    """Names in a row; of many the first ones."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _right(right: bool) -> str:
    return ' class="number"' if right else ""
