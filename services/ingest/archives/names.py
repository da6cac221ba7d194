"""How the names in a zip are encoded: older packers write them in the encoding of their machine and do not say which.

APPNOTE 6.3.10, 4.4.4 (bit 11) and 4.6.9 (Unicode path field); what is left is guessed over all names of an archive.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Sequence

_UTF8 = 0x800
_UNICODE_PATH = 0x7075
_MOST_ARE_COMMON = 0.8


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
    """Whether most pairs of bytes are those of GB 2312's characters, which Western words make by chance alone."""
    pairs = common = at = 0
    while at < len(names) - 1:
        if names[at] < 0x80:
            at += 1
            continue
        pairs += 1
        common += 0xB0 <= names[at] <= 0xF7 and names[at + 1] >= 0xA1
        at += 2
    return common >= _MOST_ARE_COMMON * pairs


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
