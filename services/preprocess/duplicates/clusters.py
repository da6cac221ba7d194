"""Clusters of near duplicates: candidates band by band, compared exactly, united where they are alike.

Memory holds one band of all rows at a time. A cluster is what similarity connects: two of its rows may be alike through
others alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.preprocess.duplicates.files import KeyFiles
from services.preprocess.duplicates.groups import Mask, Rows, equal_rows, roots, unite
from services.preprocess.duplicates.minhash import BANDS, TEXT, bands_and_rows
from services.preprocess.duplicates.similar import ShingleSets
from tidemill.contracts.preparation import NearDuplicates

_CLOSE = 16
"""Rows of a bucket that each of its rows is compared with: in a bucket of up to 17 all with all."""
_LEADERS = 8
"""In a larger one, first rows that all others are compared with, so that a bucket costs no more than its size."""

_POSITION = np.uint64(30)
"""Bits for the position of a row: a thousand million rows can be looked at."""


@dataclass(frozen=True)
class Clusters:
    """``group``: the first row of each row's cluster. ``same``: the first row of those with the same tokens."""

    group: Rows
    same: Rows
    sets: ShingleSets

    def similarity(self, left: Rows, right: Rows) -> npt.NDArray[np.float64]:
        """Jaccard similarity of pairs of rows of one cluster."""
        left, right = self.same[left], self.same[right]
        result = np.ones(len(left))
        different = left != right
        result[different] = self.sets.jaccard(left[different], right[different])
        return result


def near_clusters(
    keys: KeyFiles, among: Mask, rule: NearDuplicates, part: npt.NDArray[np.int8] | None = None,
    scratch: Path | None = None,
) -> Clusters:  # fmt: skip
    """Clusters of the rows that are ``among``; with ``part``, none reaches over parts. Texts without tokens are alone.

    Of texts with the same tokens only the first is compared. ``scratch``: where temporary files go.
    """
    among = among & ((keys.column(TEXT[0]) != 0) | (keys.column(TEXT[1]) != 0))
    same = equal_rows(lambda half: keys.column(TEXT[half]), among, part)
    distinct = np.flatnonzero(among & (same == np.arange(keys.rows)))
    group = same.copy()
    with ExitStack() as open_files:
        bands = _Bands(keys, distinct, bands_and_rows(rule.threshold, rule.permutations)[0], scratch, open_files)
        of_part = None if part is None else part[distinct]
        candidate = np.zeros(len(distinct), dtype=np.bool_)
        for values in bands.each(of_part):
            candidate |= _shared(values)
        wanted = np.zeros(keys.rows, dtype=np.bool_)
        wanted[distinct[candidate]] = True
        sets = ShingleSets(keys, wanted, rule.shingle, scratch)
        comparison = _Comparison(group, sets, rule.threshold)
        for values in bands.each(of_part):
            comparison.of_buckets(values[candidate], distinct[candidate])
    every = np.arange(keys.rows)
    roots(group, every)
    return Clusters(group, same, sets)


class _Bands:
    """The bands of some rows, a file for each band, so that one can be read without the others."""

    def __init__(self, keys: KeyFiles, rows: Rows, bands: int, scratch: Path | None, open_files: ExitStack) -> None:
        self._files = [open_files.enter_context(tempfile.TemporaryFile(dir=scratch)) for _ in range(bands)]  # noqa: SIM115
        for first, packed in keys.batches(BANDS):
            begin, end = np.searchsorted(rows, [first, first + len(packed)])
            offset = packed.offset * 4 * bands
            values = np.frombuffer(packed.buffers()[1], "<u4", len(packed) * bands, offset).reshape(-1, bands)
            chosen = values[rows[begin:end] - first]
            for band, file in enumerate(self._files):
                file.write(chosen[:, band].tobytes())

    def each(self, part: npt.NDArray[np.int8] | None) -> Iterator[npt.NDArray[np.uint64]]:
        """The rows' values of each band; equal in equal parts only, when ``part`` is given."""
        for file in self._files:
            file.seek(0)
            values = np.fromfile(file, dtype="<u4").astype(np.uint64)
            yield values if part is None else (values << np.uint64(2)) | part.astype(np.uint64)


class _Comparison:
    """Compares the rows of buckets and unites what is alike, in ``group``. Pairs that are united are left out."""

    def __init__(self, group: Rows, sets: ShingleSets, threshold: float) -> None:
        self._group, self._sets, self._threshold = group, sets, threshold

    def of_buckets(self, values: npt.NDArray[np.uint64], rows: Rows) -> None:
        """Compare the ``rows``, ascending, that have the same value."""
        values, order = _sorted(values)
        rows = rows[order]
        for _ in range(_LEADERS):
            starts = np.flatnonzero(np.diff(values, prepend=~values[:1]))
            sizes = np.diff(starts, append=len(values))
            large = np.repeat(sizes > _CLOSE + 1, sizes)
            if not large.any():
                break
            leader = np.repeat(rows[starts], sizes)
            self._compare(leader[large], rows[large])
            stays = ~large | (roots(self._group, rows) != roots(self._group, leader))
            values, rows = values[stays], rows[stays]
        for distance in range(1, _CLOSE + 1):
            equal = np.flatnonzero(values[distance:] == values[:-distance])
            if not len(equal):
                break
            self._compare(rows[equal], rows[equal + distance])

    def _compare(self, left: Rows, right: Rows) -> None:
        apart = roots(self._group, left) != roots(self._group, right)
        left, right = left[apart], right[apart]
        alike = self._sets.alike(left, right, self._threshold)
        unite(self._group, left[alike], right[alike])


def _shared(values: npt.NDArray[np.uint64]) -> Mask:
    """Which values occur more than once."""
    ascending, order = _sorted(values)
    equal = ascending[1:] == ascending[:-1]
    shared = np.zeros(len(values), dtype=np.bool_)
    shared[order[1:][equal]] = True
    shared[order[:-1][equal]] = True
    return shared


def _sorted(values: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], Rows]:
    """``values``, of 34 bits, ascending, and where each was; equal ones stay in their order.

    Sorting values with their positions below them is several times faster than sorting positions by values.
    """
    keyed = (values << _POSITION) | np.arange(len(values), dtype=np.uint64)
    keyed.sort()
    return keyed >> _POSITION, (keyed & ((np.uint64(1) << _POSITION) - np.uint64(1))).astype(np.int64)
