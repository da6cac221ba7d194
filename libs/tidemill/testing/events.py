"""What was said on the bus, for tests: every event as it is published, and waiting for one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TypeVar

from tidemill.bus import Bus, parse_event
from tidemill.bus.cloudevents import MalformedEvent
from tidemill.contracts import Event, StageEvent, StageName
from tidemill.records import RecordStore
from tidemill.records.schema import StageRecord

EventT = TypeVar("EventT", bound=Event)


class EventLog:
    """Every event published since it was opened, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Condition()

    def of(self, kind: type[EventT], run_id: str | None = None) -> list[EventT]:
        """The events of one type, of one run if given."""
        return [
            event for event in self.events if isinstance(event, kind) and (run_id is None or event.run_id == run_id)
        ]

    async def wait_for(
        self,
        kind: type[EventT],
        run_id: str,
        *,
        where: Callable[[EventT], bool] = lambda event: True,
        seconds: float = 30,
    ) -> EventT:
        """The first event of that type and run that fits, when it comes.

        Raises:
            AssertionError: it did not come within ``seconds``; says what did.
        """

        def found() -> list[EventT]:
            return [event for event in self.of(kind, run_id) if where(event)]

        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: bool(found()))
        except TimeoutError:
            seen = [event for event in self.events if event.run_id == run_id]
            raise AssertionError(f"no {kind.__name__} of {run_id} within {seconds} s; seen: {seen}") from None
        return found()[0]

    async def add(self, event: Event) -> None:
        """Note an event."""
        async with self._changed:
            self.events.append(event)
            self._changed.notify_all()


async def put_on_record(records: RecordStore, stage: StageName, event: StageEvent) -> StageRecord:
    """What ``stage`` leaves when it announces ``event``: without it, no other stage takes the event."""
    now = datetime.now(UTC)
    record = StageRecord(
        stage=stage, subject=event.subject, event=event.model_dump(mode="json"), fingerprint=f"{stage}-{event.run_id}",
        started_at=now, finished_at=now, cached=False, jobs=1,
    )  # fmt: skip
    await records.create_stage(event.project, event.run_id, record)
    return record


@asynccontextmanager
async def event_log(bus: Bus) -> AsyncIterator[EventLog]:
    """An ``EventLog`` of everything that is published on ``bus`` from now on."""
    log = EventLog()

    async def follow() -> None:
        async with bus.listening("tidemill.*.*.v1") as messages:
            listening.set()
            async for subject, document in messages:
                with suppress(MalformedEvent):
                    await log.add(parse_event(subject, json.dumps(document).encode(), None))

    listening = asyncio.Event()
    task = asyncio.create_task(follow())
    try:
        await asyncio.wait_for(listening.wait(), 5)
        await bus.client.flush()
        yield log
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
