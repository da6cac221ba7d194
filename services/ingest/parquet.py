"""Reads Parquet. Columns keep their types; dictionaries and large strings become plain ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.ingest.tables import Batch, Limits, Writing, cell_too_long, check_columns
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput

_BATCH = 1 << 14


class ParquetFile:
    """A Parquet file."""

    def __init__(self, path: Path, data: Data, limits: Limits) -> None:
        if data.columns is not None:
            raise InvalidInput(f"{path.name} is Parquet, which names its columns itself; remove data.columns")
        self.path = path
        self._limits = limits
        try:
            with pq.ParquetFile(path) as file:
                self.columns = list(file.schema_arrow.names)
                self._rows = file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from None
        check_columns(self.columns, path)
        self.writing = Writing("parquet")

    def batches(self) -> Iterator[Batch]:
        """All rows in order."""
        done = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(batch_size=_BATCH):
                    plain = _plain(batch)
                    # Not every writer checks that its strings are UTF-8.
                    plain.validate(full=True)
                    self._check_cells(plain, done)
                    done += batch.num_rows
                    yield Batch(plain, done / max(1, self._rows))
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from None

    def _check_cells(self, batch: pa.RecordBatch, before: int) -> None:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if not pa.types.is_string(column.type) or column.nbytes <= self._limits.max_cell:
                continue
            lengths = pc.fill_null(pc.utf8_length(column), 0)
            longest = pc.max(lengths).as_py() or 0
            if longest > self._limits.max_cell:
                row = before + pc.index(lengths, longest).as_py() + 1
                raise cell_too_long(self.path, f"row {row}", name, longest, self._limits)

    def _damaged(self, error: Exception) -> InvalidInput:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return InvalidInput(f"{self.path.name} is not a readable Parquet file ({reason}); write it again")


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = []
    for column in batch.columns:
        kind = column.type
        if pa.types.is_dictionary(kind):
            column = column.dictionary_decode()
            kind = column.type
        if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            column = column.cast(pa.string())
        arrays.append(column)
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)
