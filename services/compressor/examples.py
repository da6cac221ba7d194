"""Reads the parts of a prepared dataset that compression needs. Knows Parquet files, no model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from tidemill.errors import CorruptArtifact, PermanentError


@dataclass(frozen=True)
class Examples:
    """Texts and the index of each one's label, int64 [texts]."""

    texts: list[str]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)

    def spread(self, limit: int) -> Examples:
        """At most ``limit`` of them, evenly over the part's order; all when there are no more."""
        if len(self) <= limit:
            return self
        rows = np.linspace(0, len(self) - 1, limit).astype(np.int64)
        return self._rows(rows)

    def stratified(self, limit: int, seed: int) -> Examples:
        """At most ``limit`` of them, the labels taken in turn, so that a rare label is there as well."""
        shuffled = np.random.default_rng(seed).permutation(len(self))
        turns: dict[int, int] = defaultdict(int)
        ranks = np.empty(len(self), dtype=np.int64)
        for row in shuffled:
            label = int(self.labels[row])
            ranks[row] = turns[label]
            turns[label] += 1
        return self._rows(shuffled[np.argsort(ranks[shuffled], kind="stable")][:limit])

    def _rows(self, rows: NDArray[np.int64]) -> Examples:
        return Examples([self.texts[row] for row in rows], self.labels[rows])


def read_part(dataset: Path, part: str, labels: Sequence[str]) -> Examples:
    """Read ``<part>.parquet`` (columns ``text`` and ``label``).

    Raises:
        CorruptArtifact: the file is missing or is no such Parquet file.
        PermanentError: it is empty or holds a label that the model does not have.
    """
    name = f"{part}.parquet"
    try:
        table = parquet.read_table(dataset / name, columns=["text", "label"])
    except (OSError, pa.ArrowException) as error:
        raise CorruptArtifact(f"prepared dataset: {name} cannot be read: {error}") from error
    texts: list[str] = table["text"].to_pylist()
    if not texts:
        raise PermanentError(f"prepared dataset: {name} has no rows; give the {part} part at least one")
    index = {label: number for number, label in enumerate(labels)}
    found = [str(label) for label in table["label"].to_pylist()]
    for row, label in enumerate(found):
        if label not in index:
            raise PermanentError(
                f"prepared dataset: {name}, row {row}: the model does not have the label {label!r}; "
                "train it on this dataset"
            )
    return Examples(texts, np.array([index[label] for label in found], dtype=np.int64))
