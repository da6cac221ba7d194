"""Finds the entry of an annotations file that names a media file: by its path, or by the end of it.

Entries are held as one sorted Arrow array, about as many bytes as their names have.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.ingest.media.checks import Unusable


class FileNames:
    """Entries (``what``: row, image) of the annotations file ``source`` by the names of files they hold.

    ``cats/1.jpg`` is named by ``cats/1.jpg``, else by ``1.jpg``, else by ``1``. An entry that fits several files, and a
    file that several entries name, are nobody's.
    """

    def __init__(self, names: pa.Array, source: str, what: str, numbers: npt.NDArray[np.int64] | None = None) -> None:
        """``numbers``: of the entries in their file, from 1; one after the other when absent."""
        clean = pc.fill_null(names.cast(pa.string()), "")
        clean = pc.replace_substring(pc.utf8_trim_whitespace(clean), "\\", "/")
        clean = pc.replace_substring_regex(clean, r"^(\./)+", "")
        order = pc.sort_indices(clean)
        self._entry = order.to_numpy().astype(np.int64)
        self._sorted = clean.take(order)
        self._files = np.zeros(len(clean), dtype=np.uint8)
        self._source = source
        self._what = what
        self.numbers = np.arange(1, len(clean) + 1) if numbers is None else numbers

    def match(self, paths: Iterable[str]) -> None:
        """Count which files each entry fits."""
        for path in paths:
            for entry in self._fitting(path):
                self._files[entry] = min(2, self._files[entry] + 1)

    def fits(self, path: str) -> bool:
        """Whether an entry names the file."""
        return bool(self._fitting(path))

    def entry(self, path: str) -> int:
        """The number of the entry, from 0, that names the file. Raises Unusable when there is not exactly one."""
        found = self._fitting(path)
        if not found:
            raise Unusable(f"is named by no {self._what} of {self._source}; add one, or take the file away")
        if len(found) > 1:
            numbers = ", ".join(str(self.numbers[entry]) for entry in sorted(found)[:5])
            raise Unusable(f"is named by more than one {self._what} of {self._source} ({numbers}); keep one of them")
        if self._files[found[0]] > 1:
            raise Unusable(
                f"is not the only file that {self._what} {self.numbers[found[0]]} of {self._source} could mean; write "
                "the folder into the name there"
            )
        return found[0]

    def without_file(self) -> Iterator[tuple[int, str]]:
        """Entries, from 0, that no file fits, with the names that they hold."""
        position = np.argsort(self._entry)
        for entry in np.flatnonzero(self._files == 0).tolist():
            yield entry, self._name(int(position[entry]))

    def _fitting(self, path: str) -> list[int]:
        ends = path.split("/")
        for first in range(len(ends)):
            end = "/".join(ends[first:])
            for name in (end, end.removesuffix(PurePosixPath(end).suffix)):
                start = bisect_left(range(len(self._sorted)), name, key=self._name)
                stop = bisect_right(range(len(self._sorted)), name, lo=start, key=self._name)
                if stop > start:
                    return [int(entry) for entry in self._entry[start:stop]]
        return []

    def _name(self, position: int) -> str:
        return str(self._sorted[position].as_py())
