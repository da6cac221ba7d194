"""Reads a JSON document as a table, or as the tables of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.ingest.formats.json_columns import JsonColumns, long_cell
from services.ingest.formats.json_object import JsonColumnsFile
from services.ingest.formats.json_outline import Outline, outline
from services.ingest.formats.json_stream import JsonStream, open_json
from services.ingest.formats.json_values import JsonProblem, kind_of_value
from services.ingest.formats.undecodable import first_undecodable, shown, undecodable
from services.ingest.names import path_of_part
from services.ingest.tables import BATCH_BYTES, BATCH_ROWS, BadRows, Batch, Limits, Writing, check_columns
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput

_STEP = 256


def open_json_document(path: Path, data: Data, limits: Limits) -> dict[str, Any]:
    """The tables of the document by part: ``{"data": table}``, or those of the parts that its keys name.

    Lists of one part (``train``, ``oos_train``) are joined, in the order in which they stand there.

    Raises:
        InvalidInput: it is no JSON, or no table.
    """
    found = outline(path, data, limits)
    if found.lists is None:
        return {"data": JsonColumnsFile(path, found.encoding, data, limits)}
    return {part: JsonRowsFile(path, found, part, data, limits) for part in found.lists}


class JsonRowsFile:
    """Lists of a JSON document whose elements are rows: objects, or lists of values (named by ``data.columns``).

    See ``JsonColumns`` for what becomes of the values. Read as a stream, twice: for the keys, then for the rows.
    """

    def __init__(self, path: Path, found: Outline, part: str, data: Data, limits: Limits) -> None:
        assert found.lists is not None, "an object of columns is read by JsonColumnsFile"
        self.path = path if part == "data" else path_of_part(path, part)
        self._file = path
        self._encoding = found.encoding
        self._keys = found.lists[part]
        self._limits = limits
        self._names: list[str] | None = None
        self._columns = self._survey(data)
        self.columns = self._columns.names
        self.schema: pa.Schema = self._columns.schema
        self.kinds = self._columns.kinds
        self.writing = Writing("json", found.encoding.name)

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order."""
        size = self._file.stat().st_size
        rows: list[dict[str, Any]] = []
        begun = 0
        with open_json(self._file, self._encoding, self._limits.max_line) as document:
            for number, element in enumerate(self._elements(document), 1):
                row = self._row(element, document)
                if isinstance(row, str):
                    bad.add(self.path, number, row, shown(document.last_text()[: self._limits.max_cell]))
                    continue
                rows.append(row)
                position = document.position()
                if len(rows) >= BATCH_ROWS or (len(rows) % _STEP == 0 and position - begun >= BATCH_BYTES):
                    begun = position
                    yield Batch(self._columns.batch(rows), begun / size)
                    rows = []
            document.end()
        if rows:
            yield Batch(self._columns.batch(rows), 1.0)

    def _elements(self, document: JsonStream) -> Iterator[Any]:
        if not self._keys:
            yield from document.elements()
            return
        for key in document.entries():
            if key in self._keys:
                yield from document.elements()
            elif document.peek() == "[":
                for _ in document.elements():
                    pass
            else:
                document.value()

    def _row(self, element: Any, document: JsonStream) -> dict[str, Any] | str:
        """The row that ``element`` is, or the reason why it is none."""
        place = document.last_place
        if self._names is None:
            if not isinstance(element, dict):
                return f"{place()}: {kind_of_value(element)} where an object is expected, as in the other rows"
            row: dict[str, Any] = element
        else:
            if type(element) is not list:
                return f"{place()}: {kind_of_value(element)} where a list of values is expected, as in the other rows"
            if len(element) != len(self._names):
                return f"{place()}: {len(element)} values, but {len(self._names)} are expected {tuple(self._names)}"
            row = dict(zip(self._names, element, strict=True))
        if self._encoding.damaged and (byte := first_undecodable(document.last_text())) is not None:
            return undecodable(place(), byte, self._encoding.name)
        try:
            document.refuse_damaged(element)
        except JsonProblem as problem:
            return f"{place()}: {problem.reason}"
        if len(document.last_text()) > self._limits.max_cell:
            return long_cell(row, place(), self._limits) or row
        return row

    def _survey(self, data: Data) -> JsonColumns:
        columns = JsonColumns(self.path)
        with open_json(self._file, self._encoding, self._limits.max_line) as document:
            first = True
            for element in self._elements(document):
                if first and type(element) is list:
                    self._names = _names(element, data)
                first = False
                row = self._row(element, document)
                if not isinstance(row, str):
                    columns.show(row)
            document.end()
        if data.columns is not None and self._names is None:
            raise InvalidInput(f"{self.path.name} holds JSON objects, whose keys name the columns; remove data.columns")
        if not columns.names:
            raise InvalidInput(f"{self.path.name} holds no row; a list of JSON objects is expected")
        check_columns(columns.names, self.path)
        return columns


def _names(row: list[Any], data: Data) -> list[str]:
    return list(data.columns or (f"column_{number}" for number in range(1, len(row) + 1)))
