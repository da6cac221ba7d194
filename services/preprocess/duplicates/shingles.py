"""Tokens and shingles: what two texts have to share to be near duplicates.

A token is a run of letters, marks and digits of the text without case; punctuation and symbols separate. In scripts
written without spaces between words every character is a token. A shingle is ``size`` tokens in a row; a text of fewer
is one shingle as a whole, so that short texts are compared for equality. A shingle is known by a 32-bit hash: in two
texts of a thousand shingles each, one in 4,000 pairs of texts has a shingle in common by chance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from daft import Expression
from daft import functions as f

from services.preprocess.duplicates.keys import folded_text

_UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
_BETWEEN_TOKENS = r"[^\p{L}\p{N}\p{M}]+"
_ODD = np.uint64(0x9E37_79B9_7F4A_7C15)
"""2⁶⁴ divided by the golden ratio, as in Knuth's multiplicative hashing."""


def tokens(text: Expression) -> Expression:
    """The tokens of ``text`` with one space between them; empty where it has none, null where it is null."""
    spaced = f.regexp_replace(folded_text(text), _UNSPACED, " $1 ")
    return f.strip(f.regexp_replace(spaced, _BETWEEN_TOKENS, " "))


def mixed(hashes: npt.NDArray[np.uint64], values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """``hashes`` with one value more each: multiply and shift, all bits of the result depending on all of both."""
    hashes = (hashes ^ values) * _ODD
    hashes ^= hashes >> np.uint64(32)
    return hashes


def shingle_sets(
    lengths: npt.NDArray[np.int64], token_hashes: npt.NDArray[np.uint32], size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """The shingles of texts whose tokens' hashes stand one text after the other, ``lengths`` of each text.

    Returns how many different shingles each text has, int64 [texts], and their hashes, uint32, text by text, ascending.
    """
    counts = np.where(lengths == 0, 0, np.maximum(lengths - size + 1, 1))
    text = np.repeat(np.arange(len(lengths)), counts)
    within = np.arange(len(text)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = np.repeat(np.cumsum(lengths) - lengths, counts) + within
    available = np.repeat(lengths, counts) - within
    hashes = np.full(len(text), _ODD)
    for place in range(size):
        there = available > place
        values = np.zeros(len(text), dtype=np.uint64)
        values[there] = token_hashes[first[there] + place]
        hashes = mixed(hashes, values)
    keyed = np.sort((text.astype(np.uint64) << np.uint64(32)) | (hashes >> np.uint64(32)))
    keyed = keyed[np.diff(keyed, prepend=~keyed[:1]) != 0]
    different = np.bincount((keyed >> np.uint64(32)).astype(np.int64), minlength=len(lengths))
    return different.astype(np.int64), (keyed & np.uint64(0xFFFF_FFFF)).astype(np.uint32)
