"""Groups of equal rows, and groups that grow together: NumPy over row numbers, no loop over rows.

A group is known by its first row, so that an array of groups holds for every row the number of the first one like it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def equal_rows(
    high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64], among: Mask, part: npt.NDArray[np.int8] | None = None
) -> Rows:
    """The group of each row that is ``among``, by its 128-bit key and, when given, its part; others are alone."""
    group = np.arange(len(among))
    for number in (None,) if part is None else np.unique(part):
        rows = np.flatnonzero(among if part is None else among & (part == number))
        if len(rows):
            order, begins = _runs(high[rows], low[rows])
            rows, starts = rows[order], np.flatnonzero(begins)
            sizes = np.diff(starts, append=len(rows))
            group[rows] = np.repeat(np.minimum.reduceat(rows, starts), sizes)
    return group


def _runs(high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64]) -> tuple[Rows, Mask]:
    """An order in which equal keys stand together, and where in it another key begins."""
    order = np.argsort(high)
    begins = _changes(high[order])
    changes = _changes(low[order])
    if np.any(changes & ~begins):  # half of a key agrees by chance, or because somebody made it so
        order = np.lexsort((low, high))
        return order, _changes(high[order]) | _changes(low[order])
    return order, begins


def _changes(values: npt.NDArray[np.uint64]) -> Mask:
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
