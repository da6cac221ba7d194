"""The members of a tar stream (POSIX.1-2017, pax; GNU tar's long names), in bounded memory whatever its headers say.

Not the standard library's reader: that one holds what a header calls its size in memory, and takes a cut file for a
complete one.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator

from services.ingest.archives.kinds import is_tar_header
from services.ingest.archives.writing import Unpacked
from tidemill.errors import InvalidInput

_BLOCK = 512
_MAX_HEADER = 1 << 16
"""Bytes of a long name or of a member's extended header."""
_END = b"\0" * _BLOCK
_FILES, _HARD, _SYMBOLIC, _FOLDER = b"0\0007", b"1", b"2", b"5"
_DEVICES = {b"3": "a character device", b"4": "a block device", b"6": "a named pipe"}
_PAX_RECORD = re.compile(rb"(\d{1,6}) ([^=]+)=")
_SPARSE = "GNU.sparse"


class _Stream:
    """Chunks as something to read exact numbers of bytes from."""

    def __init__(self, chunks: Iterable[bytes], archive: str) -> None:
        self._chunks = iter(chunks)
        self._rest = b""
        self._archive = archive

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes, in pieces. Raises InvalidInput when the stream ends before."""
        while size:
            self._rest = self._rest or next(self._chunks, b"")
            if not self._rest:
                raise InvalidInput(f"archive {self._archive} ends in the middle of a member; copy it again")
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield piece

    def read(self, size: int) -> bytes:
        """As ``pieces``, in one: for headers."""
        return b"".join(self.pieces(size))

    def remaining(self) -> Iterator[bytes]:
        """What is left."""
        yield self._rest
        yield from self._chunks


class _Member:
    """The content of one member, of which whoever takes it may leave some."""

    def __init__(self, stream: _Stream, size: int) -> None:
        self._stream = stream
        self._left = size
        self._padding = -size % _BLOCK

    def content(self) -> Iterator[bytes]:
        for piece in self._stream.pieces(self._left):
            self._left -= len(piece)
            yield piece

    def skip(self) -> None:
        for _ in self._stream.pieces(self._left + self._padding):
            pass


def unpack_tar(chunks: Iterable[bytes], into: Unpacked, archive: str) -> None:
    """Write the members of the tar stream ``chunks`` to ``into``.

    Raises:
        InvalidInput: damaged, cut, or it holds what is no file: a device, a link out of the archive, a sparse file.
    """
    stream = _Stream(chunks, archive)
    everywhere: dict[str, str] = {}
    own: dict[str, str] = {}
    while (header := stream.read(_BLOCK)) != _END:
        if not is_tar_header(header):
            raise InvalidInput(f"archive {archive} is damaged: a member's header has a wrong checksum; pack it again")
        size, kind = _number(header[124:136], archive), header[156:157]
        if kind in (b"x", b"g", b"L", b"K"):
            if size > _MAX_HEADER:
                raise InvalidInput(f"archive {archive} has a header of {size:,} bytes; pack it again")
            content = stream.read(size + -size % _BLOCK)[:size]
            if kind == b"g":
                everywhere |= _pax(content, archive)
            else:
                own |= _pax(content, archive) if kind == b"x" else {_LONG[kind]: _text(content)}
            continue
        _take(header, kind, size, everywhere | own, stream, into, archive)
        own = {}
    _check_end(stream, archive)


_LONG = {b"L": "path", b"K": "linkpath"}


def _take(
    header: bytes, kind: bytes, size: int, extended: dict[str, str], stream: _Stream, into: Unpacked, archive: str
) -> None:
    name = extended.get("path") or _name(header)
    if kind == b"S" or _SPARSE in extended:
        raise InvalidInput(f"archive {archive} holds {name!r} as a sparse file; pack it without --sparse")
    if "size" in extended:
        size = int(extended["size"]) if extended["size"].isdecimal() and len(extended["size"]) < 19 else -1
    if size < 0:
        raise InvalidInput(f"archive {archive} is damaged: {name!r} has no valid size; pack it again")
    if kind in _DEVICES:
        raise InvalidInput(f"archive {archive} holds {name!r}, {_DEVICES[kind]}; pack regular files alone")
    if kind in (_HARD, _SYMBOLIC):
        into.link(name, extended.get("linkpath") or _text(header[157:257]), hard=kind == _HARD)
        return
    member = _Member(stream, size)
    # Before POSIX, a folder was a file whose name ends in a slash.
    if kind == _FOLDER or (kind in _FILES and name.endswith("/")):
        into.folder_of(name)
    elif kind in _FILES:
        into.write(name, member.content())
    else:
        raise InvalidInput(f"archive {archive} holds {name!r}, which is no regular file; pack regular files alone")
    member.skip()


def _name(header: bytes) -> str:
    prefix = header[345:500] if header[257:263] == b"ustar\0" else b""
    return _text(prefix.partition(b"\0")[0] + b"/" * bool(prefix.strip(b"\0")) + header[:100])


def _text(raw: bytes) -> str:
    """A name, which old archives hold in any encoding; a NUL ends it."""
    raw = raw.partition(b"\0")[0]
    for encoding in ("utf-8", "gb18030"):
        try:
            return codecs.decode(raw, encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def _number(field: bytes, archive: str) -> int:
    if field[0] == 0x80:  # GNU's base 256, for what octal digits cannot hold
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", digits):
        raise InvalidInput(f"archive {archive} is damaged: a member has no valid size; pack it again")
    return int(digits or b"0", 8)


def _pax(content: bytes, archive: str) -> dict[str, str]:
    records: dict[str, str] = {}
    while content:
        found = _PAX_RECORD.match(content)
        length = int(found[1]) if found else 0
        if not found or length <= found.end() or content[length - 1 : length] != b"\n":
            raise InvalidInput(f"archive {archive} is damaged: an extended header cannot be read; pack it again")
        key = ".".join(found[2].decode("latin-1").split(".")[:2])
        if key in ("path", "linkpath", "size", _SPARSE):
            records[key] = _text(content[found.end() : length - 1])
        content = content[length:]
    return records


def _check_end(stream: _Stream, archive: str) -> None:
    """The rest is read, so that a checksum behind it is looked at; it has to be zeros."""
    for chunk in stream.remaining():
        if chunk.strip(b"\0"):
            raise InvalidInput(f"archive {archive} has more behind its end mark; pack it again")
