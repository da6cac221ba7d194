"""The artifact store over object storage: a local folder or S3, with a local cache in front.

    artifacts/manifests/<digest>.json          what an artifact consists of; written last, so it is whole or absent
    artifacts/objects/<first2>/<sha256>        shards, shared between artifacts
    artifacts/condemned/…                      what the garbage collection will delete; see ``condemned``
    artifacts/erased/…                         what was erased for a person and is not taken again; see ``erased``
    artifacts/quarantine/<sha256>              damaged shards, and manifests with ``.json``, out of the way of good ones

Knows nothing of what the artifacts mean, who made them or when.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.artifacts.cache import Cache, corrupt, missing
from tidemill.artifacts.condemned import Condemned
from tidemill.artifacts.erased import Erased, Tombstones, refusal
from tidemill.artifacts.local_files import (
    FoundFile,
    Piece,
    cut,
    find_files,
    hash_piece,
    make_folder,
    read_piece,
    remove,
    verified_blocks,
)
from tidemill.artifacts.manifest import MANIFESTS, FileEntry, Manifest, Shard, manifest_key, object_key, read_manifest
from tidemill.artifacts.objects import PART_SIZE, Objects, open_objects
from tidemill.artifacts.parallel import in_parallel
from tidemill.contracts import ArtifactKind, ArtifactRef
from tidemill.errors import ArtifactMissing, CorruptArtifact, InvalidInput, NotFound

if TYPE_CHECKING:
    from tidemill.records import RecordStore

QUARANTINE = "artifacts/quarantine"
SHARD_SIZE = 256_000_000
"""Largest object in bytes; a larger file is cut."""


class ObjectArtifactStore:
    """``ArtifactStore`` over ``Objects``. Several processes may use one store and one cache at the same time.

    Memory does not grow with the files: at most eight parts of ``PART_SIZE`` are on their way at once.
    """

    def __init__(
        self, objects: Objects, *, cache: Path, cache_bytes: int | None = None, shard_size: int = SHARD_SIZE
    ) -> None:
        self.objects = objects
        self._cache = Cache(cache, objects, most=cache_bytes)
        self._shard_size = shard_size
        self._condemned = Condemned(objects)
        self._tombstones = Tombstones(objects)

    async def check(self) -> None:
        """Make sure, at start, that the storage can be used and honours create-only writes.

        Raises:
            PermanentError: it cannot; says what to do.
            TransientError: it cannot be reached.
        """
        await self.objects.check()
        await self.drop_erased(everything=True)

    async def drop_erased(self, *, everything: bool = False) -> int:
        """Remove what was erased from the local cache: what is new since the last look, or all of it.

        Returns:
            How many files were dropped.
        """
        new = await self._tombstones.look()
        contents = {content for one in (self._tombstones.all if everything else new) for content in one.contents}
        return await self._cache.drop(contents)

    async def erased(self, ref: ArtifactRef) -> bool:
        """See ``ArtifactStore.erased``."""
        await self.drop_erased()
        return self._tombstones.covers_artifact(ref.digest)

    def records(self) -> RecordStore:
        """The records in the same storage."""
        from tidemill.records import RecordStore  # records stand on artifacts; this is only a convenience

        return RecordStore(self.objects)

    async def put(self, directory: Path, *, kind: ArtifactKind) -> ArtifactRef:
        """See ``ArtifactStore.put``. Objects that are there already are not sent again.

        A garbage collection may be deleting the same bytes: what was found there is looked at again at the end, when
        no collection can take it any more, and sent again if it is gone.
        """
        while True:
            await self.drop_erased()
            files = await asyncio.to_thread(find_files, directory)
            pieces = [piece for file in files for piece in cut(file, self._shard_size)]
            stored = await in_parallel(self._store, pieces)
            shards: dict[str, list[Shard]] = defaultdict(list)
            for piece, (shard, _) in zip(pieces, stored, strict=True):
                shards[piece.file.path].append(shard)
            await asyncio.to_thread(_all_unchanged, files)
            manifest = Manifest(
                kind=kind,
                files=tuple(
                    FileEntry(path=file.path, size=file.size, shards=tuple(shards[file.path])) for file in files
                ),
            )
            ref = manifest.reference()
            if self._tombstones.covers_artifact(ref.digest):
                raise _erased(ref)
            created = await self._write_manifest(manifest_key(ref), manifest.canonical())
            found = {shard for shard, sent in stored if not sent}
            if await self._stays(ref, {shard for shard, _ in stored}, found=found, created=created):
                await self._not_erased_meanwhile(ref, manifest)
                return ref

    async def _not_erased_meanwhile(self, ref: ArtifactRef, manifest: Manifest) -> None:
        """Take back what was put while an erasure wrote that it goes."""
        await self.drop_erased()
        shards = [(entry.path, shard.sha256) for entry in manifest.files for shard in entry.shards]
        gone = [(path, sha256) for path, sha256 in shards if self._tombstones.covers_shard(sha256)]
        if gone or self._tombstones.covers_artifact(ref.digest):
            await self.objects.erase([manifest_key(ref), *(object_key(sha256) for _, sha256 in gone)])
            raise refusal(gone[0][0]) if gone else _erased(ref)

    async def _stays(self, ref: ArtifactRef, shards: set[Shard], *, found: set[Shard], created: bool) -> bool:
        """Whether all that was put is there, and no collection that goes on will delete it.

        In this order: a collection asks for the marker, and lists the manifests, behind its notice.
        """
        await self._condemned.spare(ref)
        met = await self._condemned.pass_by(ref, *(shard.sha256 for shard in shards))
        if created and not found and not met:
            return True
        doubtful = sorted(shards if met else found, key=lambda shard: shard.sha256)
        sizes = await in_parallel(lambda shard: self.objects.size(object_key(shard.sha256)), doubtful)
        whole = all(size == shard.size for size, shard in zip(sizes, doubtful, strict=True))
        return whole and await self.exists(ref)

    async def _write_manifest(self, key: str, data: bytes) -> bool:
        """Whether this call created it."""
        if await self.objects.create(key, data):
            return True
        try:
            same = await self.objects.read(key) == data
        except (NotFound, CorruptArtifact):  # a collection has deleted it in between, or it cannot be decrypted
            same = False
        if not same:
            await self.objects.write(key, iter([data]))  # heals one that was damaged
        return False

    async def _store(self, piece: Piece) -> tuple[Shard, bool]:
        """The piece's shard, and whether it was sent because there was none."""
        if piece.size <= PART_SIZE:
            data = await asyncio.to_thread(read_piece, piece)
            sha256 = await asyncio.to_thread(_sha256, data)
        else:
            sha256 = await asyncio.to_thread(hash_piece, piece)
        if self._tombstones.covers_shard(sha256):
            raise refusal(piece.file.path)
        key = object_key(sha256)
        size = await self.objects.size(key)
        if size is None and piece.size <= PART_SIZE:
            await self.objects.create(key, data)
        elif size != piece.size:
            # A conditional write would need the whole shard in memory. The name is the digest, which is verified on
            # the way, so whoever writes last writes the same bytes; an object of a wrong size is healed by it.
            await self.objects.write(key, verified_blocks(piece, sha256))
        return Shard(sha256=sha256, size=piece.size), size is None

    async def fetch(self, ref: ArtifactRef, into: Path, *, only: Sequence[str] = ()) -> Path:
        """See ``ArtifactStore.fetch``. Every byte is verified; on an error nothing is left below ``into``."""
        with _naming(ref):
            return await self._fetch(ref, into, only)

    async def _fetch(self, ref: ArtifactRef, into: Path, only: Sequence[str]) -> Path:
        manifest = await self._manifest(ref)
        targets: dict[str, list[Path]] = defaultdict(list)
        entries: dict[str, FileEntry] = {}
        for entry in manifest.select(only):
            entries.setdefault(entry.content, entry)
            targets[entry.content].append(into / entry.path)
        await in_parallel(self._cache.ensure, list(entries.values()))
        placed: list[Path] = []
        try:
            await asyncio.to_thread(make_folder, into)
            for name, entry in entries.items():
                await self._cache.place(entry, targets[name], placed)
        except BaseException:
            await asyncio.to_thread(remove, placed)
            raise
        return into

    async def read(self, ref: ArtifactRef, path: str, *, start: int = 0, length: int | None = None) -> bytes:
        """See ``ArtifactStore.read``. Shards that are read whole are verified; parts of them cannot be.

        Raises:
            NotFound: no such artifact, or no such file in it.
            InvalidInput: ``start`` or ``length`` is negative.
            CorruptArtifact: bytes are missing, or a whole shard is not what it should be.
        """
        if start < 0 or (length is not None and length < 0):
            raise InvalidInput(f"cannot read {length} bytes from {start} on; both must be 0 or more")
        with _naming(ref):
            return await self._read(ref, path, start, length)

    async def _read(self, ref: ArtifactRef, path: str, start: int, length: int | None) -> bytes:
        entry = _entry(await self._manifest(ref), path, ref)
        end = entry.size if length is None else min(entry.size, start + length)
        parts, offset = [], 0
        for shard in entry.shards:
            first, last = max(start - offset, 0), min(end - offset, shard.size)
            if first < last:
                parts.append(await self._range(entry, shard, first, last - first))
            offset += shard.size
        return b"".join(parts)

    async def _range(self, entry: FileEntry, shard: Shard, start: int, length: int) -> bytes:
        for _ in range(2):  # a network can damage bytes as well as a disk
            try:
                data = await self.objects.read(object_key(shard.sha256), start=start, length=length)
            except NotFound:
                raise missing(entry, shard, self.objects.url) from None
            if len(data) == length < shard.size:
                return data
            found = await asyncio.to_thread(_sha256, data)
            if found == shard.sha256:
                return data
        raise corrupt(entry, shard, found, self.objects.url)

    async def files(self, ref: ArtifactRef) -> dict[str, int]:
        """See ``ArtifactStore.files``.

        Raises:
            NotFound: no such artifact.
        """
        return {entry.path: entry.size for entry in (await self._manifest(ref)).files}

    async def exists(self, ref: ArtifactRef) -> bool:
        """See ``ArtifactStore.exists``."""
        return await self.objects.size(manifest_key(ref)) is not None

    async def quarantine(self, ref: ArtifactRef) -> list[str]:
        """See ``ArtifactStore.quarantine``. What is damaged moves to ``QUARANTINE``, for people to see."""
        key = manifest_key(ref)
        name = ref.digest.removeprefix("sha256:")
        try:
            manifest = read_manifest(await self.objects.read(key), name)
        except NotFound:
            return [key]
        except CorruptArtifact:
            await self.objects.move(key, f"{QUARANTINE}/{name}.json")
            return [key]
        shards = {shard.sha256: shard for entry in manifest.files for shard in entry.shards}
        damaged = [key for key in await in_parallel(self._damage, list(shards.values())) if key is not None]
        if damaged:
            await self.objects.delete([key])  # whoever puts the same bytes again makes it whole
        return damaged

    async def _damage(self, shard: Shard) -> str | None:
        """The key of a shard whose bytes in the storage are not its own, moved out of the way; None for a good one."""
        key = object_key(shard.sha256)
        digest = hashlib.sha256()
        try:
            for start in range(0, shard.size, PART_SIZE):
                digest.update(await self.objects.read(key, start=start, length=PART_SIZE))
        except NotFound:
            return key
        except CorruptArtifact:  # it cannot be decrypted
            digest = hashlib.sha256()
        if digest.hexdigest() == shard.sha256 and await self.objects.size(key) == shard.size:
            return None
        await self.objects.move(key, f"{QUARANTINE}/{shard.sha256}")
        return key

    async def adopt(self, ref: ArtifactRef) -> bool:
        """See ``ArtifactStore.adopt``. Two requests for an artifact that nobody condemned."""
        if await self._condemned.spare(ref):
            await self._condemned.pass_by(ref)
        return await self.exists(ref)

    async def delete(self, ref: ArtifactRef) -> None:
        """See ``ArtifactStore.delete``; nothing happens when there is no such artifact.

        Reads every other manifest. Not to be run while the same bytes are being put: a put that has just seen an
        object there would lose it.
        """
        try:
            manifest = await self._manifest(ref)
        except NotFound:
            return
        await self.objects.delete([manifest_key(ref)])
        others = [key async for key in self.objects.keys(MANIFESTS) if key.endswith(".json")]
        shared: set[str] = set()
        for used in await in_parallel(self._objects_of, others):
            shared |= used
        mine = {shard.sha256 for entry in manifest.files for shard in entry.shards}
        await self.objects.delete([object_key(sha256) for sha256 in sorted(mine - shared)])

    async def _objects_of(self, key: str) -> set[str]:
        name = key.rpartition("/")[2].removesuffix(".json")
        try:
            manifest = read_manifest(await self.objects.read(key), name)
        except NotFound:
            return set()
        return {shard.sha256 for entry in manifest.files for shard in entry.shards}

    async def _manifest(self, ref: ArtifactRef) -> Manifest:
        try:
            data = await self.objects.read(manifest_key(ref))
        except NotFound:
            if await self.erased(ref):
                raise _erased(ref) from None
            raise ArtifactMissing(
                f"there is no {ref.kind} artifact {ref.digest} in the store at {self.objects.url}"
            ) from None
        return read_manifest(data, ref.digest.removeprefix("sha256:"))


def open_store(
    url: str, *, cache: Path, cache_bytes: int | None = None, shard_size: int = SHARD_SIZE
) -> ObjectArtifactStore:
    """The artifact store at ``url``, with its local cache in the folder ``cache``. Call ``check`` before use.

    Args:
        url: a local folder (made when absent), ``file://`` or ``s3://bucket/prefix``; S3's endpoint, region and
            credentials come from the ``AWS_…`` environment variables.
        cache: a folder of this machine, which several processes may share; best on the file system that artifacts are
            fetched to, since files are hard-linked there.
        cache_bytes: about how much the cache may hold; what was asked for longest ago goes first. No bound when None.
        shard_size: largest object in bytes. It is part of what digests are made of: all writers must agree on it.

    Raises:
        InvalidInput: the URL is of another form.
        PermanentError: the folder cannot be made.
    """
    return ObjectArtifactStore(open_objects(url), cache=cache, cache_bytes=cache_bytes, shard_size=shard_size)


@contextmanager
def _naming(ref: ArtifactRef) -> Iterator[None]:
    """Errors say, for a program, which artifact was asked for."""
    try:
        yield
    except (ArtifactMissing, CorruptArtifact) as error:
        error.artifact = ref
        raise


def _erased(ref: ArtifactRef) -> Erased:
    return Erased(f"{ref.kind} artifact {ref.digest} held personal data and was erased at the person's request")


def _entry(manifest: Manifest, path: str, ref: ArtifactRef) -> FileEntry:
    for entry in manifest.files:
        if entry.path == path:
            return entry
    names = ", ".join(entry.path for entry in manifest.files[:8]) + (", …" if len(manifest.files) > 8 else "")
    raise NotFound(f"there is no file {path!r} in {ref.kind} artifact {ref.digest}; it has {names}")


def _all_unchanged(files: Sequence[FoundFile]) -> None:
    for file in files:
        file.unchanged()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
