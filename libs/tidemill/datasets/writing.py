"""Writes the rows of a part as Parquet shards; memory is bounded by one row group."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROW_GROUP = 1 << 16
ROW_GROUP_BYTES = 1 << 26
"""Of texts and of binary values, such as images: a row group ends with the row that reaches it."""
SHARD_BYTES = 1 << 29
"""Of the same: a shard ends with the row group that reaches it, however few rows it has."""


class PartWriter:
    """Writes batches of one part into ``<dataset>/<part>/<number>.parquet``; the same rows are always the same bytes.

    How rows come in batches does not matter: a row group has ``ROW_GROUP`` rows, or fewer when their values have
    ``ROW_GROUP_BYTES``; a shard has ``shard_rows``, or fewer when they have ``SHARD_BYTES``.
    """

    def __init__(self, dataset: Path, part: str, *, shard_rows: int, first: int = 0) -> None:
        self._folder = dataset / part
        self._shard_rows = shard_rows
        self._number = first
        self._writer: pq.ParquetWriter | None = None
        self._in_shard = 0
        self._bytes_in_shard = 0
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0
        self._waiting_bytes = 0
        self.rows = 0
        """Rows written and waiting."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows behind those before; all batches have one schema."""
        self.rows += batch.num_rows
        while batch.num_rows:
            room = min(ROW_GROUP, self._shard_rows - self._in_shard) - self._waiting_rows
            taken = batch.slice(0, room)
            sizes = np.cumsum(_bytes_of(taken)) + self._waiting_bytes
            taken = taken.slice(0, int(np.searchsorted(sizes, ROW_GROUP_BYTES)) + 1)
            self._waiting.append(taken)
            self._waiting_rows += taken.num_rows
            self._waiting_bytes = int(sizes[taken.num_rows - 1])
            batch = batch.slice(taken.num_rows)
            if taken.num_rows == room or self._waiting_bytes >= ROW_GROUP_BYTES:
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
            self._writer = pq.ParquetWriter(
                path,
                table.schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=_with_dictionary(table.schema),
            )
        self._writer.write_table(table, row_group_size=ROW_GROUP)
        self._in_shard += self._waiting_rows
        self._bytes_in_shard += self._waiting_bytes
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        if self._in_shard >= self._shard_rows or self._bytes_in_shard >= SHARD_BYTES:
            self._end_shard()

    def _end_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._number += 1
            self._in_shard = self._bytes_in_shard = 0


def _bytes_of(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Bytes of the texts and the binary values of each row."""
    sizes = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        if _is_binary(column.type) or pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            sizes += pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False)
    return sizes


def _with_dictionary(schema: pa.Schema) -> bool | list[str]:
    """Columns whose values may be equal; looking for equal images takes three times as long as writing them."""
    plain = [field.name for field in schema if not _is_binary(field.type)]
    return True if len(plain) == len(schema) else plain


def _is_binary(type: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type) or pa.types.is_large_binary(type))
