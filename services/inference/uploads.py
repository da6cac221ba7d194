"""Multipart uploads, streamed to disk: fields are kept, files are written as they come, never held in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import python_multipart
from python_multipart.exceptions import FormParserError
from starlette.requests import Request

from services.inference.web.bodies import allowed_bytes, refuse_declared_length, too_large
from tidemill.errors import InvalidInput, TransientError
from tidemill.file_names import FileNames, is_hidden

_FIELD_BYTES = 1 << 20
_WRITE_BYTES = 1 << 20


@dataclass
class Form:
    """A multipart body's fields by name, and the files that were written: relative paths with ``/``."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


@dataclass
class _Part:
    """``path``: where a file goes, None for a field."""

    name: str
    path: Path | None
    data: bytearray = field(default_factory=bytearray)


async def receive_form(
    request: Request, folder: Path, *, fields: Collection[str], max_bytes: int, max_files: int
) -> Form:
    """Read the body; files go to ``folder`` under the relative paths that the client gave them (``train/a.png``).

    ``fields`` are the names of the fields that may come, each once; another is refused before its value is read.

    Raises:
        InvalidInput: it is not multipart, a field is not known, a file's name cannot be used, or either came twice.
        HttpProblem: 413, more than ``max_bytes``, or than the caller may send.
        TransientError: the disk is full.
    """
    max_bytes = allowed_bytes(request, max_bytes)
    refuse_declared_length(request, max_bytes)
    receiver = _Receiver(_boundary(request), folder, fields, max_files)
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise too_large(max_bytes)
            receiver.feed(chunk)
            if receiver.unwritten >= _WRITE_BYTES:
                await asyncio.to_thread(receiver.write)
        await asyncio.to_thread(receiver.finish)
    except FormParserError as error:
        raise InvalidInput(f"the multipart body is malformed: {error}") from None
    except OSError as error:
        raise TransientError(f"the upload cannot be written: {error.strerror}") from error
    finally:
        receiver.close()
    return receiver.form


class _Receiver:
    """The parser's callbacks. Bytes of files are collected and written by ``write``, off the event loop.

    One file is open at a time: they come one after the other.
    """

    def __init__(self, boundary: bytes, folder: Path, fields: Collection[str], max_files: int) -> None:
        self.form = Form()
        self.unwritten = 0
        self._folder = folder
        self._fields = fields
        self._max_files = max_files
        self._part: _Part | None = None
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._disposition = b""
        self._names = FileNames("the upload")
        self._open: tuple[Path, BinaryIO] | None = None
        self._waiting: list[tuple[Path, bytes]] = []
        self._ended = False
        self._parser = python_multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes of the body."""
        self._parser.write(chunk)

    def write(self) -> None:
        """Write what was collected."""
        waiting, self._waiting, self.unwritten = self._waiting, [], 0
        for path, data in waiting:
            self._opened(path).write(data)

    def finish(self) -> None:
        """The body is complete."""
        self._parser.finalize()
        if not self._ended:
            raise InvalidInput("the multipart body ends too early; send it again")
        self.write()

    def close(self) -> None:
        """Close the file that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _opened(self, path: Path) -> BinaryIO:
        if self._open is not None and self._open[0] == path:
            return self._open[1]
        self.close()
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
        self._open = (path, file)
        return file

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_end(self) -> None:
        name, value = self._header
        if bytes(name).lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = (bytearray(), bytearray())

    def _on_headers_finished(self) -> None:
        _, options = python_multipart.multipart.parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if not name:
            raise InvalidInput("a part of the multipart body has no name in its Content-Disposition")
        if b"filename" not in options:
            self._part = _Part(self._checked_field(name), None)
            return
        if name != "file":
            raise InvalidInput(f"files are sent in parts named 'file', not {name!r}")
        self._part = _Part(name, self._new_file(options[b"filename"].decode("utf-8", "replace")))

    def _checked_field(self, name: str) -> str:
        if name == "file":
            raise InvalidInput("a part named 'file' has no file name; give it one such as train.csv")
        if name not in self._fields:
            raise InvalidInput(f"field {name!r} is not known; known are {', '.join(self._fields)} and file")
        if name in self.form.fields:
            raise InvalidInput(f"field {name!r} was sent twice; send it once")
        return name

    def _new_file(self, given: str) -> Path:
        if len(self.form.files) >= self._max_files:
            raise InvalidInput(
                f"more than {self._max_files:,} files were sent (TIDEMILL_INFERENCE_UPLOAD_FILES); "
                "pack them into one zip or tar.gz archive and send that"
            )
        name = self._names.add(given)
        if is_hidden(name):
            raise InvalidInput(f"the upload holds a hidden file, {given!r}; leave it out, or rename it")
        self.form.files.append(name)
        path = self._folder / name
        self._waiting.append((path, b""))  # an empty file is one, too
        return path

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        assert self._part is not None
        piece = data[start:end]
        if self._part.path is not None:
            self._waiting.append((self._part.path, piece))
            self.unwritten += len(piece)
            return
        self._part.data.extend(piece)
        if len(self._part.data) > _FIELD_BYTES:
            raise InvalidInput(f"field {self._part.name!r} has more than {_FIELD_BYTES:,} bytes")

    def _on_part_end(self) -> None:
        part, self._part = self._part, None
        if part is None or part.path is not None:
            return
        try:
            self.form.fields[part.name] = part.data.decode()
        except UnicodeDecodeError:
            raise InvalidInput(f"field {part.name!r} is not UTF-8 text") from None

    def _on_end(self) -> None:
        self._ended = True


def _boundary(request: Request) -> bytes:
    kind, options = python_multipart.multipart.parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidInput("send multipart/form-data with a boundary, or application/json")
    return boundary
