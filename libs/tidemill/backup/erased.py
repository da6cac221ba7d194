"""What was erased for people, as a backup and a restore heed it.

A backup that is older than an erasure holds what was erased. The next backup to the same place cleans it; a restore of
it leaves out what the tombstones name that it is given: those in the backup itself, and those of another store.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tidemill.artifacts.erased import TOMBSTONES, Tombstone, Tombstones
from tidemill.artifacts.manifest import MANIFESTS, object_key, read_manifest
from tidemill.artifacts.objects import Objects
from tidemill.artifacts.parallel import in_parallel
from tidemill.errors import CorruptArtifact, NotFound


class ErasedThings:
    """The tombstones that concern a copy which was made at ``made_at``."""

    def __init__(self, tombstones: list[Tombstone], made_at: datetime) -> None:
        after = [one for one in tombstones if one.at >= made_at]
        self._artifacts = frozenset().union(*(one.artifacts for one in tombstones), *(one.derived for one in after))
        self._shards = frozenset().union(*(one.shards for one in tombstones))
        self.records: Mapping[str, str] = {key: text for one in after for key, text in one.records.items()}
        """Records in which something was overwritten since, as they are now, by key."""

    def covers(self, name: str) -> bool:
        """Whether the artifact whose digest in hex is ``name`` is left out."""
        return name in self._artifacts

    @property
    def shards(self) -> frozenset[str]:
        """Objects that are left out."""
        return self._shards


def copied_key(tombstone: Tombstone) -> str:
    """Where a tombstone is kept in a backup: as in a store."""
    return f"{TOMBSTONES}/{tombstone.erasure}-{tombstone.at:%Y%m%dT%H%M%S%f}.json"


async def read_tombstones(*places: Objects) -> list[Tombstone]:
    """All tombstones of the given stores and backups."""
    found: dict[tuple[str, datetime], Tombstone] = {}
    for place in places:
        known = Tombstones(place)
        await known.look()
        found |= {(one.erasure, one.at): one for one in known.all}
    return list(found.values())


async def clean(backup: Objects, erased: ErasedThings) -> int:
    """Take out of a backup what was erased since; how many artifacts and records that were.

    Objects go with the artifacts, unless an artifact that stays has them too; so do the versions that a bucket keeps.
    """
    manifests = {key.rpartition("/")[2].removesuffix(".json"): key async for key in backup.keys(MANIFESTS)}
    gone = sorted(name for name in manifests if erased.covers(name))
    changed = [key for key, text in erased.records.items() if await _differs(backup, key, text)]
    if gone:
        leaving = await _objects_of(backup, gone, manifests)
        await backup.erase([manifests[name] for name in gone])
        staying = await _objects_of(backup, sorted(manifests.keys() - set(gone)), manifests)
        await backup.erase([object_key(sha256) for sha256 in sorted((leaving | erased.shards) - staying)])
    for key in changed:
        await backup.write(key, iter([erased.records[key].encode()]))
    await backup.erase_old_versions(changed)
    return len(gone) + len(changed)


async def _differs(backup: Objects, key: str, text: str) -> bool:
    try:
        return await backup.read(key) != text.encode()
    except NotFound:
        return False


async def _objects_of(backup: Objects, names: list[str], manifests: Mapping[str, str]) -> set[str]:
    async def of(name: str) -> set[str]:
        try:
            manifest = read_manifest(await backup.read(manifests[name]), name)
        except (NotFound, CorruptArtifact):
            return set()
        return {shard.sha256 for entry in manifest.files for shard in entry.shards}

    return {sha256 for found in await in_parallel(of, names, limit=16) for sha256 in found}
