"""How long texts are: counts by length that can be added up, exact below 256 characters and within 1 % above."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

_EXACT_BITS = 8


class Lengths(BaseModel):
    """``counts`` by length in characters, rounded down to eight binary digits; the other figures are exact."""

    counts: dict[int, int] = Field(default_factory=dict)
    rows: int = 0
    total: int = 0
    shortest: int = 0
    longest: int = 0

    def count(self, lengths: npt.NDArray[np.int64]) -> None:
        """Add texts."""
        if not len(lengths):
            return
        bits = np.frexp(lengths.astype(np.float64))[1]
        shift = np.maximum(bits - _EXACT_BITS, 0)
        found, counts = np.unique((lengths >> shift) << shift, return_counts=True)
        self._add(dict(zip(found.tolist(), counts.tolist(), strict=True)), int(lengths.min()), int(lengths.max()))
        self.rows += len(lengths)
        self.total += int(lengths.sum())

    def add(self, other: Lengths) -> None:
        """Add the texts of another shard."""
        if other.rows:
            self._add(other.counts, other.shortest, other.longest)
            self.rows += other.rows
            self.total += other.total

    def percentile(self, share: float) -> int:
        """The length that ``share`` of the texts do not exceed."""
        lengths = sorted(self.counts)
        filled = np.cumsum([self.counts[length] for length in lengths])
        return lengths[int(np.searchsorted(filled, share * self.rows))] if self.rows else 0

    def _add(self, counts: Mapping[int, int], shortest: int, longest: int) -> None:
        for length, number in counts.items():
            self.counts[length] = self.counts.get(length, 0) + number
        self.shortest = min(self.shortest, shortest) if self.rows else shortest
        self.longest = max(self.longest, longest)
