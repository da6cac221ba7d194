"""Reads Parquet. Columns keep their types; see ``typed`` for the few that change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.ingest.formats.typed_columns import TypedColumns, damaged
from services.ingest.tables import BATCH_BYTES, BadRows, Batch, Limits, Writing
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput

_ROWS = 1 << 15
_BUFFER = 1 << 18
_UNREADABLE = (pa.ArrowException, OSError, OverflowError)


class ParquetFile:
    """A Parquet file. Row groups are read through a small buffer, so that their size does not matter."""

    def __init__(self, path: Path, data: Data, limits: Limits) -> None:
        if data.columns is not None:
            raise InvalidInput(f"{path.name} is Parquet, which names its columns itself; remove data.columns")
        self.path = path
        try:
            with self._open() as file:
                self._rows = file.metadata.num_rows
                self._step = _rows_in_a_batch(file.metadata)
                columns = TypedColumns(path, file.schema_arrow, next(file.iter_batches(batch_size=16), None), limits)
        except _UNREADABLE as error:
            raise damaged(path, "Parquet file", error) from None
        self._columns = columns
        self.schema = columns.schema
        self.kinds = columns.kinds
        self.columns = list(columns.schema.names)
        self.writing = Writing("parquet")

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order."""
        done = 0
        try:
            with self._open() as file:
                for raw in file.iter_batches(batch_size=self._step, use_threads=False):
                    for batch in self._columns.batches(raw, done, bad):
                        yield Batch(batch, min(1.0, (done + raw.num_rows) / max(1, self._rows)))
                    done += raw.num_rows
        except _UNREADABLE as error:
            raise damaged(self.path, "Parquet file", error) from None

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.path, buffer_size=_BUFFER, pre_buffer=False)


def _rows_in_a_batch(metadata: pq.FileMetaData) -> int:
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    return max(1, min(_ROWS, BATCH_BYTES * int(metadata.num_rows) // max(1, int(size))))
