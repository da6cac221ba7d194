"""The quality gate: the recipe's limits beside what the data report measured. Decides nothing about what follows."""

from __future__ import annotations

from collections.abc import Iterator

from services.preprocess.report.document import DataReport, Finding
from tidemill.contracts.preparation import QualityGate

_DUPLICATES = ("duplicate", "contradiction")


def judge(report: DataReport, gate: QualityGate) -> list[Finding]:
    """A finding for every limit that the recipe sets, in the order of its keys. A measure that cannot be had, such as
    drift of a first version, keeps its limit."""
    return [*_of_rows(report, gate), *_of_content(report, gate)]


def _of_rows(report: DataReport, gate: QualityGate) -> Iterator[Finding]:
    statistics = report.statistics
    rows, source = sum(statistics.prepared.values()), sum(statistics.source.values())
    if gate.min_rows is not None:
        says = f"{rows:,} rows are left; at least {gate.min_rows:,} are wanted"
        yield Finding(rule="min_rows", limit=gate.min_rows, value=rows, kept=rows >= gate.min_rows, says=says)
    if gate.max_missing is not None:
        worst = max(report.before.columns, key=lambda column: column.missing_share)
        says = f"{worst.missing_share:.1%} of column {worst.name!r} is missing; at most {gate.max_missing:.1%} may be"
        yield _at_most("max_missing", gate.max_missing, worst.missing_share, says)
    if gate.max_duplicates is not None:
        repeated = sum(step.removed for step in statistics.steps if any(word in step.name for word in _DUPLICATES))
        share = repeated / max(1, source)
        says = f"{repeated:,} rows ({share:.1%}) were duplicates; at most {gate.max_duplicates:.1%} may be"
        yield _at_most("max_duplicates", gate.max_duplicates, share, says)
    if gate.max_removed is not None:
        share = statistics.removed / max(1, source)
        says = f"{statistics.removed:,} rows ({share:.1%}) were removed; at most {gate.max_removed:.1%} may be"
        yield _at_most("max_removed", gate.max_removed, share, says)


def _of_content(report: DataReport, gate: QualityGate) -> Iterator[Finding]:
    classes = {label: n for label, n in report.statistics.balance.get("train", {}).items() if n}
    if gate.max_imbalance is not None and classes:
        most, least = (pick(classes, key=lambda label: classes[label]) for pick in (max, min))
        ratio = classes[most] / classes[least]
        says = (
            f"class {most!r} has {ratio:.1f} times as many training rows as {least!r}; at most "
            f"{gate.max_imbalance:g} times are allowed"
        )
        yield _at_most("max_imbalance", gate.max_imbalance, ratio, says)
    if gate.max_drift is not None:
        moved = report.intake.drift.largest if report.intake is not None and report.intake.drift is not None else None
        psi = moved.psi if moved is not None else 0.0
        where = f"column {moved.column!r} moved by {psi:.2f}" if moved is not None else "no column moved"
        says = f"{where} (population stability index); at most {gate.max_drift:g} is allowed"
        yield _at_most("max_drift", gate.max_drift, psi, says)
    if gate.max_personal_data is not None:
        left = sum(report.personal_left.values())
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(report.personal_left.items()) if number)
        says = f"{left:,} findings of personal data are left{f' ({kinds})' if kinds else ''}; at most "
        says += f"{gate.max_personal_data:,} may be"
        yield _at_most("max_personal_data", gate.max_personal_data, left, says)


def _at_most(rule: str, limit: float, value: float, says: str) -> Finding:
    return Finding(rule=rule, limit=limit, value=round(value, 6), kept=value <= limit, says=says)
