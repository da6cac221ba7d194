"""Every part has its share of every class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from services.preprocess.splits.units import TRAIN, Ints, Units
from tidemill.errors import InvalidInput


def stratified(
    units: Units,
    labels: Ints,
    names: Sequence[str],
    shares: Mapping[int, float],
    numbers: Callable[[Ints], Ints],
    what: str,
) -> npt.NDArray[np.int8]:
    """The part of every unit: one of ``shares``, or training for the rest.

    Within each label, units are drawn until a part has its share of the label's rows, at least one; a unit that has
    several labels goes to training. ``labels`` are those of the rows of ``units``, as places in ``names``; ``numbers``
    name rows in messages, and ``what`` what a row is.

    Raises:
        InvalidInput: a class has too few distinct units to be in every part.
    """
    label, mixed = _label_of(units, labels)
    part = np.full(len(units.sizes), TRAIN, np.int8)
    by_label = units.order[~mixed[units.order]]
    by_label = by_label[np.argsort(label[by_label], kind="stable")]
    begins = np.searchsorted(label[by_label], np.arange(len(names) + 1))
    rows = np.bincount(labels, minlength=len(names))
    in_train = np.zeros(len(names), np.bool_)
    in_train[np.unique(labels[mixed[units.of]])] = True
    distinct = np.diff(begins) + in_train
    needed = len(shares) + 1
    if (distinct[rows > 0] < needed).any():
        small = np.flatnonzero((rows > 0) & (distinct < needed))
        raise _too_small(small, labels, names, lambda of_it: numbers(units.rows[of_it]), distinct, needed, what)
    for place in range(len(names)):
        own = by_label[begins[place] : begins[place + 1]]
        _draw(own, np.cumsum(units.sizes[own], dtype=np.int64), int(rows[place]), shares, not in_train[place], part)
    return part


def _draw(
    own: Ints, filled: Ints, rows: int, shares: Mapping[int, float], train_needs_one: bool, part: npt.NDArray[np.int8]
) -> None:
    """Give the units ``own`` of a label, in their order, to the parts; ``filled`` are their rows, added up."""
    reserved, position = len(shares) + train_needs_one, 0
    for number, share in shares.items():
        reserved -= 1
        wanted = max(1, math.floor(rows * share + 0.5)) + (int(filled[position - 1]) if position else 0)
        enough = int(np.searchsorted(filled, wanted)) + 1
        end = min(enough, max(position + 1, len(own) - reserved))
        part[own[position:end]] = number
        position = min(end, len(own))


def _label_of(units: Units, labels: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """A label of each unit, and whether its rows have others too."""
    first = np.zeros(len(units.sizes), np.int32)
    first[units.of] = labels
    mixed = np.zeros(len(units.sizes), np.bool_)
    mixed[units.of[labels != first[units.of]]] = True
    return first, mixed


def _too_small(
    small: Ints,
    labels: Ints,
    names: Sequence[str],
    numbers: Callable[[Ints], Ints],
    distinct: Ints,
    needed: int,
    what: str,
) -> InvalidInput:
    def described(place: int) -> str:
        of_it = np.flatnonzero(labels == place)
        shown = ", ".join(str(number) for number in numbers(of_it[:3])) + ("…" if len(of_it) > 3 else "")
        found = f"1 row (row {shown})" if len(of_it) == 1 else f"{len(of_it)} rows (rows {shown})"
        return f"{names[place]!r} has {found}" + (
            f" of {distinct[place]} different {what}" if len(of_it) >= needed else ""
        )

    listed = [described(int(place)) for place in small[:10]]
    more = f" and {len(small) - len(listed)} more" if len(small) > len(listed) else ""
    return InvalidInput(
        f"every class needs at least {needed} different {what}, to be in every part; class "
        f"{', class '.join(listed)}{more}; add rows of the class, give its rows another label, or remove them"
    )
