"""Reads ARFF, dense and sparse. The header says what the columns are; a value that it does not allow is a bad row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.ingest.formats.arff_header import Attribute, read_header
from services.ingest.formats.arff_tokens import split, split_sparse
from services.ingest.formats.encoding import detect_encoding
from services.ingest.formats.text import bounded_lines, open_text
from services.ingest.formats.undecodable import first_undecodable, shown, undecodable
from services.ingest.tables import (
    BATCH_BYTES,
    BATCH_ROWS,
    BadRows,
    Batch,
    Limits,
    Writing,
    cell_too_long,
    check_columns,
)  # fmt: skip
from tidemill.contracts.data import Data
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

_STEP = 256
_ARROW = {"number": pa.float64(), "integer": pa.int64()}
_KINDS: dict[str, ColumnKind] = {"number": "number", "integer": "integer", "nominal": "category", "date": "date"}


class _Wrong(Exception):
    """Why a line is no row."""


class ArffFile:
    """An ARFF file: numeric and real columns are ``float64``, integer ones ``int64``, the others strings; ``?`` is
    null. What a sparse row leaves out is 0, or the first value of a nominal column. Dates stay as they are written."""

    def __init__(self, path: Path, data: Data, limits: Limits) -> None:
        if data.columns is not None:
            raise InvalidInput(f"{path.name} is ARFF, whose header names the columns; remove data.columns")
        self.path = path
        self._limits = limits
        self._encoding = detect_encoding(path, data.encoding, max_line=limits.max_line)
        with open_text(path, self._encoding) as (file, _):
            self._attributes = read_header(self._lines(file), path)
        self.columns = [attribute.name for attribute in self._attributes]
        check_columns(self.columns, path)
        self._parse = [_parser(attribute) for attribute in self._attributes]
        self._omitted = [_omitted(attribute) for attribute in self._attributes]
        types = [_ARROW.get(attribute.type, pa.string()) for attribute in self._attributes]
        self.schema = pa.schema(list(zip(self.columns, types, strict=True)))
        self.kinds = {each.name: _KINDS[each.type] for each in self._attributes if each.type in _KINDS}
        self.writing = Writing("arff", self._encoding.name)

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order."""
        size = self.path.stat().st_size
        rows: list[list[Any]] = []
        begun = number = 0
        with open_text(self.path, self._encoding) as (file, raw):
            lines = self._lines(file)
            read_header(lines, self.path)
            for line_number, line in lines:
                text = line.strip()
                if not text or text.startswith("%"):
                    continue
                number += 1
                try:
                    rows.append(self._row(text))
                except _Wrong as wrong:
                    content = shown(text[: self._limits.max_cell])
                    bad.add(self.path, number, f"line {line_number}{wrong}", content)
                    continue
                if len(rows) >= BATCH_ROWS or (len(rows) % _STEP == 0 and raw.tell() - begun >= BATCH_BYTES):
                    begun = raw.tell()
                    yield Batch(self._batch(rows), begun / size)
                    rows = []
        if rows:
            yield Batch(self._batch(rows), 1.0)

    def _batch(self, rows: list[list[Any]]) -> pa.RecordBatch:
        arrays = [pa.array(cells, kind) for cells, kind in zip(zip(*rows, strict=True), self.schema.types, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _lines(self, file: Any) -> Iterator[tuple[int, str]]:
        return enumerate(bounded_lines(file, self._encoding, self._limits.max_line), 1)

    def _row(self, text: str) -> list[Any]:
        if len(text) > self._limits.max_line:
            raise _Wrong(f": longer than {self._limits.max_line:,} characters")
        if self._encoding.damaged and (byte := first_undecodable(text)) is not None:
            raise _Wrong(undecodable("", byte, self._encoding.name))
        if text.startswith("{"):
            return self._sparse(text)
        cells = split(text)
        if cells is None:
            raise _Wrong(": a quote is never closed, or text follows it; put a backslash before a quote that is text")
        if len(cells) != len(self.columns):
            raise _Wrong(f": {len(cells)} values, but {len(self.columns)} attributes are declared")
        return [self._cell(index, value, quoted) for index, (value, quoted) in enumerate(cells)]

    def _sparse(self, text: str) -> list[Any]:
        cells = split_sparse(text)
        if cells is None:
            raise _Wrong(": a sparse row has to be {index value, index value}, every index once")
        row = list(self._omitted)
        for index, (value, quoted) in cells.items():
            if index >= len(row):
                raise _Wrong(f": {index} is no index of an attribute (0 to {len(row) - 1})")
            row[index] = self._cell(index, value, quoted)
        return row

    def _cell(self, index: int, value: str, quoted: bool) -> Any:
        if value == "?" and not quoted:
            return None
        if len(value) > self._limits.max_cell:
            raise _Wrong(cell_too_long("", self.columns[index], len(value), self._limits))
        try:
            return self._parse[index](value)
        except ValueError as error:
            raise _Wrong(f", column {self.columns[index]!r}: {value[:40]!r} is {error}") from None


def _parser(attribute: Attribute) -> Callable[[str], Any]:
    if attribute.type == "nominal":
        values = frozenset(attribute.values)
        named = ", ".join(attribute.values[:10])

        def nominal(value: str) -> str:
            if value not in values:
                raise ValueError(f"not one of the {len(values)} values that the header declares ({named})")
            return value

        return nominal
    return {"number": _number, "integer": _integer}.get(attribute.type, str)


def _number(value: str) -> float:
    try:
        # Python takes underscores between digits, and digits of every script.
        return float(value if "_" not in value and value.isascii() else "")
    except ValueError:
        raise ValueError("no number") from None


def _integer(value: str) -> int:
    number = value.removeprefix("+")
    # A whole number is often written as 3.0.
    whole, _, fraction = number.partition(".")
    digits = whole.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or fraction.strip("0") or len(digits) > 19:
        raise ValueError("no whole number of 64 bits")
    if not -(1 << 63) <= int(whole) < 1 << 63:
        raise ValueError("no whole number of 64 bits")
    return int(whole)


def _omitted(attribute: Attribute) -> Any:
    return {"number": 0.0, "integer": 0}.get(attribute.type, attribute.values[0] if attribute.values else None)
