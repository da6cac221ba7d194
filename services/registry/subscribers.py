"""What comes in over the bus, and who handles it: events, commands, questions, live progress."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from datetime import UTC, datetime
from typing import get_args

import nats.errors
from nats.aio.msg import Msg
from pydantic import TypeAdapter, ValidationError

from services.registry.answers import Answers
from services.registry.commands import Commands
from services.registry.erasing.erasures import Erasures
from services.registry.facts import RunFacts
from services.registry.live import Live
from services.registry.projection import Projection
from services.registry.registration import Registrar
from tidemill.bus import Bus, MalformedEvent, parse_event
from tidemill.bus.cloudevents import derived_run_id
from tidemill.bus.consumers import Retry, growing_delay
from tidemill.bus.delivery import Delivery
from tidemill.bus.subjects import ANSWERS, QUERIES
from tidemill.contracts import (
    STAGES,
    Command,
    DatasetIngested,
    DatasetPrepared,
    DatasetPublished,
    EraseSubject,
    Event,
    FailureKind,
    ModelCompressed,
    ModelTrained,
    RunFailed,
    RunFinished,
    RunProgressed,
)
from tidemill.errors import InvalidInput
from tidemill.telemetry import measures, run_scope, span

log = logging.getLogger(__name__)

EVENT_SUBJECTS: tuple[str, ...] = tuple(
    event.subject
    for event in (
        DatasetPublished, DatasetIngested, DatasetPrepared, ModelTrained, ModelCompressed, RunFailed, RunFinished,
    )
)  # fmt: skip
QUEUE = "registry"
_STAGES_ANSWER = {event.subject for event in (DatasetPublished, DatasetIngested, DatasetPrepared, ModelTrained)}
"""Subjects that a stage consumes too: what is malformed on them goes to the dead letters once, from there."""
_INGEST_PATIENCE = 8
"""Deliveries of a bare publish, over half a minute, for which ingest may take to put the run on record."""
_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


class Subscribers:
    """The registry's handlers."""

    def __init__(
        self,
        *,
        bus: Bus,
        projection: Projection,
        registrar: Registrar,
        commands: Commands,
        erasures: Erasures,
        answers: Answers,
        live: Live,
    ) -> None:
        self._bus = bus
        self._projection = projection
        self._registrar = registrar
        self._commands = commands
        self._erasures = erasures
        self._answers = answers
        self._live = live
        self._replies: set[asyncio.Task[None]] = set()

    async def on_event(self, delivery: Delivery) -> None:
        """Bring the tables up to what a run's records say, and register its model when it is ready."""
        event = _parse_event(delivery)
        if event is None:
            return
        with run_scope(event.run_id):
            if isinstance(event, ModelCompressed):
                with span("register", run_id=event.run_id, project=event.project):
                    facts, recorded = await self._registrar.compressed(event.project, event.run_id)
                    await self._registrar.register_or_fail(facts, recorded, delivery)
                return
            facts_now = await self._projection.run(event.project, event.run_id)
            if facts_now is not None and facts_now.prepared is not None and facts_now.outcome is None:
                await self._registrar.finish_prepared(facts_now, facts_now.prepared)
            if isinstance(event, RunFailed | RunFinished):
                _count_end(event, facts_now)
            if facts_now is None and isinstance(event, DatasetPublished) and delivery.deliveries < _INGEST_PATIENCE:
                raise Retry(growing_delay(delivery.deliveries))

    async def on_command(self, delivery: Delivery) -> None:
        """Carry out a command of a person."""
        try:
            command = _COMMAND.validate_json(delivery.body)
        except ValidationError as invalid:
            first = invalid.errors()[0]
            where = ".".join(map(str, first["loc"])) or "command"
            raise InvalidInput(f"not a command: {where}: {first['msg']}") from None
        with span(command.command, project=command.project):
            identity = _identity(delivery)
            if isinstance(command, EraseSubject):
                await self._erasures.asked(command)
                await self._commands.put_on_record(command, identity, delivery.stored_at, "done", "it is in hand")
                return
            await self._commands.carry_out(command, identity, delivery.stored_at)

    async def listen(self) -> None:
        """Answer questions and follow live progress from now on; the client subscribes again when it reconnects."""
        await self._bus.client.subscribe(QUERIES, queue=QUEUE, cb=self._on_question)
        await self._bus.client.subscribe(RunProgressed.subject, cb=self._on_progress)
        with contextlib.suppress(nats.errors.Error, asyncio.TimeoutError):
            await self._bus.client.flush(timeout=2)  # the server knows of it now: whoever asks is heard

    async def close(self) -> None:
        """Finish the answers in hand; what takes longer than two seconds is given up."""
        if self._replies:
            _, late = await asyncio.wait(self._replies, timeout=2)
            for reply in late:
                reply.cancel()
            if late:
                await asyncio.wait(late, timeout=2)

    async def _on_question(self, message: Msg) -> None:
        # One task each: a slow question, of many dead letters, does not hold up the others.
        task = asyncio.create_task(self._answer(message))
        self._replies.add(task)
        task.add_done_callback(self._replies.discard)

    async def _answer(self, message: Msg) -> None:
        reply = await self._answers.reply(message.subject, bytes(message.data), most_bytes=self._bus.client.max_payload)
        if message.reply and not message.reply.startswith(ANSWERS):
            # What this service may publish, whoever asks may not: an answer is no way around it.
            log.warning(
                "a question on %s wants its answer on %s, which is no inbox; refused", message.subject, message.reply
            )
        elif message.reply:
            try:
                await message.respond(reply)
            except Exception as error:
                log.warning("an answer to %s could not be sent: %r", message.subject, error)

    async def _on_progress(self, message: Msg) -> None:
        with contextlib.suppress(MalformedEvent):
            event = parse_event(message.subject, bytes(message.data), message.headers)
            if isinstance(event, RunProgressed):
                self._live.progressed(event)


def begin_counting_runs() -> None:
    """Show every way to end at zero, so that the first run that does is an increase."""
    for state in ("finished", "cancelled"):
        measures.RUNS_ENDED.record(0, {measures.STATE: state})
    for stage in STAGES:
        for kind in get_args(FailureKind):
            failed = {measures.STATE: "failed", measures.STAGE: stage, measures.KIND: kind}
            measures.RUNS_ENDED.record(0, failed)


def _count_end(event: RunFailed | RunFinished, facts: RunFacts | None) -> None:
    if isinstance(event, RunFailed):
        state: str = "failed"
        where = {measures.STAGE: event.stage, measures.KIND: event.kind}
    else:
        state, where = event.state, {}
    measures.RUNS_ENDED.record(1, {measures.STATE: state, **where})
    if facts is not None and facts.outcome is not None:  # none: it goes on already, by a retry
        took = (facts.outcome.ended_at - facts.allowance.since).total_seconds()
        measures.RUN_DURATION.record(max(0.0, took), {measures.STATE: state})


def _parse_event(delivery: Delivery) -> Event | None:
    run_id = derived_run_id(delivery.stream, delivery.sequence, delivery.stored_at or datetime.now(UTC))
    try:
        return parse_event(delivery.subject, delivery.body, delivery.headers, run_id=run_id)
    except MalformedEvent as error:
        if delivery.subject in _STAGES_ANSWER:
            log.info("%s; its stage keeps it in the dead letters", error)
            return None
        raise


def _identity(delivery: Delivery) -> str:
    stored = delivery.stored_at.timestamp() if delivery.stored_at else 0.0
    return hashlib.sha256(f"{delivery.stream}:{delivery.sequence}:{stored:.6f}".encode()).hexdigest()[:32]
