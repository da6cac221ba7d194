"""Folds for cross-validation: units are dealt out, label by label, so that folds and the labels in them are even."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.preprocess.splits.units import Ints, Units
from tidemill.errors import InvalidInput


def deal_folds(units: Units, labels: Ints | None, folds: int, what: str) -> npt.NDArray[np.int8]:
    """The fold of every unit, 1 … ``folds``; ``labels`` of the rows of ``units``, where the task has classes.

    Without labels a unit goes where the middle of its rows is when all are laid out in the seeded order, which keeps
    folds even however uneven the units are.
    """
    if len(units.sizes) < folds:
        raise InvalidInput(f"data.split.folds is {folds}, but there are only {len(units.sizes)} different {what}")
    fold = np.empty(len(units.sizes), np.int8)
    if labels is None:
        filled = np.cumsum(units.sizes[units.order], dtype=np.int64)
        middle = filled - units.sizes[units.order] / 2
        fold[units.order] = np.minimum(middle * folds // filled[-1], folds - 1) + 1
        return fold
    label = np.zeros(len(units.sizes), np.int32)
    label[units.of] = labels
    by_label = units.order[np.argsort(label[units.order], kind="stable")]
    fold[by_label] = np.arange(len(by_label)) % folds + 1
    return fold
