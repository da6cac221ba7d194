"""What is asked about duplicates, and what was found: plain values for the deciding step and the report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from tidemill.contracts.preparation import NearDuplicates


class Reason(IntEnum):
    """Why a row goes; 0: it stays (or was gone before)."""

    STAYS = 0
    CONTRADICTION = 1
    """Its content occurs in its part with another label; all such rows go."""
    DUPLICATE = 2
    """The same example came earlier in its part."""
    IN_LATER_PART = 3
    """What two parts must not share is in a later given part too."""
    NEAR_DUPLICATE = 4
    """It resembles an earlier row of its part."""
    NEAR_LATER_PART = 5
    """It resembles a row of a later given part."""


@dataclass(frozen=True)
class Rules:
    """``given``: the parts came with the dataset, so that a row which a later part has too goes from the earlier one.
    ``contradictions``: the task has one right label for the same content (``one_label(task)``)."""

    drop_duplicates: bool
    contradictions: bool
    given: bool
    near: NearDuplicates | None = None


@dataclass(frozen=True)
class Pair:
    """For the report: ``row`` went because of ``kept`` (for a contradiction: the first row with another label).

    ``similarity``: Jaccard of their shingle sets; 1 for exact ones. In a cluster of near duplicates a row may resemble
    the first one through others alone, so it can be below the threshold."""

    reason: Reason
    row: int
    kept: int
    similarity: float


@dataclass(frozen=True)
class Duplicates:
    """``removed``: int8 [n], a ``Reason`` for every row. ``group``: int64 [n], the first row of those that must not be
    in different parts; only meaningful for rows that stay. ``pairs``: a few for each reason, in the order of rows."""

    removed: npt.NDArray[np.int8]
    group: npt.NDArray[np.int64]
    pairs: tuple[Pair, ...]
