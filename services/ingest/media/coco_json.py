"""Reads the lists of a COCO file one element at a time, so that a file of gigabytes is never whole in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tidemill.errors import InvalidInput

LISTS = frozenset(("images", "annotations", "categories"))
_CHUNK = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_HEAD = 1 << 16
_SIGNS = (b'"images"', b'"annotations"', b'"categories"', b'"file_name"', b'"bbox"', b'"category_id"')


def looks_like_coco(path: Path) -> bool:
    """Whether the first bytes hold an object with at least two of COCO's keys."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and sum(sign in head for sign in _SIGNS) >= 2


def elements(path: Path, max_element: int) -> Iterator[tuple[str, int, Any]]:
    """Every element of the ``LISTS`` with its number in its list, from 1, in the order of the file.

    Raises:
        InvalidInput: it is no UTF-8 JSON object, one of the lists is none, or an element is longer than ``max_element``
            characters.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from _Document(path.name, file, max_element).elements()
    except UnicodeDecodeError:
        raise InvalidInput(f"{path.name} is no UTF-8, which JSON has to be; write it again") from None


class _Document:
    def __init__(self, name: str, file: TextIO, max_element: int) -> None:
        self._name = name
        self._file = file
        self._max = max_element
        self._text = ""
        self._at = 0
        self._before = 0
        self._ended = False

    def elements(self) -> Iterator[tuple[str, int, Any]]:
        self._take("{")
        while self._peek() != "}":
            key = self._value()
            self._take(":")
            if isinstance(key, str) and key in LISTS:
                if self._peek() != "[":
                    raise InvalidInput(f"{self._name}: {key!r} has to be a list; see the COCO format")
                for number, element in enumerate(self._list(), 1):
                    yield key, number, element
            else:
                self._value()
            if self._peek() != "}":
                self._take(",")
        self._take("}")
        if self._peek():
            raise self._broken("something follows the end of the object")

    def _list(self) -> Iterator[Any]:
        self._take("[")
        while self._peek() != "]":
            yield self._value()
            if self._peek() != "]":
                self._take(",")
        self._take("]")

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._more():
                    continue
                raise self._broken(error.msg) from None
            except (RecursionError, ValueError) as error:
                raise self._broken(str(error).splitlines()[0]) from None
            # A number at the end of what was read may go on.
            if end == len(self._text) and self._more():
                continue
            self._at = end
            return value

    def _peek(self) -> str:
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def _take(self, character: str) -> None:
        found = self._peek()
        if found != character:
            raise self._broken(f"expected {character!r}, found {found!r}" if found else "it breaks off")
        self._at += 1

    def _more(self) -> bool:
        waiting = len(self._text) - self._at
        if self._ended:
            return False
        if waiting > self._max:
            raise InvalidInput(f"{self._name}: one element has more than {self._max:,} characters; check the file")
        read = self._file.read(max(_CHUNK, waiting))
        self._ended = not read
        self._before += self._at
        self._text, self._at = self._text[self._at :] + read, 0
        return bool(read)

    def _broken(self, reason: str) -> InvalidInput:
        return InvalidInput(
            f"{self._name}, character {self._before + self._at + 1:,}: not valid JSON ({reason}); write it again"
        )


_DECODER = json.JSONDecoder()
