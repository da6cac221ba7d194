"""The bucket: results, versions and the chain of decisions, and every artifact whole."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from tests.faults.arena import Arena
from tests.faults.audit.facts import RunOnRecord
from tests.faults.audit.violation import Violation
from tests.faults.runs import PROJECT
from tidemill.artifacts.manifest import object_key, read_manifest
from tidemill.errors import CorruptArtifact, NotFound
from tidemill.records.schema import VersionRegistered
from tidemill.stage.announced import announced

MADE = {
    "ingest": ("dataset", "recipe", "report", "quarantine"),
    "preprocess": ("dataset", "report", "vault"),
    "train": ("model",),
    "compress": ("model",),
}
"""What the event of each stage names that its jobs made."""


async def results(arena: Arena, facts: Sequence[RunOnRecord]) -> list[Violation]:
    """What a stage announced was made by its jobs, each of which has one result."""
    found = []
    for one in facts:
        for stage in one.stages:
            if stage.stage == "register":
                continue
            made = one.results[stage.stage]
            if not stage.fingerprints or len(made) != len(stage.fingerprints):
                found.append(Violation("duplicate", one.run_id, f"{stage.stage} announced what has no result"))
                continue
            refs = [ref.model_dump(mode="json") for result in made for ref in result.artifacts.values()]
            for name in MADE[stage.stage]:
                ref = stage.event[name]
                if ref is not None and ref not in refs:
                    found.append(
                        Violation(
                            "duplicate", one.run_id, f"{stage.stage} announced a {name} that none of its jobs made"
                        )
                    )
    return found


async def versions(arena: Arena, facts: Sequence[RunOnRecord]) -> list[Violation]:
    """One version per package that a run made, numbered without a gap; the chain of decisions verifies."""
    found: list[Violation] = []
    try:
        chain = await arena.platform.records.decisions(PROJECT)
    except CorruptArtifact as broken:
        return [Violation("untruthful", "", f"the chain of decisions: {broken}")]
    registered: dict[str, list[VersionRegistered]] = defaultdict(list)
    for record in chain:
        if isinstance(record.decision, VersionRegistered):
            registered[record.decision.name].append(record.decision)
    for name, made in registered.items():
        numbers = [one.version for one in made]
        if numbers != list(range(1, len(made) + 1)):
            found.append(Violation("duplicate", "", f"versions of {name} are {numbers}"))
        for digest, count in Counter(one.event.model.digest for one in made).items():
            if count > 1:
                found.append(Violation("duplicate", "", f"{name}: package {digest} is {count} versions"))
    for one in facts:
        if one.outcome is None or one.outcome.state != "finished":
            continue
        stage = next(stage for stage in one.stages if stage.stage == "compress")
        model = announced(stage).model  # type: ignore[attr-defined]
        digest = model.digest
        if not await arena.platform.store.exists(model):
            found.append(Violation("half-written", one.run_id, f"finished, but its model {digest} is not in the store"))
        name = one.record.event.name
        mine = [version.version for version in registered[name] if version.event.model.digest == digest]
        if mine != [one.outcome.version]:
            found.append(
                Violation("untruthful", one.run_id, f"{name}: its package is {mine}, not {one.outcome.version}")
            )
    return found


async def artifacts(arena: Arena) -> list[Violation]:
    """Every manifest's objects are there, with their bytes; but for those that the suite itself damaged."""
    objects = arena.platform.objects
    found = []
    wanted: dict[str, str] = {}
    async for key in objects.keys("artifacts/manifests"):
        digest = key.rpartition("/")[2].removesuffix(".json")
        try:
            manifest = read_manifest(await objects.read(key), digest)
        except CorruptArtifact as broken:
            found.append(Violation("half-written", "", str(broken)))
            continue
        for entry in manifest.files:
            wanted |= {shard.sha256: f"{entry.path} of {digest[:12]}" for shard in entry.shards}
    for sha256, of in wanted.items():
        if sha256 in arena.corrupted:
            continue
        try:
            data = await objects.read(object_key(sha256))
        except NotFound:
            found.append(Violation("half-written", "", f"object {sha256} ({of}) is missing"))
            continue
        if hashlib.sha256(data).hexdigest() != sha256:
            found.append(Violation("half-written", "", f"object {sha256} ({of}) holds other bytes"))
    return found
