"""How numbers are distributed, in at most 1,024 bins: the same whatever the order, merged without loss, comparable.

A bin holds the numbers whose IEEE 754 doubles agree in all but their last ``shift`` bits, which is a dyadic histogram:
neighbouring bins become one when a bit more is left out. Bits are left out only when more than ``MAX_BINS`` bins would
be occupied, as UDDSketch does (Epicoco et al. 2020), but from exact values on, so that numbers far from zero and close
to each other (years, timestamps) keep their shape. The shift depends on the set of numbers alone.

Error: none while there are at most 1,024 different numbers. Beyond, 512 to 1,024 bins are occupied at most, unless the
numbers crowd in few of them, and a quantile is off by less than the width of its bin. Comparing two histograms is
exact: the bins of the finer one lie within those of the coarser one.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from tidemill.contracts import Frozen

MAX_BINS = 1024
_ALL_BUT_SIGN = np.int64(0x7FFF_FFFF_FFFF_FFFF)
Keys = npt.NDArray[np.int64]


class Histogram(Frozen):
    """Counted numbers. ``edges[i]`` is the smallest number that bin ``i`` can hold, ``counts[i]`` its rows."""

    shift: int = Field(ge=0, le=63)
    edges: list[float]
    counts: list[int]
    minimum: float
    maximum: float

    @property
    def rows(self) -> int:
        """Numbers in all."""
        return sum(self.counts)

    @property
    def exact(self) -> bool:
        """Whether every edge is a number that occurred, and none else did."""
        return self.shift == 0

    def centres(self) -> npt.NDArray[np.float64]:
        """A number for each bin that stands for those in it: float64 (bins,)."""
        half = np.int64(1) << np.int64(self.shift - 1) if self.shift else np.int64(0)
        middle = _numbers((self.keys() << np.int64(self.shift)) + half)
        middle[~np.isfinite(middle)] = self.maximum  # the last bin of all may reach beyond the largest double
        return np.clip(middle, self.minimum, self.maximum)

    def mean(self) -> float:
        """The mean, as exact as the bins are."""
        return float(np.average(self.centres(), weights=self.counts))

    def quantile(self, share: float) -> float:
        """The number below or at which ``share`` (0..1) of the numbers are, as exact as the bins are."""
        reached = np.cumsum(self.counts)
        place = int(np.searchsorted(reached, max(1.0, np.ceil(share * reached[-1]))))
        return float(self.centres()[min(place, len(self.counts) - 1)])

    def ranges(self, bins: int) -> list[tuple[float, float, int]]:
        """``bins`` ranges of equal width as (from, to, rows), for a plot; one when all numbers are the same."""
        if self.minimum == self.maximum:
            return [(self.minimum, self.maximum, self.rows)]
        share = np.linspace(0, 1, bins + 1)
        # Not a multiple of the width, which may be beyond the largest double.
        edges = np.clip(self.minimum * (1 - share) + self.maximum * share, self.minimum, self.maximum)
        rows, _ = np.histogram(self.centres(), np.maximum.accumulate(edges), weights=self.counts)
        return [(float(low), float(high), int(n)) for (low, high), n in zip(pairwise(edges), rows, strict=True)]

    def keys(self) -> Keys:
        """The bins' keys, ascending: int64 (bins,)."""
        return _keys(np.array(self.edges, np.float64)) >> np.int64(self.shift)


class HistogramBuilder:
    """Counts numbers as they come."""

    def __init__(self, begun: Histogram | None = None) -> None:
        self._shift = begun.shift if begun else 0
        self._bins: Keys = begun.keys() if begun else np.empty(0, np.int64)
        self._counts: Keys = np.array(begun.counts if begun else [], np.int64)
        self._minimum = begun.minimum if begun else np.inf
        self._maximum = begun.maximum if begun else -np.inf

    def add(self, numbers: npt.NDArray[Any], counts: npt.NDArray[np.int64] | None = None) -> None:
        """Count ``numbers`` (any real dtype), each as often as ``counts`` says; what is not finite is left out."""
        numbers = np.asarray(numbers, np.float64)
        finite = np.isfinite(numbers)
        if not finite.all():
            numbers, counts = numbers[finite], None if counts is None else counts[finite]
        if not len(numbers):
            return
        self._minimum = min(self._minimum, float(numbers.min()))
        self._maximum = max(self._maximum, float(numbers.max()))
        weights = np.ones(len(numbers), np.int64) if counts is None else counts
        self._take(_keys(numbers) >> np.int64(self._shift), weights)

    def merge(self, other: Histogram) -> None:
        """Count what ``other`` counted."""
        self._minimum, self._maximum = min(self._minimum, other.minimum), max(self._maximum, other.maximum)
        shift = max(self._shift, other.shift)
        self._bins = self._bins >> np.int64(shift - self._shift)
        self._shift = shift
        self._take(other.keys() >> np.int64(shift - other.shift), np.array(other.counts, np.int64))

    def histogram(self) -> Histogram | None:
        """What was counted; None when nothing was."""
        if not len(self._bins):
            return None
        edges = _numbers(self._bins << np.int64(self._shift))
        edges[~np.isfinite(edges)] = self._minimum  # the first bin of all may begin below the smallest double
        return Histogram(
            shift=self._shift, edges=edges.tolist(),
            counts=self._counts.tolist(), minimum=self._minimum, maximum=self._maximum,
        )  # fmt: skip

    def _take(self, keys: Keys, counts: Keys) -> None:
        keys, counts = np.concatenate([self._bins, keys]), np.concatenate([self._counts, counts])
        order = np.argsort(keys, kind="stable")
        self._bins, self._counts = _grouped(keys[order], counts[order])
        while len(self._bins) > MAX_BINS:
            self._shift += 1
            self._bins, self._counts = _grouped(self._bins >> np.int64(1), self._counts)


def aligned(one: Histogram, other: Histogram) -> tuple[Keys, Keys]:
    """Rows of both in the bins that either occupies, ascending, at the coarser resolution of the two."""
    shift = max(one.shift, other.shift)
    mine, theirs = one.keys() >> np.int64(shift - one.shift), other.keys() >> np.int64(shift - other.shift)
    keys = np.union1d(mine, theirs)
    rows = []
    for bins, counts in ((mine, one.counts), (theirs, other.counts)):
        into = np.zeros(len(keys), np.int64)
        np.add.at(into, np.searchsorted(keys, bins), np.array(counts, np.int64))
        rows.append(into)
    return rows[0], rows[1]


def _keys(numbers: npt.NDArray[np.float64]) -> Keys:
    """Integers in the order of ``numbers``."""
    bits = (numbers + 0.0).view(np.int64)  # minus zero becomes zero
    return np.where(bits < 0, bits ^ _ALL_BUT_SIGN, bits)


def _numbers(keys: Keys) -> npt.NDArray[np.float64]:
    return np.where(keys < 0, keys ^ _ALL_BUT_SIGN, keys).view(np.float64)


def _grouped(keys: Keys, counts: Keys) -> tuple[Keys, Keys]:
    """Equal neighbours of the ascending ``keys`` as one, with the sum of their counts."""
    if not len(keys):
        return keys, counts
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[first], np.add.reduceat(counts, first)
