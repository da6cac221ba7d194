"""Evens out the classes of the training part: how often each of its rows is written. NumPy; knows no rows."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tidemill.contracts.preparation import Balance

Ints = npt.NDArray[np.int32] | npt.NDArray[np.int64]


def copies_of(labels: Ints, rank: npt.NDArray[np.uint64], balance: Balance) -> npt.NDArray[np.int32]:
    """How often each training row is written: int32 [rows], 0 where undersampling leaves it out.

    Undersampling keeps at most ``max_ratio`` times the smallest class; oversampling repeats rows until every class has
    at least the largest one's rows divided by ``max_ratio``. Which rows, ``rank`` says: a hash of what they are.
    """
    copies = np.ones(len(labels), np.int32)
    if balance.method == "none" or not len(labels):
        return copies
    counts = np.bincount(labels)
    present = counts[counts > 0]
    order = np.lexsort((rank, labels))
    begins = np.cumsum(counts) - counts
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels)) - begins[labels[order]]
    if balance.method == "undersample":
        most = math.floor(present.min() * balance.max_ratio)
        copies[place >= most] = 0
        return copies
    least = math.ceil(present.max() / balance.max_ratio)
    wanted = np.maximum(counts, least)
    own = np.maximum(counts, 1)
    more: npt.NDArray[np.bool_] = place < (wanted % own)[labels]
    repeated: npt.NDArray[np.int32] = ((wanted // own)[labels] + more).astype(np.int32)
    return repeated
