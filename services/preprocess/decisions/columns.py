"""Reads short columns of all shards as NumPy arrays; rows are numbered from 0 over all shards.

The shards' order: training (or the whole), validation, test, and their numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.preprocess.change import ROW
from services.preprocess.spec import ShardInfo
from services.preprocess.splits import PARTS
from services.preprocess.work import Work
from tidemill.errors import CorruptArtifact, InvalidInput

Ints = npt.NDArray[np.int32] | npt.NDArray[np.int64]


@dataclass(frozen=True)
class AllRows:
    """The rows that stay behind the row steps."""

    shards: Sequence[ShardInfo]
    work: Work

    @property
    def counts(self) -> list[int]:
        """Rows of each shard."""
        return [pq.ParquetFile(self.work.keys(shard)).metadata.num_rows for shard in self.shards]

    def parts(self) -> npt.NDArray[np.int8]:
        """The part that each row came in, by its place; 0 for a dataset that is not cut: int8 [rows]."""
        places = [0 if shard.part == "data" else PARTS.index(shard.part) for shard in self.shards]
        return np.repeat(np.array(places, np.int8), self.counts)

    def column(self, name: str) -> pa.ChunkedArray:
        """A column of all rows."""
        return pa.chunked_array(
            [chunk for shard in self.shards for chunk in self._read(shard, name).chunks] or [pa.nulls(0)]
        )

    def row_numbers(self) -> Ints:
        """The number of each row in its part: int64 [rows]."""
        numbers: Ints = self.column(ROW).to_numpy()
        return numbers

    def codes(self, name: str) -> tuple[Ints, list[str]]:
        """A column as places in its sorted values, written as text; a missing value is one, ``""``, if there is any."""
        encoded = [_encoded(self._read(shard, name)) for shard in self.shards]
        names = sorted({value for one in encoded for value in one.dictionary.to_pylist()})
        place = {value: number for number, value in enumerate(names)}
        codes = [
            np.array([place[value] for value in one.dictionary.to_pylist()], np.int32)[one.indices.to_numpy()]
            for one in encoded
            if len(one)
        ]
        return (np.concatenate(codes) if codes else np.zeros(0, np.int32)), names

    def groups(self, name: str) -> Ints:
        """A number for each value of a column; rows without one have each their own: int64 [rows]."""
        column = self.column(name).cast(pa.string()).combine_chunks()
        encoded = column.dictionary_encode()
        numbers: Ints = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        alone = numbers < 0
        numbers[alone] = len(encoded.dictionary) + np.arange(int(alone.sum()))
        return numbers

    def times(self, name: str) -> npt.NDArray[np.float64]:
        """A column of dates or numbers as numbers, NaN where there is none: float64 [rows].

        Raises:
            InvalidInput: a value is neither.
        """
        return _as_times(self.column(name), name)

    def _read(self, shard: ShardInfo, name: str) -> pa.ChunkedArray:
        try:
            return pq.read_table(self.work.keys(shard), columns=[name])[name]
        except (OSError, KeyError, pa.ArrowException) as error:
            raise CorruptArtifact(f"column {name} of the keys of {shard.file} cannot be read: {error}") from None


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return pc.fill_null(column.cast(pa.string()), "").combine_chunks().dictionary_encode()


def _as_times(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.float64]:
    kind = column.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        numbers = column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None))).cast(pa.int64())
        return pc.fill_null(numbers.cast(pa.float64(), safe=False), np.nan).to_numpy()  # type: ignore[no-any-return]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        for target in (pa.float64(), pa.timestamp("us"), pa.timestamp("us", tz="UTC")):
            try:
                read = column.cast(target)
            except pa.ArrowInvalid:
                continue
            return _as_times(read, name)
        raise InvalidInput(
            f"data.split.time is the column {name!r}, which has values that are neither dates as 2026-11-24 nor "
            f"numbers; give it a type (data.types.columns: {{{name}: date}}) or split in another way"
        )
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return pc.fill_null(column.cast(pa.float64(), safe=False), np.nan).to_numpy()  # type: ignore[no-any-return]
    raise InvalidInput(f"data.split.time is the column {name!r}, which holds neither dates nor numbers")
