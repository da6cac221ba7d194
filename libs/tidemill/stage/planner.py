"""Planning: a stage takes its event, plans its jobs, and queues the ones that have no result yet; then the next round.

When every result exists already (the same dataset and recipe in another run), the stage is joined at once. A dataset
that is named by a URI is copied into the store first, by a job of its own (see ``snapshot``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Generic

from tidemill.bus import Bus
from tidemill.bus.cloudevents import MalformedEvent, derived_run_id, event_headers, parse_event
from tidemill.bus.delivery import Delivery
from tidemill.bus.subjects import JOBS, job_subject
from tidemill.contracts import (
    STAGES,
    ArtifactLost,
    DatasetPrepared,
    DatasetPublished,
    Event,
    Recipe,
    RecipeError,
    StageEvent,
)
from tidemill.errors import PermanentError, TidemillError, TransientError
from tidemill.records.schema import ResultRecord, RunRecord
from tidemill.stage.announced import announced
from tidemill.stage.definition import E, Job, R, S, Stage
from tidemill.stage.failure import FailurePolicy
from tidemill.stage.fingerprint import hardware_class, job_fingerprint, step_fingerprints
from tidemill.stage.job_command import JobCommand
from tidemill.stage.join import Joiner
from tidemill.stage.remaking import again, taken_by
from tidemill.stage.runs import Runs
from tidemill.stage.snapshot import SOURCE, snapshot_command, snapshot_fingerprint
from tidemill.telemetry import current_traceparent, run_scope, span

log = logging.getLogger(__name__)


@dataclass
class _Course(Generic[E]):
    """How far a stage has come with an event."""

    event: E
    recipe: Recipe
    cause: str
    started_at: datetime
    worked: bool = False
    """Whether one of the results was made just now."""
    rounds: list[list[str]] = field(default_factory=list)
    """Fingerprints of the jobs of the rounds that are done."""
    results: dict[str, ResultRecord] = field(default_factory=dict)


class Planner(Generic[E, S, R]):
    """Turns the stage's event into jobs."""

    def __init__(
        self,
        stage: Stage[E, S, R],
        *,
        bus: Bus,
        runs: Runs,
        joiner: Joiner[E, S, R],
        failures: FailurePolicy,
    ) -> None:
        self._stage = stage
        self._bus = bus
        self._runs = runs
        self._joiner = joiner
        self._failures = failures

    async def on_event(self, delivery: Delivery) -> None:
        """Handle one delivery of the stage's event, or of ``ArtifactLost``. That of a run that has ended is dropped."""
        try:
            event = self._parse(delivery)
        except MalformedEvent as error:
            if delivery.subject == ArtifactLost.subject and self._stage.name != STAGES[0]:
                log.info("%s; %s keeps it in the dead letters", error, STAGES[0])
                return
            raise
        with run_scope(event.run_id):
            if isinstance(event, ArtifactLost):
                await self._make_again(event, delivery)
                return
            own, traceparent = await self._on_record(self._own(event))
            await self._on_event(own, delivery, traceparent)

    async def _make_again(self, lost: ArtifactLost, delivery: Delivery) -> None:
        """Plan what this stage took in the run once more, if it was this stage that made what is lost."""
        if lost.stage != self._stage.name:
            return
        taken = await taken_by(self._stage.name, self._joiner.records, lost.project, lost.run_id)
        if not isinstance(taken, self._stage.consumes):
            log.warning("run %s: %s took no event there is a record of; nothing is made again", lost.run_id, lost.stage)
            return
        headers = event_headers(taken, source=self._stage.name, fingerprint=lost.artifact.digest)
        # Under the id of what asks: each job is queued once for each cause.
        headers["ce-id"] = delivery.headers.get("ce-id") or f"{delivery.stream}:{delivery.sequence}"
        body = taken.model_dump_json().encode()
        await self._on_event(taken, replace(delivery, subject=taken.subject, body=body, headers=headers), None)

    async def _on_record(self, event: E) -> tuple[E, str | None]:
        """The event as it is on record, and where planning belongs: an event only tells that there is something to do.

        Whoever may publish on the bus can so neither begin a stage that no other has reached, nor have it work on
        something else.

        Raises:
            PermanentError: no stage of that run has announced it.
        """
        if isinstance(event, DatasetPublished):
            record, traceparent = await self._begun(event)
            return self._recorded(record.event, event), traceparent
        before = STAGES[STAGES.index(self._stage.name) - 1]
        stage = await self._joiner.records.stage(event.project, event.run_id, before)
        if stage is None:
            raise PermanentError(
                f"{event.subject}: {before} of run {event.run_id!r} in project {event.project!r} is not on record as "
                "done, so it cannot have announced this"
            )
        return self._recorded(announced(stage), event), None

    def _recorded(self, recorded: Event, event: E) -> E:
        if recorded != event:
            log.warning("run %s: %s is not as it is on record; the record is taken", event.run_id, event.subject)
        return self._own(recorded)

    async def _begun(self, event: DatasetPublished) -> tuple[RunRecord, str | None]:
        """The run's record. A bare publish brings no trace: then it is that of the record, every time."""
        if current_traceparent() is not None:
            return await self._runs.begin(event), None
        with span("publish", run_id=event.run_id, project=event.project):
            record = await self._runs.begin(event)
        return record, record.traceparent

    async def _on_event(self, event: E, delivery: Delivery, traceparent: str | None) -> None:
        name = f"{self._stage.name} plan"
        with span(name, traceparent=traceparent, run_id=event.run_id, project=event.project):
            status = await self._runs.status(event.project, event.run_id)
            if status.state != "running":
                log.info("run %s is %s: %s is not planned", event.run_id, status.state, self._stage.name)
                return
            if isinstance(event, DatasetPrepared) and event.final:
                log.info("run %s ends with its prepared dataset: %s does nothing", event.run_id, self._stage.name)
                return
            try:
                cause = delivery.headers.get("ce-id") or f"{delivery.stream}:{delivery.sequence}"
                await self.plan(event, cause, status.epoch)
            except TransientError:
                raise
            except Exception as error:
                await self._failures.planning_failed(event, delivery, error, status.epoch)

    def _parse(self, delivery: Delivery) -> Event:
        stored_at = delivery.stored_at or datetime.now(UTC)
        run_id = derived_run_id(delivery.stream, delivery.sequence, stored_at)
        return parse_event(delivery.subject, delivery.body, delivery.headers, run_id=run_id)

    def _own(self, event: Event) -> E:
        if not isinstance(event, self._stage.consumes):
            raise PermanentError(f"{self._stage.name} takes {self._stage.consumes.subject}, not {event.subject}")
        return event

    async def plan(self, event: E, cause: str, epoch: int) -> None:
        """Queue the jobs of ``event`` that have no result, or join the stage when none is missing.

        ``cause`` names what brought the event: each job is queued once for each cause.

        Raises:
            PermanentError: the recipe is none, or what it names cannot be used.
            TransientError: something is out of reach; planning again completes it.
        """
        if await self._joiner.announce_again(event):
            return
        started_at = datetime.now(UTC)
        try:
            recipe = await self._joiner.recipe(event)
        except RecipeError as error:
            raise PermanentError(str(error)) from None
        if isinstance(event, DatasetPublished) and event.source is None and self._stage.snapshot is not None:
            fingerprint = snapshot_fingerprint(event, epoch)
            snapshot = await self._joiner.results.find(event.project, fingerprint)
            if snapshot is None:
                await self._queue(snapshot_command(event, fingerprint, started_at), cause)
                return
            event = event.model_copy(update={"source": snapshot.artifacts[SOURCE]})
        if self._stage.resolve is not None:
            event = await self._stage.resolve(event, recipe, self._joiner.records, self._joiner.store)
        jobs = await asyncio.to_thread(self._stage.plan, event, recipe)  # it may hash a base model or ask the hub
        if not jobs:
            raise TidemillError(f"{self._stage.name} planned no job for run {event.run_id}")
        await self._go_on(_Course(event, recipe, cause, started_at), jobs)

    async def go_on(self, command: JobCommand, event: E, epoch: int, known: ResultRecord, *, worked: bool) -> None:
        """Queue the jobs of the next round, or join the stage, when all jobs of this round have their results.

        ``known`` is the result of the job of ``command``, found or committed a moment ago.

        Raises:
            PermanentError, TransientError: as ``plan``.
        """
        following = command.fingerprints[(command.index + 1) % len(command.fingerprints)]
        # Jobs end about in their order: of a thousand nearly all find the next one open, and need not ask for all.
        if following != known.fingerprint and await self._joiner.results.find(event.project, following) is None:
            return
        results = await self._joiner.results.found(event.project, command.fingerprints, known)
        if len(results) < len(set(command.fingerprints)):
            return
        if not command.rounds:
            await self._joiner.join(event, command.fingerprints, results, command.started_at, worked=worked)
            return
        before = [one for round in command.earlier for one in round]
        results |= await self._joiner.results.found(event.project, before)
        if any(one not in results for one in before):  # lost since: whoever made it makes it again
            await self.plan(event, f"{command.cause} {again()}", epoch)
            return
        course = _Course(event, await self._joiner.recipe(event), command.cause, command.started_at, worked=worked)
        course.rounds = [*command.earlier, list(command.fingerprints)]
        course.results = results
        await self._go_on(course, await asyncio.to_thread(self._following, course))

    async def _go_on(self, course: _Course[E], jobs: Sequence[Job[S]]) -> None:
        """Go through the rounds whose results are all there, to the first that has jobs to do, or to the end."""
        while jobs:
            fingerprints = self._fingerprints(course.event, jobs)
            found = await self._joiner.results.found(course.event.project, fingerprints)
            missing = [index for index, fingerprint in enumerate(fingerprints) if fingerprint not in found]
            for index in missing:
                await self._queue(self._command(course, jobs[index], index, fingerprints), course.cause)
            if missing:
                log.info(
                    "run %s: %s queued %d of %d jobs", course.event.run_id, self._stage.name, len(missing), len(jobs)
                )
                return
            course.rounds.append(fingerprints)
            course.results |= found
            jobs = await asyncio.to_thread(self._following, course)  # it may hash a model, as planning may
        joined = [one for round in course.rounds for one in round]
        await self._joiner.join(course.event, joined, course.results, course.started_at, worked=course.worked)

    def _following(self, course: _Course[E]) -> Sequence[Job[S]]:
        if self._stage.follow is None:
            return []
        run_id = course.event.run_id
        rounds = [[self._joiner.job_result(course.results[one], run_id) for one in round] for round in course.rounds]
        return self._stage.follow(course.event, course.recipe, rounds)

    def _fingerprints(self, event: E, jobs: Sequence[Job[S]]) -> list[str]:
        stage = self._stage
        hardware = hardware_class() if stage.hardware_matters else None
        salt = _salt(event)
        return [
            job_fingerprint(stage.name, stage.revision, job.spec, job.inputs, hardware=hardware, salt=salt)
            for job in jobs
        ]

    def _command(self, course: _Course[E], job: Job[S], index: int, fingerprints: list[str]) -> JobCommand:
        event = course.event
        return JobCommand(
            project=event.project,
            run_id=event.run_id,
            stage=self._stage.name,
            event=event.model_dump(mode="json"),
            index=index,
            fingerprints=fingerprints,
            spec=job.spec.model_dump(mode="json"),
            inputs=dict(job.inputs),
            resource_class=job.resource_class,
            title=job.title,
            started_at=course.started_at,
            earlier=course.rounds,
            rounds=self._stage.follow is not None,
            cause=course.cause,
            steps=step_fingerprints(self._stage.name, self._stage.revision, job.steps, job.inputs, salt=_salt(event)),
        )

    async def _queue(self, command: JobCommand, cause: str) -> None:
        await self._bus.publish_durably(
            JOBS,
            job_subject(command.stage, command.resource_class, command.project, command.run_id),
            command.model_dump_json().encode(),
            {"Nats-Msg-Id": command.message_id(cause), "content-type": "application/json"},
        )


def _salt(event: DatasetPublished | StageEvent) -> str | None:
    """What sets the fingerprints of a run apart that neither uses nor feeds the cache."""
    return None if event.use_cache else event.run_id
