"""Extractive question answering's data: a question, a context, and the answers as spans of the context.

``answers`` is a struct as in SQuAD (Rajpurkar et al. 2016): ``text``, a list of strings, and ``answer_start``, a list
of offsets into the context in characters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput
from tidemill.tasks.columns import by_name, known, listed, named_roles, only_named, require, require_plain
from tidemill.tasks.profile import ColumnProfile, ColumnType

_NAMES: dict[str, frozenset[str]] = {
    "question": frozenset(("question", "query", "问题", "問題")),
    "context": frozenset(("context", "passage", "paragraph", "上下文", "段落", "文章")),
    "answers": frozenset(("answers", "answer", "答案")),
}
COLUMN_NAMES = frozenset().union(*_NAMES.values())
HAS_CLASSES = False
ANSWER_FIELDS = ("text", "answer_start")


def suits(columns: Sequence[ColumnProfile], data: Data) -> bool:
    """Whether the answers are spans, and there are a question and a context."""
    found = {role: _column(columns, data, role) for role in _NAMES}
    return all(found.values()) and found["answers"] is not None and _are_spans(found["answers"])


def resolve_columns(columns: Sequence[ColumnProfile], data: Data, where: str) -> Data:
    """``data`` with ``question``, ``context`` and ``answers`` filled in.

    Raises:
        InvalidInput: one of them is not there, or the answers are no spans.
    """
    found: dict[str, str] = {}
    for role in _NAMES:
        name = getattr(data, role)
        column = require(columns, name, f"data.{role}", where) if name else _column(columns, data, role)
        if column is None:
            raise InvalidInput(
                f"{where}: it is not clear which column is the {role}; its columns are "
                f"{listed([column.name for column in columns])}; say which in the recipe:  task: question-answering, "
                "data: {question: <column>, context: <column>, answers: <column>}"
            )
        if role != "answers":
            require_plain(column, f"data.{role}", where)
        found[role] = column.name
    answers = require(columns, found["answers"], "data.answers", where)
    if not _are_spans(answers):
        raise InvalidInput(
            f"{where}, column {answers.name!r}: answers have to be structs of the lists text and answer_start, as in "
            "SQuAD; publish the SQuAD JSON itself, or such a column in Parquet or JSON"
        )
    if len(set(found.values())) < len(found):
        raise InvalidInput("data.question, data.context and data.answers have to name three different columns")
    return data.model_copy(update=found)


def roles(data: Data) -> dict[str, str]:
    """``question``, ``context`` and ``answers``."""
    return named_roles(question=data.question, context=data.context, answers=data.answers)


def features(columns: Mapping[str, ColumnType], data: Data) -> tuple[str, ...]:
    """The question and the context."""
    return known(columns, data.question, data.context)


def _column(columns: Sequence[ColumnProfile], data: Data, role: str) -> ColumnProfile | None:
    name = getattr(data, role)
    return by_name(columns, name) if name else only_named(columns, _NAMES[role])


def _are_spans(column: ColumnProfile) -> bool:
    return column.type == "nested" and (not column.fields or set(ANSWER_FIELDS) <= {*column.fields})
