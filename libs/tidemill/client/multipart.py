"""A multipart body (RFC 7578) of any number of files, made while it is sent: one file is open at a time."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tidemill.errors import InvalidInput

_CHUNK = 1 << 18

Sent = Callable[[int, int], None]
"""Called with the bytes sent so far, and those of the whole body."""


class MultipartBody:
    """Fields, then files as parts named ``file``; ``files`` are their names (``train/a.png``) and where they are.

    May be sent again: every iteration begins anew.

    Raises:
        InvalidInput: while made, a file that cannot be read; while sent, one that has changed meanwhile.
    """

    def __init__(self, fields: Mapping[str, str], files: Sequence[tuple[str, Path]], sent: Sent | None = None) -> None:
        self._boundary = secrets.token_hex(16)
        self._fields = b"".join(self._head(name) + value.encode() + b"\r\n" for name, value in fields.items())
        self._files = [(self._head("file", name), path, _size(path)) for name, path in files]
        self._end = f"--{self._boundary}--\r\n".encode()
        self._sent = sent
        self.length = len(self._fields) + len(self._end) + sum(len(head) + size + 2 for head, _, size in self._files)
        """Bytes."""

    @property
    def headers(self) -> dict[str, str]:
        """What the request says of the body."""
        kind = f"multipart/form-data; boundary={self._boundary}"
        return {"Content-Type": kind, "Content-Length": str(self.length)}

    def __iter__(self) -> Iterator[bytes]:
        done = 0
        for piece in self._pieces():
            yield piece
            done += len(piece)
            if self._sent is not None:
                self._sent(done, self.length)

    def _pieces(self) -> Iterator[bytes]:
        yield self._fields
        for head, path, size in self._files:
            yield head
            yield from _content(path, size)
            yield b"\r\n"
        yield self._end

    def _head(self, name: str, file_name: str | None = None) -> bytes:
        named = f'; filename="{_quoted(file_name)}"' if file_name is not None else ""
        return f'--{self._boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"{named}\r\n\r\n'.encode()


def _size(path: Path) -> int:
    try:
        with path.open("rb"):
            return path.stat().st_size
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    try:
        with path.open("rb") as file:
            while chunk := file.read(min(_CHUNK, left)):
                left -= len(chunk)
                yield chunk
            grown = bool(file.read(1))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    if left or grown:
        raise InvalidInput(f"{path} changed while it was sent; send it again when nobody writes to it")


def _quoted(text: str) -> str:
    if "\r" in text or "\n" in text:
        raise InvalidInput(f"{text!r} holds a line break; rename the file")
    return text.replace("\\", "\\\\").replace('"', '\\"')
