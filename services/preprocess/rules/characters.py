"""Characters that Daft's functions (Rust's) and Python's see alike, so that a text of them can stay in Arrow.

They are of one mind about most letters. Not about: accents without a letter (part of a word in Rust alone), numbers
that are no digits (in Python alone), the Turkish İ and ı (the i of Python, in any case), and what Unicode has added
since the older of the two was made. Σ is left out because its lower case depends on its neighbours.
"""

from __future__ import annotations

from daft import Expression
from daft import functions as fn

ALIKE = (
    (0x0000, 0x00B1), (0x00B4, 0x00B8), (0x00BA, 0x00BB), (0x00BF, 0x012F), (0x0132, 0x02FF), (0x0388, 0x03A2),
    (0x03A4, 0x0482), (0x048A, 0x052F), (0x05D0, 0x05EA), (0x1E00, 0x1EFF), (0x2010, 0x203E), (0x20A0, 0x20BF),
    (0x2190, 0x2426), (0x2500, 0x2775), (0x2794, 0x2BFF), (0x3000, 0x3029), (0x3030, 0x3098), (0x309B, 0x30FF),
    (0x3105, 0x312F), (0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0xFF00, 0xFF3E), (0xFF40, 0xFFEF), (0x1F300, 0x1FAFF),
)  # fmt: skip
"""Ranges of characters with the same lower case, that are part of a word in both or in neither, and that are another
case of the same letters."""

_OTHERS = "[^" + "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in ALIKE) + "]"


def needs_python(text: Expression) -> Expression:
    """Whether a text has a character about which they may differ: then Python's function is asked, as in serving."""
    return fn.regexp(text, _OTHERS)
