"""Compressed files as chunks of bytes: memory stays bounded whatever the file says, and a cut file is an error."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from services.ingest.archives.kinds import HEAD, Compression
from tidemill.errors import InvalidInput

CHUNK = 1 << 18
_XZ_MEMORY = 256 << 20
_ZSTD_WINDOW = 128 << 20
_ZSTD_INPUT = 512
"""Compressed bytes given to zstd at once: four of them can stand for 128 KiB, and it bounds nothing by itself."""


def chunks(path: Path, compression: Compression | None) -> Iterator[bytes]:
    """The bytes of the file, decompressed, some at a time.

    Raises:
        InvalidInput: it is cut or damaged, or needs more memory to open than any usual one does.
    """
    try:
        yield from _READERS[compression](path) if compression else _plain(path)
    except EOFError:
        raise InvalidInput(f"{path.name} ends too early; copy it again") from None
    except (zlib.error, lzma.LZMAError, gzip.BadGzipFile, _Damaged, ValueError) as error:
        raise InvalidInput(f"{path.name} cannot be decompressed: {error}; copy or pack it again") from None
    except OSError as error:
        if compression != "bzip2" or error.errno is not None:
            raise
        raise InvalidInput(f"{path.name} cannot be decompressed: {error}; copy or pack it again") from None


def first_bytes(path: Path, compression: Compression) -> bytes:
    """The first ``HEAD`` bytes of the decompressed file. Raises InvalidInput as ``chunks`` does."""
    head = b""
    for chunk in chunks(path, compression):
        head += chunk
        if len(head) >= HEAD:
            break
    return head[:HEAD]


class _Damaged(Exception):
    """zstandard's own error, under a name that is there before that module is loaded."""


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _gzip(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _bzip2(path: Path) -> Iterator[bytes]:
    with bz2.open(path) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _xz(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        waiting = file.read(CHUNK)
        while waiting:
            stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
            while not stream.eof:
                if stream.needs_input and not waiting:
                    waiting = file.read(CHUNK)
                    if not waiting:
                        raise EOFError
                chunk = stream.decompress(waiting, CHUNK)
                waiting = b""
                if chunk:
                    yield chunk
            # Zeros may stand between and behind streams (xz format, 2.2).
            waiting = stream.unused_data or file.read(CHUNK)
            while waiting and not waiting.strip(b"\0"):
                waiting = file.read(CHUNK)
            waiting = waiting.lstrip(b"\0")


def _zstd(path: Path) -> Iterator[bytes]:
    import zstandard

    with path.open("rb") as file:
        waiting = file.read(_ZSTD_INPUT)
        try:
            while waiting:
                frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
                while not frame.eof:
                    if not waiting:
                        raise EOFError
                    chunk = frame.decompress(waiting)
                    waiting = b"" if frame.eof else file.read(_ZSTD_INPUT)
                    if chunk:
                        yield chunk
                waiting = frame.unused_data or file.read(_ZSTD_INPUT)
        except zstandard.ZstdError as error:
            raise _Damaged(str(error)) from None


_READERS: dict[Compression, Callable[[Path], Iterator[bytes]]] = {
    "gzip": _gzip,
    "bzip2": _bzip2,
    "xz": _xz,
    "zstd": _zstd,
}
