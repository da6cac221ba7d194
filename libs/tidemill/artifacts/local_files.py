"""Local files on their way in and out of a store: finding, hashing, placing. Knows no storage and no manifests."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tidemill.errors import InvalidInput, PermanentError, TransientError

BLOCK = 1024 * 1024
"""Bytes read at once while hashing."""

READ_ONLY = 0o444


@dataclass(frozen=True)
class FoundFile:
    """A regular file below a directory, as it was when found."""

    path: str
    """Relative to the directory, ``/`` between parts."""
    local: Path
    size: int
    modified_ns: int

    def unchanged(self) -> None:
        """Make sure that it is still as it was found.

        Raises:
            InvalidInput: it was written to or removed in between.
        """
        with readable(self.local):
            now = self.local.stat()
        if (now.st_size, now.st_mtime_ns) != (self.size, self.modified_ns):
            raise changed(self.local)


@dataclass(frozen=True)
class Piece:
    """Bytes ``start`` to ``start + size`` of a found file."""

    file: FoundFile
    start: int
    size: int


def find_files(directory: Path) -> list[FoundFile]:
    """All regular files below ``directory``, sorted by path. Links to files inside it count as files.

    Raises:
        InvalidInput: not a directory, nothing in it, or something in it that cannot be stored; names it.
    """
    if not directory.is_dir():
        raise InvalidInput(f"{directory} is not a directory; give the folder whose files are to be stored")
    root = directory.resolve()
    found: list[FoundFile] = []
    for folder, folders, names in os.walk(root, onerror=_refuse):
        for name in folders + names:
            path = Path(folder, name)
            if name in folders and not path.is_symlink():
                continue
            found.append(_found(path, root))
    if not found:
        raise InvalidInput(f"{directory} holds no files; an artifact needs at least one")
    return sorted(found, key=lambda file: file.path)


def _found(path: Path, root: Path) -> FoundFile:
    relative = path.relative_to(root).as_posix()
    try:
        relative.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"the file name {relative!r} is not valid UTF-8; rename the file") from None
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        raise InvalidInput(f"{path} is a link that leaves {root}; put a copy of the file there instead")
    with readable(path):
        facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        what = "a link to a folder" if stat.S_ISDIR(facts.st_mode) else "not a regular file"
        raise InvalidInput(f"{path} is {what}; only regular files can be stored: copy or remove it")
    return FoundFile(relative, path, facts.st_size, facts.st_mtime_ns)


def _refuse(error: OSError) -> None:
    raise InvalidInput(f"cannot read {error.filename}: {error.strerror}") from error


def cut(file: FoundFile, shard_size: int) -> list[Piece]:
    """The pieces of ``file`` of at most ``shard_size`` bytes; none for an empty file."""
    return [Piece(file, start, min(shard_size, file.size - start)) for start in range(0, file.size, shard_size)]


def read_piece(piece: Piece) -> bytes:
    """All bytes of a piece."""
    return b"".join(_blocks(piece))


def hash_piece(piece: Piece) -> str:
    """sha256 of a piece in hex, in constant memory."""
    digest = hashlib.sha256()
    for block in _blocks(piece):
        digest.update(block)
    return digest.hexdigest()


def verified_blocks(piece: Piece, sha256: str) -> Iterator[bytes]:
    """The bytes of a piece, which must turn out to have that digest.

    Raises:
        InvalidInput: they do not, behind the last block: the file was written to since it was hashed.
    """
    digest = hashlib.sha256()
    for block in _blocks(piece):
        digest.update(block)
        yield block
    if digest.hexdigest() != sha256:
        raise changed(piece.file.local)


def _blocks(piece: Piece) -> Iterator[bytes]:
    left = piece.size
    with readable(piece.file.local), piece.file.local.open("rb", buffering=0) as stream:
        stream.seek(piece.start)
        while left:
            block = stream.read(min(BLOCK, left))
            if not block:
                raise changed(piece.file.local)
            left -= len(block)
            yield block


def digests_of(path: Path, sizes: list[int]) -> list[str] | None:
    """sha256 in hex of the consecutive parts of ``path`` of the given sizes; None when its size is another.

    Raises:
        FileNotFoundError: there is no such file.
    """
    found = []
    with path.open("rb", buffering=0) as stream:
        if os.fstat(stream.fileno()).st_size != sum(sizes):
            return None
        for size in sizes:
            digest, left = hashlib.sha256(), size
            while left and (block := stream.read(min(BLOCK, left))):
                digest.update(block)
                left -= len(block)
            found.append(digest.hexdigest())
    return found


def place(source: Path, target: Path) -> None:
    """Make ``target`` a hard link to ``source``, or a read-only copy where that cannot be; replaces a file there.

    Raises:
        FileNotFoundError: ``source`` is gone.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{uuid4().hex}")
    try:
        try:
            temporary.hardlink_to(source)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES):
                raise
            shutil.copyfile(source, temporary)
            temporary.chmod(READ_ONLY)
        temporary.replace(target)
    finally:
        # Renaming one link of a file over another link of the same file leaves both, so it may still be there.
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and its parents unless they are there."""
    with writable(path):
        path.mkdir(parents=True, exist_ok=True)


def remove(paths: list[Path]) -> None:
    """Unlink what is there of ``paths``."""
    for path in paths:
        with suppress(OSError):
            path.unlink()


def changed(path: Path) -> InvalidInput:
    """The error for a file that was written to while it was being stored."""
    return InvalidInput(f"{path} changed while it was being stored; store it when nothing writes to it")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn a failure to read a person's file into an error that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise InvalidInput(f"{path} does not exist, or a link there leads nowhere") from error
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror or error}") from error


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn a failure to write below ``path`` into an error that says whether another try is worth it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        kind = TransientError if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else PermanentError
        raise kind(f"cannot write below {path}: {error.strerror or error}") from error
