"""Answers of question answering stay words of their context: what is done to the context is done to them.

Their offsets are put right afterwards, by the repairs of the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from daft import DataType, Expression, Series, col, func

from services.preprocess.change import Change, RowStep, Step
from services.preprocess.rules.html import strip_html
from tidemill.contracts.data import Data
from tidemill.datasets import Column
from tidemill.tasks.text_classification.normalization import normalize

_ANSWERS = DataType.struct({"text": DataType.list(DataType.string()), "answer_start": DataType.list(DataType.int64())})
_CHANGES = {"html": strip_html, "normal": normalize, "lower": str.lower}


def change_answers(answers: str, data: Data) -> RowStep:
    """The texts of the answers as the steps for texts leave the context, in their order."""
    wanted = {"html": data.text_rules.strip_html, "normal": data.normalize, "lower": data.text_rules.lowercase}
    changes = [name for name, asked in wanted.items() if asked]

    def make(columns: Mapping[str, Column]) -> Change:
        return Change({answers: _like_context(answers, changes)}) if changes and answers in columns else Change()

    return Step("answers like their context", "answers are changed as the context that they stand in", make)


def _like_context(answers: str, changes: list[str]) -> Expression:
    return _changed(col(answers), changes)


@func.batch(return_dtype=_ANSWERS, use_process=False)
def _changed(answers: Series, changes: list[str]) -> pa.Array:
    rows = [_row(row, changes) for row in answers.to_pylist()]
    return pa.array(rows, pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int64()))]))


def _row(row: dict[str, Any] | None, changes: list[str]) -> dict[str, Any] | None:
    if row is None:
        return None
    texts = row["text"] or []
    for change in changes:
        texts = [None if text is None else _CHANGES[change](text) for text in texts]
    return {"text": texts, "answer_start": row["answer_start"] or []}
