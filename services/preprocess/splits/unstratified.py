"""Parts of their size alone: drawn, or the latest rows."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from services.preprocess.splits.units import TRAIN, Ints, Units
from tidemill.errors import InvalidInput


def drawn(units: Units, shares: Mapping[int, float], what: str) -> npt.NDArray[np.int8]:
    """The part of every unit: drawn in the seeded order until each of ``shares`` has its rows; training is the rest."""
    return _dealt(units.order, units.sizes, shares, what)


def latest(
    units: Units, times: npt.NDArray[np.float64], shares: Mapping[int, float], what: str
) -> npt.NDArray[np.int8]:
    """The part of every unit by its latest row: the first of ``shares`` has the latest ones, the next those before.

    Rows of the same time come into the same part. ``times``: of the rows of ``units``; NaN, no time, is training.
    """
    time = units.largest(np.where(np.isnan(times), -np.inf, times))
    moments, of_moment = np.unique(time, return_inverse=True)
    sizes = np.bincount(of_moment, weights=units.sizes, minlength=len(moments)).astype(np.int64)
    dealt = _dealt(np.arange(len(moments))[::-1], sizes, shares, f"times of {what}")
    return dealt[of_moment]


def _dealt(order: Ints, sizes: Ints, shares: Mapping[int, float], what: str) -> npt.NDArray[np.int8]:
    if len(order) < len(shares) + 1:
        raise InvalidInput(
            f"{len(order)} different {what} are left, too few for {len(shares) + 1} parts; add rows, or bring parts of "
            "your own (data.files)"
        )
    part = np.full(len(sizes), TRAIN, np.int8)
    filled, position, total = np.cumsum(sizes[order], dtype=np.int64), 0, int(sizes.sum())
    left = len(shares)
    for number, share in shares.items():
        wanted = max(1, math.floor(total * share + 0.5)) + (int(filled[position - 1]) if position else 0)
        # A unit that would overfill the part is taken when that is nearer to what is wanted than leaving it.
        end = int(np.searchsorted(filled, wanted))
        over = end < len(filled) and filled[end] - wanted <= wanted - (filled[end - 1] if end else 0)
        end = min(max(end + int(over), position + 1), len(order) - left)
        part[order[position:end]] = number
        position, left = end, left - 1
    return part
