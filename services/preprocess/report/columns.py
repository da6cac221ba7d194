"""The report's sections on columns, before and after: missing values, distributions, frequent values."""

from __future__ import annotations

from html import escape

from services.preprocess.report.charts import Bar, bars, before_and_after, legend
from services.preprocess.report.document import DataReport
from tidemill.datasets.profile import ColumnFigures

_SHOWN_COLUMNS = 60
_SHOWN_VALUES = 12
_WHEN = {"before": "var(--before)", "after": "var(--after)"}


def sections(report: DataReport) -> list[str]:
    """Missing values, then a chart for each column."""
    pairs = _pairs(report)
    found = []
    if any(one is not None and one.missing for pair in pairs for one in pair):
        found += ["<h2>Missing values</h2>", legend(_WHEN), _missing(pairs)]
    charts = [chart for pair in pairs[:_SHOWN_COLUMNS] if (chart := _column(*pair))]
    if charts:
        found += ["<h2>Columns before and after</h2>", legend(_WHEN), *charts]
    if len(pairs) > _SHOWN_COLUMNS:
        found.append(f"<p>{len(pairs) - _SHOWN_COLUMNS} more columns are in report.json.</p>")
    return found


Pair = tuple[ColumnFigures | None, ColumnFigures | None]


def _pairs(report: DataReport) -> list[Pair]:
    """The figures of each column before and after. A role's column is the same one, whatever it is called now."""
    renamed = {column: role for role, column in report.roles.items() if report.after.column(column) is None}
    pairs: list[Pair] = []
    seen = set()
    for before in report.before.columns:
        name = renamed.get(before.name, before.name)
        after = report.after.column(name)
        seen.add(name)
        pairs.append((before, after))
    return pairs + [(None, after) for after in report.after.columns if after.name not in seen]


def _missing(pairs: list[Pair]) -> str:
    rows = []
    for before, after in pairs:
        one = before or after
        assert one is not None, "a pair has one side at least"
        for when, figures in (("before", before), ("after", after)):
            if figures is None or not (figures.missing or (before and before.missing)):
                continue
            share = figures.missing_share
            bar = Bar(share, _WHEN[when], f"{one.name}, {when}: {figures.missing:,} of {figures.rows:,} rows")
            rows.append((one.name if when == "before" else "", [bar], f"{share:.1%}"))
    return f'<div class="scroll">{bars(rows, "Share of missing values of each column", most=1.0)}</div>'


def _column(before: ColumnFigures | None, after: ColumnFigures | None) -> str:
    one = after or before
    assert one is not None, "a pair has one side at least"
    name = before.name if before is not None else one.name
    chart = _distribution(before, after, name) or _values(before, after, name)
    if not chart:
        return ""
    kinds = [figures.kind for figures in (before, after) if figures is not None]
    kind = kinds[0] if len(set(kinds)) == 1 else " → ".join(kinds)
    gone = "; not in the prepared dataset" if after is None else "; made by the preparation" if before is None else ""
    return f"<h3>{escape(name)} <small>{escape(kind)}{gone}</small></h3>{chart}"


def _distribution(before: ColumnFigures | None, after: ColumnFigures | None, name: str) -> str:
    numbers = [figures.numbers if figures is not None else None for figures in (before, after)]
    if any(numbers):
        return before_and_after(numbers[0], numbers[1], f"{name}: distribution of its numbers")
    both = [figures for figures in (before, after) if figures is not None]
    if any(figures.kind != "text" for figures in both):
        return ""
    lengths = [figures.lengths if figures is not None else None for figures in (before, after)]
    chart = before_and_after(lengths[0], lengths[1], f"{name}: length of its texts in characters")
    return f"{chart}<p><small>length in characters</small></p>" if chart else ""


def _values(before: ColumnFigures | None, after: ColumnFigures | None, name: str) -> str:
    both = {when: one for when, one in (("before", before), ("after", after)) if one is not None and one.values}
    if not both:
        return ""
    shares = {when: {value: n / max(1, one.present) for value, n in one.values.items()} for when, one in both.items()}
    last = shares.get("after") or shares["before"]
    shown = sorted({*shares.get("before", {}), *last}, key=lambda v: (-max(s.get(v, 0) for s in shares.values()), v))
    rows = []
    for value in shown[:_SHOWN_VALUES]:
        for place, (when, share) in enumerate(shares.items()):
            bar = Bar(share.get(value, 0.0), _WHEN[when], f"{value}, {when}: {share.get(value, 0.0):.1%}")
            rows.append((value if place == 0 else "", [bar], f"{share.get(value, 0.0):.1%}"))
    return bars(rows, f"{name}: its most frequent values")
