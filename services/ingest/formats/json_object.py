"""Reads a JSON document that is an object of columns. Columns stand one behind the other, so it is read whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from services.ingest.formats.encoding import TextEncoding
from services.ingest.formats.json_columns import JsonColumns, long_cell
from services.ingest.formats.json_stream import open_json
from services.ingest.formats.json_values import RepeatedKey
from services.ingest.formats.undecodable import first_undecodable, shown, undecodable
from services.ingest.tables import BadRows, Batch, Limits, Writing, check_columns
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput

_ROWS = 1 << 13


class JsonColumnsFile:
    """``{"text": ["a", "b"], "label": [1, 2]}``, or what pandas writes: ``{"text": {"0": "a", "1": "b"}, …}``."""

    def __init__(self, path: Path, encoding: TextEncoding, data: Data, limits: Limits) -> None:
        if data.columns is not None:
            raise InvalidInput(f"{path.name} is an object whose keys name the columns; remove data.columns")
        self.path = path
        self._limits = limits
        self._encoding = encoding
        self._values = self._read(encoding)
        lengths = {name: len(values) for name, values in self._values.items()}
        first = next(iter(lengths))
        for name, length in lengths.items():
            if length != lengths[first]:
                raise InvalidInput(
                    f"{path.name}: column {first!r} has {lengths[first]:,} values, but {name!r} has {length:,}; "
                    "every column needs one for each row"
                )
        self._rows = lengths[first]
        columns = JsonColumns(path)
        for number in range(self._rows):
            columns.show(self._row(number))
        self._columns = columns
        self.columns = columns.names
        check_columns(self.columns, path)
        self.schema: pa.Schema = columns.schema
        self.kinds = columns.kinds
        self.writing = Writing("json", encoding.name)

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order."""
        for start in range(0, self._rows, _ROWS):
            end = min(start + _ROWS, self._rows)
            rows = []
            for number in range(start, end):
                row = self._row(number)
                reason = self._wrong(row, f"value {number + 1}")
                if reason is None:
                    rows.append(row)
                else:
                    bad.add(self.path, number + 1, reason, shown(str(row)[: self._limits.max_cell]))
            yield Batch(self._columns.batch(rows), end / self._rows)

    def _row(self, number: int) -> dict[str, Any]:
        return {name: values[number] for name, values in self._values.items()}

    def _wrong(self, row: dict[str, Any], place: str) -> str | None:
        if self._encoding.damaged:
            for name, value in row.items():
                byte = first_undecodable(str(value))
                if byte is not None:
                    return undecodable(f"{place}, column {name!r}", byte, self._encoding.name)
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return f"{place}: half of a surrogate pair, which is no character; write the character itself"
        return long_cell(row, place, self._limits)

    def _read(self, encoding: TextEncoding) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {}
        keys: list[str] | None = None
        with open_json(self.path, encoding, self._limits.max_line) as document:
            for name in document.entries():
                if document.peek() == "[":
                    columns[name] = list(document.elements())
                    continue
                value = document.value()
                if not isinstance(value, dict):
                    raise InvalidInput(
                        f"{self.path.name}: {name!r} is no list as the other columns are; remove it, or write the "
                        "rows as a list of objects"
                    )
                if isinstance(value, RepeatedKey):
                    raise InvalidInput(f"{self.path.name}: column {name!r}: {value.reason}; every row needs its own")
                keys = list(value) if keys is None else keys
                if list(value) != keys:
                    raise InvalidInput(f"{self.path.name}: column {name!r} has other row keys than the first column")
                columns[name] = list(value.values())
            document.end()
        if not columns or not any(columns.values()):
            raise InvalidInput(f"{self.path.name} has column names ({', '.join(columns)}) but no rows")
        return columns
