"""Reads SQuAD JSON (versions 1.1 and 2.0: https://rajpurkar.github.io/SQuAD-explorer/): one row for each question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.ingest.formats.answers import ANSWERS, answers_array, is_start
from services.ingest.formats.encoding import detect_encoding
from services.ingest.formats.json_stream import JsonStream, open_json
from services.ingest.formats.json_values import RepeatedKey, as_text, kind_of_value
from services.ingest.formats.undecodable import shown
from services.ingest.tables import BATCH_BYTES, BadRows, Batch, Limits, Writing, cell_too_long
from tidemill.contracts.data import Data
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

_TEXTS = ("id", "title", "context", "question")
_ROWS = 1 << 12


class _Wrong(Exception):
    """Why something is no question."""


class SquadFile:
    """Columns ``id``, ``title`` (empty where there is none), ``context``, ``question`` and ``answers``: a struct of
    ``text`` and ``answer_start``, both empty for a question without an answer."""

    def __init__(self, path: Path, data: Data, limits: Limits) -> None:
        if data.columns is not None:
            raise InvalidInput(f"{path.name} is SQuAD JSON, whose columns have their names; remove data.columns")
        self.path = path
        self._limits = limits
        self._encoding = detect_encoding(path, data.encoding, max_line=limits.max_line)
        self.columns = [*_TEXTS, "answers"]
        self.kinds: dict[str, ColumnKind] = {"answers": "nested"}
        self.schema = pa.schema([*((name, pa.string()) for name in _TEXTS), ("answers", ANSWERS)])
        self.writing = Writing("squad", self._encoding.name)
        with open_json(path, self._encoding, limits.max_line) as document:
            if next(self._articles(document), None) is None:
                raise InvalidInput(f'{path.name} holds no article; SQuAD is {{"data": [{{"paragraphs": […]}}, …]}}')

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good questions in order."""
        size = self.path.stat().st_size
        rows: list[tuple[Any, ...]] = []
        held = number = 0
        with open_json(self.path, self._encoding, self._limits.max_line) as document:
            for article in self._articles(document):
                for content, question in self._questions(article, document.last_place()):
                    number += 1
                    if isinstance(question, str):
                        bad.add(self.path, number, question, shown((as_text(content) or "")[: self._limits.max_cell]))
                        continue
                    rows.append(question)
                    held += len(question[2]) + len(question[3])
                    if len(rows) >= _ROWS or held >= BATCH_BYTES:
                        yield Batch(self._batch(rows), document.position() / size)
                        rows, held = [], 0
        if rows:
            yield Batch(self._batch(rows), 1.0)

    def _batch(self, rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
        *texts, answers = (list(values) for values in zip(*rows, strict=True))
        arrays = [*(pa.array(values, pa.string()) for values in texts), answers_array(answers)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _articles(self, document: JsonStream) -> Iterator[Any]:
        for key in document.entries():
            if key == "data":
                yield from document.elements()
            elif document.peek() == "[":
                for _ in document.elements():
                    pass
            else:
                document.value()
        document.end()

    def _questions(self, article: Any, place: str) -> Iterator[tuple[Any, tuple[Any, ...] | str]]:
        """What stands there for each question, and its row or the reason why it has none."""
        try:
            title = _text(article, "title", "")
            paragraphs = _list(article, "paragraphs")
        except _Wrong as wrong:
            yield article, f"article at {place}: {wrong}"
            return
        for paragraph in paragraphs:
            try:
                context = _text(paragraph, "context")
                questions = _list(paragraph, "qas")
            except _Wrong as wrong:
                yield paragraph, f"paragraph in the article at {place}: {wrong}"
                continue
            for question in questions:
                try:
                    row = (_text(question, "id", ""), title, context, _text(question, "question"), _answers(question))
                except _Wrong as wrong:
                    name = question.get("id") if isinstance(question, dict) else None
                    yield question, f"question {name!r} in the article at {place}: {wrong}"
                    continue
                yield question, self._too_long(row, place) or row

    def _too_long(self, row: tuple[Any, ...], place: str) -> str | None:
        for column, value in zip(_TEXTS, row, strict=False):
            if len(value) > self._limits.max_cell:
                return cell_too_long(f"article at {place}", column, len(value), self._limits)
        return None


def _text(holder: Any, key: str, default: str | None = None) -> str:
    value = _value(holder, key, default)
    # Some publishers number their questions.
    text = as_text(value) if key == "id" else value
    if not isinstance(text, str):
        raise _Wrong(f"{key!r} is {kind_of_value(value)}, not a string")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise _Wrong(f"{key!r} holds a byte that does not decode, or half of a surrogate pair")
    return text


def _list(holder: Any, key: str) -> list[Any]:
    value = _value(holder, key, None)
    if not isinstance(value, list):
        raise _Wrong(f"{key!r} is {kind_of_value(value)}, not a list")
    return value


def _value(holder: Any, key: str, default: Any) -> Any:
    if not isinstance(holder, dict):
        raise _Wrong(f"{kind_of_value(holder)} where an object with {key!r} is expected")
    if isinstance(holder, RepeatedKey):
        raise _Wrong(holder.reason)
    value = holder.get(key, default)
    if value is None and default is None:
        raise _Wrong(f"{key!r} is missing")
    return default if value is None else value


def _answers(question: Any) -> dict[str, list[Any]]:
    found = question.get("answers") or []
    if not isinstance(found, list):
        raise _Wrong(f"'answers' is {kind_of_value(found)}, not a list")
    texts = [_text(answer, "text") for answer in found]
    starts = [_value(answer, "answer_start", None) for answer in found]
    for start in starts:
        if not is_start(start):
            raise _Wrong(f"'answer_start' is {as_text(start)}, not an offset of a character")
    return {"text": texts, "answer_start": starts}
