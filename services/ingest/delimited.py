"""Reads CSV and TSV. The whole file is checked once before its first row is given out.

The csv module does the parsing: it reads a million short rows in under a second, and unlike Arrow's reader it knows on
which line a bad row begins.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from services.ingest.dialect import Dialect, Sniffed, has_header, sniff
from services.ingest.encoding import detect_encoding
from services.ingest.tables import (
    BATCH_BYTES,
    BATCH_ROWS,
    BadRows,
    Batch,
    Limits,
    Writing,
    cell_too_long,
    check_columns,
)
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput

_SAMPLE = 1 << 18
_STEP = 1024


class DelimitedFile:
    """A CSV or TSV file, all columns as strings; a missing value is an empty string.

    ``header`` overrides what is detected: further parts of a dataset have a header when the first one has.
    """

    def __init__(
        self, path: Path, format: Literal["csv", "tsv"], data: Data, limits: Limits, *, header: bool | None = None
    ) -> None:
        self.path = path
        self._limits = limits
        self._encoding = detect_encoding(path, data.encoding, max_line=limits.max_line)
        lines, truncated = self._first_lines()
        sniffed = sniff(lines, truncated=truncated, format=format, data=data)
        self._header = self._decide_header(sniffed, data, header)
        self.columns = self._name_columns(sniffed, data)
        self._dialect = self._settle(sniffed)
        delimiter = self._dialect.delimiter
        self.writing = Writing(
            "tsv" if delimiter == "\t" else "csv", self._encoding, delimiter, self._dialect.quoted, self._header
        )

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All rows in order, the header left out."""
        size = self.path.stat().st_size
        with _field_limit(self._limits.max_cell), self._open() as (file, raw):
            reader = csv.reader(file, **self._dialect.options())
            to_skip = 1 if self._header else 0
            rows: list[list[str]] = []
            begun = 0
            while step := list(islice(reader, _STEP)):
                rows.extend(_without_blank(step))
                if to_skip and rows:
                    del rows[0]
                    to_skip = 0
                position = raw.tell()
                if rows and (len(rows) >= BATCH_ROWS or position - begun >= BATCH_BYTES):
                    yield Batch(self._columns_of(rows), position / size)
                    rows, begun = [], position
            if rows:
                yield Batch(self._columns_of(rows), 1.0)

    def _columns_of(self, rows: Sequence[Sequence[str]]) -> pa.RecordBatch:
        arrays = [pa.array([row[index] for row in rows], pa.string()) for index in range(len(self.columns))]
        return pa.RecordBatch.from_arrays(arrays, names=self.columns)

    @contextmanager
    def _open(self) -> Iterator[tuple[io.TextIOWrapper, Any]]:
        with self.path.open("rb") as raw, io.TextIOWrapper(raw, self._encoding, newline="") as file:
            yield file, raw

    def _first_lines(self) -> tuple[list[str], bool]:
        with self._open() as (file, _):
            lines = file.readlines(_SAMPLE)
            return lines, bool(file.readline())

    def _decide_header(self, sniffed: Sniffed, data: Data, header: bool | None) -> bool:
        if data.columns is not None:
            return False
        for said in (data.header, header):
            if said is not None:
                return said
        return has_header(sniffed.rows, data)

    def _name_columns(self, sniffed: Sniffed, data: Data) -> list[str]:
        if data.columns is not None:
            if len(data.columns) != sniffed.width:
                raise InvalidInput(
                    f"{self.path.name}, line 1: {sniffed.width} fields separated by "
                    f"{_named(sniffed.dialect.delimiter)}, but data.columns names {len(data.columns)} "
                    f"({', '.join(data.columns)}); name every column"
                )
            return list(data.columns)
        first = sniffed.rows[0] if self._header else [""] * sniffed.width
        columns = [cell.strip() or f"column_{number}" for number, cell in enumerate(first, 1)]
        check_columns(columns, self.path)
        return columns

    def _settle(self, sniffed: Sniffed) -> Dialect:
        """The dialect that the whole file is written in. Raises InvalidInput at the first bad row if there is none."""
        plain = Dialect(sniffed.dialect.delimiter, quoted=False)
        lines = self._lines_per_row(sniffed.dialect)
        if lines is not None:
            joined = lines == "some more" and sniffed.doubtful
            return plain if joined and self._lines_per_row(plain) is not None else sniffed.dialect
        for dialect in sniffed.otherwise:
            if self._lines_per_row(dialect) is not None:
                return dialect
        raise self._problem(sniffed.dialect)

    def _lines_per_row(self, dialect: Dialect) -> Literal["one", "some more"] | None:
        """How many lines rows take when the whole file is read in ``dialect``; None when it does not fit."""
        width, counted = len(self.columns), 0
        with _field_limit(self._limits.max_cell), self._open() as (file, _):
            reader = csv.reader(file, **dialect.options())
            try:
                while step := list(islice(reader, _STEP)):
                    counted += len(step)
                    if set(map(len, step)) != {width} and any(len(row) != width for row in _without_blank(step)):
                        return None
            except csv.Error:
                return None
            return "some more" if reader.line_num > counted else "one"

    def _problem(self, dialect: Dialect) -> InvalidInput:
        """The first row that does not fit, in words."""
        width, begins = len(self.columns), 1
        with _field_limit(self._limits.max_line), self._open() as (file, _):
            reader = csv.reader(file, **dialect.options())
            try:
                for row in reader:
                    for column, cell in zip(self.columns, row, strict=False):
                        if len(cell) > self._limits.max_cell:
                            return cell_too_long(self.path, f"line {begins}", column, len(cell), self._limits)
                    if len(row) != width and _without_blank([row]):
                        return self._ragged(begins, reader.line_num, len(row), dialect)
                    begins = reader.line_num + 1
            except csv.Error as error:
                return InvalidInput(f"{self.path.name}, line {begins}: {_in_words(str(error), dialect)}")
        return InvalidInput(f"{self.path.name} changed while it was read; publish it again")

    def _ragged(self, begins: int, ends: int, found: int, dialect: Dialect) -> InvalidInput:
        lines = f"line {begins}" if begins == ends else f"lines {begins} to {ends}"
        advice = (
            f"enclose a field that holds {_named(dialect.delimiter)} in double quotes"
            if found > len(self.columns)
            else "add the missing fields or remove the row"
        )
        return InvalidInput(
            f"{self.path.name}, {lines}: {found} field{'s' if found != 1 else ''}, but "
            f"{len(self.columns)} are expected ({', '.join(self.columns[:20])}); {advice}"
        )


def _without_blank(rows: list[list[str]]) -> list[list[str]]:
    if min(map(len, rows)) > 1:
        return rows
    return [row for row in rows if len(row) > 1 or (row and row[0].strip())]


@contextmanager
def _field_limit(limit: int) -> Iterator[None]:
    # The csv module has one limit for the whole process.
    before = csv.field_size_limit(limit)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _named(delimiter: str) -> str:
    return {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}[delimiter]


def _in_words(problem: str, dialect: Dialect) -> str:
    if "unexpected end of data" in problem:
        return "a field begins with a double quote that is never closed; close it, or double it if it is meant as text"
    if "expected after" in problem:
        return (
            f"a quoted field goes on after its closing quote where {_named(dialect.delimiter)} should follow; "
            "double the quotes inside a quoted field"
        )
    return f"{problem}; check for a double quote that is never closed"
