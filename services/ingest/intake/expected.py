"""The recipe's schema contract, ``data.expected.columns``: a column that is absent fails the run, a row with a value
that cannot be read as its column's type is a bad row. A missing value is no value, and never bad.

``text`` and ``category`` take any text. A whole number is an integer however it is written in a typed file (``3.0``).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.ingest.intake.bad_rows import BadRowKeeper, shortened
from services.ingest.kinds import is_opaque, kind_of_type
from tidemill.contracts.data import Data
from tidemill.contracts.preparation import ValueType
from tidemill.datasets.values import is_marker, readable
from tidemill.errors import InvalidInput

_KEY = "data.expected.columns"
_A: Mapping[ValueType, str] = {
    "text": "a text", "integer": "an integer", "number": "a number", "boolean": "a boolean",
    "date": "a date, year first (2026-01-31)", "category": "a category",
}  # fmt: skip


class ExpectedColumns:
    """What the recipe expects. ``typed`` are the columns whose values have a type in their files."""

    def __init__(self, data: Data, *, typed: Sequence[str]) -> None:
        self._types = data.expected.columns
        self._markers = data.missing.markers
        self._typed = set(typed)
        self._comma = data.types.decimal_comma

    def check_present(self, columns: Sequence[str], where: str) -> None:
        """Raise InvalidInput when an expected column is not among ``columns``."""
        absent = [name for name in self._types if name not in columns]
        if not absent:
            return
        nearest = difflib.get_close_matches(absent[0], columns, n=1, cutoff=0.6)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise InvalidInput(
            f"{where} has no column {' and none '.join(map(repr, absent[:5]))} ({_KEY}); its columns are "
            f"{', '.join(map(repr, columns[:20]))}; {hint}correct the dataset, or the names in the recipe"
        )

    def kept(
        self, rows: pa.RecordBatch, numbers: npt.NDArray[np.int64], path: Path, bad: BadRowKeeper
    ) -> pa.RecordBatch:
        """Those of ``rows`` whose values have the expected types; the others are told to ``bad``.

        ``numbers`` are the rows' numbers in ``path``, from 1.
        """
        wrong = {name: mask for name in self._types if (mask := self._wrong(rows, name)) is not None}
        if not wrong:
            return rows
        any_wrong = np.logical_or.reduce(list(wrong.values()))
        for place in np.flatnonzero(any_wrong).tolist():
            name = next(name for name, mask in wrong.items() if mask[place])
            values = rows.slice(place, 1).to_pylist()[0]
            bad.add(path, int(numbers[place]), self._reason(numbers[place], name, values[name]), _as_text(values))
        return rows.filter(pa.array(~any_wrong))

    def _reason(self, number: int, name: str, value: object) -> str:
        type = self._types[name]
        return (
            f"row {number}, column {name!r}: {shortened(str(value))!r} is not {_A[type]}; correct the value, or the "
            f"type in {_KEY}"
        )

    def _wrong(self, rows: pa.RecordBatch, name: str) -> npt.NDArray[np.bool_] | None:
        """Which rows have a value that is not of its type; None when all are right."""
        column, type = rows.column(name), self._types[name]
        if is_opaque(column.type):
            raise InvalidInput(
                f"column {name!r} holds bytes, lists or structures, but {_KEY} says {type}; leave it out there"
            )
        right = self._right_strings(column, name, type) if pa.types.is_string(column.type) else _right(column, type)
        if pc.all(right).as_py():
            return None
        return ~right.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]

    def _right_strings(self, column: pa.Array, name: str, type: ValueType) -> pa.Array:
        # Columns of few values are decided value by value, however many rows there are.
        coded = column.dictionary_encode()
        text = pc.utf8_trim_whitespace(coded.dictionary)
        markers = [] if name in self._typed else self._markers
        right = pc.or_(readable(text, type, decimal_comma=self._comma), is_marker(text, markers))
        return pc.fill_null(right.take(coded.indices), True)


def _right(column: pa.Array, type: ValueType) -> pa.Array:
    kind = kind_of_type(column.type)
    if kind == "number" and type == "integer":
        right = pc.or_(pc.equal(column, pc.floor(column)), pc.is_nan(column.cast(pa.float64(), safe=False)))
        return pc.fill_null(right, True)
    fits = type in ("text", "category") or kind in (type, "empty") or (kind, type) == ("integer", "number")
    return pc.or_(column.is_null(), pa.array(np.full(len(column), fits)))


def _as_text(values: Mapping[str, object]) -> str:
    shown = {
        name: value if isinstance(value, int | float | str | None) else str(value) for name, value in values.items()
    }
    return json.dumps(shown, ensure_ascii=False)
