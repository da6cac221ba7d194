"""How much work waits for each stage: what its workers are scaled by.

Of all projects together. Every project has a durable consumer of its own (``job_queue``), which is there only once a
worker has been and goes a day after the last one: where consumers do not account for every job, subjects are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo

from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.subjects import EVENTS, JOBS, events_durable
from tidemill.contracts import (
    DatasetIngested,
    DatasetPrepared,
    DatasetPublished,
    Event,
    ModelTrained,
    ResourceClass,
    StageName,
)
from tidemill.errors import TransientError

CONSUMED: Mapping[StageName, type[Event]] = {
    "ingest": DatasetPublished,
    "preprocess": DatasetIngested,
    "train": DatasetPrepared,
    "compress": ModelTrained,
}
"""The event that each working stage plans jobs for."""
RESOURCE_CLASSES: tuple[ResourceClass, ...] = get_args(ResourceClass)


@dataclass(frozen=True)
class WaitingWork:
    """What waited or was in hand at one moment."""

    events: Mapping[StageName, int]
    """Events that are not planned yet, by the stage that plans them."""
    jobs: Mapping[tuple[StageName, ResourceClass], int]
    """Jobs that are not done yet, queued or in hand, of all projects."""


async def waiting_work(js: JetStreamContext) -> WaitingWork:
    """Count what waits for the working stages now.

    Raises:
        TransientError: the server did not say so, or the streams are not provisioned.
    """
    try:
        counted = await _jobs_of_consumers(js) or await _jobs_by_subject(js)
        events = await _events(js)
    except (*UNREACHABLE, OSError) as error:
        raise TransientError(f"the bus does not say what waits: {error!r}") from error
    return WaitingWork(events, {(stage, kind): counted[stage, kind] for stage in CONSUMED for kind in RESOURCE_CLASSES})


async def _jobs_of_consumers(js: JetStreamContext) -> Counter[tuple[str, str]] | None:
    """Jobs by stage and class as the consumers count them: quick, however many there are.

    None when there are more in the stream, for which there is no consumer yet.
    """
    in_stream = (await js.stream_info(JOBS)).state.messages
    counted: Counter[tuple[str, str]] = Counter()
    for consumer in await consumers_of(js, JOBS):
        filtered = (consumer.config.filter_subject if consumer.config else None) or ""
        if filtered.startswith("tidemill.job."):
            counted[_stage_and_class(filtered)] += _waits(consumer)
    return counted if counted.total() >= in_stream else None


async def _jobs_by_subject(js: JetStreamContext) -> Counter[tuple[str, str]]:
    """The same of every job there is; the server lists 100,000 subjects at most."""
    counted: Counter[tuple[str, str]] = Counter()
    for subject, count in (await _subjects(js, JOBS, "tidemill.job.>")).items():
        counted[_stage_and_class(subject)] += count
    return counted


async def _events(js: JetStreamContext) -> dict[StageName, int]:
    consumers = {consumer.name: consumer for consumer in await consumers_of(js, EVENTS)}
    found: dict[StageName, int] = {}
    for stage, event in CONSUMED.items():
        consumer = consumers.get(events_durable(stage))
        if consumer is not None:
            found[stage] = _waits(consumer)
        else:  # the stage has never run: it will be given all that there is
            found[stage] = sum((await _subjects(js, EVENTS, event.subject)).values())
    return found


async def consumers_of(js: JetStreamContext, stream: str) -> list[ConsumerInfo]:
    """Every consumer of a stream; the server tells them in pages."""
    found: list[ConsumerInfo] = []
    while page := await js.consumers_info(stream, offset=len(found)):
        found += page
    return found


async def _subjects(js: JetStreamContext, stream: str, wanted: str) -> dict[str, int]:
    return (await js.stream_info(stream, subjects_filter=wanted)).state.subjects or {}


def _waits(consumer: ConsumerInfo) -> int:
    """Messages that it has to deliver, or has delivered and nobody is done with."""
    return (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)


def _stage_and_class(subject: str) -> tuple[str, str]:
    _, _, stage, resource_class, *_ = subject.split(".")
    return stage, resource_class
