"""Reads the parts of a prepared dataset that compression needs. Knows no model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tidemill.datasets import read_part
from tidemill.errors import PermanentError


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


def read_examples(dataset: Path, part: str, labels: Sequence[str]) -> Examples:
    """The examples of a part of a prepared dataset (columns ``text`` and ``label``).

    Raises:
        CorruptArtifact: a file is missing or is no such Parquet file.
        PermanentError: it is empty or holds a label that the model does not have.
    """
    table = read_part(dataset, part, ["text", "label"])
    texts: list[str] = table["text"].to_pylist()
    if not texts:
        raise PermanentError(f"prepared dataset: {part} has no rows; give the {part} part at least one")
    index = {label: number for number, label in enumerate(labels)}
    found = [str(label) for label in table["label"].to_pylist()]
    for row, label in enumerate(found):
        if label not in index:
            raise PermanentError(
                f"prepared dataset: {part}, row {row}: the model does not have the label {label!r}; "
                "train it on this dataset"
            )
    return Examples(texts, np.array([index[label] for label in found], dtype=np.int64))
