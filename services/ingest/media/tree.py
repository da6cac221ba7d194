"""The files of a folder tree, in one order on every machine, and what of them cannot be an example.

Order is by the names of folders and files, part by part of the path, as their UTF-8 bytes compare. Only the names of
one folder at a time are held, however large the tree is. Links are never followed: what they point at may lie outside.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

MediaKind = Literal["image", "audio"]

SUFFIXES: dict[MediaKind, frozenset[str]] = {
    "image": frozenset((".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")),
    "audio": frozenset((".wav", ".flac", ".ogg", ".oga", ".mp3")),
}
FOREIGN: dict[MediaKind, frozenset[str]] = {
    "image": frozenset((".heic", ".heif", ".avif", ".svg", ".psd", ".eps", ".jp2", ".jxl", ".cr2", ".nef", ".dng")),
    "audio": frozenset((".m4a", ".aac", ".wma", ".opus", ".amr", ".ape", ".aif", ".aiff", ".au", ".mp4")),
}
"""Names of images and recordings that are not read."""
_NOT_DATA = frozenset(("__MACOSX", "Thumbs.db", "desktop.ini"))


@dataclass(frozen=True)
class Found:
    """A file, by its path from the top of the tree with ``/`` between names; ``problem``: why it cannot be read."""

    path: str
    size: int
    problem: str | None = None

    @property
    def suffix(self) -> str:
        """Case-folded, with its dot."""
        return PurePosixPath(self.path).suffix.casefold()


def walk(top: Path) -> Iterator[Found]:
    """All files below ``top`` but hidden ones. A link to a folder comes as a file with a problem."""
    waiting: list[Iterator[tuple[str, os.DirEntry[str]]]] = [_entries(top, "")]
    while waiting:
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            continue
        path, entry = found
        if entry.is_dir(follow_symlinks=False):
            waiting.append(_entries(Path(entry.path), path + "/"))
        elif entry.is_symlink():
            yield Found(path, 0, "is a symbolic link, which is not followed; put the file itself there")
        elif not entry.is_file(follow_symlinks=False):
            yield Found(path, 0, "is no regular file; remove it")
        elif not _is_utf8(path):
            yield Found(path, 0, "has a name that is not UTF-8; rename it")
        else:
            yield Found(path, entry.stat(follow_symlinks=False).st_size)


def media(top: Path, kind: MediaKind) -> Iterator[Found]:
    """Images or recordings below ``top``, by the suffixes of their names; the others are notes beside them."""
    foreign = "read are " + ", ".join(sorted(suffix[1:] for suffix in SUFFIXES[kind]))
    for found in walk(top):
        if found.suffix in SUFFIXES[kind] or (found.problem and (top / found.path).is_dir()):
            yield found
        elif found.suffix in FOREIGN[kind]:
            yield Found(found.path, found.size, f"is a {found.suffix[1:].upper()} file; {foreign}; convert it")


def folders(top: Path, depth: int) -> Iterator[str]:
    """Paths of the folders below ``top``, itself as ``""`` first, down to ``depth`` levels, upper ones first."""
    level = [""]
    for _ in range(depth + 1):
        yield from level
        level = [
            path
            for parent in level
            for path, entry in _entries(top / parent, f"{parent}/" if parent else "")
            if entry.is_dir(follow_symlinks=False) and _is_utf8(path)
        ]


def shown(path: str) -> str:
    """A path for a message or a record, whatever bytes its name has."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _entries(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as found:
        entries = [entry for entry in found if not entry.name.startswith(".") and entry.name not in _NOT_DATA]
    entries.sort(key=lambda entry: os.fsencode(entry.name))
    for entry in entries:
        yield prefix + entry.name, entry


def _is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
