"""Chooses the method and applies it to the rows that come without a part; checks what given parts have to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.preprocess.splits.folds import deal_folds
from services.preprocess.splits.given import check_given
from services.preprocess.splits.stratified import stratified
from services.preprocess.splits.units import (
    PARTS,
    TEST,
    TRAIN,
    VALIDATION,
    Bools,
    Ints,
    Ranks,
    Units,
    joined,
    make_units,
)
from services.preprocess.splits.unstratified import drawn, latest
from tidemill.contracts.preparation import Split
from tidemill.errors import InvalidInput


@dataclass(frozen=True)
class Rows:
    """All rows; those that do not ``stay`` are gone already. Arrays have a value for each.

    ``part``: 0 training or not cut yet, 1 validation, 2 test. ``group``: what has to stay together. ``rank``: a seeded
    hash of what a row is. ``numbers``: those of rows in their ingested part, for messages. ``labels``: places in
    ``names``.
    """

    part: npt.NDArray[np.int8]
    stay: Bools
    group: Ints
    rank: Ranks
    numbers: Callable[[Ints], Ints]
    labels: Ints | None = None
    names: Sequence[str] = ()
    groups: Ints | None = None
    """A number for each value of the column ``split.group``."""
    times: npt.NDArray[np.float64] | None = None
    """Of the column ``split.time``."""
    what: str = "texts"


@dataclass(frozen=True)
class Cut:
    """``part``: int8 [rows]. ``fold``: int8 [rows], 0 where a row is in none."""

    part: npt.NDArray[np.int8]
    fold: npt.NDArray[np.int8]


def cut(rows: Rows, split: Split, given: Sequence[str]) -> Cut:
    """The part and the fold of every row that stays; parts that are ``given`` stay as they are.

    Raises:
        InvalidInput: the rows cannot be cut so that every part has some of every class, or a given part has labels
            that training lacks.
    """
    if not rows.stay.any():
        raise InvalidInput("no row is left after cleaning; the quality of the dataset has to be looked at first")
    whole = "data" in given
    shares = {TEST: split.test, VALIDATION: split.validation} if whole else {VALIDATION: split.validation}
    if not whole:
        check_given(rows.part, rows.stay, rows.labels, rows.names, rows.numbers, given)
    elif rows.labels is not None:
        check_classes(rows.labels[rows.stay], rows.names)
    part = rows.part.copy()
    cut_rows = np.flatnonzero(rows.stay & (rows.part == TRAIN)).astype(np.int32)
    if "validation" not in given:
        units = _units(rows, cut_rows, split)
        part[cut_rows] = units.row_values(_parts(units, rows, split, shares))
    check_left(part, np.where(rows.stay, 0, 1))
    return Cut(part, _folds(rows, part, split))


def check_classes(labels: Ints, names: Sequence[str], where: str = "") -> None:
    """Raise InvalidInput unless there are at least two classes."""
    found = np.unique(labels)
    if len(found) < 2:
        left = f"only the label {names[found[0]]!r}" if len(found) else "no row"
        raise InvalidInput(f"{left} {where}is left after cleaning; a classifier needs at least two classes: add rows")


def _parts(units: Units, rows: Rows, split: Split, shares: dict[int, float]) -> npt.NDArray[np.int8]:
    if split.method == "time":
        assert rows.times is not None, "the column of split.time was read"
        return latest(units, rows.times[units.rows], shares, rows.what)
    if split.method == "group":
        return drawn(units, shares, "groups")
    if split.method == "random" or rows.labels is None:
        return drawn(units, shares, rows.what)
    return stratified(units, rows.labels[units.rows], rows.names, shares, rows.numbers, rows.what)


def _units(rows: Rows, chosen: Ints, split: Split) -> Units:
    group = rows.group
    if split.method == "group":
        assert rows.groups is not None, "the column of split.group was read"
        group = joined(group, rows.groups[chosen], chosen)
    return make_units(chosen, group, rows.rank)


def _folds(rows: Rows, part: npt.NDArray[np.int8], split: Split) -> npt.NDArray[np.int8]:
    fold = np.zeros(len(part), np.int8)
    if split.folds is not None:
        chosen = np.flatnonzero(rows.stay & (part != TEST))
        units = _units(rows, chosen, split)
        labels = rows.labels[chosen] if rows.labels is not None and split.method == "stratified" else None
        fold[chosen] = units.row_values(deal_folds(units, labels, split.folds, rows.what))
    return fold


def check_left(part: npt.NDArray[np.int8], removed: npt.NDArray[Any]) -> None:
    """Raise InvalidInput when a part has no row that is not ``removed``."""
    empty = np.flatnonzero(np.bincount(part[removed == 0], minlength=len(PARTS)) == 0)
    if len(empty):
        raise InvalidInput(
            f"the {PARTS[empty[0]]} part has no row left: all of its rows are empty, contradictory or in another part "
            "too, or were removed by a rule; give it rows of its own"
        )
