"""Question answering: an answer's offset points at the answer, and there is a question.

Answers are structs of two lists, ``text`` and ``answer_start``: offsets into the context in characters (code points),
as in SQuAD. A question without answers is one that the context does not answer (SQuAD 2.0), and stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
from daft import DataType, Series, col, func, lit
from daft.functions import length, strip

from services.preprocess.change import Change, RowStep, Step
from tidemill.datasets import Column

_ANSWERS = DataType.struct({"text": DataType.list(DataType.string()), "answer_start": DataType.list(DataType.int64())})
_REPAIRED = DataType.struct(
    {"answers": _ANSWERS, "moved": DataType.int32(), "absent": DataType.int32(), "lost": DataType.bool()}
)


def answer_steps(question: str, context: str, answers: str) -> list[RowStep]:
    """Remove rows without a question, then put offsets right and remove rows whose answers are not in the context."""
    return [
        Step("remove empty questions", "rows without a question or a context", partial(_asked, question, context)),
        Step(
            "repair answer offsets",
            "an offset that does not point at the answer is moved to its nearest occurrence in the context; answers "
            "that do not occur there are removed, and rows that are left without any of theirs",
            partial(_answered, context, answers),
        ),
    ]


def _asked(question: str, context: str, columns: Mapping[str, Column]) -> Change:
    if not {question, context} <= columns.keys():
        return Change()
    empty = [col(name).is_null() | (length(strip(col(name))) < lit(1)) for name in (question, context)]
    return Change(remove=empty[0] | empty[1])


def _answered(context: str, answers: str, columns: Mapping[str, Column]) -> Change:
    if not {context, answers} <= columns.keys():
        return Change()
    repaired = _repair(col(context), col(answers))
    return Change(
        columns={answers: repaired.get("answers")},
        remove=repaired.get("lost"),
        counts={"moved answers": repaired.get("moved"), "answers not in the context": repaired.get("absent")},
    )


@func.batch(return_dtype=_REPAIRED)
def _repair(contexts: Series, answers: Series) -> Any:
    rows: dict[str, list[Any]] = {"text": [], "answer_start": [], "moved": [], "absent": [], "lost": []}
    for context, given in zip(contexts.to_arrow().to_pylist(), answers.to_arrow().to_pylist(), strict=True):
        texts, starts = ((given or {}).get(key) or [] for key in ("text", "answer_start"))
        found = _found(context or "", texts, starts)
        rows["text"].append([text for text, start, _ in found if start is not None])
        rows["answer_start"].append([start for _, start, _ in found if start is not None])
        rows["moved"].append(sum(moved for _, start, moved in found if start is not None))
        rows["absent"].append(sum(start is None for _, start, _ in found))
        rows["lost"].append(bool(found) and not rows["text"][-1])
    repaired = pa.StructArray.from_arrays(
        [pa.array(rows["text"], pa.large_list(pa.large_string())),
         pa.array(rows["answer_start"], pa.large_list(pa.int64()))], names=["text", "answer_start"],
    )  # fmt: skip
    counts = [pa.array(rows[name], pa.int32()) for name in ("moved", "absent")]
    return pa.StructArray.from_arrays(
        [repaired, *counts, pa.array(rows["lost"], pa.bool_())], names=["answers", "moved", "absent", "lost"]
    )


def _found(
    context: str, texts: Sequence[str | None], starts: Sequence[int | None]
) -> list[tuple[str | None, int | None, bool]]:
    """Each answer with its offset, None when it does not occur, and whether that is another one than given."""
    padded = [*starts, *[None] * (len(texts) - len(starts))]
    return [(text, *_offset(context, text, start)) for text, start in zip(texts, padded, strict=False)]


def _offset(context: str, text: str | None, start: int | None) -> tuple[int | None, bool]:
    if not text or not text.strip():
        return None, True
    given = min(max(0, start or 0), len(context))
    if context.startswith(text, given):
        return given, given != start
    before, after = context.rfind(text, 0, given + len(text)), context.find(text, given)
    near = [offset for offset in (before, after) if offset >= 0]
    return (min(near, key=lambda offset: abs(offset - given)), True) if near else (None, True)
