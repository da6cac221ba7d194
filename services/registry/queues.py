"""How much waits on the bus, and which runs go on, as gauges. Told by the elected replica alone: sums stay true."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from nats.js import JetStreamContext

from services.registry.tables import RunEntry
from tidemill.bus import Bus
from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.subjects import COMMANDS_DURABLE, EVENTS, JOBS, NOTIFICATIONS_DURABLE, events_durable
from tidemill.bus.waiting import consumers_of
from tidemill.contracts import STAGES
from tidemill.telemetry import measures
from tidemill.telemetry.measures import Attributes, Observed

log = logging.getLogger(__name__)

STALE_AFTER = 60.0
"""Seconds after which figures that could not be renewed are told no more."""

_STAGE_OF = {events_durable(stage): stage for stage in STAGES} | {NOTIFICATIONS_DURABLE: "ingest"}


@dataclass(frozen=True)
class Queue:
    """A stream, and who takes from it: a durable consumer, or the consumers of all projects of a class of jobs."""

    stream: str
    consumer: str
    stage: str

    @property
    def attributes(self) -> Attributes:
        """As those of a measure."""
        return {measures.STREAM: self.stream, measures.CONSUMER: self.consumer, measures.STAGE: self.stage}


@dataclass(frozen=True)
class _Seen:
    """What there was at one moment."""

    at: float
    pending: Counter[Queue] = field(default_factory=Counter)
    unacknowledged: Counter[Queue] = field(default_factory=Counter)
    runs: Counter[tuple[str, str]] = field(default_factory=Counter)


class Queues:
    """Looks at the queues now and then; what it saw last is what the gauges show."""

    def __init__(self, bus: Bus, *, every: float) -> None:
        """``every``: seconds between two looks; the server counts subjects and consumers for each."""
        self._bus = bus
        self._every = every
        self._seen: _Seen | None = None

    def observe(self) -> None:
        """Show the figures through the telemetry that is configured now."""
        measures.QUEUE_PENDING.observe(lambda: _by_queue(self._fresh().pending))
        measures.QUEUE_UNACKNOWLEDGED.observe(lambda: _by_queue(self._fresh().unacknowledged))
        measures.RUNS_ACTIVE.observe(self._active)

    async def look(self, running: Iterable[RunEntry]) -> None:
        """Look, unless that was a moment ago; ``running`` are the runs that go on. An outage is only logged."""
        now = time.monotonic()
        if self._seen is not None and now - self._seen.at < self._every:
            return
        seen = _Seen(now, runs=Counter((run.project, run.stage or "") for run in running))
        try:
            await _look_at_events(self._bus.jetstream, seen)
            await _look_at_jobs(self._bus.jetstream, seen)
        except UNREACHABLE as error:
            log.warning("the queues cannot be looked at: %r", error)
            return
        self._seen = seen

    def forget(self) -> None:
        """Another replica is the elected one: tell nothing."""
        self._seen = None

    def _fresh(self) -> _Seen:
        seen = self._seen
        return seen if seen is not None and time.monotonic() - seen.at < STALE_AFTER else _Seen(0.0)

    def _active(self) -> Observed:
        counted = self._fresh().runs.items()
        return [(number, {measures.PROJECT: project, measures.STAGE: stage}) for (project, stage), number in counted]


async def _look_at_events(js: JetStreamContext, seen: _Seen) -> None:
    for consumer in await consumers_of(js, EVENTS):
        queue = Queue(EVENTS, consumer.name, _STAGE_OF.get(consumer.name, "other"))
        seen.pending[queue] += consumer.num_pending or 0
        seen.unacknowledged[queue] += consumer.num_ack_pending or 0


async def _look_at_jobs(js: JetStreamContext, seen: _Seen) -> None:
    """Jobs are counted in the stream, which keeps them until they are done, also where no worker ever was."""
    for consumer in await consumers_of(js, JOBS):
        seen.unacknowledged[_queue_of_jobs(consumer.name)] += consumer.num_ack_pending or 0
    info = await js.stream_info(JOBS, subjects_filter="tidemill.job.>")
    for subject, number in (info.state.subjects or {}).items():
        _, _, stage, resource_class = subject.split(".")[:4]
        queue = _commands() if stage == "register" else Queue(JOBS, f"{stage}-jobs-{resource_class}", stage)
        seen.pending[queue] += number
    for queue in seen.unacknowledged:
        if queue.stream == JOBS:
            seen.pending[queue] = max(0, seen.pending[queue] - seen.unacknowledged[queue])


def _queue_of_jobs(consumer: str) -> Queue:
    """The queue that a consumer of a project's jobs is part of: ``train-jobs-gpu-default``."""
    if consumer == COMMANDS_DURABLE:
        return _commands()
    stage, jobs, rest = consumer.partition("-jobs-")
    if not jobs:
        return Queue(JOBS, consumer, "other")
    return Queue(JOBS, f"{stage}{jobs}{rest.partition('-')[0]}", stage)


def _commands() -> Queue:
    return Queue(JOBS, COMMANDS_DURABLE, "register")


def _by_queue(numbers: Counter[Queue]) -> Observed:
    return [(number, queue.attributes) for queue, number in numbers.items()]
