"""Reads Arrow IPC, as a file (Feather version 2) and as a stream. Columns keep their types, as from Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from services.ingest.formats.typed_columns import TypedColumns, damaged
from services.ingest.tables import BadRows, Batch, Limits, Writing
from tidemill.contracts.data import Data
from tidemill.errors import InvalidInput

_LARGE = 1 << 26
"""Bytes of one record batch from which on the file is mapped rather than read batch by batch."""
_UNREADABLE = (pa.ArrowException, OSError, OverflowError, ValueError)


class ArrowFile:
    """An Arrow IPC file or stream."""

    def __init__(self, path: Path, data: Data, limits: Limits) -> None:
        if data.columns is not None:
            raise InvalidInput(f"{path.name} is Arrow IPC, which names its columns itself; remove data.columns")
        self.path = path
        try:
            with self._open() as (schema, batches, _):
                first = next(batches, None)
                columns = TypedColumns(path, schema, first, limits)
        except _UNREADABLE as error:
            raise damaged(path, "Arrow IPC file", error) from None
        self._columns = columns
        self.schema = columns.schema
        self.kinds = columns.kinds
        self.columns = list(columns.schema.names)
        self.writing = Writing("arrow")

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order."""
        size = self.path.stat().st_size
        done = 0
        try:
            with self._open() as (_, raws, source):
                for raw in raws:
                    raw.validate()
                    for batch in self._columns.batches(raw, done, bad):
                        yield Batch(batch, min(1.0, source.tell() / size))
                    done += raw.num_rows
        except _UNREADABLE as error:
            raise damaged(self.path, "Arrow IPC file", error) from None

    @contextmanager
    def _open(self) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch], pa.NativeFile]]:
        with pa.OSFile(str(self.path)) as file:
            if file.read(6) != b"ARROW1":
                file.seek(0)
                with pa.ipc.open_stream(file) as stream:
                    yield stream.schema, iter(stream), file
                return
            file.seek(0)
            with pa.ipc.open_file(file) as reader:
                count = reader.num_record_batches
                if file.size() <= _LARGE * max(1, count):
                    yield reader.schema, map(reader.get_batch, range(count)), file
                    return
        with pa.memory_map(str(self.path)) as mapped, pa.ipc.open_file(mapped) as reader:
            yield reader.schema, map(reader.get_batch, range(reader.num_record_batches)), mapped
