"""Server-sent events out of a stream of bytes, after the WHATWG HTML standard, section 9.2.6."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerSentEvent:
    """One event; a ``kind`` of ``""`` is a comment, which servers send to keep the connection open."""

    kind: str
    data: str


def parse(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Events in ``chunks``. Only CR, LF and CRLF end a line: JSON may hold other line separators."""
    kind, data = "message", list[str]()
    for line in _lines(chunks):
        if not line:
            if data:
                yield ServerSentEvent(kind, "\n".join(data))
            kind, data = "message", []
            continue
        if line.startswith(":"):
            yield ServerSentEvent("", line[1:].strip())
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            data.append(value)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        rest += chunk
        if rest.endswith(b"\r"):  # its LF may be in the next chunk
            continue
        *whole, rest = rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
