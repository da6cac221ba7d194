"""The arrays of a NumPy archive, read row by row; what their headers say is checked before anything is allocated.

The format is described in numpy.lib.format. Pickled objects are never read: unpickling runs what is in them.
"""

from __future__ import annotations

import math
import tokenize
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from tidemill.errors import InvalidInput

_HEADER = 1 << 16
_UNREADABLE = (
    ValueError, OSError, EOFError, SyntaxError, OverflowError, TypeError, KeyError, RecursionError, MemoryError,
    tokenize.TokenError, zipfile.BadZipFile,
)  # fmt: skip
"""What NumPy raises for a header that is none: it is a Python expression."""


@dataclass(frozen=True)
class Member:
    """An array: name, shape, and type of its values."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def read_members(path: Path) -> list[Member]:
    """The arrays of the archive. Raises InvalidInput when one cannot be read, or is not as large as it says."""
    with zipfile.ZipFile(path) as archive:
        return [_member(path, archive, info) for info in archive.infolist()]


def read_rows(path: Path, member: Member, step: int) -> Iterator[np.ndarray[Any, Any]]:
    """The rows of ``member``, ``step`` at a time. Raises InvalidInput when the file ends before them."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{member.name}.npy") as file:
        _read_header(file)
        if member.fortran:
            # Columns stand one behind the other: only the whole has rows.
            content = file.read(member.row_bytes * member.shape[0])
            whole = np.frombuffer(content, member.dtype).reshape(member.shape, order="F")
            for start in range(0, member.shape[0], step):
                yield np.ascontiguousarray(whole[start : start + step])
            return
        for start in range(0, member.shape[0], step):
            count = min(step, member.shape[0] - start)
            content = file.read(count * member.row_bytes)
            if len(content) != count * member.row_bytes:
                raise InvalidInput(f"{path.name}: the array {member.name!r} breaks off; save it again")
            yield np.frombuffer(content, member.dtype).reshape(count, *member.shape[1:])


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    name = info.filename.removesuffix(".npy")
    try:
        with archive.open(info) as file:
            shape, fortran, dtype = _read_header(file)
            header = file.tell()
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(f"{path.name}: the array {name!r} cannot be read ({reason}); save it again") from None
    if dtype.hasobject:
        raise InvalidInput(
            f"{path.name}: the array {name!r} holds pickled objects, which are never read, since that runs whatever is "
            "in them; save numbers, or text as an array of a string type"
        )
    size = math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or size != info.file_size - header:
        raise InvalidInput(
            f"{path.name}: the array {name!r} says that it has the shape {shape} of {dtype}, {size:,} bytes, but "
            f"{info.file_size - header:,} are there; save it again"
        )
    return Member(name, shape, dtype, fortran)


def _read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version == (1, 0):
        return npy.read_array_header_1_0(file, max_header_size=_HEADER)
    if version == (2, 0):
        return npy.read_array_header_2_0(file, max_header_size=_HEADER)
    raise ValueError(f"version {version} of the array format is not known")
