"""Reads one JSON document piece by piece, so that a list of millions is never whole in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from services.ingest.formats.encoding import TextEncoding
from services.ingest.formats.json_values import EXACT, refuse_damaged
from services.ingest.formats.text import open_text
from tidemill.errors import InvalidInput

_CHUNK = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_CUT = 12
"""A value that ends with what was read so far breaks off at most this many characters before."""


@contextmanager
def open_json(path: Path, encoding: TextEncoding, max_value: int) -> Iterator[JsonStream]:
    """The document in ``path``; ``max_value`` bounds one value of it in characters."""
    with open_text(path, encoding) as (file, raw):
        stream = JsonStream(path, file, max_value)
        stream.position = lambda: raw.tell()
        yield stream


class JsonStream:
    """A cursor on a document. What is no JSON raises InvalidInput naming line and character."""

    def __init__(self, path: Path, file: TextIO, max_value: int) -> None:
        self._path = path
        self._file = file
        self._max_value = max_value
        self._text = file.read(_CHUNK).removeprefix("\ufeff")
        self._at = 0
        self._ended = False
        self._lines_before = 0
        self._start = 0
        self.position: Callable[[], int] = lambda: 0
        """Bytes read of the file."""

    def peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, expected: str) -> None:
        """Step over one of the characters ``expected``."""
        found = self.peek()
        if not found or found not in expected:
            raise self._problem(f"expected {' or '.join(map(repr, expected))}, found {found!r}" if found else "it ends")
        self._at += 1

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            self._start = self._at
            try:
                value, end = EXACT.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _CUT
                if cut and len(self._text) - self._at <= self._max_value and self._more():
                    continue
                self._at = min(error.pos, len(self._text))
                raise self._problem(error.msg) from None
            except RecursionError:
                raise self._problem("nested too deeply") from None
            # A number may go on.
            if end == len(self._text) and self._more():
                continue
            self._at = end
            return value

    def last_text(self) -> str:
        """The value that was read last, as it stands in the document."""
        return self._text[self._start : self._at]

    def last_place(self) -> str:
        """Where the value that was read last begins: ``line 5``."""
        return f"line {self._lines_before + self._text.count(chr(10), 0, self._start) + 1}"

    def refuse_damaged(self, value: Any) -> None:
        """Raise JsonProblem when the value read last holds a key twice in one object, or half of a surrogate pair."""
        refuse_damaged(self.last_text(), value)

    def entries(self) -> Iterator[str]:
        """The keys of the object that begins here. The caller takes each value before it goes on."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            if self.peek() != '"':
                raise self._problem("expected a key in double quotes")
            key = self.value()
            self.take(":")
            yield key
            if self.peek() == "}":
                self.take("}")
                return
            self.take(",}")

    def elements(self) -> Iterator[Any]:
        """The values of the list that begins here."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.peek() == "]":
                self.take("]")
                return
            self.take(",]")

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self.peek():
            raise self._problem("something follows the end of the document; write one object per line as JSON Lines")

    def _more(self) -> bool:
        """Read on. What was stepped over is forgotten, so that places are offsets into what is kept."""
        if self._ended:
            return False
        # The larger a value, the more is read at once: it is parsed again each time.
        chunk = self._file.read(max(_CHUNK, len(self._text) - self._at))
        if not chunk:
            self._ended = True
            return False
        self._lines_before += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return True

    def _problem(self, reason: str) -> InvalidInput:
        line = self._lines_before + self._text.count("\n", 0, self._at) + 1
        column = self._at - self._text.rfind("\n", 0, self._at)
        return InvalidInput(
            f"{self._path.name}, line {line}, character {column}: not valid JSON ({reason}); nothing behind it can be "
            "read. Write the document again, or as JSON Lines, where a bad line costs one row"
        )
