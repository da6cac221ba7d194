"""Shingle sets of the rows that may have near duplicates, and their exact Jaccard similarity."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.preprocess.duplicates.files import KeyFiles
from services.preprocess.duplicates.groups import Mask, Rows
from services.preprocess.duplicates.minhash import TOKENS
from services.preprocess.duplicates.shingles import shingle_sets

_AT_ONCE = 1 << 21
"""Shingles that are compared at once; a pair that has more is compared alone."""


class ShingleSets:
    """The shingle sets of chosen rows. They are kept in an unnamed file, so that memory does not grow with texts."""

    def __init__(self, keys: KeyFiles, wanted: Mask, size: int, scratch: Path | None = None) -> None:
        """Read the tokens of the rows that are ``wanted``; shingles have ``size`` of them."""
        self._sizes = np.zeros(len(wanted), dtype=np.int64)
        self._hashes: npt.NDArray[np.uint32] = np.zeros(0, dtype=np.uint32)
        with tempfile.TemporaryFile(dir=scratch) as file:
            for first, tokens in keys.batches(TOKENS):
                rows = np.flatnonzero(wanted[first : first + len(tokens)])
                chosen = tokens.take(rows)
                lengths = np.diff(chosen.offsets.to_numpy()).astype(np.int64)
                self._sizes[first + rows], hashes = shingle_sets(lengths, chosen.flatten().to_numpy(), size)
                file.write(hashes.tobytes())
            file.flush()
            if self._sizes.any():
                self._hashes = np.memmap(file, dtype=np.uint32, mode="r")
        self._starts = np.cumsum(self._sizes) - self._sizes

    def jaccard(self, left: Rows, right: Rows) -> npt.NDArray[np.float64]:
        """Shared shingles over all shingles of each pair, 0 to 1."""
        similarity = np.zeros(len(left))
        together = self._sizes[left] + self._sizes[right]
        for pairs in _slices(together):
            shared = self._shared(left[pairs], right[pairs])
            similarity[pairs] = shared / (together[pairs] - shared)
        return similarity

    def alike(self, left: Rows, right: Rows, threshold: float) -> Mask:
        """Whether each pair's Jaccard similarity reaches ``threshold``."""
        small, large = np.sort(np.stack([self._sizes[left], self._sizes[right]]), axis=0)
        alike: Mask = small / large >= threshold  # no pair is more alike than its sizes are
        alike[alike] = self.jaccard(left[alike], right[alike]) >= threshold
        return alike

    def _shared(self, left: Rows, right: Rows) -> npt.NDArray[np.int64]:
        keyed = np.concatenate([self._numbered(left), self._numbered(right)])
        keyed.sort()
        twice = keyed[1:][keyed[1:] == keyed[:-1]]
        return np.bincount((twice >> np.uint64(32)).astype(np.int64), minlength=len(left)).astype(np.int64)

    def _numbered(self, rows: Rows) -> npt.NDArray[np.uint64]:
        """The shingles of ``rows``, each below the position of its row."""
        sizes = self._sizes[rows]
        position = np.repeat(np.arange(len(rows)), sizes)
        within = np.arange(len(position)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        hashes = self._hashes[self._starts[rows][position] + within]
        keyed: npt.NDArray[np.uint64] = (position.astype(np.uint64) << np.uint64(32)) | hashes
        return keyed


def _slices(sizes: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Stretches of pairs that have ``_AT_ONCE`` shingles together at most."""
    ends = np.cumsum(sizes)
    begin = 0
    while begin < len(sizes):
        done = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, done + _AT_ONCE, side="right")))
        yield slice(begin, end)
        begin = end
