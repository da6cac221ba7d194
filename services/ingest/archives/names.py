"""How the names in a zip are encoded: older packers write them in the encoding of their machine and do not say which.

APPNOTE 6.3.10, 4.4.4 (bit 11) and 4.6.9 (Unicode path field); what is left is guessed over all names of an archive.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Sequence

_UTF8 = 0x800
_UNICODE_PATH = 0x7075
_CHINESE = re.compile(r"[\u2014-\u2026\u3000-\u301f\u3400-\u9fff\uff01-\uff5e]")
"""Characters, and the punctuation that goes with them."""


def member_names(members: Sequence[zipfile.ZipInfo]) -> list[str]:
    """The members' names in their order, as their writers saw them."""
    raw = [b"" if member.flag_bits & _UTF8 else member.orig_filename.encode("cp437") for member in members]
    encoding = _encoding(b"".join(name + b"\n" for name in raw))
    return [
        _unicode_path(member, name) or (name.decode(encoding) if name else member.orig_filename)
        for member, name in zip(members, raw, strict=True)
    ]


def _encoding(names: bytes) -> str:
    if names.isascii():
        return "ascii"
    for encoding in ("utf-8", "gb18030"):
        try:
            names.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or _is_chinese(names):
            return encoding
    return "cp437"


def _is_chinese(names: bytes) -> bool:
    """Whether the names, as GB 18030, are of Chinese characters alone, and not made by chance of Western ones: there an
    accented letter stands between plain ones, whereas most second bytes of a Chinese character are no plain letters."""
    chinese = [character for character in names.decode("gb18030") if not character.isascii()]
    pairs = [character.encode("gb18030") for character in chinese]
    high = sum(len(pair) == 2 and pair[1] >= 0x80 for pair in pairs)
    return all(_CHINESE.match(character) for character in chinese) and 2 * high >= len(pairs)


def _unicode_path(member: zipfile.ZipInfo, raw: bytes) -> str | None:
    """The name in the extra field that Info-ZIP writes beside one that is no UTF-8; it counts if it is of that name."""
    extra = member.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        content, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and raw and len(content) > 5 and content[0] == 1:
            (checksum,) = struct.unpack_from("<L", content, 1)
            if checksum == zlib.crc32(raw):
                try:
                    return content[5:].decode("utf-8")
                except UnicodeDecodeError:
                    return None
    return None
