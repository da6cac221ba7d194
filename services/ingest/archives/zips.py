"""The members of a zip file (APPNOTE 6.3.10), whose own figures are not believed."""

from __future__ import annotations

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from services.ingest.archives.names import member_names
from services.ingest.archives.writing import Meter, Unpacked, counted
from services.ingest.archives.zip_files import open_zip
from tidemill.errors import InvalidInput

_CHUNK = 1 << 18
_LOCAL_HEADER = 30
_ENCRYPTED = 0x1 | 0x40
_METHODS = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
_BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError,
    struct.error, IndexError, OverflowError, UnicodeError,
)  # fmt: skip


def unpack_zip(path: Path, into: Unpacked, meter: Meter) -> None:
    """Write the members of the zip at ``path`` to ``into``.

    Raises:
        InvalidInput: damaged, cut, encrypted, packed in a way that is not known here, members that share bytes, or it
            holds what is no file.
    """
    try:
        with open_zip(path) as archive:
            members = archive.infolist()
            _check_spans(members, path, archive.start_dir)
            for member, name in zip(members, member_names(members), strict=True):
                _take(archive, member, name, into, meter, path)
    except _BROKEN as error:
        raise InvalidInput(f"archive {path.name} is damaged or cut: {error}; copy or pack it again") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise InvalidInput(f"archive {path.name} is damaged: {error}; copy or pack it again") from None


def _check_spans(members: Sequence[zipfile.ZipInfo], path: Path, end: int) -> None:
    """Members that overlap let a small file unpack to any size (Fifield, A better zip bomb, 2019)."""
    at = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < at:
            raise InvalidInput(
                f"archive {path.name} holds members that share the same bytes ({member.filename!r}); pack it again"
            )
        at = member.header_offset + _LOCAL_HEADER + member.compress_size
    if at > end:
        raise InvalidInput(f"archive {path.name} is damaged: a member reaches into its directory; pack it again")


def _take(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, into: Unpacked, meter: Meter, path: Path
) -> None:
    if member.flag_bits & _ENCRYPTED:
        raise InvalidInput(f"archive {path.name} is encrypted ({name!r}); pack it again without a password")
    if name.endswith("/"):
        into.folder_of(name)
        return
    if member.compress_type not in _METHODS:
        raise InvalidInput(
            f"archive {path.name} packs {name!r} with method {member.compress_type}, which is not known here; "
            "pack it again with deflate"
        )
    kind = stat.S_IFMT(member.external_attr >> 16) if member.create_system == 3 else 0
    if kind == stat.S_IFLNK:
        into.link(name, _target(archive, member, name, path), hard=False)
    elif kind in (0, stat.S_IFREG):
        into.write(name, counted(_content(archive, member), meter, path.name))
    else:
        raise InvalidInput(f"archive {path.name} holds {name!r}, which is no regular file; pack regular files alone")


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(member) as file:
        while chunk := file.read(_CHUNK):
            yield chunk
        # The reader stops at the size that the directory gives, and says nothing of one that ends before.
        if file.tell() != member.file_size:
            raise EOFError("a member is shorter than it says")


def _target(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, path: Path) -> str:
    with archive.open(member) as file:
        target = file.read(4097)
    if len(target) > 4096:
        raise InvalidInput(f"archive {path.name} holds {name!r}, a link that is too long; pack the file itself")
    return target.decode("utf-8", "replace")
