"""Answers of question answering keep pointing into their context: what is done to the context is done to them first.

An offset behind the changes is where the answer occurs in the changed context, nearest to the length that the text
before it has by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from daft import DataType, Series, col, func

from services.preprocess.change import Change, RowStep, Step
from tidemill.contracts.data import Data
from tidemill.datasets import Column
from tidemill.texts import normalize, strip_html

_ANSWERS = DataType.struct({"text": DataType.list(DataType.string()), "answer_start": DataType.list(DataType.int64())})
_CHANGES = {"html": strip_html, "normal": normalize, "lower": str.lower}


def change_answers(answers: str, context: str, data: Data) -> RowStep:
    """The answers as they stand in the context once the steps for texts have changed it; runs before them."""
    wanted = {"html": data.text_rules.strip_html, "normal": data.normalize, "lower": data.text_rules.lowercase}
    changes = [name for name, asked in wanted.items() if asked]

    def make(columns: Mapping[str, Column]) -> Change:
        if not changes or not {answers, context} <= columns.keys():
            return Change()
        return Change({answers: _changed(col(context), col(answers), changes)})

    return Step("answers like their context", "answers are changed as the context that they stand in", make)


@func.batch(return_dtype=_ANSWERS, use_process=False)
def _changed(contexts: Series, answers: Series, changes: list[str]) -> pa.Array:
    pairs = zip(contexts.to_pylist(), answers.to_pylist(), strict=True)
    rows = [_row(context, row, changes) for context, row in pairs]
    return pa.array(rows, pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int64()))]))


def _row(context: str | None, row: dict[str, Any] | None, changes: Sequence[str]) -> dict[str, Any] | None:
    if row is None:
        return None
    texts, starts = row["text"] or [], row["answer_start"] or []
    changed = _apply(context or "", changes)
    if context is None or (changed == context and all(text == _apply(text or "", changes) for text in texts)):
        return {"text": texts, "answer_start": starts}
    found = [_moved(context, changed, text, start, changes) for text, start in zip(texts, starts, strict=False)]
    return {"text": [text for text, _ in found], "answer_start": [start for _, start in found]}


def _moved(context: str, changed: str, text: str | None, start: int, changes: Sequence[str]) -> tuple[str | None, int]:
    if text is None:
        return None, start
    answer = _apply(text, changes)
    before = context[:start]
    # The end of what is before may be white space, which is cut at the end of a text and kept within one.
    expected = len(_apply(before, changes)) + (before[-1:].isspace() and bool(before.strip()))
    left, right = changed.rfind(answer, 0, expected + len(answer)), changed.find(answer, expected)
    near = [place for place in (left, right) if place >= 0]
    return answer, min(near, key=lambda place: abs(place - expected)) if near else start


def _apply(text: str, changes: Sequence[str]) -> str:
    for change in changes:
        text = _CHANGES[change](text)
    return text
