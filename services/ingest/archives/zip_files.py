"""Opens zip files without believing the size that they give for their own directory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_DIRECTORY = 64 << 20
"""Bytes; some 700,000 members with short names."""


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip at ``path``. Raises BadZipFile, among others, when it is damaged."""
    with _Bounded(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        yield archive


class _Bounded(io.BufferedReader):
    """A file of which at most ``MAX_DIRECTORY`` bytes are read at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = MAX_DIRECTORY + 1 if size is None or size < 0 else size
        data = super().read(wanted) if wanted <= MAX_DIRECTORY + 1 else b""
        if wanted > MAX_DIRECTORY + 1 or len(data) > MAX_DIRECTORY:
            raise zipfile.BadZipFile("its directory is too large")
        return data
