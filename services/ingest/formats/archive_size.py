"""How large the members of a ZIP file are once unpacked, by unpacking them: what the headers say may be a lie."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from tidemill.errors import InvalidInput

LARGEST = 2 << 30
"""Bytes of all members of a workbook or an array archive."""
_CHUNK = 1 << 20
_LOCAL_HEADER = 30


def check_unpacked_size(path: Path, largest: int = LARGEST) -> None:
    """Make sure that the archive unpacks to what its directory says, and to ``largest`` bytes at most.

    Raises:
        InvalidInput: it is larger, lies about its size, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            members = archive.infolist()
            declared = sum(member.file_size for member in members)
            if declared > largest:
                raise InvalidInput(
                    f"{path.name} unpacks to {declared:,} bytes; at most {largest:,} are taken. "
                    "Publish the table as CSV or Parquet"
                )
            for member in members:
                if member.flag_bits & 1:
                    raise InvalidInput(f"{path.name} is encrypted; save it without a password")
                _check(path, file, member)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError) as error:
        raise InvalidInput(f"{path.name} is a damaged ZIP archive ({error}); save it again") from None


def _check(path: Path, file: BinaryIO, member: zipfile.ZipInfo) -> None:
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or not header.startswith(b"PK\x03\x04"):
        raise zipfile.BadZipFile(f"no member begins where {member.filename!r} should")
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    if member.compress_type == zipfile.ZIP_STORED:
        size = member.compress_size
    elif member.compress_type == zipfile.ZIP_DEFLATED:
        size = _inflated(file, member)
    else:
        raise zipfile.BadZipFile(f"{member.filename!r} is compressed in a way that workbooks do not use")
    if size != member.file_size:
        raise InvalidInput(
            f"{path.name} is not what it says: {member.filename!r} unpacks to another size than the "
            f"{member.file_size:,} bytes it names; get it from its source again"
        )


def _inflated(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Bytes that a member unpacks to; not many more than it names, however many there are."""
    inflate = zlib.decompressobj(-15)
    left, size = member.compress_size, 0
    while not inflate.eof and size <= member.file_size:
        packed = inflate.unconsumed_tail
        if not packed:
            packed = file.read(min(_CHUNK, left))
            left -= len(packed)
            if not packed:
                raise zipfile.BadZipFile(f"{member.filename!r} breaks off")
        size += len(inflate.decompress(packed, _CHUNK))
    return size
