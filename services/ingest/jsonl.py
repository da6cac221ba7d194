"""Reads JSON Lines: one object per line. Read twice: first for the keys and the errors, then for the rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from services.ingest.encoding import detect_encoding
from services.ingest.tables import BATCH_BYTES, BATCH_ROWS, Batch, Limits, Writing, cell_too_long
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput

_STEP = 1024
_MAX_KEYS = 1_000
_PLAIN = {str, type(None)}


class JsonLinesFile:
    """A JSON Lines file, every key a column of strings: numbers, booleans and nested values as their JSON text,
    ``null`` and absent keys as null."""

    def __init__(self, path: Path, data: Data, limits: Limits) -> None:
        if data.columns is not None:
            raise InvalidInput(f"{path.name} is JSON Lines, whose keys name the columns; remove data.columns")
        self.path = path
        self._limits = limits
        self._encoding = detect_encoding(path, data.encoding, max_line=limits.max_line)
        self.columns = self._survey()
        self.writing = Writing("jsonl", self._encoding)

    def batches(self) -> Iterator[Batch]:
        """All rows in order."""
        size = self.path.stat().st_size
        rows: list[dict[str, Any]] = []
        begun = 0
        for _, step, position in self._steps():
            rows.extend(map(orjson.loads, step))
            if len(rows) >= BATCH_ROWS or position - begun >= BATCH_BYTES:
                yield Batch(self._columns_of(rows), position / size)
                rows, begun = [], position
        if rows:
            yield Batch(self._columns_of(rows), 1.0)

    def _columns_of(self, rows: list[dict[str, Any]]) -> pa.RecordBatch:
        arrays = []
        for name in self.columns:
            values = [row.get(name) for row in rows]
            if not set(map(type, values)) <= _PLAIN:
                values = [_as_text(value) for value in values]
            arrays.append(pa.array(values, pa.string()))
        return pa.RecordBatch.from_arrays(arrays, names=self.columns)

    def _steps(self) -> Iterator[tuple[list[int], list[str], int]]:
        """Line numbers (from 1) and lines, blank ones left out, some at a time, with the position in the file."""
        with (
            self.path.open("rb") as raw,
            open(raw.fileno(), encoding=self._encoding, newline="\n", closefd=False) as file,
        ):
            numbered = enumerate(file, 1)
            while step := list(islice(numbered, _STEP)):
                kept = [(number, line) for number, line in step if not line.isspace()]
                yield [number for number, _ in kept], [line for _, line in kept], raw.seek(0, 1)

    def _survey(self) -> list[str]:
        keys: dict[str, None] = {}
        for numbers, lines, _ in self._steps():
            for number, line in zip(numbers, lines, strict=True):
                try:
                    row = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise InvalidInput(
                        f"{self.path.name}, line {number}, character {error.colno}: not valid JSON ({error.msg}); "
                        "every line has to be one JSON object"
                    ) from None
                if type(row) is not dict:
                    raise InvalidInput(
                        f"{self.path.name}, line {number}: {_kind(row)} where one JSON object is expected, "
                        'e.g. {"text": "…", "label": "…"}'
                    )
                if not row.keys() <= keys.keys():
                    keys.update(dict.fromkeys(row))
                    if len(keys) > _MAX_KEYS:
                        raise InvalidInput(
                            f"{self.path.name}, line {number}: more than {_MAX_KEYS:,} different keys so far; "
                            "every row has to have the same few keys"
                        )
                if len(line) > self._limits.max_cell:
                    self._check_cells(row, number)
        if not keys:
            raise InvalidInput(f"{self.path.name} holds no row with a key; every line has to be one JSON object")
        return list(keys)

    def _check_cells(self, row: dict[str, Any], number: int) -> None:
        for name, value in row.items():
            length = len(_as_text(value) or "")
            if length > self._limits.max_cell:
                raise cell_too_long(self.path, f"line {number}", name, length, self._limits)


def _as_text(value: Any) -> str | None:
    return value if value is None or type(value) is str else orjson.dumps(value).decode()


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
