"""Whether a delimited file is written so plainly that every parser reads the same rows from it.

Plain means: every quote is where RFC 4180 wants it, every row has the same number of fields, lines end in LF or CRLF,
and nothing is too long. Arrow's parser, which is fast and says little, may then read what the csv module would.
NumPy looks at the few bytes that matter; a million rows of 100 bytes take a fraction of a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from services.ingest.formats.dialect import Dialect

LONGEST_ROW = 1 << 20
"""Bytes of a row from which on it is not plain: a parser that reads in blocks has to find its end in one."""
_CHUNK = 1 << 22
_DELIMITER, _LF, _CR, _QUOTE = 1, 2, 3, 4
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Plain:
    """``joined``: quoted fields hold line breaks."""

    joined: bool


def check_plain(
    stream: BinaryIO, dialect: Dialect, width: int, *, max_cell: int, headers: tuple[bytes, ...] = ()
) -> Plain | None:
    """Read the UTF-8 text of ``stream`` to its end; None when it is not plain, or not rows of ``width`` fields.

    A field of more than ``max_cell`` bytes, a byte order mark inside, and one of the lines ``headers`` standing there
    again are not plain either.
    """
    if dialect.skip_space:
        return None
    kinds = np.zeros(256, np.uint8)
    kinds[[ord(dialect.delimiter), 10, 13]] = _DELIMITER, _LF, _CR
    if dialect.quoted:
        kinds[ord('"')] = _QUOTE
    matters = bytes((kinds > 0).astype(np.uint8))
    rest, joined, ended, begun = b"", False, False, False
    while not ended:
        chunk = stream.read(_CHUNK)
        ended = not chunk
        text = rest + chunk
        if ended and text and not text.endswith(b"\n"):
            text += b"\n"
        repeated = any(b"\n" + header in text for header in headers) or (begun and text.startswith(headers))
        if _BOM in text or repeated:
            return None
        places = np.flatnonzero(np.frombuffer(text.translate(matters), bool))
        checked = _check_rows(np.frombuffer(text, np.uint8), places, kinds, width, max_cell)
        if checked is None:
            return None
        end, joins = checked
        joined |= joins
        rest, begun = text[end:], begun or end > 0
        if len(rest) > LONGEST_ROW:
            return None
    return Plain(joined) if not rest else None


def _check_rows(
    text: NDArray[Any], places: NDArray[Any], kinds: NDArray[Any], width: int, max_cell: int
) -> tuple[int, bool] | None:
    """Where the last whole row of ``text`` ends, and whether line breaks are inside of fields; None if not plain.

    The bytes that matter are at ``places``.
    """
    kind = kinds[text[places]]
    is_quote = kind == _QUOTE
    inside = (np.cumsum(is_quote) & 1).astype(bool)
    ends = np.flatnonzero((kind == _LF) & ~inside)
    if not len(ends):
        return 0, False
    last = ends[-1] + 1
    places, kind, is_quote, inside = places[:last], kind[:last], is_quote[:last], inside[:last]
    if not _quotes_fit(text, kinds, places[is_quote]):
        return None
    breaks = ~is_quote & ~inside
    returns = places[(kind == _CR) & breaks]
    if len(returns) and not (text[returns + 1] == 10).all():
        return None
    row_ends = places[ends]
    lengths = np.diff(row_ends, prepend=-1)
    if lengths.max() > LONGEST_ROW:
        return None
    empty = (lengths == 1) | ((lengths == 2) & (text[np.maximum(row_ends - 1, 0)] == 13))
    delimiters = np.cumsum((kind == _DELIMITER) & breaks)[ends]
    if not ((np.diff(delimiters, prepend=0) == width - 1) | empty).all():
        return None
    if np.diff(places[breaks], prepend=-1).max() > max_cell:
        return None
    return int(row_ends[-1]) + 1, bool((inside & ((kind == _LF) | (kind == _CR))).any())


def _quotes_fit(text: NDArray[Any], kinds: NDArray[Any], quotes: NDArray[Any]) -> bool:
    """Whether every opening quote begins a field and every closing one ends it; a doubled one closes and opens."""
    opening, closing = quotes[0::2], quotes[1::2]
    before = kinds[text[np.maximum(opening - 1, 0)]]
    begins = (opening == 0) | (before == _DELIMITER) | (before == _LF)
    again = np.zeros(len(opening), bool)
    again[1:] = opening[1:] == closing[: len(opening) - 1] + 1
    return bool((begins | again).all() and kinds[text[closing + 1]].all())
