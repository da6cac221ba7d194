"""Joining: when every job of a stage has its result, the stage announces its own fact, once.

Any worker that finishes a job, and the planner that finds every result there, may join; the stage record is created
once and whoever comes later announces the same recorded event, which the stream keeps once. A stage that had to be
worked again, since what it made was lost, announces its event once more under a number of its own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Generic

from tidemill.artifacts import ArtifactStore
from tidemill.bus import Bus
from tidemill.contracts import Recipe, ResourceUsage, StageEvent
from tidemill.contracts.recipe import parse_recipe
from tidemill.records import RecordStore
from tidemill.records.schema import ResultRecord, StageRecord
from tidemill.stage.announced import announced
from tidemill.stage.definition import E, JobResult, R, S, Stage
from tidemill.stage.fingerprint import stage_fingerprint
from tidemill.stage.remaking import LostForGood, again, made_by
from tidemill.stage.results import Results
from tidemill.stage.runs import Runs
from tidemill.telemetry import measures

log = logging.getLogger(__name__)

RECIPES_KEPT = 64


class Joiner(Generic[E, S, R]):
    """Collects the results of a stage's jobs and announces the stage."""

    def __init__(self, stage: Stage[E, S, R], bus: Bus, store: ArtifactStore, records: RecordStore, runs: Runs) -> None:
        self._stage = stage
        self._bus = bus
        self.store = store
        self.records = records
        self._runs = runs
        self.results = Results(records, store)
        self._recipes: dict[str, Recipe] = {}
        """Frozen recipes by their digest, those used last at the end: a stage asks when it plans and when it joins."""

    async def join(
        self,
        event: E,
        fingerprints: Sequence[str],
        results: Mapping[str, ResultRecord],
        started_at: datetime,
        *,
        worked: bool = False,
    ) -> None:
        """Announce the stage; ``results`` holds every fingerprint. A run that was ended meanwhile announces nothing.

        ``worked`` says that one of the results was made just now: where the stage was announced before, what it had
        made was lost, and the next stage is to hear of it again.

        Raises:
            TransientError: a record or the announcement could not be written; joining again completes it.
            LostForGood: what the stage announced before is lost, and came out differently this time.
        """
        earlier = await self.records.stage(event.project, event.run_id, self._stage.name)
        if earlier is not None:
            if await self._announced_again(event, earlier, again() if worked else 1):
                return
            raise LostForGood(
                f"what {self._stage.name} made for this run is lost, and working it again gave other bytes, so that "
                "the run cannot go on from there; publish the dataset again"
            )
        record = await self._record(event, fingerprints, results, started_at)
        if not await self._runs.reach(event.project, event.run_id, self._stage.name):
            log.info("run %s is not running any more; %s announces nothing", event.run_id, self._stage.name)
            return
        if not await self.records.create_stage(event.project, event.run_id, record):
            await self.announce_again(event)  # somebody joined at the same time: there is one event of this stage
            return
        await self._announce(record)
        took = (record.finished_at - record.started_at).total_seconds()
        measures.STAGE_DURATION.record(took, {measures.STAGE: record.stage, measures.CACHED: record.cached})

    async def announce_again(self, event: E, *, announcement: int = 1) -> bool:
        """Announce what the run's stage announced before; False when it is not on record yet, or lost what it made.

        The stream keeps the same announcement once, and a consumer that has seen it does nothing.
        """
        record = await self.records.stage(event.project, event.run_id, self._stage.name)
        return record is not None and await self._announced_again(event, record, announcement)

    async def _announced_again(self, event: E, record: StageRecord, announcement: int) -> bool:
        if not await self.results.all_exist(made_by(announced(record), event)):
            return False
        if await self._runs.reach(event.project, event.run_id, self._stage.name):
            await self._announce(record, announcement)
        return True

    async def _announce(self, record: StageRecord, announcement: int = 1) -> None:
        fact = announced(record)
        await self._bus.announce(fact, fingerprint=record.fingerprint, announcement=announcement)
        log.info("run %s: %s announced %s", fact.run_id, self._stage.name, record.subject)

    async def recipe(self, event: E) -> Recipe:
        """The run's recipe: frozen by ingest, or as it was published when ingest itself asks.

        Raises:
            RecipeError: what a person wrote is not a recipe.
        """
        if not isinstance(event, StageEvent):
            return parse_recipe(event.recipe)
        digest = event.recipe.digest
        recipe = self._recipes.pop(digest, None)
        if recipe is None:
            recipe = parse_recipe(json.loads(await self.store.read(event.recipe, "recipe.json")))
        self._recipes[digest] = recipe
        if len(self._recipes) > RECIPES_KEPT:
            del self._recipes[next(iter(self._recipes))]
        return recipe

    async def _record(
        self, event: E, fingerprints: Sequence[str], results: Mapping[str, ResultRecord], started_at: datetime
    ) -> StageRecord:
        made_here = [results[f].usage for f in fingerprints if results[f].run_id == event.run_id]
        attempts = await self.records.run_attempts(event.project, event.run_id)
        beside = [  # tries that came to nothing, and the snapshot, whose result is none of the stage's own
            one.usage
            for one in attempts
            if one.stage == self._stage.name and (one.kind != "finished" or one.fingerprint not in results)
        ]
        joined = self._stage.join(
            event, await self.recipe(event), [self.job_result(results[f], event.run_id) for f in fingerprints]
        )
        fact = joined.model_copy(
            update={"usage": ResourceUsage.total([*made_here, *beside]), "use_cache": event.use_cache}
        )
        return StageRecord(
            stage=self._stage.name,
            subject=fact.subject,
            event=fact.model_dump(mode="json"),
            fingerprint=stage_fingerprint(fingerprints),
            started_at=started_at,
            finished_at=datetime.now(UTC),
            cached=not made_here,
            jobs=len(fingerprints),
            fingerprints=list(fingerprints),
        )

    def job_result(self, record: ResultRecord, run_id: str) -> JobResult[R]:
        """A result as the stage's functions see it in the run ``run_id``."""
        return JobResult(
            result=self._stage.result.model_validate(record.result),
            artifacts=record.artifacts,
            usage=record.usage,
            cached=record.run_id != run_id,
        )
