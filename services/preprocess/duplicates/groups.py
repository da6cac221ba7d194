"""Groups of equal rows, and groups that grow together: NumPy over row numbers, no loop over rows.

A group is known by its first row, so that an array of groups holds for every row the number of the first one like it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.uint64]

_AT_ONCE = 1 << 18
"""Rows that are looked up at once."""
_FEWEST_BITS, _MOST_BITS = 16, 24
"""Of the table that tells keys apart: 64 kB to 16 MB."""


def equal_rows(column: Callable[[int], Keys], among: Mask, part: npt.NDArray[np.int8] | None = None) -> Rows:
    """The group of each row that is ``among``, by its key and, when given, its part; others are alone.

    ``column(0)`` and ``column(1)`` read the halves of the 128-bit keys: memory holds one at a time, and of rows that
    have half a key in common alone both.
    """
    group = np.arange(len(among))
    high = column(0)
    shared = [_repeated(high, rows) for rows in _by_part(among, part)]
    highs = [high[rows] for rows in shared]
    del high
    low = column(1)
    lows = [low[rows] for rows in shared]
    del low
    for rows, first, second in zip(shared, highs, lows, strict=True):
        if len(rows):
            order, begins = _runs(first, second)
            own, starts = rows[order], np.flatnonzero(begins)
            sizes = np.diff(starts, append=len(own))
            group[own] = np.repeat(np.minimum.reduceat(own, starts), sizes)
    return group


def in_company(group: Rows) -> Mask:
    """The rows that are not alone in their group."""
    company: Mask = group != np.arange(len(group))
    company[group[company]] = True
    return company


def _by_part(among: Mask, part: npt.NDArray[np.int8] | None) -> Iterator[Mask]:
    if part is None:
        yield among
    else:
        for number in np.unique(part):
            yield among & (part == number)


def _repeated(values: Keys, among: Mask) -> Rows:
    """The rows of ``among`` whose value another of them has, ascending."""
    ascending = np.sort(values[among])
    often = ascending[1:][ascending[1:] == ascending[:-1]]
    del ascending
    if not len(often):
        return np.zeros(0, dtype=np.int64)
    looked_up = _Often(often)
    found = [
        first + np.flatnonzero(among[first : first + _AT_ONCE] & looked_up.holds(values[first : first + _AT_ONCE]))
        for first in range(0, len(values), _AT_ONCE)
    ]
    return np.concatenate(found)


class _Often:
    """A set of keys, sorted, of which most that are looked up are no members.

    Keys are hashes, so that their last bits tell most of these apart at a read of a small table each, which a search
    takes twenty of.
    """

    def __init__(self, ascending: Keys) -> None:
        self._ascending = ascending
        bits = min(max((16 * len(ascending)).bit_length(), _FEWEST_BITS), _MOST_BITS)
        self._last = np.uint64((1 << bits) - 1)
        self._table = np.zeros(1 << bits, np.bool_)
        self._table[ascending & self._last] = True

    def holds(self, values: Keys) -> Mask:
        """Which of ``values`` are members."""
        found: Mask = self._table[values & self._last]
        candidates = values[found]
        place = np.searchsorted(self._ascending, candidates)
        place[place == len(self._ascending)] = 0
        found[found] = self._ascending[place] == candidates
        return found


def _runs(high: Keys, low: Keys) -> tuple[Rows, Mask]:
    """An order in which equal keys stand together, and where in it another key begins."""
    order = np.argsort(high)
    begins = _changes(high[order])
    if np.any(_changes(low[order]) & ~begins):  # half of a key agrees by chance, or because somebody made it so
        order = np.lexsort((low, high))
        return order, _changes(high[order]) | _changes(low[order])
    return order, begins


def _changes(values: Keys) -> Mask:
    begins = np.ones(len(values), dtype=np.bool_)
    begins[1:] = values[1:] != values[:-1]
    return begins


def unite(group: Rows, left: Rows, right: Rows) -> None:
    """Make the groups of ``left[i]`` and ``right[i]`` one, for all i, in place; ``group`` is a forest of first rows."""
    while len(left):
        left, right = roots(group, left), roots(group, right)
        apart = left != right
        low, high = np.minimum(left, right)[apart], np.maximum(left, right)[apart]
        np.minimum.at(group, high, low)
        left, right = low, high


def roots(group: Rows, rows: Rows) -> Rows:
    """The first rows of the groups of ``rows``; shortens the ways to them."""
    root = group[rows]
    while True:
        further = group[root]
        if np.array_equal(further, root):
            group[rows] = root
            return root
        root = further
