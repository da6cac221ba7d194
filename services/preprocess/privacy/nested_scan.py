"""Finds and treats the personal data in texts within lists and structs. Knows Arrow; nothing of Daft or datasets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.preprocess.privacy.text_scan import TextScan
from services.preprocess.privacy.vault import ENTRY

_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NestedScan:
    """``scan`` for every text within the values of a column of ``kind``, a list or a struct."""

    scan: TextScan
    kind: pa.DataType

    @property
    def type(self) -> pa.StructType:
        """Of what is given for each value."""
        counts = [(name, pa.int32()) for name in self.scan.treatments]
        return pa.struct([("value", self.kind), ("drop", pa.bool_()), ("tokens", pa.list_(ENTRY)), *counts])

    def __call__(self, column: pa.Array) -> pa.StructArray:
        """For each value itself with its texts treated, whether the row has to go, entries of the vault, and findings
        by entity. Python sees the rows with a cue alone.

        Raises:
            InvalidInput: the model cannot be used.
        """
        rows = self._candidates(column)
        values = column.take(pa.array(rows)).to_pylist()
        texts = [list(_texts_of(value)) for value in values]
        own = np.repeat(np.arange(len(rows)), [len(one) for one in texts])
        found = self.scan(pa.array(list(chain.from_iterable(texts)), pa.string()))
        new = iter(found.field("text").to_pylist())
        treated = pa.array([_with_texts(value, new) for value in values], column.type)
        places = np.arange(len(column))
        places[rows] = len(column) + np.arange(len(rows))
        columns = [pa.concat_arrays([column, treated]).take(pa.array(places)).cast(self.kind)]
        drop = np.zeros(len(column), bool)
        drop[rows[own[_flags(found.field("drop"))]]] = True
        columns += [pa.array(drop), self._tokens(found, rows[own], len(column))]
        for name in self.scan.treatments:
            counted = np.bincount(rows[own], weights=found.field(name).to_numpy(), minlength=len(column))
            columns.append(pa.array(counted.astype(np.int32)))
        return pa.StructArray.from_arrays(columns, fields=list(self.type))

    def _candidates(self, column: pa.Array) -> _Rows:
        found = [np.zeros(0, np.int64)]
        for rows, texts in _leaves(column, np.arange(len(column))):
            looked_at = texts.is_valid() if self.scan.cue is None else pc.match_substring_regex(texts, self.scan.cue)
            found.append(rows[_flags(looked_at)])
        return np.unique(np.concatenate(found))

    def _tokens(self, found: pa.StructArray, rows: _Rows, length: int) -> pa.Array:
        entries: list[Any] = [None] * length
        if self.scan.seals:
            for row, own in zip(rows.tolist(), found.field("tokens").to_pylist(), strict=True):
                if own:
                    entries[row] = [*(entries[row] or ()), *own]
        return pa.array(entries, pa.list_(ENTRY))


def _leaves(column: pa.Array, rows: _Rows) -> Iterator[tuple[_Rows, pa.Array]]:
    """The arrays of texts in ``column``, and of each text the row."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(column.flatten(), rows[pc.list_parent_indices(column).to_numpy()])
    elif pa.types.is_struct(kind):
        for own in column.flatten():
            yield from _leaves(own, rows)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield rows, column


def _flags(values: pa.Array) -> npt.NDArray[np.bool_]:
    return pc.fill_null(values, False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from chain.from_iterable(map(_texts_of, value.values()))
    elif isinstance(value, list):
        yield from chain.from_iterable(map(_texts_of, value))


def _with_texts(value: Any, new: Iterator[str | None]) -> Any:
    """``value`` with the next of ``new`` in the place of each of its texts; None leaves it."""
    if isinstance(value, str):
        text = next(new)
        return value if text is None else text
    if isinstance(value, dict):
        return {name: _with_texts(own, new) for name, own in value.items()}
    if isinstance(value, list):
        return [_with_texts(own, new) for own in value]
    return value
