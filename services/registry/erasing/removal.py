"""Takes artifacts out of the store: a tombstone first, so that nobody puts them again, then every version of them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from services.registry.erasing.search import SearchedArtifact
from tidemill.artifacts.condemned import marker_key
from tidemill.artifacts.erased import Tombstone, Tombstones, tombstone_key
from tidemill.artifacts.manifest import MANIFESTS, object_key
from tidemill.artifacts.object_store import QUARANTINE
from tidemill.artifacts.objects import Objects
from tidemill.errors import PermanentError
from tidemill.garbage.inventory import named_now, take_inventory
from tidemill.garbage.sweep import Sweep
from tidemill.progress import silent
from tidemill.records.documents import to_json

log = logging.getLogger(__name__)


class Removal:
    """Removes artifacts on behalf of one erasure."""

    def __init__(self, objects: Objects, erasure: str) -> None:
        self._objects = objects
        self._erasure = erasure
        self.refused: list[str] = []
        """What the service did not let us remove."""

    async def bury(
        self,
        artifacts: Mapping[str, SearchedArtifact],
        loose: Collection[str] = (),
        records: Mapping[str, str] | None = None,
    ) -> Tombstone:
        """Write the tombstone of ``artifacts`` (by digest), of ``loose`` objects that held the value, and of
        ``records`` that were overwritten."""
        held = {digest: one for digest, one in artifacts.items() if one.held}
        tombstone = Tombstone(
            erasure=self._erasure,
            at=datetime.now(UTC),
            artifacts=frozenset(digest.removeprefix("sha256:") for digest in held),
            shards=frozenset(
                shard.sha256 for one in held.values() for entry in one.held for shard in entry.shards
            ) | frozenset(loose),
            derived=frozenset(digest.removeprefix("sha256:") for digest in artifacts.keys() - held.keys()),
            contents=frozenset(entry.content for one in artifacts.values() for entry in one.manifest.files),
            records=dict(records or {}),
        )  # fmt: skip
        before = len(await self._tombstones())
        await self._objects.create_own(tombstone_key(self._erasure, before + 1), to_json(tombstone))
        return tombstone

    async def remove_loose(self, keys: Sequence[str]) -> None:
        """Bury and delete objects that hold the value and belong to no artifact."""
        await self.bury({}, loose=[key.rpartition("/")[2].removesuffix(".json") for key in keys])
        await self._objects.delete(keys)

    async def complete(self) -> None:
        """Remove the old versions of everything that the tombstones of this erasure name, also of those that were
        written before a crash."""
        keys: set[str] = set()
        for tombstone in await self._tombstones():
            keys.update(map(_manifest_key, tombstone.artifacts | tombstone.derived))
            for sha256 in tombstone.shards | tombstone.contents:
                keys.update((object_key(sha256), f"{QUARANTINE}/{sha256}", f"{QUARANTINE}/{sha256}.json"))
            keys.update(tombstone.records)
        await self._erase_old(sorted(keys))

    async def remove(self, artifacts: Mapping[str, SearchedArtifact]) -> set[str]:
        """Delete artifacts, and of their objects those that no other artifact has; their old versions stay until
        ``complete``.

        Returns:
            Objects with the value that stay, since an artifact that was kept has them too.

        Raises:
            TransientError: a garbage collection is deleting at this moment, or the store is out of reach.
        """
        await self._objects.delete([_manifest_key(digest) for digest in artifacts])
        inventory = await take_inventory(self._objects, silent)
        shards = {shard.sha256 for one in artifacts.values() for entry in one.manifest.files for shard in entry.shards}
        there = [inventory.shards[sha256] for sha256 in sorted(shards & inventory.shards.keys())]
        async with Sweep(self._objects, inventory, condemned_before=datetime.max.replace(tzinfo=UTC)) as sweep:
            await sweep.loose(there)
        named = frozenset().union(*(await named_now(self._objects, inventory)).values())
        await self._objects.delete([f"{QUARANTINE}/{sha256}" for sha256 in sorted(shards)])
        await self._objects.delete([marker_key(digest) for digest in artifacts])
        held = {shard.sha256 for one in artifacts.values() for entry in one.held for shard in entry.shards}
        return held & named

    async def _tombstones(self) -> list[Tombstone]:
        known = Tombstones(self._objects)
        await known.look()
        return [one for one in known.all if one.erasure == self._erasure]

    async def _erase_old(self, keys: Sequence[str]) -> None:
        try:
            self.refused += await self._objects.erase_old_versions(keys)
        except PermanentError as error:
            self.refused.append(str(error))
        for sentence in self.refused[:3]:
            log.error("erasure %s: an old version stays: %s", self._erasure, sentence)


def _manifest_key(digest: str) -> str:
    return f"{MANIFESTS}/{digest.removeprefix('sha256:')}.json"
