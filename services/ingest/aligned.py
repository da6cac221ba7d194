"""Tables that are one dataset, in the columns and types that they share.

Sees to it that a file of which more than half cannot be read is an error, whatever the recipe does with bad rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from services.ingest.formats.typed import kind_of
from services.ingest.tables import BadRows, Batch, ReadTable, TableFile
from tidemill.datasets.schema import ColumnKind
from tidemill.errors import InvalidInput

_JUDGED = 1_000
"""Rows at the beginning of a file that are judged."""


class AlignedTable:
    """The table ``file`` in the columns and types of ``schema``; as it is where that is None."""

    def __init__(self, file: TableFile, schema: pa.Schema | None, kinds: Mapping[str, ColumnKind]) -> None:
        self._file = file
        self._schema = schema
        self.path: Path = file.path
        self.columns = list(file.columns) if schema is None else list(schema.names)
        self.kinds = kinds
        self.writing = file.writing

    def batches(self, bad: BadRows) -> Iterator[Batch]:
        """All good rows in order.

        Raises:
            InvalidInput: more than half of the first 1,000 rows are bad.
        """
        judged = _Judged(self.path, bad)
        for batch in self._file.batches(judged):
            judged.rows += batch.rows.num_rows
            if batch.rows.num_rows:
                yield Batch(self._aligned(batch.rows), batch.fraction)
        judged.end()

    def _aligned(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        if self._schema is None or rows.schema.equals(self._schema):
            return rows
        try:
            return rows.select(self._schema.names).cast(self._schema)
        except pa.ArrowException as error:
            reason = str(error).splitlines()[0]
            raise InvalidInput(
                f"{self.path.name} holds values that the types of the other files do not ({reason})"
            ) from None


class _Judged:
    """Passes bad rows on, and counts."""

    def __init__(self, path: Path, bad: BadRows) -> None:
        self._path = path
        self._bad = bad
        self._first = ""
        self._early = 0
        self.rows = 0
        """Rows so far that are good; and those that are bad, from the moment they are told."""

    def add(self, path: Path, row: int, reason: str, content: str) -> None:
        self.rows += 1
        self._early += row <= _JUDGED
        self._first = self._first or reason
        self._bad.add(path, row, reason, content)
        if self._early > _JUDGED / 2:
            raise self._error(_JUDGED)

    def end(self) -> None:
        """The file is read."""
        judged = min(self.rows, _JUDGED)
        if 2 * self._early > judged:
            raise self._error(judged)

    def _error(self, judged: int) -> InvalidInput:
        return InvalidInput(
            f"{self._path.name}: {self._early:,} of its first {judged:,} rows cannot be read, the first of them: "
            f"{self._first}. It is probably read in the wrong way; see data.format, header, columns and encoding"
        )


def align(parts: Mapping[str, Sequence[ReadTable]]) -> dict[str, list[TableFile]]:
    """The tables of the parts as one dataset: in the columns of the first, in types that hold the values of all.

    Raises:
        InvalidInput: tables have different columns, or types that have nothing in common.
    """
    tables = [table for part in parts.values() for table in part]
    first = tables[0]
    for table in tables[1:]:
        if set(table.columns) != set(first.columns):
            raise InvalidInput(
                f"{table.path.name} has the columns {', '.join(table.columns)}, but {first.path.name} has "
                f"{', '.join(first.columns)}; all parts of a dataset need the same columns"
            )
    types = {name: _common_type(name, tables) for name in first.columns}
    schema = pa.schema(list(types.items()))
    kinds = {name: kind for name in types if (kind := _common_kind(name, types[name], tables)) is not None}
    return {part: [AlignedTable(file, schema, kinds) for file in files] for part, files in parts.items()}


def _common_type(name: str, tables: Sequence[ReadTable]) -> pa.DataType:
    filled = [table for table in tables if table.kinds.get(name) != "empty"] or list(tables)
    types = list(dict.fromkeys(table.schema.field(name).type for table in filled))
    if len(types) == 1:
        return types[0]
    try:
        fields = [pa.schema([pa.field(name, kind)]) for kind in types]
        return pa.unify_schemas(fields, promote_options="permissive").field(name).type
    except pa.ArrowException:
        if any(map(pa.types.is_string, types)) and not any(map(pa.types.is_nested, types)):
            return pa.string()
    other = next(table for table in filled if table.schema.field(name).type != types[0])
    raise InvalidInput(
        f"column {name!r} is {types[0]} in {filled[0].path.name}, but {other.schema.field(name).type} in "
        f"{other.path.name}; write it as one type"
    )


def _common_kind(name: str, kind: pa.DataType, tables: Sequence[ReadTable]) -> ColumnKind | None:
    kinds = {table.kinds.get(name) for table in tables if table.kinds.get(name) != "empty"}
    if len(kinds) == 1:
        return kinds.pop()
    return "empty" if not kinds else kind_of(kind)
