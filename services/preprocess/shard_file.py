"""Writes the rows of one shard as one Parquet file; how they come in batches does not matter.

A column gets a dictionary when its values repeat. Of texts, hashes and numbers of rows nearly every value is another,
and to look for equal ones takes longer than to write them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidemill.datasets.writing import ROW_GROUP

_LOOKED_AT = 1 << 10
"""Rows that say whether a column's values repeat."""


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
        self._optional = optional
        self.rows = 0

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
        elif self._writer is None and not self._optional:
            self._writer = self._opened(self._schema.empty_table())
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

    def _opened(self, first: pa.Table) -> pq.ParquetWriter:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return pq.ParquetWriter(
            self._path, self._schema, compression="zstd", compression_level=1, use_dictionary=_repeating(first)
        )

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._waiting).combine_chunks().cast(self._schema)
        self._writer = self._writer or self._opened(table)
        self._writer.write_table(table, row_group_size=ROW_GROUP)
        self._waiting, self._waiting_rows = [], 0


def _repeating(table: pa.Table) -> list[str]:
    """Paths of the columns of which half the values among the first rows occur again there; lists are taken to."""
    paths = []
    for field in table.schema:
        if pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
            paths.append(f"{field.name}.list.element")
        elif not pa.types.is_nested(field.type):
            some = table[field.name].slice(0, _LOOKED_AT)
            if 2 * pc.count_distinct(some, mode="all").as_py() <= len(some):
                paths.append(field.name)
    return paths
