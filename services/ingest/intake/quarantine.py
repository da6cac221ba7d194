"""Keeps bad rows as they stood in their files: ``rows.parquet`` with file, row, reason and content."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

QUARANTINE_FILE = "rows.parquet"
_SCHEMA = pa.schema([("file", pa.string()), ("row", pa.int64()), ("reason", pa.string()), ("content", pa.string())])
_ROWS, _CHARACTERS = 10_000, 1 << 22
"""Rows or characters that wait for being written."""


class Quarantine:
    """The file, made with its first row."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[tuple[str, int, str, str]] = []
        self._characters = 0

    def add(self, file: str, row: int, reason: str, content: str) -> None:
        """Keep a row; ``row`` counts from 1 in ``file``, its header left out."""
        self._waiting.append((file, row, reason, content))
        self._characters += len(content) + len(reason)
        if len(self._waiting) >= _ROWS or self._characters >= _CHARACTERS:
            self._write()

    def close(self) -> None:
        """Write what is waiting."""
        if self._waiting:
            self._write()
        if self._writer is not None:
            self._writer.close()

    def _write(self) -> None:
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._folder / QUARANTINE_FILE, _SCHEMA, compression="zstd")
        values = zip(*self._waiting, strict=True)
        columns = [pa.array(column, field.type) for column, field in zip(values, _SCHEMA, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA))
        self._waiting, self._characters = [], 0
