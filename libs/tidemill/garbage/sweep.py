"""Deleting, in batches that are announced before: what a put must know of is in the notice while it is deleted.

One collection at a time holds the notice. A batch that takes too long is announced again before more is deleted, so
that a collection which was paused deletes nothing on a notice that nobody respects any more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from uuid import uuid4

from tidemill.artifacts.condemned import BATCH_SECONDS, DEAD_SECONDS, NOTICE, Notice, marker_key, read_notice
from tidemill.artifacts.manifest import MANIFESTS, object_key
from tidemill.artifacts.objects import Objects, StoredObject
from tidemill.artifacts.parallel import in_parallel
from tidemill.errors import TransientError
from tidemill.garbage.inventory import Inventory, named_now

MOST_NAMES = 2000
"""Names in one notice, unless a single artifact has more."""


@dataclass(frozen=True)
class Doomed:
    """An artifact whose marker is older than the grace; its manifest may have gone in a collection that was killed."""

    digest: str
    shards: frozenset[str]


class _Late(Exception):
    """The notice is too old to delete on."""


class Sweep:
    """Deletes what it is given unless somebody needs it after all. An asynchronous context manager.

    Raises:
        TransientError: another collection is at it.
    """

    def __init__(self, objects: Objects, inventory: Inventory, *, condemned_before: datetime) -> None:
        self._objects = objects
        self._inventory = inventory
        self._condemned_before = condemned_before
        self._owner = uuid4().hex
        self._number = 0
        self._announced = 0.0

    async def __aenter__(self) -> Sweep:
        if not await self._objects.create(NOTICE, self._notice(frozenset())):
            other = await read_notice(self._objects)
            if other is not None and datetime.now(UTC) - other.at < timedelta(seconds=2 * DEAD_SECONDS):
                raise TransientError("another garbage collection is deleting at this moment; try again in some minutes")
            await self._write(frozenset())
            await self._still_ours()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error a request may still be under way: the notice stays, and is taken for dead after a while.
        if kind is None:
            await self._still_ours()
            await self._objects.delete([NOTICE])

    async def artifacts(self, doomed: Sequence[Doomed]) -> set[str]:
        """Delete artifacts: their manifests, then the shards that no other artifact has, then their markers.

        Returns:
            The digests of those that are gone; the others were spared since they were condemned.
        """
        gone: set[str] = set()
        for batch in _batches(doomed):
            while (done := await self._batch(batch)) is None:
                pass
            gone |= done
        return gone

    async def loose(self, shards: Sequence[StoredObject]) -> list[StoredObject]:
        """Delete shards that no artifact has; those that one has by now stay. Returns what is gone."""
        gone = []
        for start in range(0, len(shards), MOST_NAMES):
            batch = {one.key.rpartition("/")[2]: one for one in shards[start : start + MOST_NAMES]}
            while (done := await self._loose(frozenset(batch))) is None:
                pass
            gone += [batch[sha256] for sha256 in done]
        return gone

    async def _batch(self, batch: Sequence[Doomed]) -> set[str] | None:
        names = {one.digest.removeprefix("sha256:") for one in batch}
        await self._announce(names.union(*(one.shards for one in batch)))
        try:
            asked = await in_parallel(self._condemned, batch)
            ripe = [one for one, condemned in zip(batch, asked, strict=True) if condemned]
            await self._delete([_manifest_key(one.digest) for one in ripe])
            await self._delete_unnamed(frozenset().union(*(one.shards for one in ripe)))
            await self._delete([marker_key(one.digest) for one in ripe])
        except _Late:
            return None
        return {one.digest for one in ripe}

    async def _loose(self, shards: frozenset[str]) -> frozenset[str] | None:
        await self._announce(shards)
        try:
            return await self._delete_unnamed(shards)
        except _Late:
            return None

    async def _delete_unnamed(self, shards: frozenset[str]) -> frozenset[str]:
        """Delete the shards that no manifest names; a put that wrote its manifest before this keeps its own."""
        named = await named_now(self._objects, self._inventory)
        # What the inventory did not see was written since, by a put that found nothing there.
        unnamed = (shards & self._inventory.shards.keys()).difference(*named.values())
        await self._delete([object_key(sha256) for sha256 in sorted(unnamed)])
        return unnamed

    async def _condemned(self, one: Doomed) -> bool:
        """Whether the artifact still is: whoever needs it takes its marker away, and a new marker is young."""
        marker = await self._objects.look_up(marker_key(one.digest))
        return marker is not None and marker.modified <= self._condemned_before

    async def _delete(self, keys: Sequence[str]) -> None:
        await in_parallel(self._delete_one, keys)

    async def _delete_one(self, key: str) -> None:
        if time.time() - self._announced > BATCH_SECONDS:
            raise _Late
        await self._objects.delete([key])

    async def _announce(self, names: set[str] | frozenset[str]) -> None:
        await self._still_ours()
        self._announced = time.time()
        await self._write(frozenset(names))

    async def _write(self, names: frozenset[str]) -> None:
        self._number += 1
        await self._objects.write(NOTICE, iter([self._notice(names)]))

    def _notice(self, names: frozenset[str]) -> bytes:
        notice = Notice(owner=self._owner, number=self._number, at=datetime.now(UTC), names=names)
        return notice.model_dump_json().encode()

    async def _still_ours(self) -> None:
        notice = await read_notice(self._objects)
        if notice is None or notice.owner != self._owner:
            raise TransientError("another garbage collection has taken over, since this one was paused for minutes")


def _batches(doomed: Sequence[Doomed]) -> Iterator[list[Doomed]]:
    batch: list[Doomed] = []
    names = 0
    for one in doomed:
        if batch and names + len(one.shards) + 1 > MOST_NAMES:
            yield batch
            batch, names = [], 0
        batch.append(one)
        names += len(one.shards) + 1
    if batch:
        yield batch


def _manifest_key(digest: str) -> str:
    return f"{MANIFESTS}/{digest.removeprefix('sha256:')}.json"
