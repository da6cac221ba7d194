"""Reads JSON Lines: one object per line. Read twice: first for the keys, then for the rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.ingest.formats.encoding import detect_encoding
from services.ingest.formats.json_columns import JsonColumns, long_cell
from services.ingest.formats.json_values import JsonProblem, decode, kind_of_value
from services.ingest.formats.text import bounded_lines, open_text
from services.ingest.formats.undecodable import first_undecodable, shown, undecodable
from services.ingest.tables import BATCH_BYTES, BATCH_ROWS, BadRows, Batch, Limits, Writing, check_columns
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput

_STEP = 256


class JsonLinesFile:
    """A JSON Lines file; see ``JsonColumns`` for what becomes of its values."""

    def __init__(self, path: Path, data: Data, limits: Limits) -> None:
        if data.columns is not None:
            raise InvalidInput(f"{path.name} is JSON Lines, whose keys name the columns; remove data.columns")
        self.path = path
        self._limits = limits
        self._encoding = detect_encoding(path, data.encoding, max_line=limits.max_line)
        self._columns = self._survey()
        self.columns = self._columns.names
        self.schema: pa.Schema = self._columns.schema
        self.kinds = self._columns.kinds
        self.writing = Writing("jsonl", self._encoding.name)

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order."""
        size = self.path.stat().st_size
        rows: list[dict[str, Any]] = []
        begun = number = 0
        with open_text(self.path, self._encoding) as (file, raw):
            for line_number, line in enumerate(self._lines(file), 1):
                if line.isspace():
                    continue
                number += 1
                row = self._row(line, line_number)
                if isinstance(row, str):
                    bad.add(self.path, number, row, shown(line[: self._limits.max_cell]).rstrip("\r\n"))
                    continue
                rows.append(row)
                if len(rows) >= BATCH_ROWS or (len(rows) % _STEP == 0 and raw.tell() - begun >= BATCH_BYTES):
                    begun = raw.tell()
                    yield Batch(self._columns.batch(rows), begun / size)
                    rows = []
        if rows:
            yield Batch(self._columns.batch(rows), 1.0)

    def _lines(self, file: Any) -> Iterator[str]:
        return bounded_lines(file, self._encoding, self._limits.max_line)

    def _row(self, line: str, number: int) -> dict[str, Any] | str:
        """The object on line ``number``, or the reason why there is none."""
        if len(line) > self._limits.max_line:
            return f"line {number}: longer than {self._limits.max_line:,} characters; shorten the values"
        if self._encoding.damaged and (byte := first_undecodable(line)) is not None:
            return undecodable(f"line {number}", byte, self._encoding.name)
        try:
            row = decode(line)
        except JsonProblem as problem:
            place = f"line {number}" if problem.column is None else f"line {number}, character {problem.column}"
            return f"{place}: not valid JSON ({problem.reason}); every line has to be one JSON object"
        if type(row) is not dict:
            return (
                f"line {number}: {kind_of_value(row)} where one JSON object is expected, "
                'e.g. {"text": "…", "label": "…"}'
            )
        if len(line) > self._limits.max_cell:
            return long_cell(row, f"line {number}", self._limits) or row
        return row

    def _survey(self) -> JsonColumns:
        columns = JsonColumns(self.path)
        first_problem = ""
        with open_text(self.path, self._encoding) as (file, _):
            for number, line in enumerate(self._lines(file), 1):
                if line.isspace():
                    continue
                row = self._row(line, number)
                if isinstance(row, str):
                    first_problem = first_problem or row
                else:
                    columns.show(row)
        if not columns.names:
            raise InvalidInput(
                f"{self.path.name} holds no row with a key; every line has to be one JSON object"
                + (f" ({first_problem})" if first_problem else "")
            )
        check_columns(columns.names, self.path)
        return columns
