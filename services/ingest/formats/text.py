"""Opening text files: as lines of text, or as bytes of UTF-8 whatever their encoding. Lines stay bounded."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

from services.ingest.formats.encoding import TextEncoding

_CHUNK = 1 << 20
_BOM = "\ufeff"


@contextmanager
def open_text(
    path: Path, encoding: TextEncoding, *, newline: Literal["", "\n"] = "\n"
) -> Iterator[tuple[io.TextIOWrapper, BinaryIO]]:
    """The file as text, bad bytes marked, and the file below it, which knows how far it was read."""
    with (
        path.open("rb") as raw,
        io.TextIOWrapper(raw, encoding.name, errors=encoding.errors, newline=newline) as file,
    ):
        yield file, raw


def bounded_lines(file: io.TextIOWrapper, encoding: TextEncoding, max_line: int) -> Iterator[str]:
    """The lines of ``file`` with their ends; of one that is longer than ``max_line`` its first ``max_line + 1``
    characters."""
    lines = iter(partial(file.readline, max_line + 1), "") if encoding.long_lines else iter(file)
    first = next(lines, "").removeprefix(_BOM)
    if first:
        yield first
        if not _is_whole(first, max_line):
            _skip_line(file, max_line)
    if not encoding.long_lines:
        yield from lines
        return
    for line in lines:
        yield line
        if not _is_whole(line, max_line):
            _skip_line(file, max_line)


def _is_whole(line: str, max_line: int) -> bool:
    return len(line) <= max_line or line.endswith("\n")


def _skip_line(file: io.TextIOWrapper, max_line: int) -> None:
    while (rest := file.readline(max_line)) and not rest.endswith("\n"):
        pass


@contextmanager
def open_utf8(path: Path, encoding: TextEncoding) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The text of a file that decodes as bytes of UTF-8 without a byte order mark, and the file below it."""
    with path.open("rb") as raw:
        if encoding.name in ("utf-8", "ascii"):
            yield raw, raw
        elif encoding.name == "utf-8-sig":
            raw.seek(len(codecs.BOM_UTF8))
            yield raw, raw
        else:
            yield io.BufferedReader(_Recoded(raw, encoding.name), _CHUNK), raw


class _Recoded(io.RawIOBase):
    """UTF-8 bytes of text in another encoding."""

    def __init__(self, raw: BinaryIO, encoding: str) -> None:
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            chunk = self._raw.read(_CHUNK)
            self._ended = not chunk
            self._ready = self._decoder.decode(chunk, final=self._ended).encode("utf-8")
        taken = self._ready[: len(buffer)]
        self._ready = self._ready[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)
