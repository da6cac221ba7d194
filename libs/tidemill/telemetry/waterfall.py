"""The waterfall of one trace: which spans the span files hold, in tree order, and as lines for a terminal.

Reads files only; with an OTLP endpoint the spans are in the collector and this finds nothing.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tidemill.telemetry.spans import SpanRecord

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_magenta")
_GAP_CELLS = 3
_GAP_SECONDS = 1.0
_GAP_SHARE = 0.1
_NARROWEST = 40


@dataclass(frozen=True)
class SpanRow:
    """One span and how deep it hangs in the tree; 0 for a root, or for a span whose parent is not known here."""

    depth: int
    span: SpanRecord


def read_trace(data_dir: Path, trace_id: str) -> list[SpanRow]:
    """All finished spans of ``trace_id`` (32 hexadecimal digits), parents before children, siblings by start.

    Lines that cannot be read, as a crash or a full disk leaves them, are skipped.
    """
    found: dict[str, SpanRecord] = {}
    for path in sorted((data_dir / "telemetry" / "spans").glob("*.jsonl")):
        try:
            with path.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    if trace_id in line and (span := _parse(line)) is not None and span.trace_id == trace_id:
                        found.setdefault(span.span_id, span)
        except OSError:
            continue  # rotated away at this moment
    return _in_tree_order(list(found.values()))


def render(rows: Sequence[SpanRow], width: int = 100) -> Text:
    """One line for each span: name, service, bar in time, duration; ``width`` in terminal cells.

    Long times in which nothing ran (a prediction hours after the training) are drawn as a narrow gap (``┊``).
    """
    text = Text(no_wrap=True)
    if not rows:
        return text
    width = max(width, _NARROWEST)
    names = ["  " * row.depth + row.span.name for row in rows]
    durations = [_duration(row.span) for row in rows]
    name_cells = min(max(map(cell_len, names)), int(width * 0.4))
    service_cells = min(max(cell_len(row.span.service) for row in rows), 14)
    duration_cells = max(map(cell_len, durations))
    bar_cells = max(width - name_cells - service_cells - duration_cells - 3, 8)
    axis = _Axis([row.span for row in rows], bar_cells)
    colours = _colours(rows)
    for row, name, duration in zip(rows, names, durations, strict=True):
        failed = row.span.status == "error"
        text.append(_fit(name, name_cells), "bold red" if failed else "")
        text.append(" " + _fit(row.span.service, service_cells) + " ", "dim")
        text.append(axis.bar(row.span), "red" if failed else colours[row.span.service])
        text.append(" " + duration.rjust(duration_cells) + "\n")
        if failed and row.span.status_message:
            message = "  " * (row.depth + 1) + row.span.status_message.splitlines()[0]
            text.append(_fit(message, width).rstrip() + "\n", "red")
    text.right_crop(1)
    return text


class _Axis:
    """From time to cells: linear, but for gaps, which are ``_GAP_CELLS`` wide however long they are."""

    def __init__(self, spans: Sequence[SpanRecord], cells: int) -> None:
        self._cells = cells
        busy = _merged([(span.start_ns, span.end_ns) for span in spans])
        total = sum(end - start for start, end in busy)
        least = max(_GAP_SECONDS * 1e9, _GAP_SHARE * total)
        gaps = [(end, start) for (_, end), (start, _) in itertools.pairwise(busy) if start - end > least]
        gaps.sort(key=lambda gap: gap[0] - gap[1])
        self._gaps = sorted(gaps[: cells // (3 * _GAP_CELLS)])
        self._start, end = busy[0][0], busy[-1][1]
        linear = end - self._start - sum(stop - start for start, stop in self._gaps)
        self._scale = (cells - _GAP_CELLS * len(self._gaps)) / max(linear, 1)

    def bar(self, span: SpanRecord) -> str:
        first = min(int(self._position(span.start_ns)), self._cells - 1)
        last = max(math.ceil(self._position(span.end_ns)), first + 1)
        cells = [" "] * self._cells
        for start, stop in self._gaps:
            middle = int((self._position(start) + self._position(stop)) / 2)
            cells[middle] = "┊"
        cells[first:last] = ["█"] * (min(last, self._cells) - first)
        return "".join(cells)

    def _position(self, moment: int) -> float:
        cells, before = 0.0, self._start
        for start, stop in self._gaps:
            if moment <= start:
                break
            cells += (start - before) * self._scale
            cells += _GAP_CELLS * (min(moment, stop) - start) / (stop - start)
            before = min(moment, stop)
        return cells + (moment - before) * self._scale


def _parse(line: str) -> SpanRecord | None:
    try:
        return SpanRecord.from_json(json.loads(line))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _in_tree_order(spans: list[SpanRecord]) -> list[SpanRow]:
    known = {span.span_id for span in spans}
    children: dict[str | None, list[SpanRecord]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start_ns, -span.end_ns)):
        children[span.parent_id if span.parent_id in known else None].append(span)
    rows: list[SpanRow] = []
    # A stack, since traces may be deep. A cycle has no root, so it never gets here.
    waiting = [SpanRow(0, span) for span in reversed(children[None])]
    while waiting:
        row = waiting.pop()
        rows.append(row)
        waiting.extend(SpanRow(row.depth + 1, span) for span in reversed(children[row.span.span_id]))
    return rows


def _merged(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, max(start, end)))
    return merged


def _colours(rows: Sequence[SpanRow]) -> dict[str, str]:
    services = dict.fromkeys(row.span.service for row in rows)
    return {service: _COLOURS[number % len(_COLOURS)] for number, service in enumerate(services)}


def _fit(text: str, cells: int) -> str:
    if cell_len(text) <= cells:
        return set_cell_size(text, cells)
    return set_cell_size(set_cell_size(text, cells - 1).rstrip() + "…", cells)


def _duration(span: SpanRecord) -> str:
    seconds = max(span.end_ns - span.start_ns, 0) / 1e9
    if seconds < 0.0995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.995:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
