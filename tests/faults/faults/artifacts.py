"""Artifacts that go bad in the store under a run that needs them."""

from __future__ import annotations

import random
from typing import Any

from tests.faults.arena import Arena, Hit, NotNow
from tidemill.artifacts.manifest import manifest_key, object_key, read_manifest
from tidemill.contracts import ArtifactRef

_NEEDED = {"preprocess": "dataset", "train": "dataset", "compress": "model"}


async def corrupt(arena: Arena, chance: random.Random) -> Hit:
    """Bytes of an object are flipped."""
    run_id, sha256 = await _needed_object(arena, chance)
    key = object_key(sha256)
    data = bytearray(await arena.platform.objects.read(key))
    for _ in range(3):
        data[chance.randrange(len(data))] ^= 0x5A
    await arena.platform.objects.delete([key])
    await arena.platform.objects.write(key, iter([bytes(data)]))
    _forget(arena, sha256)
    return Hit(f"object {sha256[:12]} of {run_id}", await _until_ended(arena, run_id))


async def delete(arena: Arena, chance: random.Random) -> Hit:
    """An object is deleted."""
    run_id, sha256 = await _needed_object(arena, chance)
    await arena.platform.objects.delete([object_key(sha256)])
    _forget(arena, sha256)
    return Hit(f"object {sha256[:12]} of {run_id}", await _until_ended(arena, run_id))


async def _needed_object(arena: Arena, chance: random.Random) -> tuple[str, str]:
    """A run, and an object of what its next stage reads."""
    candidates: list[tuple[str, dict[str, Any]]] = []
    for run in arena.runs.in_flight():
        field = _NEEDED.get(arena.watch.stage.get(run.run_id or "", ""))
        event = arena.watch.inputs.get(run.run_id or "", {})
        if field and event.get(field) and run.order.fate in ("plain", "slow"):
            candidates.append((run.run_id or "", event[field]))
    if not candidates:
        raise NotNow("no run reads an artifact at the moment")
    run_id, reference = chance.choice(candidates)
    ref = ArtifactRef.model_validate(reference)
    data = await arena.platform.objects.read(manifest_key(ref))
    manifest = read_manifest(data, ref.digest.removeprefix("sha256:"))
    sha256 = chance.choice([shard.sha256 for entry in manifest.files for shard in entry.shards])
    arena.corrupted.add(sha256)
    arena.damaged.add(ref.digest)
    return run_id, sha256


def _forget(arena: Arena, sha256: str) -> None:
    """Take the local cache's copy away, as on a machine that never fetched it: a cache may be deleted at any time."""
    for path in (arena.platform.data.root / "cache").rglob(sha256):
        path.unlink(missing_ok=True)


async def _until_ended(arena: Arena, run_id: str) -> float:
    return await arena.until(lambda: all(run.run_id != run_id for run in arena.runs.in_flight()), patience=150.0)
