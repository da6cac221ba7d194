"""A collection: what is there, what of it is referred to, and the two phases for the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tidemill.artifacts.condemned import marker_key, read_marker, write_marker
from tidemill.artifacts.objects import Objects, StoredObject
from tidemill.artifacts.parallel import in_parallel
from tidemill.errors import NotFound
from tidemill.garbage.inventory import Inventory, StoredArtifact, take_inventory
from tidemill.garbage.policy import Policy
from tidemill.garbage.references import Leased, References, find_references
from tidemill.garbage.report import FATES, LOOSE, QUARANTINED, UNFINISHED, Fate, Report, Tally
from tidemill.garbage.sweep import Doomed, Sweep
from tidemill.progress import Progress, silent
from tidemill.records import RecordStore

LAST = "artifacts/collected.json"
"""The report of the last collection that was no dry run."""


@dataclass
class _Plan:
    """What is to happen to everything in the store."""

    artifacts: dict[Fate, list[StoredArtifact]] = field(default_factory=lambda: {fate: [] for fate in FATES})
    loose: dict[Fate, list[StoredObject]] = field(default_factory=lambda: {fate: [] for fate in FATES})
    temporary: dict[Fate, list[StoredObject]] = field(default_factory=lambda: {fate: [] for fate in FATES})
    quarantined: dict[Fate, list[StoredObject]] = field(default_factory=lambda: {fate: [] for fate in FATES})
    needed_again: list[str] = field(default_factory=list)
    """Digests whose markers are taken away."""
    begun: list[Doomed] = field(default_factory=list)
    """Artifacts whose manifests went in a collection that was killed."""


class Collector:
    """Collects the garbage of a store.

    ``leased`` tells whether somebody works on a fingerprint; without it the age of checkpoints alone decides.
    """

    def __init__(
        self,
        objects: Objects,
        policy: Policy | None = None,
        *,
        leased: Leased | None = None,
        progress: Progress = silent,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._objects = objects
        self._policy = policy or Policy()
        self._leased = leased
        self._progress = progress
        self._clock = clock

    async def collect(self, *, dry_run: bool = False) -> Report:
        """Condemn what nothing refers to, and delete what was condemned a grace ago.

        Returns:
            What happened; in a dry run what would happen, and nothing is changed.

        Raises:
            CorruptArtifact: a record cannot be read, so nothing is collected; names it.
            TransientError: the store is out of reach, or another collection is deleting.
        """
        now = self._clock()
        inventory = await take_inventory(self._objects, self._progress)
        # Behind the inventory: what a put in flight has recorded by now is seen.
        references = await find_references(
            self._objects, RecordStore(self._objects), self._policy,
            now=now, leased=self._leased, progress=self._progress,
        )  # fmt: skip
        plan = await self._planned(inventory, references, now)
        if not dry_run:
            await self._condemn(plan)
            await self._sweep(plan, inventory, now)
        report = self._report(plan, inventory, now, dry_run=dry_run)
        if not dry_run:
            await self._objects.write(LAST, iter([report.model_dump_json().encode()]))
        return report

    async def _planned(self, inventory: Inventory, references: References, now: datetime) -> _Plan:
        plan = _Plan()
        for artifact in inventory.artifacts.values():
            marker = inventory.markers.get(artifact.digest)
            used = artifact.digest in references or references.may_be_a_source(artifact.kind, artifact.modified)
            fate = "kept" if used else self._fate(artifact, marker, now)
            plan.artifacts[fate].append(artifact)
            if used and marker is not None:
                plan.needed_again.append(artifact.digest)
        half = [digest for digest in inventory.markers if digest not in inventory.named]
        for digest, marker_ in zip(half, await in_parallel(self._marker, half), strict=True):
            plan.begun.append(Doomed(digest, marker_))
        named = frozenset().union(*inventory.named.values(), *(one.shards for one in plan.begun))
        for sha256, shard in inventory.shards.items():
            if sha256 not in named:
                plan.loose["freed" if now - shard.modified >= self._policy.shard_grace else "waiting"].append(shard)
        begun = frozenset().union(*(one.shards for one in plan.begun)).difference(*inventory.named.values())
        plan.loose["freed"] += [inventory.shards[sha256] for sha256 in begun & inventory.shards.keys()]
        for left in [*inventory.probes, *inventory.unfinished]:
            old = now - left.modified >= self._policy.shard_grace
            plan.temporary["freed" if old else "waiting"].append(left)
        for aside in inventory.quarantined:
            old = now - aside.modified >= self._policy.quarantine_age
            plan.quarantined["freed" if old else "kept"].append(aside)
        return plan

    def _fate(self, artifact: StoredArtifact, marker: StoredObject | None, now: datetime) -> Fate:
        """Of an artifact that nothing refers to."""
        grace = self._policy.grace
        if now - artifact.modified < grace:
            return "kept"
        if not grace:
            return "freed"
        if marker is None:
            return "condemned"
        return "freed" if now - marker.modified >= grace else "waiting"

    async def _marker(self, digest: str) -> frozenset[str]:
        marker = await read_marker(self._objects, digest)
        return frozenset(shard.sha256 for shard in marker.shards) if marker else frozenset()

    async def _condemn(self, plan: _Plan) -> None:
        await self._objects.delete([marker_key(digest) for digest in plan.needed_again])
        fresh = plan.artifacts["condemned"] + ([] if self._policy.grace else plan.artifacts["freed"])
        done = 0

        async def write(one: StoredArtifact) -> None:
            nonlocal done
            await write_marker(self._objects, one.digest, one.kind, one.shards)
            done += 1
            self._progress("condemning", done, len(fresh))

        await in_parallel(write, fresh)

    async def _sweep(self, plan: _Plan, inventory: Inventory, now: datetime) -> None:
        """Delete; what turns out to be needed goes from ``freed`` to ``kept`` in the plan."""
        freed = plan.artifacts["freed"]
        doomed = [*plan.begun, *(Doomed(one.digest, inventory.named[one.digest]) for one in freed)]
        begun = frozenset().union(*(one.shards for one in plan.begun))
        loose = [one for one in plan.loose["freed"] if one.key.rpartition("/")[2] not in begun]
        if doomed or loose:
            before = now - self._policy.grace if self._policy.grace else datetime.max.replace(tzinfo=UTC)
            async with Sweep(self._objects, inventory, condemned_before=before) as sweep:
                gone = await sweep.artifacts(doomed)
                left = await sweep.loose(loose)
            plan.artifacts["kept"] += [one for one in freed if one.digest not in gone]
            plan.artifacts["freed"] = [one for one in freed if one.digest in gone]
            spared = {one.key for one in loose} - {one.key for one in left}
            plan.loose["kept"] += [one for one in loose if one.key in spared]
            plan.loose["freed"] = [one for one in plan.loose["freed"] if one.key not in spared]
        old = plan.temporary["freed"]
        probes = {one.key for one in inventory.probes}
        await self._objects.delete([one.key for one in old if one.key in probes])
        await self._objects.delete([one.key for one in plan.quarantined["freed"]])
        await self._objects.remove_unfinished([one for one in old if one.key not in probes])

    def _report(self, plan: _Plan, inventory: Inventory, now: datetime, *, dry_run: bool) -> Report:
        tally = Tally()
        counted: set[str] = set()
        for fate in FATES:
            for artifact in sorted(plan.artifacts[fate], key=lambda one: one.digest):
                own = [shard for shard in artifact.shards if shard.sha256 not in counted]
                counted.update(shard.sha256 for shard in own)
                tally.add(artifact.kind, fate, artifact.manifest_bytes + sum(shard.size for shard in own))
            for shard in plan.loose[fate]:
                tally.add(LOOSE, fate, shard.size)
            for left in plan.temporary[fate]:
                tally.add(UNFINISHED, fate, left.size)
            for aside in plan.quarantined[fate]:
                tally.add(QUARANTINED, fate, aside.size)
        return Report(
            at=now, dry_run=dry_run, grace_seconds=self._policy.grace.total_seconds(), lines=tally.lines(),
            damaged=sorted(inventory.damaged),
        )  # fmt: skip


async def last_report(objects: Objects) -> Report | None:
    """The report of the last collection that was no dry run, None when there was none."""
    try:
        return Report.model_validate_json(await objects.read(LAST))
    except NotFound:
        return None
