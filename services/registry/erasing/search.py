"""Looks through the files of artifacts: fetched a few at a time, and searched by a child process.

The files are fetched through a cache of their own, which goes with them. What was found is kept until the erasure is
done, so that a search that was cut short goes on behind the files that it has seen.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidemill.artifacts.manifest import MANIFESTS, FileEntry, Manifest, read_manifest
from tidemill.artifacts.object_store import ObjectArtifactStore
from tidemill.artifacts.objects import Objects
from tidemill.artifacts.parallel import in_parallel
from tidemill.contracts import ArtifactRef
from tidemill.erasure.jobs import FoundFile, Subject, search
from tidemill.erasure.requests import ErasureRequest, PendingErasures, Searched
from tidemill.erasure.subject import Matcher
from tidemill.erasure.texts import found_in
from tidemill.errors import CorruptArtifact, NotFound
from tidemill.jobs import JobRunner

BATCH_BYTES = 256 << 20
BATCH_FILES = 2000
_NOTHING = FoundFile()

Told = Callable[[str, int, int], Awaitable[None]]
"""Is told the step, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class SearchedArtifact:
    """An artifact, and what each of its files was found to hold."""

    ref: ArtifactRef
    manifest: Manifest
    files: dict[str, FoundFile]

    @property
    def held(self) -> list[FileEntry]:
        """The files that hold the value."""
        return [entry for entry in self.manifest.files if self.files[entry.path].held]

    @property
    def rows(self) -> int:
        """Rows of tables with the value."""
        return sum(found.rows for found in self.files.values())


class Search:
    """Searches for one value."""

    def __init__(
        self, objects: Objects, pending: PendingErasures, request: ErasureRequest, matcher: Matcher, *,
        runner: JobRunner, scratch: Path, told: Told,
    ) -> None:  # fmt: skip
        self._objects = objects
        self._pending = pending
        self._request = request
        self._matcher = matcher
        self._runner = runner
        self._scratch = scratch
        self._told = told
        self._known: dict[str, FoundFile] = {}
        self.bytes = 0
        """Of all files that were looked through, here or before a crash."""

    async def resume(self) -> None:
        """Take up what was searched before."""
        async for before in self._pending.searched(self._request):
            self._known |= _shared(before.found)

    async def through(self, digests: Sequence[str]) -> list[SearchedArtifact]:
        """Look through artifacts; those that are not there are left out.

        Raises:
            HandedBack: the service is leaving.
            TransientError: the store is out of reach, or the disk is full.
        """
        manifests = await in_parallel(self._manifest, digests, limit=16)
        there = [one for one in manifests if one is not None]
        contents: dict[str, tuple[FileEntry, ArtifactRef]] = {}
        for manifest in there:
            for entry in manifest.files:
                contents.setdefault(entry.content, (entry, manifest.reference()))
        self.bytes = sum(entry.size for entry, _ in contents.values())
        unknown = [one for content, one in contents.items() if content not in self._known and one[0].size]
        done = 0
        for batch in _batches(unknown):
            await self._told("searching files", done, len(unknown))
            await self._batch(batch)
            done += len(batch)
        return [
            SearchedArtifact(one.reference(), one, {entry.path: self._of(entry) for entry in one.files})
            for one in there
        ]

    async def loose(self, keys: Sequence[str]) -> list[str]:
        """Which of the objects that belong to no artifact hold the value: what died on its way in, what was damaged.

        Raises what ``through`` raises.
        """
        held = []
        for key in keys:
            folder = Path(await asyncio.to_thread(self._folder))
            try:
                await self._bring(key, folder / "object")
                subject = Subject(value=self._request.subject, kind=self._request.kind)
                found = (await self._runner.run_call(search, subject, {key: folder / "object"})).value
            except NotFound:
                continue
            finally:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            held += [key] if found[key].held else []
        return held

    async def _bring(self, key: str, to: Path) -> None:
        with to.open("wb") as file:
            async for block in self._objects.blocks(key):
                await asyncio.to_thread(file.write, block)

    def _of(self, entry: FileEntry) -> FoundFile:
        found = self._known.get(entry.content, _NOTHING)
        named = found_in(entry.path, self._matcher)
        return found.model_copy(update={"held": True}) if named else found

    async def _manifest(self, digest: str) -> Manifest | None:
        name = digest.removeprefix("sha256:")
        try:
            return read_manifest(await self._objects.read(f"{MANIFESTS}/{name}.json"), name)
        except NotFound:
            return None
        except CorruptArtifact:  # what it names is looked through as loose objects
            return None

    async def _batch(self, batch: Sequence[tuple[FileEntry, ArtifactRef]]) -> None:
        folder = Path(await asyncio.to_thread(self._folder))
        try:
            store = ObjectArtifactStore(self._objects, cache=folder / "cache")
            found: dict[str, FoundFile] = {}
            paths: dict[str, Path] = {}
            for entry, ref in batch:
                try:
                    await store.fetch(ref, folder / ref.digest[7:], only=[entry.path])
                    paths[entry.content] = folder / ref.digest[7:] / entry.path
                except (CorruptArtifact, NotFound):
                    found[entry.content] = FoundFile(unsearched=["files that are damaged in the store"])
            subject = Subject(value=self._request.subject, kind=self._request.kind)
            outcome = await self._runner.run_call(search, subject, paths)
            found |= outcome.value
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._known |= _shared(found)
        await self._pending.keep_searched(self._request, batch[0][0].content, Searched(found=found))

    def _folder(self) -> str:
        self._scratch.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(dir=self._scratch, prefix="search-")


def _shared(found: dict[str, FoundFile]) -> dict[str, FoundFile]:
    """The same, with one object for all files that hold nothing: there may be very many."""
    return {content: _NOTHING if one == _NOTHING else one for content, one in found.items()}


def _batches(files: Sequence[tuple[FileEntry, ArtifactRef]]) -> Iterator[list[tuple[FileEntry, ArtifactRef]]]:
    batch: list[tuple[FileEntry, ArtifactRef]] = []
    size = 0
    for entry, ref in files:
        if batch and (size + entry.size > BATCH_BYTES or len(batch) == BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append((entry, ref))
        size += entry.size
    if batch:
        yield batch
