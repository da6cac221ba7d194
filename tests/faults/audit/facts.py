"""Everything on record about the runs of a scene, read once for all parts of the audit."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.arena import Arena
from tests.faults.runs import PROJECT, Tracked
from tidemill.records.schema import AttemptRecord, OutcomeRecord, ResultRecord, RunRecord, StageRecord


@dataclass(frozen=True)
class RunOnRecord:
    """One run as the bucket tells it. ``tracked`` is None for a run that began although its publisher got no answer."""

    run_id: str
    tracked: Tracked | None
    record: RunRecord
    epoch: int
    stages: tuple[StageRecord, ...]
    outcomes: tuple[OutcomeRecord, ...]
    attempts: tuple[AttemptRecord, ...]
    results: dict[str, tuple[ResultRecord, ...]]
    """By stage, those of its jobs that are there: of the generations of a result the one that the stage announced,
    else the last."""

    @property
    def outcome(self) -> OutcomeRecord | None:
        """How the latest epoch ended."""
        return next((outcome for outcome in self.outcomes if outcome.epoch == self.epoch), None)


async def gather(arena: Arena) -> list[RunOnRecord]:
    """All runs that are on record."""
    records = arena.platform.records
    tracked = {run.run_id: run for run in arena.runs.tracked}
    results = await all_results(arena)
    attempts = await all_attempts(arena)
    found = []
    for run_id in await records.run_ids(PROJECT):
        record = await records.run(PROJECT, run_id)
        if record is None:
            continue
        stages = await records.stages(PROJECT, run_id)
        found.append(
            RunOnRecord(
                run_id=run_id,
                tracked=tracked.get(run_id),
                record=record,
                epoch=max([1, *(epoch.epoch for epoch in await records.epochs(PROJECT, run_id))]),
                stages=tuple(stages),
                outcomes=tuple(await records.outcomes(PROJECT, run_id)),
                attempts=tuple(attempts.get(run_id, [])),
                results={
                    one.stage: tuple(_announced(one, results[job]) for job in one.fingerprints if job in results)
                    for one in stages
                },
            )
        )
    return found


async def all_results(arena: Arena) -> dict[str, list[ResultRecord]]:
    """Every result in the order of its generations, by the fingerprint of its job."""
    found: dict[str, list[ResultRecord]] = {}
    keys = [key async for key in arena.platform.objects.keys(f"records/{PROJECT}/results")]
    for key in sorted(keys, key=lambda key: key.removesuffix(".json")):
        record = ResultRecord.model_validate_json(await arena.platform.objects.read(key))
        found.setdefault(record.fingerprint, []).append(record)
    return found


def _announced(stage: StageRecord, generations: list[ResultRecord]) -> ResultRecord:
    said = list(stage.event.values())
    for record in generations:
        if all(ref.model_dump(mode="json") in said for ref in record.artifacts.values()):
            return record
    return generations[-1]


async def all_attempts(arena: Arena) -> dict[str, list[AttemptRecord]]:
    """Failed tries by run."""
    found: dict[str, list[AttemptRecord]] = {}
    async for key in arena.platform.objects.keys(f"records/{PROJECT}/attempts"):
        data = await arena.platform.objects.read(key)
        record = AttemptRecord.model_validate_json(data)
        found.setdefault(record.run_id, []).append(record)
    return found
