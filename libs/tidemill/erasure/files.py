"""Looks through a file of any format for a value: tables row by row, archives member by member, everything else as
bytes. Memory does not grow with the file.

What cannot be looked into is said: the pixels of images, the sound of recordings, encrypted and foreign archives.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from tidemill.erasure.subject import Matcher
from tidemill.erasure.tables import BATCH_ROWS, holds_in_schema, parquet_batches, rows_with
from tidemill.erasure.texts import found_in, holds

DEEPEST = 4
"""Archives within archives that are opened."""
LARGEST = 256 << 30
"""Bytes that may come out of one archive."""
_BLOCK = 1 << 20
_HEAD = 512
_ARROW_STREAM = b"\xff\xff\xff\xff"

_STREAMS: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
    (b"\x28\xb5\x2f\xfd", lambda file: pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")),
    (b"\x04\x22\x4d\x18", lambda file: pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "lz4")),
)  # fmt: skip
_OPAQUE: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "images"), (b"\xff\xd8\xff", "images"), (b"GIF8", "images"), (b"BM", "images"),
    (b"II*\x00", "images"), (b"MM\x00*", "images"), (b"RIFF", "images and recordings"), (b"fLaC", "recordings"),
    (b"OggS", "recordings"), (b"ID3", "recordings"), (b"\xff\xfb", "recordings"),
    (b"%PDF", "PDF documents"), (b"7z\xbc\xaf\x27\x1c", "7z archives"), (b"Rar!", "RAR archives"),
)  # fmt: skip
"""Of these the bytes as they are are looked through, and no more."""
_BROKEN = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error, lzma.LZMAError,
           zipfile.BadZipFile, tarfile.TarError, pa.ArrowException)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What a file is found to hold."""

    held: bool = False
    """Whether the value is in it."""
    rows: int = 0
    """Rows of tables with the value."""
    unsearched: frozenset[str] = frozenset()
    """What in it could not be looked into, in words of a person."""

    def __or__(self, other: Found) -> Found:
        return Found(self.held or other.held, self.rows + other.rows, self.unsearched | other.unsearched)


def search_file(path: Path, matcher: Matcher, *, depth: int = 0) -> Found:
    """Look through a file; never raises for what is in it."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    try:
        if head.startswith(b"PAR1"):
            return _table(_parquet(path, matcher))
        if head.startswith((b"ARROW1", _ARROW_STREAM)):
            return _table(_arrow(path, matcher, stream=not head.startswith(b"ARROW1")))
        if head.startswith(b"PK\x03\x04"):
            return _zip(path, matcher, depth)
    except _BROKEN as error:
        return _as_bytes(path, matcher) | Found(unsearched=frozenset({f"damaged files ({type(error).__name__})"}))
    with path.open("rb") as file:
        return _stream(file, matcher, depth)


def _table(found: Iterator[int | bool]) -> Found:
    held, rows = False, 0
    for one in found:
        held |= bool(one)
        rows += 0 if isinstance(one, bool) else one
    return Found(held, rows)


def _parquet(path: Path, matcher: Matcher) -> Iterator[int | bool]:
    schema = None
    for batch in parquet_batches(path):
        if schema is None:
            schema = batch.schema
            yield holds_in_schema(schema, matcher)
        yield int(rows_with(batch, matcher).sum())


def _arrow(path: Path, matcher: Matcher, *, stream: bool) -> Iterator[int | bool]:
    with pa.memory_map(str(path)) as source, (pa.ipc.open_stream if stream else pa.ipc.open_file)(source) as file:
        yield holds_in_schema(file.schema, matcher)
        batches = iter(file) if stream else map(file.get_batch, range(file.num_record_batches))
        for batch in batches:
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield int(rows_with(batch.slice(start, BATCH_ROWS), matcher).sum())


def _zip(path: Path, matcher: Matcher, depth: int) -> Found:
    if depth >= DEEPEST:
        return _as_bytes(path, matcher) | _too_deep()
    found, room = Found(), LARGEST
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            found |= Found(found_in(member.filename, matcher))
            if member.is_dir():
                continue
            room -= member.file_size
            if member.flag_bits & 0x1:
                found |= Found(unsearched=frozenset({"encrypted archives"}))
            elif room < 0:
                return found | Found(unsearched=frozenset({f"archives of more than {LARGEST >> 30} GiB"}))
            else:
                with archive.open(member) as file:
                    found |= _member(file, matcher, depth + 1)
    return found


def _stream(file: IO[bytes], matcher: Matcher, depth: int) -> Found:
    """A file that is read from its begin to its end."""
    reader = _Ahead(file)
    head = reader.head
    opened = next((open_ for magic, open_ in _STREAMS if head.startswith(magic)), None)
    if opened is not None or head[257:262] == b"ustar":
        if depth >= DEEPEST:
            return Found(holds(reader.blocks(), matcher)) | _too_deep()
        try:
            if opened is None:
                return _tar(reader, matcher, depth)
            with opened(reader) as inner:
                return _member(inner, matcher, depth + 1)
        except _BROKEN as error:
            return Found(unsearched=frozenset({f"damaged archives ({type(error).__name__})"}))
    opaque = next((what for magic, what in _OPAQUE if head.startswith(magic)), None)
    found = Found(holds(reader.blocks(), matcher, text=opaque is None))
    return found if opaque is None else found | Found(unsearched=frozenset({opaque}))


def _tar(file: _Ahead, matcher: Matcher, depth: int) -> Found:
    found = Found()
    with tarfile.open(fileobj=file, mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            found |= Found(found_in(member.name, matcher))
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                found |= _member(content, matcher, depth + 1)
    return found


def _member(file: IO[bytes], matcher: Matcher, depth: int) -> Found:
    """A file inside another one; what has to be read back and forth is put on the disk first."""
    reader = _Ahead(file)
    if not reader.head.startswith((b"PAR1", b"ARROW1", b"PK\x03\x04", _ARROW_STREAM)):
        return _stream(reader, matcher, depth)  # type: ignore[arg-type]
    with tempfile.NamedTemporaryFile() as aside:
        for block in reader.blocks():
            aside.write(block)
        aside.flush()
        return search_file(Path(aside.name), matcher, depth=depth)


def _as_bytes(path: Path, matcher: Matcher) -> Found:
    with path.open("rb") as file:
        return Found(holds(iter(lambda: file.read(_BLOCK), b""), matcher))


def _too_deep() -> Found:
    return Found(unsearched=frozenset({f"archives nested more than {DEEPEST} deep"}))


class _Ahead:
    """A file of which the first bytes were looked at. Readable from its begin to its end, and counted."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = LARGEST
        self.head = _exactly(file, _HEAD)
        self._before = self.head
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """As a file does it."""
        if size < 0:
            return b"".join(self.blocks())
        taken, self._before = self._before[:size], self._before[size:]
        read = taken or self._file.read(size) or b""
        self._left -= len(read)
        if self._left < 0:
            raise ValueError("too much comes out of this archive")
        return bytes(read)

    def blocks(self) -> Iterator[bytes]:
        """What is left, block by block."""
        while block := self.read(_BLOCK):
            yield block

    def readable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """The file below is its owner's to close."""


def _exactly(file: IO[bytes], size: int) -> bytes:
    read = b""
    while len(read) < size and (more := file.read(size - len(read))):
        read += bytes(more)
    return read
