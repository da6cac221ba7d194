"""The local cache: contents of files, read-only, verified, shared by every process of a machine.

A content is kept in one file named by its shards, so that it can be hard-linked to wherever it is wanted. Knows
nothing of manifests. Everything in it can be deleted at any time.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from tidemill.artifacts.cache_bound import touch, trim
from tidemill.artifacts.local_files import READ_ONLY, digests_of, place, remove, writable
from tidemill.artifacts.manifest import FileEntry, Shard, object_key
from tidemill.artifacts.objects import PART_SIZE, Objects
from tidemill.errors import CorruptArtifact, NotFound, TransientError

_ABANDONED_SECONDS = 24 * 3600
_TRIES = 5


class Cache:
    """Contents below ``root``: ``objects/<first2>/<name>``, and ``temporary/`` for what is on its way.

    With ``most``, it is kept at about so many bytes; see ``cache_bound``.
    """

    def __init__(self, root: Path, objects: Objects, *, most: int | None = None) -> None:
        self._root = root.absolute()
        self._objects = objects
        self._most = most
        self._unbounded = most or 0
        """Bytes brought since the cache was last held against ``most``; the first look is at what was here before."""
        self._swept = False

    async def ensure(self, entry: FileEntry) -> Path:
        """The path of the content of ``entry``, brought here if need be and verified just now.

        The digest is verified every time, also of a content that is here already: what was linked to a job's folder
        shares its bytes with the cache, and a disk can rot. A bad copy is dropped and fetched again.

        Raises:
            CorruptArtifact: the store's own bytes are bad; names the file and both digests.
            TransientError: the disk is full, or the store cannot be reached.
        """
        content = self._path(entry)
        if not await asyncio.to_thread(_verified, content, entry.shards):
            await self._bring(entry, content)
        elif self._most is not None:
            await asyncio.to_thread(touch, content)
        return content

    async def place(self, entry: FileEntry, targets: Sequence[Path], placed: list[Path]) -> None:
        """Link the content of ``entry``, which ``ensure`` has verified, to every one of ``targets``.

        ``placed`` gets every target that is done, so that the caller can undo them.
        """
        for _ in range(_TRIES):
            # Another process may find the copy bad and drop it between our look at it and the links.
            with suppress(FileNotFoundError):
                await asyncio.to_thread(_link, self._path(entry), targets, placed)
                return
            await self.ensure(entry)
        raise TransientError(f"{self._path(entry)} keeps vanishing; something else is deleting in the cache")

    async def drop(self, contents: Collection[str]) -> int:
        """Remove contents that were erased; how many were here."""
        return await asyncio.to_thread(self._drop, contents)

    def _drop(self, contents: Collection[str]) -> int:
        dropped = 0
        for content in contents:
            with suppress(OSError):
                self._named(content).unlink()
                dropped += 1
        return dropped

    def _path(self, entry: FileEntry) -> Path:
        return self._named(entry.content)

    def _named(self, content: str) -> Path:
        return self._root / "objects" / content[:2] / content

    async def _bring(self, entry: FileEntry, content: Path) -> None:
        temporary = self._root / "temporary" / uuid4().hex
        try:
            with writable(self._root):
                descriptor = await asyncio.to_thread(self._start, temporary)
                try:
                    for shard in entry.shards:
                        await self._copy(entry, shard, descriptor)
                finally:
                    os.close(descriptor)
                await asyncio.to_thread(_finish, temporary, content)
                await self._bound(entry.size, content)
        except FileNotFoundError as error:
            raise TransientError(f"{error.filename} vanished: something else is deleting in the cache") from error
        finally:
            await asyncio.to_thread(remove, [temporary])

    async def _bound(self, brought: int, content: Path) -> None:
        self._unbounded += brought
        if self._most is not None and self._unbounded >= self._most // 50:
            self._unbounded = 0
            await asyncio.to_thread(trim, self._root / "objects", self._most, keep=content)

    async def _copy(self, entry: FileEntry, shard: Shard, descriptor: int) -> None:
        """Append a shard's bytes. What came in damaged is read once more: a network can do it as well as a disk."""
        start = os.lseek(descriptor, 0, os.SEEK_CUR)
        found = await self._append_shard(entry, shard, descriptor)
        if found != shard.sha256:
            os.ftruncate(descriptor, start)
            os.lseek(descriptor, start, os.SEEK_SET)
            found = await self._append_shard(entry, shard, descriptor)
        if found != shard.sha256:
            raise corrupt(entry, shard, found, self._objects.url)

    async def _append_shard(self, entry: FileEntry, shard: Shard, descriptor: int) -> str:
        """The digest of what was read, in parts so that memory stays flat and no request runs into its timeout."""
        digest = hashlib.sha256()
        key = object_key(shard.sha256)
        for start in range(0, shard.size, PART_SIZE):
            length = min(PART_SIZE, shard.size - start)
            try:
                data = await self._objects.read(key, start=start, length=length)
            except NotFound:
                raise missing(entry, shard, self._objects.url) from None
            await asyncio.to_thread(_append, descriptor, data, digest)
            if len(data) < length:
                break
        return digest.hexdigest()

    def _start(self, temporary: Path) -> int:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            # What killed processes left: nothing takes a day to arrive.
            self._swept = True
            for path in temporary.parent.iterdir():
                with suppress(OSError):
                    if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                        path.unlink()
        return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def corrupt(entry: FileEntry, shard: Shard, found: str, url: str) -> CorruptArtifact:
    """The error for bytes that are not what the manifest promises."""
    return CorruptArtifact(
        f"file {entry.path!r} in the store at {url} is corrupt: expected sha256 {shard.sha256}, found {found} in "
        f"{object_key(shard.sha256)}; delete that object and make the artifact again, or restore it from a copy"
    )


def missing(entry: FileEntry, shard: Shard, url: str) -> CorruptArtifact:
    """The error for a shard that a manifest names and that is not there."""
    return CorruptArtifact(
        f"file {entry.path!r} in the store at {url} is incomplete: expected sha256 {shard.sha256}, found no object "
        f"{object_key(shard.sha256)}; make the artifact again, or restore the object from a copy"
    )


def _finish(temporary: Path, content: Path) -> None:
    content.parent.mkdir(parents=True, exist_ok=True)
    temporary.chmod(READ_ONLY)
    temporary.replace(content)


def _link(content: Path, targets: Sequence[Path], placed: list[Path]) -> None:
    for target in targets:
        with writable(target.parent):
            place(content, target)
        placed.append(target)


def _append(descriptor: int, data: bytes, digest: hashlib._Hash) -> None:
    digest.update(data)
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _verified(content: Path, shards: tuple[Shard, ...]) -> bool:
    """Whether a good copy is there; a bad one is removed."""
    try:
        found = digests_of(content, [shard.size for shard in shards])
    except FileNotFoundError:
        return False
    except OSError:
        found = None
    if found == [shard.sha256 for shard in shards]:
        return True
    remove([content])
    return False
