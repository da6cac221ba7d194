"""What was erased on somebody's behalf: digests that the store does not take again, and what caches have to drop.

    artifacts/erased/<erasure>-<number>.json   Tombstone: written before the first of its objects is deleted

A put looks at the tombstones before its first write and behind its last one; an erasure writes its tombstone first and
deletes behind it. So either the put sees the tombstone and takes back what it wrote, or the erasure sees the put.
Digests are of whole objects and tell nothing of whose data they held; the value itself is nowhere.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from tidemill.artifacts.objects import Objects
from tidemill.contracts import Frozen
from tidemill.errors import InvalidInput, NotFound

TOMBSTONES = "artifacts/erased"


class Erased(InvalidInput):
    """These very bytes were erased: they are not taken again, nor given out."""


class Tombstone(Frozen):
    """What one erasure took away. Digests are sha256 in hex."""

    erasure: str
    at: datetime
    artifacts: frozenset[str] = frozenset()
    """Artifacts that held the value."""
    shards: frozenset[str] = frozenset()
    """Objects of files that held it."""
    derived: frozenset[str] = frozenset()
    """Artifacts that were made from those. Made anew from what is left they may come out the same: then they hold
    nothing of the person, and are taken; a backup that is older than the erasure does not bring them back."""
    contents: frozenset[str] = frozenset()
    """What local caches drop: names of files' contents."""
    records: dict[str, str] = Field(default_factory=dict)
    """Records in which the value was overwritten, as they are since: a backup that is older has the others."""


def tombstone_key(erasure: str, number: int) -> str:
    """Where the ``number``-th tombstone of an erasure is kept."""
    return f"{TOMBSTONES}/{erasure}-{number:04d}.json"


class Tombstones:
    """The tombstones of a store. Those that were read once are kept, since they never change."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known: dict[str, Tombstone] = {}
        self._artifacts: set[str] = set()
        self._shards: set[str] = set()

    async def look(self) -> list[Tombstone]:
        """Bring the tombstones up to date: one listing, and a read for each that is new. Returns the new ones."""
        new = []
        for key in sorted([key async for key in self._objects.keys(TOMBSTONES) if key.endswith(".json")]):
            if key in self._known:
                continue
            try:
                tombstone = Tombstone.model_validate_json(await self._objects.read(key))
            except NotFound:
                continue
            self._known[key] = tombstone
            self._artifacts |= tombstone.artifacts
            self._shards |= tombstone.shards
            new.append(tombstone)
        return new

    @property
    def all(self) -> list[Tombstone]:
        """Those that are known, the oldest first."""
        return sorted(self._known.values(), key=lambda one: one.at)

    def covers_artifact(self, digest: str) -> bool:
        """Whether an artifact was erased, as far as is known."""
        return digest.removeprefix("sha256:") in self._artifacts

    def covers_shard(self, sha256: str) -> bool:
        """Whether an object was erased, as far as is known."""
        return sha256 in self._shards


def refusal(path: str) -> Erased:
    """The error for a file that comes again."""
    return Erased(
        f"file {path!r} holds personal data that was erased at the person's request, byte for byte; leave the person's "
        "rows out and publish the rest (with new consent, publish their rows as a file of their own)"
    )
