"""Writes the rows of a part as Parquet shards; memory is bounded by one row group."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 1 << 16


class PartWriter:
    """Writes batches of one part into ``<dataset>/<part>/<number>.parquet``; the same rows are always the same bytes.

    How rows come in batches does not matter: a row group has ``ROW_GROUP`` rows, a shard ``shard_rows``.
    """

    def __init__(self, dataset: Path, part: str, *, shard_rows: int, first: int = 0) -> None:
        self._folder = dataset / part
        self._shard_rows = shard_rows
        self._number = first
        self._writer: pq.ParquetWriter | None = None
        self._in_shard = 0
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self.rows = 0
        """Rows written and waiting."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows behind those before; all batches have one schema."""
        self.rows += batch.num_rows
        while batch.num_rows:
            room = min(ROW_GROUP, self._shard_rows - self._in_shard) - self._waiting_rows
            self._waiting.append(batch.slice(0, room))
            self._waiting_rows += self._waiting[-1].num_rows
            batch = batch.slice(room)
            if self._waiting_rows == min(ROW_GROUP, self._shard_rows - self._in_shard):
                self._flush()

    def close(self) -> None:
        """Write what is waiting and end the last shard."""
        if self._waiting:
            self._flush()
        self._end_shard()

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._waiting).combine_chunks()
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{self._number:05d}.parquet"
            self._writer = pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=1)
        self._writer.write_table(table, row_group_size=ROW_GROUP)
        self._in_shard += self._waiting_rows
        self._waiting, self._waiting_rows = [], 0
        if self._in_shard >= self._shard_rows:
            self._end_shard()

    def _end_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._number += 1
            self._in_shard = 0
