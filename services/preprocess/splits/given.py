"""What has to be true of parts that came with the dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from services.preprocess.splits.units import PARTS, TRAIN, Bools, Ints
from tidemill.errors import InvalidInput


def check_given(
    part: npt.NDArray[np.int8], stay: Bools, labels: Ints | None, names: Sequence[str],
    numbers: Callable[[Ints], Ints],
    given: Sequence[str],
) -> None:  # fmt: skip
    """Raise InvalidInput when a given part has no row left, or a label that training lacks."""
    for place, name in enumerate(PARTS):
        if name in given and not (stay & (part == place)).any():
            raise InvalidInput(
                f"the {name} part has no row left: all of its rows are empty, contradictory or in another part too; "
                "give it rows of its own"
            )
    if labels is None:
        return
    known = np.unique(labels[stay & (part == TRAIN)])
    if len(known) < 2:
        raise InvalidInput(
            f"only the label {names[known[0]]!r} of the training part is left after cleaning; a classifier needs at "
            "least two classes: add rows"
        )
    strange = np.flatnonzero(stay & ~np.isin(labels, known))
    if len(strange):
        row, (number,) = strange[0], numbers(strange[:1])
        raise InvalidInput(
            f"the {PARTS[part[row]]} part, row {number}: label {names[labels[row]]!r} does not occur in the "
            f"training part ({len(known)} labels: {listed([names[place] for place in known])}), after rows that it "
            "shares with other parts were removed; correct the label or add training rows of that class"
        )


def listed(labels: Sequence[str]) -> str:
    """Some labels, for a message."""
    shown = ", ".join(repr(label) for label in labels[:10])
    return shown if len(labels) <= 10 else f"{shown} and {len(labels) - 10} more"
