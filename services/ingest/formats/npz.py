"""Reads NumPy archives: arrays with as many rows as each other are the columns of a table, or of each of its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from services.ingest.formats.archive_size import check_unpacked_size
from services.ingest.formats.npz_columns import npz_column
from services.ingest.formats.npz_members import Member, read_members, read_rows
from services.ingest.names import PARTS, part_in_name, path_of_part, without_part
from services.ingest.tables import BATCH_BYTES, BATCH_ROWS, BadRows, Batch, Limits, Writing, check_columns
from tidemill.contracts.data import Data
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

_SINGULAR = {"images": "image", "imgs": "image", "labels": "label", "texts": "text", "targets": "target"}


def open_npz(path: Path, data: Data, limits: Limits) -> dict[str, NpzFile]:
    """The tables in the archive by part: of ``train_images``, ``x_test`` and so on; all of it is ``data`` where the
    names say no parts.

    Raises:
        InvalidInput: an array cannot be read, or they do not make a table.
    """
    if data.columns is not None:
        raise InvalidInput(f"{path.name} is a NumPy archive, whose arrays name the columns; remove data.columns")
    check_unpacked_size(path)
    members = read_members(path)
    if not members:
        raise InvalidInput(f"{path.name} holds no array")
    parts = {part: [member for member in members if part_in_name(member.name) == part] for part in PARTS}
    found = {part: chosen for part, chosen in parts.items() if chosen}
    if {"train", "test"} <= found.keys():
        nameless = [member.name for member in members if part_in_name(member.name) is None]
        if nameless:
            raise InvalidInput(
                f"{path.name}: the array {nameless[0]!r} belongs to no part, unlike "
                f"{', '.join(member.name for member in members[:5])}; leave it out, or name its part"
            )
        return {part: NpzFile(path, chosen, limits, part) for part, chosen in found.items()}
    return {"data": NpzFile(path, members, limits)}


class NpzFile:
    """Some arrays of an archive as a table.

    A vector, or a matrix of one column, is a column; a matrix of more is a column for each of its columns; images
    (``uint8``, rows x height x width, or x 3 or 4 channels) are PNG files; what has more dimensions is nested lists.
    """

    def __init__(self, path: Path, members: Sequence[Member], limits: Limits, part: str | None = None) -> None:
        self.path = path if part is None else path_of_part(path, part)
        self._file = path
        self._limits = limits
        rows = {member.name: member.shape[0] if member.shape else None for member in members}
        first = members[0].name
        for name, count in rows.items():
            if count is None or count != rows[first]:
                said = "is a single value" if count is None else f"has {count:,} rows"
                raise InvalidInput(
                    f"{path.name}: the array {name!r} {said}, unlike {first!r}; the arrays of a table need as many "
                    "rows as each other. Save those alone"
                )
        self._rows = members[0].shape[0]
        if not self._rows:
            raise InvalidInput(f"{path.name}: the array {first!r} has no rows")
        self._members = list(members)
        self._columns = [
            npz_column(path, member, _name(without_part(member.name) if part is not None else member.name))
            for member in members
        ]
        self.schema = pa.schema([field for column in self._columns for field in column.fields])
        self.columns = list(self.schema.names)
        check_columns(self.columns, path)
        self.kinds: dict[str, ColumnKind] = {}
        for column in self._columns:
            self.kinds |= column.kinds
        self.writing = Writing("npz")

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order."""
        widest = sum(member.row_bytes for member in self._members)
        step = max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, widest)))
        done = 0
        for arrays in zip(*(read_rows(self._file, member, step) for member in self._members), strict=True):
            yield Batch(self._batch(arrays, done, bad), (done := done + len(arrays[0])) / self._rows)

    def _batch(self, arrays: Sequence[np.ndarray[Any, Any]], before: int, bad: BadRows) -> pa.RecordBatch:
        columns: list[pa.Array] = []
        reasons: dict[int, str] = {}
        for column, array in zip(self._columns, arrays, strict=True):
            values, wrong = column.convert(array, self._limits)
            columns.extend(values)
            for row, reason in wrong.items():
                reasons.setdefault(row, f"row {before + row + 1}, array {column.name!r}: {reason}")
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        if not reasons:
            return batch
        for row, reason in sorted(reasons.items()):
            bad.add(self.path, before + row + 1, reason, "")
        keep = np.ones(batch.num_rows, bool)
        keep[list(reasons)] = False
        return batch.filter(pa.array(keep))


def _name(name: str) -> str:
    return _SINGULAR.get(name.casefold(), name) or "value"
