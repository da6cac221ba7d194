"""Units: rows that have to come into the same part, and the seeded order in which they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.preprocess.duplicates.groups import unite

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
"""Parts as numbers, in their order."""

Ints = npt.NDArray[np.int32] | npt.NDArray[np.int64]
"""Numbers of rows; four bytes are enough for two thousand million, and a few arrays of all rows are held at once."""
Bools = npt.NDArray[np.bool_]
Ranks = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Units:
    """``rows`` are the numbers of the rows that are cut, ``of``: the unit of each of them, 0 … ``len(sizes)`` - 1.

    ``order`` holds the units as they are drawn; ``sizes`` their rows.
    """

    rows: Ints
    of: Ints
    order: Ints
    sizes: Ints

    def row_values(self, unit_values: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """A value of every unit as one of every row."""
        return unit_values[self.of]

    def largest(self, row_values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The largest value of each unit's rows."""
        found = np.full(len(self.sizes), -np.inf)
        np.maximum.at(found, self.of, row_values)
        return found


def make_units(rows: Ints, group: Ints, rank: Ranks) -> Units:
    """The units of ``rows``: those of equal ``group``. ``rank``, of every row, is a seeded hash of what the row is; a
    unit is drawn by the smallest one of its rows."""
    own = group[rows]
    present = np.zeros(len(group), np.bool_)
    present[own] = True
    of = (np.cumsum(present, dtype=np.int32) - np.int32(1))[own]
    sizes = np.bincount(of).astype(np.int32)
    drawn = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(drawn, of, rank[rows])
    return Units(rows, of, np.argsort(drawn, kind="stable").astype(np.int32), sizes)


def joined(group: Ints, values: Ints, rows: Ints) -> Ints:
    """``group`` with the groups of ``rows`` of equal ``values`` (one for each of them) made one."""
    together = group.astype(np.int64)
    order = np.argsort(values, kind="stable")
    ordered, sorted_values = rows[order].astype(np.int64), values[order]
    same = np.flatnonzero(sorted_values[1:] == sorted_values[:-1])
    unite(together, ordered[same], ordered[same + 1])
    return _flat(together)


def _flat(group: Ints) -> Ints:
    while True:
        further = group[group]
        if np.array_equal(further, group):
            return group
        group = further


def ranks(high: Ranks, low: Ranks, seed: int) -> Ranks:
    """A seeded hash of every row's 128-bit key; takes the memory of ``high`` and ``low``."""
    low += _seeded(seed)
    high ^= mix(low)
    return mix(high)


def _seeded(seed: int) -> Ranks:
    return mix(np.full(1, seed, np.int64).view(np.uint64))


def mix(values: Ranks) -> Ranks:
    """Every bit of the outcome depends on every bit of the value (splitmix64's finaliser, Steele et al. 2014); in
    place."""
    values += np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values
