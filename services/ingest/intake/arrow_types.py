"""Brings the batches of several files to one Arrow schema, so that a part's shards all have the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from services.ingest.intake.discretion import without_values
from tidemill.datasets.kinds import kind_of_type
from tidemill.errors import InvalidInput


class OneSchema:
    """The schema of the first batch, or the one that is given; ``columns`` is the order of the columns. A ``discreet``
    one shows no value in errors."""

    def __init__(
        self, columns: Sequence[str], schema: pa.Schema | None = None, *, whose: str = "", discreet: bool = False
    ) -> None:
        self._columns = list(columns)
        self.schema = schema
        self._whose = whose
        self._discreet = discreet

    def fit(self, rows: pa.RecordBatch, path: Path) -> pa.RecordBatch:
        """``rows`` with the columns in their order and their types.

        Raises:
            InvalidInput: a value cannot have its column's type without a loss; names file and column.
        """
        rows = rows.select(self._columns)
        if self.schema is None:
            self._whose = path.name
            # A column of nothing but nulls has no type; the next file may give it strings.
            types = [pa.string() if pa.types.is_null(field.type) else field.type for field in rows.schema]
            self.schema = pa.schema(list(zip(self._columns, types, strict=True)))
        if rows.schema.equals(self.schema):
            return rows
        columns = [self._cast(rows.column(field.name), field, path) for field in self.schema]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _cast(self, column: pa.Array, field: pa.Field, path: Path) -> pa.Array:
        if column.type == field.type:
            return column
        try:
            if pa.types.is_string(column.type) and not pa.types.is_string(field.type):
                text = pc.utf8_trim_whitespace(column)
                column = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
            return column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            reason = str(error).splitlines()[0]
            if self._discreet:
                reason = without_values(reason)
            raise InvalidInput(
                f"{path.name}, column {field.name!r}: {_named(column.type)} cannot become {_named(field.type)}, as "
                f"{self._whose} has it ({reason}); write all files with the same types"
            ) from None


def _named(type: pa.DataType) -> str:
    kind = kind_of_type(type)
    return f"{kind or 'text'} ({type})"
