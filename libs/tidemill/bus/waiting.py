"""How much work waits for each stage: what its workers are scaled by.

Counted by subject, not by consumer. Every project has a durable consumer of its own (``job_queue``), which is there
only once a worker has been: of jobs that wait for the first worker, no consumer tells.
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
        info = await js.stream_info(JOBS, subjects_filter="tidemill.job.>")
        events = {stage: await _waiting_events(js, stage) for stage in CONSUMED}
    except (*UNREACHABLE, OSError) as error:
        raise TransientError(f"the bus does not say what waits: {error!r}") from error
    counted: Counter[tuple[str, str]] = Counter()
    for subject, count in (info.state.subjects or {}).items():
        _, _, stage, resource_class, *_ = subject.split(".")
        counted[stage, resource_class] += count
    return WaitingWork(events, {(stage, kind): counted[stage, kind] for stage in CONSUMED for kind in RESOURCE_CLASSES})


async def _waiting_events(js: JetStreamContext, stage: StageName) -> int:
    try:
        consumer = await js.consumer_info(EVENTS, events_durable(stage))
    except NotFoundError:  # the stage has never run: it will be given all that there is
        subject = CONSUMED[stage].subject
        info = await js.stream_info(EVENTS, subjects_filter=subject)
        return sum((info.state.subjects or {}).values())
    return (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)
