"""Which files are archives or compressed, by their content; and which are refused because nothing here opens them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from services.ingest.archives.zip_files import open_zip
from tidemill.errors import InvalidInput

Compression = Literal["gzip", "bzip2", "xz", "zstd"]
Kind = Literal["zip", "tar"] | Compression

HEAD = 512
"""Bytes from the beginning of a file that say what it is: a tar header is the longest."""
_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_BZIP2 = re.compile(rb"^BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
_SKIPPABLE_ZSTD = re.compile(rb"^[\x50-\x5f]\x2a\x4d\x18")
_FOREIGN = (
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"PK\x07\x08", "split zip"),
    (b"\x1f\x9d", "compress (.Z)"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"LZIP\x01", "lzip"),
)
_NAMED = re.compile(r"\.(?:zip|tar|tgz|tbz2?|txz|tzst|gz|bz2|xz|zst)$", re.IGNORECASE)
_COMPRESSED_NAME = re.compile(r"\.(?:(?P<tar>tgz|tbz2?|txz|tzst)|gz|bz2|xz|zst)$", re.IGNORECASE)
_ARCHIVE_NAME = re.compile(r"\.(?:zip|tar|tgz|tbz2?|txz|tzst|tar\.(?:gz|bz2|xz|zst)|gz|bz2|xz|zst)$", re.IGNORECASE)


def archive_kind(path: Path) -> Kind | None:
    """What kind of archive or compression the file is; None when it is neither, as workbooks and NPZ files are not.

    Raises:
        InvalidInput: an archive of a kind that is not unpacked, or something else under the name of an archive.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    return kind_of(head, path.name, lambda: _is_document(path))


def kind_of(head: bytes, name: str, is_document: Callable[[], bool]) -> Kind | None:
    """As ``archive_kind``, of the first ``HEAD`` bytes of a file; ``is_document`` looks into one that is a zip.

    Raises:
        InvalidInput: as ``archive_kind``.
    """
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            raise InvalidInput(f"{name} is a {what} archive, which is not unpacked here; send zip, tar.gz or tar.zst")
    kind = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if kind is None and _BZIP2.match(head):
        kind = "bzip2"
    if kind is None and _SKIPPABLE_ZSTD.match(head):
        kind = "zstd"
    if kind is None and is_tar_header(head):
        kind = "tar"
    if kind == "zip" and is_document():
        return None
    if kind is None and _NAMED.search(name):
        raise InvalidInput(
            f"{name} is named like an archive, but does not begin like one; pack it again, or name it after what it is"
        )
    return kind


def is_tar_header(head: bytes) -> bool:
    """Whether 512 bytes are the header of a tar member: its checksum says so."""
    if len(head) < HEAD or not head[0]:
        return False
    found = re.match(rb"^[ \0]*([0-7]{1,7})[ \0]*$", head[148:156])
    if found is None:
        return False
    unsigned = sum(head[:148]) + sum(head[156:512]) + 8 * 32
    high = sum(byte > 127 for byte in head[:148]) + sum(byte > 127 for byte in head[156:512])
    return int(found[1], 8) in (unsigned, unsigned - 256 * high)


def stem(name: str) -> str:
    """The name without what says that it is an archive: ``reviews`` for ``reviews.tar.gz``."""
    return _ARCHIVE_NAME.sub("", name) or name


def decompressed_name(name: str) -> str:
    """``reviews.csv`` for ``reviews.csv.gz``; the name as it is when it says nothing of compression."""
    return _COMPRESSED_NAME.sub("", name) or name


def _is_document(path: Path) -> bool:
    """Whether a zip is one file to its users: an Office or OpenDocument workbook, a NumPy archive."""
    try:
        with open_zip(path) as archive:
            names = archive.namelist()
    except Exception:  # A broken archive is told about where it is unpacked.
        return path.suffix.casefold() in (".xlsx", ".xlsm", ".ods", ".npz")
    if "[Content_Types].xml" in names or names[:1] == ["mimetype"]:
        return True
    return bool(names) and path.suffix.casefold() != ".zip" and all(name.endswith(".npy") for name in names)
