"""Makes archives for the tests, good ones and such as no packer makes."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping

ROWS = b"text,label\ngood,yes\nbad,no\n"


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return packed.getvalue()


def zip_entry(name: bytes, content: bytes = ROWS, *, mode: int = 0, system: int = 3) -> bytes:
    """A zip of one member whose name is these bytes, in whatever encoding."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        info = zipfile.ZipInfo("n" * len(name))
        info.external_attr, info.create_system = mode << 16, system
        archive.writestr(info, content)
    return packed.getvalue().replace(b"n" * len(name), name)


def tarred(members: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def tar_entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", content: bytes = b"") -> bytes:
    """One member and the end of the archive; put others before it with ``joined``."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, target, len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def joined(*archives: bytes) -> bytes:
    """Tar archives as one."""
    return b"".join(
        archive.rstrip(b"\0").ljust(-(-len(archive.rstrip(b"\0")) // 512) * 512, b"\0") for archive in archives
    ) + bytes(1024)


def tar_header(name: bytes, size: bytes, kind: bytes) -> bytes:
    """512 bytes with a right checksum, whatever stands in the fields."""
    header = bytearray(512)
    header[: len(name)] = name
    header[124 : 124 + len(size)] = size
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header)


def overlapping() -> bytes:
    """A zip with two members in its directory that are the same bytes (as in Fifield's bombs)."""
    packed = zipped({"a.csv": ROWS, "b.csv": ROWS})
    directory = packed.index(b"PK\x01\x02")
    second = packed.index(b"PK\x01\x02", directory + 4)
    return packed[: second + 42] + struct.pack("<L", 0) + packed[second + 46 :]


def with_figure(packed: bytes, at: int, form: str, value: int) -> bytes:
    """The first entry of a zip's directory with another figure ``at`` bytes into it."""
    place = packed.index(b"PK\x01\x02") + at
    return packed[:place] + struct.pack(form, value) + packed[place + struct.calcsize(form) :]


def with_unicode_path(name: bytes, real: str) -> bytes:
    """A zip whose member has Info-ZIP's field with its name in UTF-8."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        info = zipfile.ZipInfo("n" * len(name))
        path = struct.pack("<BL", 1, zlib.crc32(name)) + real.encode()
        info.extra = struct.pack("<HH", 0x7075, len(path)) + path
        archive.writestr(info, ROWS)
    return packed.getvalue().replace(b"n" * len(name), name)
