"""JSON objects as rows of a table: every key is a column of text. Knows values, not how they were written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.ingest.formats.answers import ANSWERS, answers_array, is_answers
from services.ingest.formats.json_values import as_text
from services.ingest.tables import Limits, cell_too_long
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

_MAX_KEYS = 1_000
_PLAIN = {str, type(None)}


class JsonColumns:
    """The columns of rows that were shown to it, in the order in which their keys came first.

    Strings stay, ``null`` and absent keys are null; numbers, booleans, lists and objects become their JSON text, so
    that a column of several types loses nothing. One thing stays nested: a column whose every value is
    ``{"text": […], "answer_start": […]}``, the answers of question answering.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[str, None] = {}
        self._answers: set[str] = set()

    def show(self, row: Mapping[str, Any]) -> None:
        """Look at one row. Raises InvalidInput when there are too many keys."""
        if not row.keys() <= self._keys.keys():
            self._answers.update(key for key in row if key not in self._keys and is_answers(row[key]))
            self._keys.update(dict.fromkeys(row))
            if len(self._keys) > _MAX_KEYS:
                raise InvalidInput(
                    f"{self._path.name} has more than {_MAX_KEYS:,} different keys; "
                    "every row has to have the same few keys"
                )
        if self._answers:
            self._answers = {key for key in self._answers if row.get(key) is None or is_answers(row[key])}

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self._keys)

    @property
    def schema(self) -> pa.Schema:
        """Strings, and ``ANSWERS`` where all values are answers."""
        return pa.schema([(key, ANSWERS if key in self._answers else pa.string()) for key in self._keys])

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        """The nested columns."""
        return {key: "nested" for key in self._keys if key in self._answers}

    def batch(self, rows: list[dict[str, Any]]) -> pa.RecordBatch:
        """``rows`` as a batch of the schema."""
        arrays = []
        for name in self._keys:
            values = [row.get(name) for row in rows]
            if name in self._answers:
                arrays.append(answers_array(values))
                continue
            if not set(map(type, values)) <= _PLAIN:
                values = [as_text(value) for value in values]
            arrays.append(pa.array(values, pa.string()))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def long_cell(row: Mapping[str, Any], place: str, limits: Limits) -> str | None:
    """The reason why ``row`` is bad if one of its values is too long."""
    for name, value in row.items():
        length = len(as_text(value) or "")
        if length > limits.max_cell:
            return cell_too_long(place, name, length, limits)
    return None
