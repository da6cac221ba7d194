"""What a garbage collection is about to delete, and how whoever needs it takes it back.

    artifacts/condemned/<digest>.json   Marker: nothing referred to this artifact when a collection looked
    artifacts/sweep.json                Notice: the collection that deletes at this moment, and what

A collection deletes only what it has named in the notice before, and looks at markers and manifests after it has
written the notice. A put writes its manifest and removes the marker first, and looks at the notice after that. So
either the collection sees the put and spares it, or the put sees the notice (or, when the collection is through,
what it deleted) and puts again. Knows nothing of what refers to artifacts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import datetime

from pydantic import ValidationError

from tidemill.artifacts.manifest import Shard
from tidemill.artifacts.objects import Objects
from tidemill.contracts import ArtifactKind, ArtifactRef, Frozen
from tidemill.errors import NotFound

MARKERS = "artifacts/condemned"
NOTICE = "artifacts/sweep.json"

BATCH_SECONDS = 60.0
"""A collection deletes nothing on a notice that it wrote longer ago than this."""
DEAD_SECONDS = 120.0
"""A notice that has stood unchanged for so long was left by a collection that was killed."""
_LOOK_SECONDS = 0.1


class Marker(Frozen):
    """An artifact to which nothing referred. Its shards are kept here too, since its manifest goes first."""

    digest: str
    kind: ArtifactKind
    shards: tuple[Shard, ...]


class Notice(Frozen):
    """What the collection ``owner`` deletes now: digests of manifests and shards in hex."""

    owner: str
    number: int
    at: datetime
    names: frozenset[str]


def marker_key(digest: str) -> str:
    """Where an artifact's marker is kept."""
    return f"{MARKERS}/{digest.removeprefix('sha256:')}.json"


class Condemned:
    """The markers and the notice as those see them who need an artifact."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def spare(self, ref: ArtifactRef) -> bool:
        """Take an artifact's marker away; False when it has none."""
        key = marker_key(ref.digest)
        if await self._objects.size(key) is None:
            return False
        await self._objects.delete([key])
        return True

    async def pass_by(self, ref: ArtifactRef, *shards: str) -> bool:
        """Wait while a collection that may delete one of these goes on; False when there is none.

        A notice that was left by a killed collection is removed after ``DEAD_SECONDS``.
        """
        names = {ref.digest.removeprefix("sha256:"), *shards}
        seen: Notice | None = None
        since = time.monotonic()
        while (notice := await read_notice(self._objects)) is not None and not names.isdisjoint(notice.names):
            if notice != seen:
                seen, since = notice, time.monotonic()
            elif time.monotonic() - since > DEAD_SECONDS:
                await self._objects.delete([NOTICE])
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return seen is not None


async def read_notice(objects: Objects) -> Notice | None:
    """The notice of the collection that goes on, None when there is none."""
    try:
        return Notice.model_validate_json(await objects.read(NOTICE))
    except (NotFound, ValidationError):
        return None


async def write_marker(objects: Objects, digest: str, kind: ArtifactKind, shards: Iterable[Shard]) -> None:
    """Condemn an artifact; one that is condemned already keeps its time."""
    marker = Marker(digest=digest, kind=kind, shards=tuple(shards))
    await objects.create(marker_key(digest), marker.model_dump_json().encode())


async def read_marker(objects: Objects, digest: str) -> Marker | None:
    """An artifact's marker, None when it has none."""
    try:
        return Marker.model_validate_json(await objects.read(marker_key(digest)))
    except NotFound:
        return None
