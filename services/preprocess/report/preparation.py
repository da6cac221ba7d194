"""The report's sections on what was done: steps, duplicates, personal data, labels, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import get_args

from services.preprocess.report.charts import Bar, bars, legend
from services.preprocess.report.document import DataReport, PreparationStatistics
from services.preprocess.report.tables import Markup, described, examples, listed, table
from services.preprocess.tally import StepTally
from tidemill.contracts.privacy import EntityName

_COLOURS = {"train": "var(--train)", "validation": "var(--validation)", "test": "var(--test)"}
_SHOWN_LABELS = 200
_ENTITIES = frozenset(get_args(EntityName))


def sections(report: DataReport) -> list[str]:
    """The sections that have something to show."""
    statistics = report.statistics
    found = ["<h2>What each step did</h2>", _flow(statistics), _steps(statistics)]
    if statistics.features:
        found += ["<h2>Fitted on the training part</h2>", *(f"<p>{escape(one)}</p>" for one in statistics.features)]
    if statistics.pairs:
        found += ["<h2>Duplicates</h2>", _pairs(statistics)]
    if personal := _personal(report):
        found += ["<h2>Personal data</h2>", personal]
    if statistics.anonymity is not None:
        found += ["<h2>Anonymity</h2>", _anonymity(statistics.anonymity)]
    if any(statistics.balance.values()):
        found += ["<h2>Labels in each part</h2>", legend(_COLOURS), _balance(statistics)]
    if statistics.tokens:
        found += ["<h2>Words of the training part</h2>", _tokens(statistics.tokens)]
    return found


def _flow(statistics: PreparationStatistics) -> str:
    left = source = sum(statistics.source.values())
    rows = [("as it came in", [Bar(source, "var(--after)", f"{source:,} rows")], f"{source:,}")]
    for step in statistics.steps:
        if not step.removed:
            continue
        left -= step.removed
        segments = [
            Bar(left, "var(--after)", f"{left:,} rows are left"),
            Bar(step.removed, "var(--bad)", f"{step.removed:,} rows were removed"),
        ]
        rows.append((step.name, segments, f"−{step.removed:,}"))
    return bars(rows, "Rows that are left after each step") if len(rows) > 1 else ""


def _steps(statistics: PreparationStatistics) -> str:
    rows = [(_step(step), step.changed, step.removed) for step in statistics.steps]
    return table(("step", "changed", "removed"), rows)


def _step(step: StepTally) -> Markup:
    most = sorted((item for item in step.counts.items() if item[1]), key=lambda item: (-item[1], item[0]))
    counts = escape(listed([f"{what}: {number:,}" for what, number in most], 12))
    counted = f"<br><small>{counts}</small>" if counts else ""
    return Markup(f"{escape(step.name)}<br><small>{escape(step.says)}</small>{counted}{examples(step.examples)}")


def _pairs(statistics: PreparationStatistics) -> str:
    rows = [
        (pair.reason, Markup(described(pair.row)), Markup(described(pair.of)), f"{pair.similarity:.0%}")
        for pair in statistics.pairs
    ]
    return table(("why", "row that went", "row that stays", "alike"), rows)


def _personal(report: DataReport) -> str:
    found: dict[str, int] = {}
    for step in report.statistics.steps:
        for kind, number in step.counts.items():
            if kind in _ENTITIES:
                found[kind] = found.get(kind, 0) + number
    kinds = sorted({*found, *report.personal_left}, key=lambda kind: (-found.get(kind, 0), kind))
    if not kinds:
        return ""
    rows = [
        (kind, [Bar(found.get(kind, 0), "var(--after)", f"{found.get(kind, 0):,} found")], f"{found.get(kind, 0):,}")
        for kind in kinds
    ]
    return bars(rows, "Personal data found, by kind") + f"<p>{_left(report.personal_left, kinds)}</p>"


def _left(counted: Mapping[str, int], kinds: Sequence[str]) -> str:
    """What is left of what was counted once more in the prepared data, and what was not."""
    left, names = sum(counted.values()), ", ".join(sorted(counted))
    says = [f"{left:,} findings are left in the prepared data." if left else f"Nothing of {names} is left."]
    by_model = sorted(kind for kind in kinds if kind not in counted)
    if by_model:
        says.append(f"What is left of {', '.join(by_model)} was not counted: a model finds it, and may miss some.")
    return " ".join(says if counted else says[1:])


def _anonymity(figures: dict[str, object]) -> str:
    return table(("measure", "value"), [(name.replace("_", " "), str(value)) for name, value in figures.items()])


def _balance(statistics: PreparationStatistics) -> str:
    balance = {part: counts for part, counts in statistics.balance.items() if part in _COLOURS}
    labels = {label for counts in balance.values() for label in counts}
    totals = {label: sum(counts.get(label, 0) for counts in balance.values()) for label in labels}
    ordered = sorted(labels, key=lambda label: (-totals[label], label))[:_SHOWN_LABELS]
    rows = [
        (
            label,
            [
                Bar(counts.get(label, 0), _COLOURS[part], f"{label}, {part}: {counts.get(label, 0):,}")
                for part, counts in balance.items()
            ],
            f"{totals[label]:,}",
        )
        for label in ordered
    ]
    more = f"<p>{len(labels) - len(ordered)} more labels are in report.json.</p>" if len(labels) > len(ordered) else ""
    return f'<div class="scroll">{bars(rows, "Rows of each label, by part")}</div>{more}'


def _tokens(tokens: dict[str, object]) -> str:
    plain = [(name.replace("_", " "), value) for name, value in tokens.items() if isinstance(value, int | float)]
    figures = table(("measure", "value"), [(name, float(value)) for name, value in plain])
    frequent = tokens.get("most_frequent")
    if not isinstance(frequent, list) or not frequent:
        return figures
    rows = [
        (str(one["word"]), [Bar(float(one["count"]), "var(--train)", f"{one['word']}: {one['count']:,}")],
         f"{one['count']:,}")
        for one in frequent
    ]  # fmt: skip
    return figures + "<h3>Most frequent words</h3>" + bars(rows, "Most frequent words, without stop words")
