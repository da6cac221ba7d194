"""Artifacts from one storage to another: objects first, manifests last, every byte verified on its way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tidemill.artifacts.manifest import MANIFESTS, OBJECTS, Manifest, object_key, read_manifest
from tidemill.artifacts.objects import PART_SIZE, Objects
from tidemill.artifacts.parallel import in_parallel
from tidemill.backup.erased import ErasedThings
from tidemill.backup.schema import Damage
from tidemill.errors import CorruptArtifact, NotFound
from tidemill.progress import Progress


@dataclass
class CopiedArtifacts:
    """What is in the copy, and what had to be written for it. Sizes in bytes."""

    artifacts: int = 0
    bytes: int = 0
    written: int = 0
    written_bytes: int = 0
    damages: list[Damage] = field(default_factory=list)


class ArtifactCopy:
    """Copies all artifacts of a storage, leaving out objects that the target has with the right size."""

    def __init__(
        self, source: Objects, target: Objects, *, progress: Progress, erased: ErasedThings | None = None
    ) -> None:
        """``erased`` is left out."""
        self._erased = erased
        self._source = source
        self._target = target
        self._progress = progress
        self._copied = CopiedArtifacts()
        self._bad: dict[str, str] = {}
        """What is wrong with objects, by digest."""
        self._there: dict[str, int] = {}
        self._done = 0

    async def run(self) -> CopiedArtifacts:
        """Copy everything. Artifacts that are deleted meanwhile are left out; what is damaged is named."""
        keys = [
            key
            async for key in self._source.keys(MANIFESTS)
            if key.endswith(".json") and not (self._erased is not None and self._erased.covers(_name(key)))
        ]
        self._there = {found.key: found.size async for found in self._target.entries(OBJECTS)}
        manifests = {
            key: manifest
            for key, manifest in zip(keys, await in_parallel(self._manifest, keys, limit=16), strict=True)
            if manifest is not None
        }
        shards = {
            shard.sha256: shard.size for one in manifests.values() for entry in one.files for shard in entry.shards
        }
        self._copied.bytes = sum(shards.values())
        missing = [sha256 for sha256, size in shards.items() if self._there.get(object_key(sha256)) != size]
        total = sum(shards[sha256] for sha256 in missing)
        self._progress("artifacts", 0, total)

        async def object_of(sha256: str) -> None:
            try:
                await self._object(sha256, shards[sha256])
            except (NotFound, CorruptArtifact) as error:
                self._bad[sha256] = str(error)
            self._done += shards[sha256]
            self._progress("artifacts", self._done, total)

        await in_parallel(object_of, missing, limit=4)
        await in_parallel(lambda key: self._finish(key, manifests[key]), list(manifests), limit=16)
        return self._copied

    async def _manifest(self, key: str) -> Manifest | None:
        try:
            return read_manifest(await self._source.read(key), _name(key))
        except NotFound:
            return None
        except CorruptArtifact as error:
            self._copied.damages.append(Damage(key=key, problem=str(error)))
            return None

    async def _object(self, sha256: str, size: int) -> None:
        key = object_key(sha256)
        if size > PART_SIZE:
            await self._target.write(key, _verified(self._source.blocks(key), sha256, key))
        else:
            data = await self._source.read(key)
            _check(await asyncio.to_thread(_sha256, data), sha256, key)
            if not await self._target.create(key, data):
                await self._target.write(key, iter([data]))  # one of another size was there
        self._copied.written += 1
        self._copied.written_bytes += size

    async def _finish(self, key: str, manifest: Manifest) -> None:
        bad = [shard for entry in manifest.files for shard in entry.shards if shard.sha256 in self._bad]
        if not bad:
            try:
                data = await self._source.read(key)
            except NotFound:
                return  # the whole artifact was deleted meanwhile
            if await self._target.create(key, data):
                self._copied.written += 1
            elif not await self._is_whole(key):
                await self._target.write(key, iter([data]))  # heals one that was damaged
            self._copied.artifacts += 1
            return
        if await self._source.size(key) is None:
            return  # the whole artifact was deleted meanwhile
        entry = next(entry for entry in manifest.files if any(shard.sha256 in self._bad for shard in entry.shards))
        problem = f"{manifest.kind} artifact, file {entry.path!r}: {self._bad[bad[0].sha256]}"
        self._copied.damages.append(Damage(key=key, problem=problem))

    async def _is_whole(self, key: str) -> bool:
        try:
            return await asyncio.to_thread(_sha256, await self._target.read(key)) == _name(key)
        except CorruptArtifact:  # it cannot be decrypted
            return False


async def _verified(blocks: AsyncIterator[bytes], sha256: str, key: str) -> AsyncIterator[bytes]:
    digest = hashlib.sha256()
    async for block in blocks:
        await asyncio.to_thread(digest.update, block)
        yield block
    _check(digest.hexdigest(), sha256, key)


def _check(found: str, sha256: str, key: str) -> None:
    if found != sha256:
        raise CorruptArtifact(f"object {key}: expected sha256 {sha256}, found {found}")


def _name(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
