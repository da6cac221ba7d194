"""Cleaning as a plan of small steps. Each is a pure function on the table of ``examples``; none knows of the others.

A step keeps or changes rows and says what it removed; counting, examples and order are the plan's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.preprocess.examples import codes, select
from tidemill.tasks.text_classification.normalization import normalize

_SHOWN_EXAMPLES = 5
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Applied:
    """What a step did: the table after it, the rows it removed, and how many of the kept ones it changed."""

    kept: pa.Table
    removed: pa.Table
    changed: int = 0


@dataclass(frozen=True)
class Step:
    """One step of the plan; ``says`` tells a person what it does."""

    name: str
    says: str
    apply: Callable[[pa.Table], Applied]


@dataclass(frozen=True)
class StepReport:
    """What a step did, for the quality report; ``examples`` shows some of what it removed, their text cut."""

    name: str
    says: str
    before: int
    after: int
    changed: int
    examples: list[dict[str, str | int]]


def cleaning_plan(*, normalize: bool, drop_duplicates: bool) -> list[Step]:
    """The steps that the recipe asks for, in their order."""
    plan = []
    if normalize:
        says = "Unicode NFC, control characters removed, white space collapsed"
        plan.append(Step("normalise text", says, normalise_texts))
    plan.append(Step("normalise labels", "the same for labels, so that equal labels are equal", normalise_labels))
    plan.append(Step("drop empty rows", "rows without text or without a label", drop_empty))
    if drop_duplicates:
        says = "texts that occur with different labels: nobody knows which is right"
        plan.append(Step("drop contradictions", says, drop_contradictions))
        plan.append(Step("drop duplicates", "text and label occurred before in the same part", drop_duplicate_rows))
    return plan


def run(plan: Sequence[Step], examples: pa.Table) -> tuple[pa.Table, list[StepReport]]:
    """The examples after all steps, and what each did."""
    reports = []
    for step in plan:
        applied = step.apply(examples)
        reports.append(
            StepReport(
                name=step.name,
                says=step.says,
                before=examples.num_rows,
                after=applied.kept.num_rows,
                changed=applied.changed,
                examples=shown(applied.removed),
            )
        )
        examples = applied.kept
    return examples, reports


def normalise(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Every value as ``normalize`` leaves it, which is what serving does to a request."""
    normal = [None if value is None else normalize(value) for value in text.to_pylist()]
    return pa.chunked_array([pa.array(normal, pa.string())])


def normalise_texts(examples: pa.Table) -> Applied:
    """Normalise the text of every example."""
    return _normalised(examples, "text")


def normalise_labels(examples: pa.Table) -> Applied:
    """Normalise the label of every example."""
    return _normalised(examples, "label")


def drop_empty(examples: pa.Table) -> Applied:
    """Remove examples whose text or label is empty or white space alone."""
    keep = np.ones(examples.num_rows, dtype=np.bool_)
    for column in ("text", "label"):
        keep &= pc.greater(pc.binary_length(pc.utf8_trim_whitespace(examples[column])), 0).to_numpy()
    return _split(examples, keep)


def drop_contradictions(examples: pa.Table) -> Applied:
    """Remove every example whose text occurs with another label in the same part."""
    texts = codes(examples["part"], examples["text"])
    pairs = codes(examples["part"], examples["text"], examples["label"])
    _, first = np.unique(pairs, return_index=True)
    labels_of_text = np.bincount(texts[first], minlength=int(texts.max(initial=0)) + 1)
    return _split(examples, labels_of_text[texts] <= 1)


def drop_duplicate_rows(examples: pa.Table) -> Applied:
    """Remove every example whose text and label occurred in an earlier row of the same part."""
    _, first = np.unique(codes(examples["part"], examples["text"], examples["label"]), return_index=True)
    keep = np.zeros(examples.num_rows, dtype=np.bool_)
    keep[first] = True
    return _split(examples, keep)


def leakage_keys(examples: pa.Table) -> list[str]:
    """What two examples must not share across parts: the normalised, case-folded text."""
    return [text.casefold() for text in normalise(examples["text"]).to_pylist()]


def shown(removed: pa.Table) -> list[dict[str, str | int]]:
    """A few examples for a report, their text cut."""
    rows = removed.slice(0, _SHOWN_EXAMPLES).select(["part", "row", "text", "label"]).to_pylist()
    return [{**row, "text": cut(row["text"]), "label": cut(row["label"])} for row in rows]


def cut(text: str) -> str:
    """``text``, shortened for people."""
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _normalised(examples: pa.Table, column: str) -> Applied:
    before = examples[column]
    after = normalise(before)
    changed = pc.sum(pc.not_equal(before, after)).as_py() or 0
    table = examples.set_column(examples.schema.get_field_index(column), column, after)
    return Applied(kept=table, removed=examples.slice(0, 0), changed=changed)


def _split(examples: pa.Table, keep: npt.NDArray[np.bool_]) -> Applied:
    return Applied(kept=select(examples, keep), removed=select(examples, ~keep))
