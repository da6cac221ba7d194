"""The model card: what a person reads first about a model. Written from what was measured, nothing else.

After Mitchell et al., Model Cards for Model Reporting (2019): what it is, what it was made from, how good
it is, what it is for. Holds no run and no time: the same package gives the same card.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tidemill.contracts import EvaluationSummary, VariantFigures
from tidemill.modelpack.schema import Lineage, Metrics, Signature, Variant

_TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "weighted_precision": "weighted precision",
    "weighted_recall": "weighted recall",
    "auc": "AUC",
    "loss": "loss",
}
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|!~])")


def model_card(signature: Signature, metrics: Metrics, lineage: Lineage, variants: Iterable[Variant]) -> str:
    """The card in Markdown."""
    task = signature.task.replace("-", " ")
    sections = [
        f"# {task.capitalize()} model, {len(signature.labels)} labels",
        _what(signature, lineage),
        "## Labels\n\n" + ", ".join(_escape(label) for label in signature.labels),
        _data(metrics, lineage),
        _quality(metrics),
        _classes(metrics.test),
        _variants(signature, metrics, sorted(variants, key=lambda variant: variant.name)),
        _use(signature),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _what(signature: Signature, lineage: Lineage) -> str:
    task = signature.task.replace("-", " ")
    cut = signature.tokenization.max_length if signature.tokenization else None
    reads = f" It reads at most {cut} tokens of a text and ignores the rest." if cut else ""
    digest = f" (`{lineage.base_digest}`)" if lineage.base_digest else ""
    return f"A model for {task}, made from {_escape(lineage.base)}{digest}.{reads}"


def _data(metrics: Metrics, lineage: Lineage) -> str:
    rows = [
        "## Data",
        "",
        f"Dataset `{lineage.dataset.digest}`.",
        "",
        "| part | examples |",
        "| --- | ---: |",
    ]
    parts = lineage.parts or {part.part: part.examples for part in (metrics.validation, metrics.test)}
    rows += [f"| {_escape(part)} | {count} |" for part, count in parts.items()]
    return "\n".join(rows)


def _quality(metrics: Metrics) -> str:
    folds = metrics.cross_validation
    header = "| metric | validation | test |" + (f" {len(folds.folds)} folds |" if folds else "")
    rule = "| --- | ---: | ---: |" + (" ---: |" if folds else "")
    rows = ["## Quality", "", header, rule]
    for name in _ordered(metrics.test.metrics):
        title = _TITLES.get(name, _escape(name))
        row = f"| {title} | {_figure(metrics.validation, name)} | {_figure(metrics.test, name)} |"
        if folds:
            mean, spread = folds.mean.get(name), folds.std.get(name)
            row += f" {mean:.4f} ± {spread:.4f} |" if mean is not None and spread is not None else " |"
        rows.append(row)
    return "\n".join(rows)


def _classes(test: EvaluationSummary) -> str:
    if not test.classes:
        return ""
    rows = [
        "## Quality by label, test part",
        "",
        "| label | precision | recall | F1 | examples |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    rows += [
        f"| {_escape(one.label)} | {one.precision:.3f} | {one.recall:.3f} | {one.f1:.3f} | {one.support} |"
        for one in test.classes
    ]
    return "\n".join(rows)


def _variants(signature: Signature, metrics: Metrics, variants: list[Variant]) -> str:
    measured = {figure.variant: figure for figure in metrics.variants}
    rows = [
        "## Variants",
        "",
        "| variant | format | precision | MB | p50 ms | p95 ms | examples/s | validation accuracy | test accuracy "
        "| agreement | test difference, 95 % |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for variant in variants:
        name = f"{variant.name} (serves)" if variant.name == signature.serving_variant else variant.name
        row = f"| {_escape(name)} | {variant.format} | {variant.precision} | {variant.size_bytes / 1e6:.1f} |"
        rows.append(row + _measured(measured.get(variant.name)))
    if metrics.variants:
        threads = sorted({figure.threads for figure in metrics.variants})
        rows += [
            "",
            f"Measured in one interleaved run on one machine, {', '.join(map(str, threads))} thread(s): p50 and p95 "
            "at batch 1, throughput at batch 32, 64 tokens each (or as many as the model takes). Agreement: share of "
            "test predictions equal to the original's; difference: of test accuracy from the original's, paired "
            "bootstrap. The choice looks at the validation part alone.",
        ]
    if metrics.choice:
        rows += ["", _escape(metrics.choice) + "."]
    rows += [f"\n{_escape(name)} could not be made: {_escape(why)}" for name, why in sorted(metrics.failed.items())]
    return "\n".join(rows)


def _measured(figure: VariantFigures | None) -> str:
    if figure is None:
        return " |" * 7
    interval = figure.accuracy_difference_ci95
    cells = [
        f"{figure.p50_ms:.2f}",
        f"{figure.p95_ms:.2f}",
        f"{figure.throughput:.0f}",
        *("" if value is None else f"{value:.4f}" for value in _qualities(figure)),
        "" if interval is None else f"{interval[0]:+.4f} … {interval[1]:+.4f}",
    ]
    return "".join(f" {cell} |" for cell in cells)


def _qualities(figure: VariantFigures) -> tuple[float | None, float | None, float | None]:
    return figure.metrics.get("accuracy"), figure.test_metrics.get("accuracy"), figure.agreement


def _use(signature: Signature) -> str:
    return (
        "## Intended use\n\n"
        f"Texts like those of the dataset above, one of {len(signature.labels)} labels each. A text of "
        "another kind gets one of these labels too, and the figures above do not hold for it. A person "
        "should look at decisions that matter to somebody."
    )


def _ordered(metrics: dict[str, float]) -> list[str]:
    known = [name for name in _TITLES if name in metrics]
    return known + sorted(set(metrics) - set(known))


def _figure(summary: EvaluationSummary, name: str) -> str:
    value = summary.metrics.get(name)
    return "" if value is None else f"{value:.4f}"


def _escape(text: str) -> str:
    """Text as one line of Markdown; a label is data and must not become markup."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
