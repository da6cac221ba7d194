"""Columns of lists as flat values with the row of each, and back; Daft's lists and strings are Arrow's large ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class FlatList:
    """A list column of ``rows`` rows: its elements in one array, and for each of them the row (from 0) it is in."""

    rows: int
    missing: pa.BooleanArray
    """Rows whose list is null."""
    values: pa.Array
    row: npt.NDArray[np.int64]

    @classmethod
    def of(cls, lists: pa.Array) -> FlatList:
        """Of a list column; null lists have no elements."""
        if isinstance(lists, pa.ChunkedArray):
            lists = lists.combine_chunks()
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        row = np.repeat(np.arange(len(lists), dtype=np.int64), lengths)
        return cls(len(lists), pc.is_null(lists), lists.flatten(), row)

    def kept(self, keep: npt.NDArray[np.bool_]) -> FlatList:
        """With the elements where ``keep`` is true alone."""
        return FlatList(self.rows, self.missing, self.values.filter(pa.array(keep)), self.row[keep])

    def counted(self, which: npt.NDArray[np.bool_]) -> pa.Array:
        """How many elements of each row ``which`` is true of, as int32."""
        return pa.array(np.bincount(self.row[which], minlength=self.rows).astype(np.int32))

    def lists(self, values: pa.Array | None = None) -> pa.Array:
        """The list column again, null where it was; with other ``values`` of the same length if given."""
        lengths = np.bincount(self.row, minlength=self.rows)
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        whole = self.values if values is None else values
        return pa.LargeListArray.from_arrays(pa.array(offsets), whole, mask=self.missing)
