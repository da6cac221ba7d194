"""Reads the key columns of all shards: one column at a time, or chosen rows of one. Never a whole table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.errors import CorruptArtifact


class KeyFiles:
    """The keys of a dataset: a Parquet file for each shard, in the order that numbers the rows."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Raises CorruptArtifact naming the file that is missing or broken."""
        self._paths = list(paths)
        self.rows = sum(_opened(path).metadata.num_rows for path in self._paths)

    def column(self, name: str) -> npt.NDArray[np.uint64]:
        """A column of numbers without nulls: uint64 [rows]."""
        values = np.empty(self.rows, dtype=np.uint64)
        for first, array in self.batches(name):
            values[first : first + len(array)] = array.to_numpy(zero_copy_only=False)
        return values

    def batches(self, name: str) -> Iterator[tuple[int, pa.Array]]:
        """A column row group by row group, each with the number of its first row."""
        first = 0
        for path in self._paths:
            file = _opened(path)
            with file:
                for group in range(file.num_row_groups):
                    array = _read(file, group, name, path)
                    yield first, array
                    first += len(array)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise CorruptArtifact(f"the keys in {path.name} cannot be read: {error}") from None


def _read(file: pq.ParquetFile, group: int, name: str, path: Path) -> pa.Array:
    try:
        return file.read_row_group(group, columns=[name])[name].combine_chunks()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise CorruptArtifact(f"column {name} of the keys in {path.name} cannot be read: {error}") from None
