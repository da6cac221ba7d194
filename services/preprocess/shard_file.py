"""Writes the rows of one shard as one Parquet file; how they come in batches does not matter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.datasets.writing import ROW_GROUP


class ShardFile:
    """Row groups of ``ROW_GROUP`` rows, so that the same rows are always the same bytes; memory is bounded by one.

    ``optional``: without rows there is no file; otherwise there is one without rows.
    """

    def __init__(
        self, path: Path, schema: pa.Schema, *, metadata: Mapping[bytes, bytes] | None = None, optional: bool = False
    ) -> None:
        self._path = path
        self._schema = schema.with_metadata(metadata)
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self.rows = 0
        if not optional:
            self._open()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows behind those before."""
        self.rows += batch.num_rows
        while batch.num_rows:
            piece = batch.slice(0, ROW_GROUP - self._waiting_rows)
            self._waiting.append(piece)
            self._waiting_rows += piece.num_rows
            batch = batch.slice(piece.num_rows)
            if self._waiting_rows == ROW_GROUP:
                self._flush()

    def close(self) -> None:
        """Write what is waiting."""
        if self._waiting:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> ShardFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._writer is not None:
            self._writer.close()

    def _open(self) -> pq.ParquetWriter:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd", compression_level=1)
        return self._writer

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._waiting).combine_chunks().cast(self._schema)
        (self._writer or self._open()).write_table(table, row_group_size=ROW_GROUP)
        self._waiting, self._waiting_rows = [], 0
