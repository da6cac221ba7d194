"""Units: rows that have to come into the same part, and the seeded order in which they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.preprocess.duplicates.groups import unite

PARTS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
"""Parts as numbers, in their order."""

Ints = npt.NDArray[np.int64]
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


def make_units(rows: Ints, group: Ints, key: tuple[Ranks, Ranks], seed: int) -> Units:
    """The units of ``rows``: those of equal ``group``. ``key`` (two halves for every row) says what a row is, whatever
    its number; a unit is drawn by the smallest seeded hash of its rows."""
    _, of = np.unique(group[rows], return_inverse=True)
    sizes = np.bincount(of)
    hashed = mixed(key[0][rows] ^ mixed(key[1][rows] + mixed(np.full(1, seed, np.int64).view(np.uint64))))
    drawn = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(drawn, of, hashed)
    return Units(rows, of, np.argsort(drawn, kind="stable"), sizes)


def joined(group: Ints, values: Ints, rows: Ints) -> Ints:
    """``group`` with the groups of ``rows`` of equal ``values`` (one for each of them) made one."""
    together = group.copy()
    order = np.argsort(values, kind="stable")
    ordered, sorted_values = rows[order], values[order]
    same = np.flatnonzero(sorted_values[1:] == sorted_values[:-1])
    unite(together, ordered[same], ordered[same + 1])
    return _flat(together)


def _flat(group: Ints) -> Ints:
    while True:
        further = group[group]
        if np.array_equal(further, group):
            return group
        group = further


def mixed(values: Ranks) -> Ranks:
    """Every bit of the outcome depends on every bit of the value (splitmix64's finaliser, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))
