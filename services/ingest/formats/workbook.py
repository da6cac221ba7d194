"""Reads a sheet of a workbook: XLSX, XLSB, XLS and ODS. A program of its own reads it (``workbook_program``) and leaves
its cells in a temporary file, which is read here twice: for the types, then for the rows."""

from __future__ import annotations

import datetime
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from services.ingest.formats.archive_size import check_unpacked_size
from services.ingest.formats.dialect import has_header
from services.ingest.formats.typed import kind_of
from services.ingest.tables import BATCH_BYTES, BadRows, Batch, Limits, Writing, cell_too_long, check_columns
from tidemill.contracts.data import Data, FormatName
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

_PROGRAM = Path(__file__).with_name("workbook_program.py")
_SAMPLE = 200
_ROWS = 1 << 14
_EXACT = 1 << 53
"""Whole numbers below it are exact in a workbook, which knows floating-point numbers only."""
_MIDNIGHT = datetime.time()


class WorkbookFile:
    """One sheet, ``data.sheet`` or the first one with rows.

    A column is of whole numbers, numbers, booleans or dates (``date32``, or ``timestamp[us]`` where there are times of
    day) if all its cells are; else of text. An empty cell is null. Rows that are empty are no rows; columns without a
    name and a value are no columns.
    """

    def __init__(
        self, path: Path, format: FormatName, data: Data, limits: Limits, *, header: bool | None = None
    ) -> None:
        self.path = path
        self._limits = limits
        self._top = self._left = 0
        self._cells = self._convert(data.sheet)
        sample = [row for _, row in self._filled_rows(_SAMPLE)]
        if not sample:
            raise InvalidInput(f"{path.name} has no row; check that data.sheet names the sheet with the table")
        self._header = self._decide_header(sample, data, header)
        names = self._name_columns(sample[0], data)
        kinds = self._kinds(len(names))
        self._kept = [index for index in range(len(names)) if kinds[index] or names[index]]
        self.columns = [names[index] or f"column_{index + 1}" for index in self._kept]
        check_columns(self.columns, path)
        decided = [_decide(kinds[index]) for index in self._kept]
        self._convert_cell = [convert for _, convert in decided]
        self.schema = pa.schema([(name, kind) for name, (kind, _) in zip(self.columns, decided, strict=True)])
        self.kinds: dict[str, ColumnKind] = {}
        for index, field in zip(self._kept, self.schema, strict=True):
            known = "empty" if not kinds[index] else kind_of(field.type)
            if known is not None:
                self.kinds[field.name] = known
        self.writing = Writing(format, header=self._header)

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order."""
        size = self._cells.seek(0, 2)
        rows: list[list[Any]] = []
        held = number = 0
        for line, row in self._filled_rows(None):
            number += 1
            if self._header and number == 1:
                continue
            row = [row[index] if index < len(row) else "" for index in self._kept]
            reason = self._too_long(line, row)
            if reason is not None:
                bad.add(self.path, number - self._header, reason, self._shown(row))
                continue
            rows.append(row)
            held += sum(len(cell) for cell in row if type(cell) is str)
            if len(rows) >= _ROWS or held >= BATCH_BYTES:
                yield Batch(self._batch(rows), min(1.0, self._cells.tell() / size))
                rows, held = [], 0
        if rows:
            yield Batch(self._batch(rows), 1.0)

    def _batch(self, rows: list[list[Any]]) -> pa.RecordBatch:
        arrays = [
            pa.array([None if cell == "" else convert(cell) for cell in cells], field.type)
            for cells, convert, field in zip(zip(*rows, strict=True), self._convert_cell, self.schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _convert(self, sheet: str | None) -> Any:
        with self.path.open("rb") as file:
            if file.read(2) == b"PK":
                check_unpacked_size(self.path)
        cells = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the reader
        command = [sys.executable, "-I", str(_PROGRAM), str(self.path.absolute()), *([] if sheet is None else [sheet])]
        done = subprocess.run(command, stdout=cells, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
        if done.returncode == 2:
            raise InvalidInput(f"{self.path.name} cannot be read: {done.stderr.decode(errors='replace')[:1000]}")
        if done.returncode != 0:
            raise InvalidInput(
                f"{self.path.name} cannot be read: its sheet claims more cells than fit into memory, or it is damaged; "
                "copy the table alone into a new workbook, or save it as CSV"
            )
        cells.seek(0)
        place = orjson.loads(cells.readline())
        self._top, self._left = place["row"], place["column"]
        return cells

    def _filled_rows(self, count: int | None) -> Iterator[tuple[int, list[Any]]]:
        """Rows that are not empty, with their number in the sheet; at most ``count``."""
        self._cells.seek(0)
        self._cells.readline()
        given = 0
        for number, line in enumerate(self._cells, self._top + 1):
            row = orjson.loads(line)
            if any(cell != "" for cell in row):
                given += 1
                yield number, row
            if given == count:
                return

    def _decide_header(self, sample: list[list[Any]], data: Data, header: bool | None) -> bool:
        if data.columns is not None:
            return False
        for said in (data.header, header):
            if said is not None:
                return said
        if any(type(cell) is not str for cell in sample[0]):
            return False
        return has_header([[_as_text(cell) for cell in row] for row in sample], data)

    def _name_columns(self, first: list[Any], data: Data) -> list[str]:
        if data.columns is not None:
            if len(data.columns) != len(first):
                raise InvalidInput(
                    f"{self.path.name} has {len(first)} columns, but data.columns names {len(data.columns)} "
                    f"({', '.join(data.columns)}); name every column"
                )
            return list(data.columns)
        return [_as_text(cell).strip() if self._header else "" for cell in first]

    def _kinds(self, width: int) -> list[set[str]]:
        """The kinds of the cells of every column that are not empty."""
        kinds: list[set[str]] = [set() for _ in range(width)]
        for number, (_, row) in enumerate(self._filled_rows(None)):
            if self._header and number == 0:
                continue
            for seen, cell in zip(kinds, row, strict=False):
                if cell != "":
                    seen.add(_kind(cell))
        return kinds

    def _too_long(self, line: int, row: list[Any]) -> str | None:
        for name, cell in zip(self.columns, row, strict=True):
            if type(cell) is str and len(cell) > self._limits.max_cell:
                return cell_too_long(f"row {line} of the sheet", name, len(cell), self._limits)
        return None

    def _shown(self, row: list[Any]) -> str:
        return ", ".join(map(_as_text, row))[: self._limits.max_cell]


def _kind(cell: Any) -> str:
    if type(cell) is list:
        kind, value = cell
        return "date" if kind == "datetime" and datetime.datetime.fromisoformat(value).time() == _MIDNIGHT else kind
    if type(cell) is float:
        return "integer" if cell.is_integer() and abs(cell) < _EXACT else "number"
    return {bool: "boolean", int: "integer"}.get(type(cell), "text")


def _decide(kinds: set[str]) -> tuple[pa.DataType, Callable[[Any], Any]]:
    """The type of a column whose cells are of ``kinds``, and what makes a cell such a value."""
    if kinds == {"boolean"}:
        return pa.bool_(), bool
    if kinds == {"integer"}:
        return pa.int64(), int
    if kinds and kinds <= {"integer", "number"}:
        return pa.float64(), float
    if kinds == {"date"}:
        return pa.date32(), lambda cell: datetime.datetime.fromisoformat(cell[1]).date()
    if kinds and kinds <= {"date", "datetime"}:
        return pa.timestamp("us"), lambda cell: datetime.datetime.fromisoformat(cell[1])
    return pa.string(), _as_text


def _as_text(cell: Any) -> str:
    if type(cell) is list:
        kind, value = cell
        return value.removesuffix("T00:00:00") if kind == "datetime" else str(value)
    if type(cell) is float and cell.is_integer() and abs(cell) < _EXACT:
        return str(int(cell))
    return {True: "true", False: "false"}[cell] if type(cell) is bool else str(cell)
