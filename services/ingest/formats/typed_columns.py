"""The columns of a typed table: what they become, and their rows batch by batch, bad ones told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.ingest.formats.typed import as_plain, is_media, kind_of, media_kind, plain_type
from services.ingest.tables import BATCH_BYTES, BATCH_ROWS, BadRows, Limits, cell_too_long, check_columns
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

_SHOWN = 1_000


class TypedColumns:
    """Columns of a file whose schema is ``given``; ``first`` is its first batch, which shows what bytes are."""

    def __init__(self, path: Path, given: pa.Schema, first: pa.RecordBatch | None, limits: Limits) -> None:
        check_columns(given.names, path)
        self._path = path
        self._limits = limits
        self.kinds: dict[str, ColumnKind] = {}
        fields = []
        for index, field in enumerate(given):
            kind = pa.binary() if is_media(field.type) else plain_type(field.type, field.name, path)
            if pa.types.is_binary(kind):
                media = None if first is None else _media(_content(first.column(index), kind))
                # Not every writer marks text as text: other bytes are read as UTF-8.
                kind = pa.string() if media is None else kind
                known = media
            else:
                known = "empty" if pa.types.is_null(field.type) else kind_of(kind)
            if known is not None:
                self.kinds[field.name] = known
            fields.append((field.name, kind))
        self.schema: pa.Schema = pa.schema(fields)

    def batches(self, raw: pa.RecordBatch, before: int, bad: BadRows) -> Iterator[pa.RecordBatch]:
        """The good rows of ``raw``, behind ``before`` others, in batches of bounded size.

        Raises:
            pyarrow.ArrowException: the batch is damaged.
        """
        step = _step(raw)
        for start in range(0, raw.num_rows, step):
            part = raw.slice(start, step)
            arrays: list[pa.Array] = []
            reasons: dict[int, str] = {}
            for array, field in zip(part.columns, self.schema, strict=True):
                column, wrong = self._column(array, field)
                arrays.append(column)
                for row, reason in wrong.items():
                    reasons.setdefault(row, f"row {before + start + row + 1}, column {field.name!r}: {reason}")
            batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
            for row, reason in sorted(reasons.items()):
                bad.add(self._path, before + start + row + 1, reason, _shown(batch, row))
            if reasons:
                keep = np.ones(batch.num_rows, bool)
                keep[list(reasons)] = False
                batch = batch.filter(pa.array(keep))
            if batch.num_rows:
                yield batch

    def _column(self, array: pa.Array, field: pa.Field) -> tuple[pa.Array, dict[int, str]]:
        content = _content(array, field.type)
        if pa.types.is_string(field.type) and (pa.types.is_string(content.type) or _is_bytes(content.type)):
            column, wrong = _text(content)
        else:
            content.validate(full=True)
            column, wrong = as_plain(content, field.type), {}
            if pa.types.is_nested(field.type):
                column.validate(full=True)
        if pa.types.is_string(column.type) and column.nbytes > self._limits.max_cell:
            lengths = pc.fill_null(pc.utf8_length(column), 0).to_numpy()
            for row in np.flatnonzero(lengths > self._limits.max_cell):
                said = cell_too_long("", field.name, int(lengths[row]), self._limits)
                wrong.setdefault(int(row), said.partition(": ")[2])
        return column, wrong


def _content(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """``array`` with its dictionary dissolved, and the bytes alone where it holds files."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if is_media(array.type) and not pa.types.is_struct(kind):
        array = pc.struct_field(array, "bytes")
    if pa.types.is_dictionary(array.type):
        # The indices and the values below them may be damaged apart.
        array.validate(full=True)
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type):
        array = array.view(pa.large_binary())
    if _is_bytes(array.type):
        # Whether text is UTF-8 is asked later; here it is only about offsets that lead nowhere.
        array.validate(full=True)
        return array.cast(pa.binary())
    if pa.types.is_string_view(array.type):
        array.validate(full=True)
        return array.cast(pa.string())
    return array


def _is_bytes(kind: pa.DataType) -> bool:
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)


def _text(array: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """``array`` as text; where bytes are no UTF-8 it is null, and the reason says so."""
    content = array.view(pa.binary())
    content.validate(full=True)
    try:
        text = content.view(pa.string())
        text.validate(full=True)
        return text, {}
    except pa.ArrowInvalid:
        values, wrong = content.to_pylist(), {}
        for row, value in enumerate(values):
            try:
                values[row] = None if value is None else value.decode("utf-8")
            except UnicodeDecodeError as error:
                wrong[row] = f"byte {error.start + 1} of the value is not valid UTF-8; write the column as text again"
                values[row] = None
        return pa.array(values, pa.string()), wrong


def _media(array: pa.Array) -> ColumnKind | None:
    present = array.drop_null()
    return media_kind(present[0].as_py()) if len(present) and _is_bytes(array.type) else None


def _step(batch: pa.RecordBatch) -> int:
    """Rows of a batch of bounded size, if all rows are about as large."""
    if not batch.num_rows:
        return 1
    return max(1, min(BATCH_ROWS, BATCH_BYTES * int(batch.num_rows) // max(1, int(batch.nbytes))))


def _shown(batch: pa.RecordBatch, row: int) -> str:
    return ", ".join(f"{name}: {str(batch.column(name)[row])[:_SHOWN]}" for name in batch.schema.names)


def damaged(path: Path, what: str, error: Exception) -> InvalidInput:
    """The error for a file that a library of Arrow's cannot read."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InvalidInput(f"{path.name} is not a readable {what} ({reason}); write it again")
