"""Joining: when every job of a stage has its result, the stage announces its own fact, once.

Any worker that finishes a job, and the planner that finds every result there, may join; the stage record is created
once and whoever comes later announces the same recorded event, which the stream keeps once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Generic

from tidemill.artifacts import ArtifactStore
from tidemill.bus import Bus
from tidemill.contracts import EVENTS, ArtifactRef, Recipe, ResourceUsage, StageEvent
from tidemill.contracts.recipe import parse_recipe
from tidemill.records import RecordStore
from tidemill.records.schema import ResultRecord, StageRecord
from tidemill.stage.definition import E, JobResult, R, S, Stage
from tidemill.stage.fingerprint import stage_fingerprint
from tidemill.stage.runs import Runs

log = logging.getLogger(__name__)


class Joiner(Generic[E, S, R]):
    """Collects the results of a stage's jobs and announces the stage."""

    def __init__(self, stage: Stage[E, S, R], bus: Bus, store: ArtifactStore, records: RecordStore, runs: Runs) -> None:
        self._stage = stage
        self._bus = bus
        self._store = store
        self._records = records
        self._runs = runs

    async def results(self, project: str, fingerprints: Sequence[str]) -> dict[str, ResultRecord]:
        """The results that exist, by fingerprint."""
        found: dict[str, ResultRecord] = {}
        for fingerprint in fingerprints:
            record = await self._records.result(project, fingerprint)
            if record is not None and await self._complete(record):
                found[fingerprint] = record
        return found

    async def join(
        self, event: E, fingerprints: Sequence[str], results: Mapping[str, ResultRecord], started_at: datetime
    ) -> None:
        """Announce the stage; ``results`` holds every fingerprint. A run that was ended meanwhile announces nothing.

        Raises:
            TransientError: a record or the announcement could not be written; joining again completes it.
        """
        if await self.announce_again(event):
            return
        record = await self._record(event, fingerprints, results, started_at)
        if not await self._runs.reach(event.project, event.run_id, self._stage.name):
            log.info("run %s is not running any more; %s announces nothing", event.run_id, self._stage.name)
            return
        if not await self._records.create_stage(event.project, event.run_id, record):
            await self.announce_again(event)  # somebody joined at the same time: there is one event of this stage
            return
        await self._announce(record)

    async def announce_again(self, event: E) -> bool:
        """Announce what the run's stage announced before; False when it is not on record yet.

        The stream keeps the same announcement once, and a consumer that has seen it does nothing.
        """
        record = await self._records.stage(event.project, event.run_id, self._stage.name)
        if record is None:
            return False
        if await self._runs.reach(event.project, event.run_id, self._stage.name):
            await self._announce(record)
        return True

    async def _announce(self, record: StageRecord) -> None:
        fact = announced_event(record)
        await self._bus.announce(fact, fingerprint=record.fingerprint)
        log.info("run %s: %s announced %s", fact.run_id, self._stage.name, record.subject)

    async def recipe(self, event: E) -> Recipe:
        """The run's recipe: frozen by ingest, or as it was published when ingest itself asks.

        Raises:
            RecipeError: what a person wrote is not a recipe.
        """
        if isinstance(event, StageEvent):
            return parse_recipe(json.loads(await self._store.read(event.recipe, "recipe.json")))
        return parse_recipe(event.recipe)

    async def _record(
        self, event: E, fingerprints: Sequence[str], results: Mapping[str, ResultRecord], started_at: datetime
    ) -> StageRecord:
        made_here = [results[f].usage for f in fingerprints if results[f].run_id == event.run_id]
        joined = self._stage.join(
            event, await self.recipe(event), [self._job_result(results[f], event.run_id) for f in fingerprints]
        )
        fact = joined.model_copy(update={"usage": ResourceUsage.total(made_here), "use_cache": event.use_cache})
        return StageRecord(
            stage=self._stage.name,
            subject=fact.subject,
            event=fact.model_dump(mode="json"),
            fingerprint=stage_fingerprint(fingerprints),
            started_at=started_at,
            finished_at=datetime.now(UTC),
            cached=not made_here,
            jobs=len(fingerprints),
        )

    def _job_result(self, record: ResultRecord, run_id: str) -> JobResult[R]:
        return JobResult(
            result=self._stage.result.model_validate(record.result),
            artifacts=record.artifacts,
            usage=record.usage,
            cached=record.run_id != run_id,
        )

    async def _complete(self, record: ResultRecord) -> bool:
        refs: list[ArtifactRef] = list(record.artifacts.values())
        return all([await self._store.adopt(ref) for ref in refs])


def announced_event(record: StageRecord) -> StageEvent:
    """The event that a stage announced, as it is on record."""
    event = EVENTS[record.subject].model_validate(record.event)
    assert isinstance(event, StageEvent)
    return event
