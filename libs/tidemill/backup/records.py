"""Records from one storage to another, each with its sha256. Knows neither backups nor what the records mean."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from tidemill.artifacts.objects import Objects
from tidemill.artifacts.parallel import in_parallel
from tidemill.backup.cut import CHAINS, chain_of, chains, is_link, project_of
from tidemill.backup.schema import Damage
from tidemill.errors import CorruptArtifact, NotFound
from tidemill.progress import Progress
from tidemill.records.hash_chain import HashChain

_DIGEST = re.compile(rb"sha256:([0-9a-f]{64})")


@dataclass
class CopiedRecords:
    """What was copied. ``digests`` holds every record that is whole in the copy."""

    digests: dict[str, str] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)
    written: int = 0
    written_bytes: int = 0


class RecordCopy:
    """Copies records, leaving out what the target has already.

    Args:
        known: digests of records that a former copy has read and compared.
        expected: digests that the source's records must have, when they are on a list.
        erased: records in which personal data was overwritten since, as they are now.
    """

    def __init__(
        self,
        source: Objects,
        target: Objects,
        *,
        progress: Progress,
        known: Mapping[str, str] | None = None,
        expected: Mapping[str, str] | None = None,
        erased: Mapping[str, str] | None = None,
    ) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._known = known or {}
        self._expected = expected or {}
        self._erased = erased or {}
        self._copied = CopiedRecords()
        self._there: dict[str, int] = {}
        self._seen = 0

    async def run(self, cut: Mapping[str, int]) -> CopiedRecords:
        """Copy the records of ``cut``, given with their sizes."""
        self._there = {found.key: found.size async for found in self._target.entries("records")}

        async def one(key: str) -> None:
            await self._record(key, cut[key])
            self._seen += 1
            self._progress("records", self._seen, len(cut))

        await in_parallel(one, [key for key in cut if not is_link(key)], limit=16)
        for links in chains(cut):  # in their order, so that a copy that is cut short ends in a whole chain
            for key in links:
                await one(key)
        return self._copied

    async def _record(self, key: str, size: int) -> None:
        if key in self._erased:
            await self._write(key, self._erased[key].encode())
            return
        is_there = self._there.get(key) == size
        if is_there and key in self._known:
            self._copied.digests[key] = self._known[key]
            return
        try:
            data = await self._source.read(key)
        except NotFound:
            if key in self._expected:
                self._damaged(key, "it is on the backup's list and is not there")
            return
        except CorruptArtifact as error:  # it cannot be decrypted
            self._damaged(key, str(error))
            return
        digest = hashlib.sha256(data).hexdigest()
        if self._expected.get(key, digest) != digest:
            self._damaged(key, f"expected sha256 {self._expected[key]}, found {digest}")
            return
        await self._write(key, data)

    async def _write(self, key: str, data: bytes) -> None:
        if await self._target.create(key, data):
            self._copied.written += 1
            self._copied.written_bytes += len(data)
        elif not await _holds(self._target, key, data):
            self._damaged(key, f"another record is in {self._target.url} under this name")
            return
        self._copied.digests[key] = hashlib.sha256(data).hexdigest()

    def _damaged(self, key: str, problem: str) -> None:
        self._copied.damages.append(Damage(key=key, problem=problem))


async def broken_chains(objects: Objects, keys: Iterable[str], known: Container[str] = ()) -> list[Damage]:
    """The hash chains that are not whole in ``objects``, as far as their links are not ``known`` to be good."""
    damages = []
    for links in chains(keys):
        good = next((count for count, key in enumerate(links) if key not in known), len(links))
        chain = HashChain(objects, project_of(links[0]), CHAINS[chain_of(links[0])])
        try:
            async for _ in chain.links(behind=good):
                pass
        except CorruptArtifact as error:
            damages.append(Damage(key=links[0].rpartition("/")[0], problem=str(error)))
    return damages


async def artifacts_named(objects: Objects, keys: Iterable[str]) -> set[str]:
    """The digests, in hex, of all artifacts that records refer to."""
    named: set[str] = set()

    async def look(key: str) -> None:
        with suppress(CorruptArtifact):  # it cannot be decrypted, and was named as damaged when it was copied
            named.update(found.decode() for found in _DIGEST.findall(await objects.read(key)))

    await in_parallel(look, list(keys), limit=16)
    return named


async def _holds(objects: Objects, key: str, data: bytes) -> bool:
    try:
        return await objects.read(key) == data
    except CorruptArtifact:  # it cannot be decrypted
        return False


def written_list(digests: Mapping[str, str]) -> bytes:
    """Digests by key as ``sha256sum`` writes and checks them, sorted by key."""
    return "".join(f"{digest}  {key}\n" for key, digest in sorted(digests.items())).encode()


def read_list(data: bytes) -> dict[str, str]:
    """Digests by key."""
    lines = data.decode().splitlines()
    return {key: digest for digest, _, key in (line.partition("  ") for line in lines)}
