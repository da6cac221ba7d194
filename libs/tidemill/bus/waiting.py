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
from nats.js.errors import NotFoundError

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
        events = {stage: await _waiting_events(js, stage) for stage in CONSUMED}
    except (*UNREACHABLE, OSError) as error:
        raise TransientError(f"the bus does not say what waits: {error!r}") from error
    return WaitingWork(events, {(stage, kind): counted[stage, kind] for stage in CONSUMED for kind in RESOURCE_CLASSES})


async def _jobs_of_consumers(js: JetStreamContext) -> Counter[tuple[str, str]] | None:
    """Jobs by stage and class as the consumers count them: quick, however many there are.

    None when there are more in the stream, for which there is no consumer yet.
    """
    in_stream = (await js.stream_info(JOBS)).state.messages
    counted: Counter[tuple[str, str]] = Counter()
    seen = 0
    while page := await js.consumers_info(JOBS, offset=seen):
        seen += len(page)
        for consumer in page:
            filtered = (consumer.config.filter_subject if consumer.config else None) or ""
            if filtered.startswith("tidemill.job."):
                counted[_stage_and_class(filtered)] += (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)
    return counted if counted.total() >= in_stream else None


async def _jobs_by_subject(js: JetStreamContext) -> Counter[tuple[str, str]]:
    """The same of every job there is; the server lists 100,000 subjects at most."""
    info = await js.stream_info(JOBS, subjects_filter="tidemill.job.>")
    counted: Counter[tuple[str, str]] = Counter()
    for subject, count in (info.state.subjects or {}).items():
        counted[_stage_and_class(subject)] += count
    return counted


def _stage_and_class(subject: str) -> tuple[str, str]:
    _, _, stage, resource_class, *_ = subject.split(".")
    return stage, resource_class


async def _waiting_events(js: JetStreamContext, stage: StageName) -> int:
    try:
        consumer = await js.consumer_info(EVENTS, events_durable(stage))
    except NotFoundError:  # the stage has never run: it will be given all that there is
        subject = CONSUMED[stage].subject
        info = await js.stream_info(EVENTS, subjects_filter=subject)
        return sum((info.state.subjects or {}).values())
    return (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)
