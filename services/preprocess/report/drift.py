"""The report's section on the version before: what changed in the schema, and how far each column moved."""

from __future__ import annotations

from html import escape

from services.preprocess.report.charts import Bar, bars
from services.preprocess.report.document import DataReport
from services.preprocess.report.tables import table
from tidemill.datasets.drift import LARGE, MODERATE, Drift
from tidemill.datasets.intake import SchemaChange

_SHOWN = 40
_LEVELS = {"none": "var(--before)", "moderate": "var(--validation)", "large": "var(--bad)"}


def sections(report: DataReport) -> list[str]:
    """The section; none of a first version."""
    intake = report.intake
    if intake is None or (intake.drift is None and not intake.schema_changes):
        return []
    found = ["<h2>Against the version before</h2>"]
    if intake.schema_changes:
        rows = [_change(change) for change in intake.schema_changes]
        found.append(table(("column", "change", "before", "now", "breaking"), rows))
    if intake.drift is not None:
        found.append(_drift(intake.drift))
    return found


def _change(change: SchemaChange) -> tuple[str, str, str, str, bool]:
    return change.column, change.change, change.before or "", change.after or "", change.breaking


def _drift(drift: Drift) -> str:
    moved = sorted(drift.columns, key=lambda column: -column.psi)[:_SHOWN]
    rows = [
        (
            column.column,
            [
                Bar(
                    column.psi,
                    _LEVELS[column.level],
                    f"{column.column}: population stability index {column.psi:.3f} of its {column.measure}, "
                    f"by chance up to {column.noise:.3f}",
                )
            ],
            f"{column.psi:.3f}",
        )
        for column in moved
        if column.measure != "missing"
    ]
    says = (
        f"<p>{drift.rows_before:,} rows before, {drift.rows_after:,} now. Population stability index of each column: "
        f"{MODERATE:g} counts as moderate, {LARGE:g} as large; what chance alone explains is grey.</p>"
    )
    chart = bars(rows, "How far each column moved", most=max([2 * LARGE, *(column.psi for column in moved)]))
    return says + chart + _labels(drift) + _missing(drift)


def _labels(drift: Drift) -> str:
    labels = drift.labels
    if labels is None:
        return ""
    words = [f"the labels moved by {labels.psi:.3f} ({labels.level})"]
    for what, names in (("new", labels.new), ("gone", labels.vanished)):
        if names:
            words.append(f"{what}: {', '.join(names[:20])}")
    return f"<p>{escape('; '.join(words))}</p>"


def _missing(drift: Drift) -> str:
    changed = [column for column in drift.columns if column.missing_changed]
    if not changed:
        return ""
    rows = [(one.column, f"{one.missing_before:.1%}", f"{one.missing_after:.1%}") for one in changed]
    return "<h3>Missing values changed</h3>" + table(("column", "before", "now"), rows)
