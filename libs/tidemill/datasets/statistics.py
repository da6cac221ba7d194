"""Describes columns while their batches go by. Memory is bounded; batches and their order make no difference.

Looks at the distinct values of a batch, not at its rows: a column of few values costs next to nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.datasets.histogram import HistogramBuilder
from tidemill.datasets.kinds import PossibleKinds, is_category, is_opaque, kind_of_type
from tidemill.datasets.profile import ColumnFigures, most_frequent
from tidemill.datasets.schema import ColumnKind
from tidemill.datasets.values import as_numbers

MAX_COUNTED = 10_000
"""Distinct values of a column that are counted, unless it is said how many matter."""
_MAX_CHARACTERS = 1 << 23
"""Of all distinct values together; beyond, they are not counted."""
_LONGEST_KEPT = 200
"""Characters of the longest value of a column whose values are in its figures."""


class ColumnStatistics:
    """Running figures of one column.

    ``kind`` is what the column holds, where its format knows; None: the values tell. ``declared`` says that it stands
    in the recipe. ``strings`` says that values are text as it stood in a file: white space around them is no part of
    them, and ``markers`` say 'missing'.
    """

    def __init__(
        self,
        name: str,
        *,
        kind: ColumnKind | None = None,
        declared: bool = False,
        strings: bool = True,
        markers: Sequence[str] = (),
        decimal_comma: bool = False,
        most_counted: int = MAX_COUNTED,
    ) -> None:
        self.name = name
        self.strings = strings
        self.values: Counter[str] | None = Counter()
        """Rows of each value; None once there are more than ``most_counted``, or more than 8 million characters."""
        self._kind = kind
        self._settled = declared or kind not in (None, "text")
        self._is_text = True
        self._markers = pa.array(markers if strings else [], pa.string())
        self._comma = decimal_comma
        self._possible = PossibleKinds(decimal_comma=decimal_comma)
        self._most_counted = most_counted
        self._opaque = False
        self._rows = self._empty = self._padded = self._distinct_characters = 0
        self._marked: Counter[str] = Counter()
        self._lengths = HistogramBuilder()
        self._numbers: HistogramBuilder | None = HistogramBuilder()

    def update(self, column: pa.Array) -> None:
        """Add the rows of one batch."""
        self._rows += len(column)
        self._empty += column.null_count
        if not pa.types.is_string(column.type):
            self._is_text = False
            self._kind = self._kind or kind_of_type(column.type)
            self._settled = self._kind is not None
        if is_opaque(column.type):
            self._opaque, self.values, self._numbers = True, None, None
        elif column.null_count < len(column):
            counted = column.drop_null().value_counts()
            self._update(counted.field("values"), counted.field("counts"))

    def figures(self, *, text: bool = False) -> ColumnFigures:
        """The figures so far. A task's ``text`` column holds texts, whatever they look like: no markers, and what white
        space means in them is not for the profile to say."""
        marked = Counter[str]() if text else self._marked
        values = None if self.values is None else self.values + self._marked if text else self.values
        kind = "text" if text and not self._opaque else self.kind
        numbers = self._numbers if kind in ("integer", "number") else None
        return ColumnFigures(
            name=self.name, kind=kind, rows=self._rows, missing=self._empty + marked.total(),
            markers=dict(sorted(marked.items())), padded=0 if text else self._padded,
            distinct=None if values is None else len(values),
            values=most_frequent(values) if values is not None and self._longest <= _LONGEST_KEPT else {},
            lengths=self._lengths.histogram() if self._is_text else None,
            numbers=None if numbers is None else numbers.histogram(),
        )  # fmt: skip

    @property
    def kind(self) -> ColumnKind:
        """What the column holds, as far as has been seen."""
        if self._settled and self._kind is not None:
            return self._kind
        present = self._rows - self._empty - self._marked.total()
        if not present:
            return self._kind or "empty"
        kind = self._kind or self._possible.narrowest
        distinct = None if self.values is None else len(self.values)
        if kind == "text" and is_category(distinct=distinct, present=present, longest=self._longest):
            return "category"
        return kind

    @property
    def _longest(self) -> int:
        lengths = self._lengths.histogram()
        return int(lengths.maximum) if lengths else 0

    def _update(self, values: pa.Array, counts: pa.Array) -> None:
        if pa.types.is_floating(values.type):
            values, counts = self._without(values, counts, pc.is_nan(values))
        if pa.types.is_string(values.type):
            values, counts = self._tidied(values, counts)
            self._possible.update(values)
            if self._possible.numeric and self._numbers is not None:
                self._numbers.add(as_numbers(values, decimal_comma=self._comma), counts.to_numpy())
            else:
                self._numbers = None
        else:
            if self._numbers is not None and kind_of_type(values.type) in ("integer", "number"):
                self._numbers.add(values.cast(pa.float64(), safe=False).to_numpy(), counts.to_numpy())
            values = values.cast(pa.string())
        lengths = pc.utf8_length(values).to_numpy()
        rows = counts.to_numpy()
        rows_by_length = np.bincount(lengths, weights=rows).astype(np.int64)
        occurring = np.flatnonzero(rows_by_length)
        self._lengths.add(occurring, rows_by_length[occurring])
        self._count(values, rows.tolist())

    def _tidied(self, values: pa.Array, counts: pa.Array) -> tuple[pa.Array, pa.Array]:
        """Values without white space around them, those that are missing left out."""
        if self.strings:
            trimmed = pc.utf8_trim_whitespace(values)
            padded = pc.and_(pc.not_equal(trimmed, values), pc.not_equal(trimmed, ""))
            self._padded += pc.sum(counts.filter(padded)).as_py() or 0
            marks = pc.is_in(trimmed, value_set=self._markers)
            for value, rows in zip(trimmed.filter(marks).to_pylist(), counts.filter(marks).to_pylist(), strict=True):
                self._marked[value] += rows
            values, counts = trimmed.filter(pc.invert(marks)), counts.filter(pc.invert(marks))
        return self._without(values, counts, pc.equal(pc.utf8_trim_whitespace(values), ""))

    def _without(self, values: pa.Array, counts: pa.Array, empty: pa.Array) -> tuple[pa.Array, pa.Array]:
        self._empty += pc.sum(counts.filter(empty)).as_py() or 0
        return values.filter(pc.invert(empty)), counts.filter(pc.invert(empty))

    def _count(self, values: pa.Array, counts: Sequence[int]) -> None:
        if self.values is None or len(values) > self._most_counted:
            self.values = None
            return
        for value, rows in zip(values.to_pylist(), counts, strict=True):
            if value not in self.values:
                self._distinct_characters += len(value)
            self.values[value] += rows
        if len(self.values) > self._most_counted or self._distinct_characters > _MAX_CHARACTERS:
            self.values = None
