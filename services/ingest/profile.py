"""Describes columns while their batches go by: types, missing values, lengths, counts of values. Memory is bounded."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from tidemill.tasks import ColumnProfile, ColumnType
from tidemill.tasks.text_classification.schema import MAX_LABELS

_PATTERNS: dict[ColumnType, str] = {
    "integer": r"^[+-]?\d+$",
    "number": r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$",
    "boolean": r"^(?i:true|false|yes|no)$",
}


class ColumnStatistics:
    """Running figures of one column. White space around a value is no part of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: Counter[str] | None = Counter()
        """Rows of each value; None once there are more than ``MAX_LABELS``."""
        self._rows = 0
        self._missing = 0
        self._characters = 0
        self._shortest: int | None = None
        self._longest = 0
        self._possible: set[ColumnType] = set(_PATTERNS)
        self._nested = False

    def update(self, column: pa.Array) -> None:
        """Add the rows of one batch."""
        self._rows += len(column)
        if not _has_text(column.type):
            self._nested = True
            self._missing += column.null_count
            self.values = None
            return
        text = pc.utf8_trim_whitespace(column if pa.types.is_string(column.type) else column.cast(pa.string()))
        present = text.filter(pc.greater(pc.binary_length(text), 0))
        self._missing += len(column) - len(present)
        if not len(present):
            return
        lengths = pc.utf8_length(present)
        extremes = pc.min_max(lengths)
        self._characters += pc.sum(lengths).as_py()
        shortest = extremes["min"].as_py()
        self._shortest = shortest if self._shortest is None else min(self._shortest, shortest)
        self._longest = max(self._longest, extremes["max"].as_py())
        self._possible = {kind for kind in self._possible if _all_match(present, _PATTERNS[kind])}
        if self.values is not None:
            counted = pc.value_counts(present)
            for value, count in zip(
                counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True
            ):
                self.values[value] += count
            self._bound_values()

    def merge(self, other: ColumnStatistics) -> None:
        """Add the rows of another part of the dataset."""
        self._rows += other._rows
        self._missing += other._missing
        self._characters += other._characters
        if other._shortest is not None:
            self._shortest = other._shortest if self._shortest is None else min(self._shortest, other._shortest)
        self._longest = max(self._longest, other._longest)
        if other._missing < other._rows:
            self._possible &= other._possible
        self._nested |= other._nested
        if self.values is None or other.values is None:
            self.values = None
        else:
            self.values.update(other.values)
            self._bound_values()

    def profile(self) -> ColumnProfile:
        """The figures so far."""
        present = self._rows - self._missing
        return ColumnProfile(
            name=self.name,
            type=self._type(),
            rows=self._rows,
            missing=self._missing,
            distinct=None if self.values is None else len(self.values),
            min_length=self._shortest or 0,
            mean_length=round(self._characters / present, 2) if present else 0.0,
            max_length=self._longest,
        )

    def _type(self) -> ColumnType:
        if self._nested:
            return "other"
        if self._missing == self._rows:
            return "empty"
        return next((kind for kind in _PATTERNS if kind in self._possible), "text")

    def _bound_values(self) -> None:
        if self.values is not None and len(self.values) > MAX_LABELS:
            self.values = None


def _has_text(kind: pa.DataType) -> bool:
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
                or pa.types.is_fixed_size_binary(kind))  # fmt: skip


def _all_match(values: pa.Array, pattern: str) -> bool:
    # Most columns are ruled out by their first value.
    first = values.slice(0, 1)
    return all(pc.all(pc.match_substring_regex(some, pattern)).as_py() for some in (first, values))
