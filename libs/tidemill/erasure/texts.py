"""Looks through bytes for a value, in constant memory, whatever they are encoded in.

Bytes are read as UTF-8 first. Others that could hold the value are tried where there are signs of them: UTF-16 and
UTF-32 where there are NUL bytes, national encodings where the bytes are no UTF-8 and the value is not ASCII. What JSON,
addresses and HTML write in another way (``\\u5f20``, ``%40``, ``&#64;``) is read too.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from tidemill.erasure.subject import LONGEST, Matcher, folded

WINDOW = 1 << 20
"""Bytes looked at together."""
OVERLAP = 64 * LONGEST
"""Bytes of a window that the next one sees again: more than any form of a value takes."""
_EDGE = 64
"""Characters at the inner edges of a window whose surroundings may be cut off; the window beside it sees them whole."""

_NATIONAL = ("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "cp1252", "cp1251")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}")
_REFERENCE = re.compile(r"&(?:#|[a-zA-Z]{2,8};)")
_SIMPLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def holds(blocks: Iterable[bytes], matcher: Matcher, *, text: bool = True) -> bool:
    """Whether the bytes hold the value; ``text`` false looks for UTF-8 alone, as in images and recordings."""
    return any(
        _inside(place, len(compared), first=first, last=last)
        for window, first, last in _windows(blocks)
        for decoded in (_decoded(window, matcher) if text else [window.decode("utf-8", "replace")])
        for written in writings(decoded)
        for compared in [folded(written)]
        for place in matcher.places(compared)
    )


def found_in(text: str, matcher: Matcher) -> bool:
    """Whether ``text`` holds the value, however it is written there."""
    return any(matcher.found_in(written) for written in writings(text))


def writings(text: str) -> Iterator[str]:
    """``text``, and what it says where it is JSON, an address or HTML."""
    yield text
    if "\\" in text:
        yield _ESCAPE.sub(_unescaped, text)
    if _PERCENT.search(text):
        yield unquote(text, errors="replace")
    if _REFERENCE.search(text):
        yield html.unescape(text)


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else _SIMPLE.get(match[2], match[2])


def _windows(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bool, bool]]:
    """Windows that overlap, and whether each is the first and the last one."""
    window, first = b"", True
    for block in blocks:
        for start in range(0, len(block), WINDOW):
            window += block[start : start + WINDOW]
            if len(window) >= WINDOW + OVERLAP:
                yield window, first, False
                window, first = window[-OVERLAP:], False
    if window:
        yield window, first, True


def _inside(place: tuple[int, int], length: int, *, first: bool, last: bool) -> bool:
    return (first or place[0] >= _EDGE) and (last or place[1] <= length - _EDGE)


def _decoded(window: bytes, matcher: Matcher) -> Iterator[str]:
    text = window.decode("utf-8", "replace")
    yield text
    if b"\x00" in window:
        for start in (0, 1):
            yield window[start:].decode("utf-16-le", "replace")
            yield window[start:].decode("utf-16-be", "replace")
        if b"\x00\x00" in window:
            for start in range(4):
                yield window[start:].decode("utf-32-le", "replace")
    if "\ufffd" in text and not matcher.is_ascii:
        for encoding in _NATIONAL:
            yield window.decode(encoding, "replace")
