"""What is in the store: artifacts, shards, markers of condemned ones, what was put aside, what died on its way in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from tidemill.artifacts.condemned import MARKERS
from tidemill.artifacts.manifest import MANIFESTS, OBJECTS, Shard, read_manifest
from tidemill.artifacts.object_store import QUARANTINE
from tidemill.artifacts.objects import Objects, StoredObject
from tidemill.artifacts.parallel import in_parallel
from tidemill.contracts import ArtifactKind
from tidemill.errors import CorruptArtifact, NotFound
from tidemill.progress import Progress

PROBES = "artifacts/probes"

_SHA256 = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact as its manifest tells."""

    digest: str
    kind: ArtifactKind
    modified: datetime
    manifest_bytes: int
    shards: tuple[Shard, ...]


@dataclass
class Inventory:
    """The contents of a store at about one moment."""

    artifacts: dict[str, StoredArtifact] = field(default_factory=dict)
    """By digest."""
    named: dict[str, frozenset[str]] = field(default_factory=dict)
    """Shards that each manifest names, by digest; for a damaged one whatever in it looks like one."""
    shards: dict[str, StoredObject] = field(default_factory=dict)
    """By sha256."""
    markers: dict[str, StoredObject] = field(default_factory=dict)
    """By the digest of the artifact that was condemned."""
    probes: list[StoredObject] = field(default_factory=list)
    unfinished: list[StoredObject] = field(default_factory=list)
    quarantined: list[StoredObject] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """Digests of manifests that cannot be read."""


async def take_inventory(objects: Objects, progress: Progress) -> Inventory:
    """List everything and read every manifest.

    Shards are listed before manifests: a put writes in this order, so one that ends meanwhile is seen whole.
    """
    found = Inventory()
    found.markers = {_digest(one.key): one async for one in objects.entries(MARKERS)}
    async for one in objects.entries(OBJECTS):
        found.shards[one.key.rpartition("/")[2]] = one
        if len(found.shards) % 1000 == 0:
            progress("listing shards", len(found.shards), len(found.shards))
    manifests = [one async for one in objects.entries(MANIFESTS) if one.key.endswith(".json")]
    done = 0

    async def read(one: StoredObject) -> None:
        nonlocal done
        await _read_into(found, objects, one)
        done += 1
        progress("reading manifests", done, len(manifests))

    await in_parallel(read, manifests, limit=16)
    found.probes = [one async for one in objects.entries(PROBES)]
    found.quarantined = [one async for one in objects.entries(QUARANTINE)]
    found.unfinished = await objects.unfinished()
    return found


async def named_now(objects: Objects, known: Inventory) -> dict[str, frozenset[str]]:
    """``Inventory.named`` of the manifests that are there at this moment; those not in ``known`` are read."""
    manifests = [one async for one in objects.entries(MANIFESTS) if one.key.endswith(".json")]
    new = [one for one in manifests if _digest(one.key) not in known.named]
    fresh = Inventory()
    await in_parallel(lambda one: _read_into(fresh, objects, one), new, limit=16)
    names = known.named | fresh.named
    return {digest: names[digest] for one in manifests if (digest := _digest(one.key)) in names}


async def _read_into(found: Inventory, objects: Objects, one: StoredObject) -> None:
    digest = _digest(one.key)
    try:
        data = await objects.read(one.key)
    except NotFound:  # deleted since it was listed
        return
    try:
        manifest = read_manifest(data, digest.removeprefix("sha256:"))
    except CorruptArtifact:
        found.damaged.append(digest)
        found.named[digest] = frozenset(match.decode() for match in _SHA256.findall(data))
        return
    shards = {shard.sha256: shard for entry in manifest.files for shard in entry.shards}
    found.named[digest] = frozenset(shards)
    found.artifacts[digest] = StoredArtifact(digest, manifest.kind, one.modified, one.size, tuple(shards.values()))


def _digest(key: str) -> str:
    return f"sha256:{key.rpartition('/')[2].removesuffix('.json')}"
