"""Which rows go because others say the same, and which must stay together: decided on keys alone.

A row counts while it stays: what one rule removed is neither a duplicate nor the first of any for those after it.
Independent of where shards begin and end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.preprocess.duplicates.clusters import Clusters, near_clusters
from services.preprocess.duplicates.files import KeyFiles
from services.preprocess.duplicates.found import Duplicates, Pair, Reason, Rules
from services.preprocess.duplicates.groups import Mask, Rows, equal_rows, in_company, roots, unite
from services.preprocess.duplicates.keys import CONTENT, EXAMPLE, LEAKAGE

Parts = npt.NDArray[np.int8]

_SHOWN = 5
"""Pairs of each reason that are kept for the report."""


def find_duplicates(
    keys: KeyFiles, part: Parts, staying: Mask, rules: Rules, *, scratch: Path | None = None
) -> Duplicates:
    """Decide about all rows, in this order: contradictions, duplicates, rows of later parts, near duplicates.

    Of contradicting rows none stays; of duplicates and near duplicates of a part the first. Of given parts test stays
    as it is, validation gives way to test, and training to both. Temporary files go to ``scratch``.
    """
    decision = _Decision(part, staying)
    if rules.drop_duplicates:
        example = _equal(keys, EXAMPLE, decision.stays, part)
        if rules.contradictions:
            content = _equal(keys, CONTENT, decision.stays, part)
            decision.remove_contradicting(content, example)
            del content
        decision.remove_repeated(example, Reason.DUPLICATE)
        del example
    group = _equal(keys, LEAKAGE, decision.stays)
    if rules.given:
        decision.remove_from_earlier_parts(group, Reason.IN_LATER_PART)
    if rules.near is not None:
        over_parts = rules.near.across != "keep"
        clusters = near_clusters(keys, decision.stays, rules.near, None if over_parts else part, scratch)
        if rules.given and over_parts:
            decision.remove_from_earlier_parts(clusters.group, Reason.NEAR_LATER_PART, clusters)
        if rules.near.within == "drop":
            decision.remove_repeated(clusters.group, Reason.NEAR_DUPLICATE, clusters)
        if over_parts:
            unite(group, np.arange(keys.rows), clusters.group)
            roots(group, np.arange(keys.rows))
    return Duplicates(decision.removed, group, tuple(decision.pairs))


def rows_in_later_parts(part: Parts, group: Rows, staying: Mask) -> Mask:
    """The rows that have to go from earlier parts, because a row of their group stays in a later one."""
    gone: Mask = staying & (part < _reached(part, group, staying)[group])
    return gone


class _Decision:
    """What was decided so far: which rows stay, why the others went, and pairs that show it."""

    def __init__(self, part: Parts, staying: Mask) -> None:
        self._part = part
        self.stays = staying.copy()
        self.removed = np.zeros(len(part), dtype=np.int8)
        self.pairs: list[Pair] = []

    def remove_contradicting(self, content: Rows, example: Rows) -> None:
        mixed = np.zeros(len(content), dtype=np.bool_)
        mixed[content[example[content] != example]] = True

        def another(rows: Rows) -> Rows:
            others = [np.argmax((content == content[row]) & (example != example[row])) for row in rows]
            return np.array(others, dtype=np.int64)

        self._remove(mixed[content], Reason.CONTRADICTION, another)

    def remove_repeated(self, group: Rows, reason: Reason, clusters: Clusters | None = None) -> None:
        """All but the first row of each group in each part."""
        gone = np.zeros(len(group), dtype=np.bool_)
        together = self.stays & in_company(group)
        first = np.zeros(len(group), dtype=np.int64)
        for number in np.unique(self._part):
            rows = np.flatnonzero(together & (self._part == number))
            own = _first_of(group, rows)[group[rows]]
            first[rows], gone[rows] = own, own != rows
        self._remove(gone, reason, lambda rows: first[rows], clusters)

    def remove_from_earlier_parts(self, group: Rows, reason: Reason, clusters: Clusters | None = None) -> None:
        """The rows whose group has a row in a later part."""
        reached = _reached(self._part, group, self.stays)
        in_last = self.stays & (self._part == reached[group])

        def kept(rows: Rows) -> Rows:
            return _first_of(group, np.flatnonzero(in_last))[group[rows]]

        self._remove(rows_in_later_parts(self._part, group, self.stays), reason, kept, clusters)

    def _remove(
        self, gone: Mask, reason: Reason, kept: Callable[[Rows], Rows], clusters: Clusters | None = None
    ) -> None:
        shown = np.flatnonzero(gone)[:_SHOWN]
        first = kept(shown)
        similarity = np.ones(len(shown)) if clusters is None else clusters.similarity(shown, first)
        found = zip(shown.tolist(), first.tolist(), similarity.tolist(), strict=True)
        self.pairs += [Pair(reason, row, of, alike) for row, of, alike in found]
        self.removed[gone] = reason
        self.stays &= ~gone


def _equal(keys: KeyFiles, names: tuple[str, str], among: Mask, part: Parts | None = None) -> Rows:
    return equal_rows(lambda half: keys.column(names[half]), among, part)


def _reached(part: Parts, group: Rows, staying: Mask) -> Parts:
    """The latest part that the rows of each group are in, at the group's first row."""
    reached = np.zeros(len(part), dtype=np.int8)
    for number in np.unique(part[staying]):
        if number:
            reached[group[staying & (part == number)]] = number
    return reached


def _first_of(group: Rows, rows: Rows) -> Rows:
    """The first of ``rows``, ascending, in each group, at the group's first row; 0 where there is none."""
    first = np.zeros(len(group), dtype=np.int64)
    first[group[rows[::-1]]] = rows[::-1]  # of equal places the last assignment holds
    return first
