"""Bytes that do not decode, kept visible in text: each becomes one lone surrogate, which no valid text holds.

Python's own ``surrogateescape`` does this for bytes above 0x7f only; UTF-16 and GB18030 have bad bytes below as well.
"""

from __future__ import annotations

import codecs
import re

_HANDLER = "tidemill-undecodable"
_MARK = re.compile("[\ud800-\udfff]")


def keep_undecodable() -> str:
    """The name of the error handler for ``open`` and decoders that marks bad bytes instead of raising."""
    codecs.register_error(_HANDLER, _marked)
    return _HANDLER


def first_undecodable(text: str) -> str | None:
    """The first bad byte in ``text`` as people write it (``0xE9``), or None."""
    found = None if text.isascii() else _MARK.search(text)
    return f"0x{ord(found[0]) & 0xFF:02X}" if found else None


def undecodable(place: str, byte: str, encoding: str) -> str:
    """The reason for a row with such a byte, at ``place`` ("line 7")."""
    return (
        f"{place}: the byte {byte} is not valid {encoding}; repair it, or name the file's encoding in the recipe, "
        "e.g.  data: {encoding: gb18030}"
    )


def shown(text: str) -> str:
    r"""``text`` with every bad byte written as ``\xE9``, so that it can be stored."""
    return text if text.isascii() else _MARK.sub(lambda mark: f"\\x{ord(mark[0]) & 0xFF:02X}", text)


def _marked(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in bad), error.end
