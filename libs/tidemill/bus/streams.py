"""Streams and KV buckets, provisioned in one place: by ``tidemill up`` or a deploy step. Services declare nothing.

Limits are the platform's: when ``EVENTS`` is full it refuses new messages (``discard: new``), so that a publisher is
told, and never drops old ones. ``OBSERVATIONS`` is a sample in memory and may drop; ``DEAD`` may too, since every dead
letter is on record in the bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from nats.aio.client import Client
from nats.js.api import (
    DiscardPolicy,
    KeyValueConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, BucketNotFoundError, NotFoundError

from tidemill.bus import subjects
from tidemill.bus.connection import UNREACHABLE
from tidemill.errors import TransientError

if TYPE_CHECKING:
    from tidemill.settings import StreamSettings

LARGEST_MESSAGE = 8 << 20
"""Bytes: an evaluation with its confusion matrix travels on two events. The server's ``max_payload`` bounds it too."""

_DAY = 24 * 3600.0
_LONGEST_WINDOW = 120.0
"""Seconds; JetStream's own default for how long it remembers the ids of messages."""
_BUCKET = "KV_"


@dataclass(frozen=True)
class StreamLimits:
    """How much the streams may hold, and on how many servers of a cluster (``replicas``)."""

    replicas: int = 1
    events_bytes: int = 1 << 30
    jobs_bytes: int = 1 << 30
    dead_bytes: int = 512 << 20
    events_age: timedelta = timedelta(days=90)
    lease_ttl: timedelta = timedelta(seconds=30)
    """Silence after which a worker's lease of a job ends; the same as ``ack_wait``."""


def stream_limits(settings: StreamSettings, ack_wait: timedelta) -> StreamLimits:
    """The limits that the environment asks for; leases last as long as ``ack_wait``."""
    return StreamLimits(
        replicas=settings.replicas,
        events_bytes=settings.events_bytes,
        jobs_bytes=settings.jobs_bytes,
        dead_bytes=settings.dead_bytes,
        events_age=settings.events_age,
        lease_ttl=ack_wait,
    )


def stream_configs(limits: StreamLimits) -> list[StreamConfig]:
    """All streams of the platform."""
    age = limits.events_age.total_seconds()
    return [
        StreamConfig(
            name=subjects.EVENTS,
            subjects=[
                subjects.BUCKET_NOTIFIED,
                "tidemill.dataset.*.v1",
                "tidemill.model.*.v1",
                "tidemill.artifact.lost.v1",
                "tidemill.run.failed.v1",
                "tidemill.run.finished.v1",
                "tidemill.drift.detected.v1",
                "tidemill.alert.raised.v1",
            ],
            storage=StorageType.FILE,
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.NEW,
            max_bytes=limits.events_bytes,
            max_age=age,
            max_msg_size=LARGEST_MESSAGE,
            duplicate_window=600.0,
            num_replicas=limits.replicas,
        ),
        StreamConfig(
            name=subjects.JOBS,
            subjects=["tidemill.job.>"],
            storage=StorageType.FILE,
            retention=RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.NEW,
            max_bytes=limits.jobs_bytes,
            max_msg_size=LARGEST_MESSAGE,
            duplicate_window=600.0,
            num_replicas=limits.replicas,
        ),
        StreamConfig(
            name=subjects.DEAD,
            subjects=["tidemill.dead.>"],
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_bytes=limits.dead_bytes,
            max_age=age,
            duplicate_window=600.0,
            num_replicas=limits.replicas,
        ),
        StreamConfig(
            name=subjects.FEEDBACK,
            subjects=["tidemill.feedback.received.v1"],
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=limits.events_bytes,
            max_age=age,
            num_replicas=limits.replicas,
        ),
        StreamConfig(
            name=subjects.OBSERVATIONS,
            subjects=["tidemill.observation.>"],
            storage=StorageType.MEMORY,
            discard=DiscardPolicy.OLD,
            max_bytes=64 << 20,
            max_age=3600.0,
            num_replicas=limits.replicas,
        ),
        StreamConfig(
            name=subjects.ADVISORIES,
            subjects=["$JS.EVENT.ADVISORY.CONSUMER.>"],
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_msgs=10_000,
            max_age=30 * _DAY,
            num_replicas=limits.replicas,
        ),
    ]


def bucket_configs(limits: StreamLimits) -> list[KeyValueConfig]:
    """All KV buckets of the platform."""
    return [
        KeyValueConfig(bucket=subjects.RUNS_BUCKET, history=1, replicas=limits.replicas),
        KeyValueConfig(
            bucket=subjects.LEASES_BUCKET,
            history=1,
            ttl=limits.lease_ttl.total_seconds(),
            replicas=limits.replicas,
        ),
        KeyValueConfig(bucket=subjects.ATTEMPTS_BUCKET, history=1, replicas=limits.replicas),
        KeyValueConfig(bucket=subjects.DEPLOYMENTS_BUCKET, history=1, replicas=limits.replicas),
        KeyValueConfig(bucket=subjects.ACCESS_BUCKET, history=1, replicas=limits.replicas),
    ]


async def provision(client: Client, limits: StreamLimits | None = None) -> None:
    """Create the streams and buckets, or bring existing ones to ``limits``. Idempotent; keeps what they hold."""
    limits = limits or StreamLimits()
    js = client.jetstream()
    for config in stream_configs(limits):
        try:
            await js.add_stream(config)
        except BadRequestError:  # it is there with other limits
            await js.update_stream(config)
    for bucket in bucket_configs(limits):
        try:
            await js.key_value(bucket.bucket)
        except (BucketNotFoundError, NotFoundError):
            await js.create_key_value(bucket)
            continue
        if bucket.ttl:
            info = await js.stream_info(bucket_stream(bucket.bucket))
            if info.config.max_age != bucket.ttl:
                info.config.max_age = bucket.ttl
                # The server chose it when the bucket was made, and refuses one that is longer than messages live.
                info.config.duplicate_window = min(bucket.ttl, _LONGEST_WINDOW)
                await js.update_stream(info.config)


async def provision_missing(client: Client, limits: StreamLimits) -> list[str]:
    """Make the streams and buckets that are not there; names what was made. Those that exist stay as they are.

    Raises:
        TransientError: the server cannot be reached, or did not make one.
    """
    js = client.jetstream()
    made: list[str] = []
    try:
        there = await stream_names(client)
        for config in stream_configs(limits):
            if config.name is not None and config.name not in there:
                await js.add_stream(config)
                made.append(config.name)
        for bucket in bucket_configs(limits):
            if bucket_stream(bucket.bucket) not in there:
                await js.create_key_value(bucket)
                made.append(bucket.bucket)
    except (*UNREACHABLE, OSError) as error:
        raise TransientError(f"lost streams cannot be made again ({error!r}); made so far: {made or 'none'}") from error
    return made


def bucket_stream(bucket: str) -> str:
    """The stream that holds a KV bucket."""
    return f"{_BUCKET}{bucket}"


def bucket_of(stream: str) -> str | None:
    """The KV bucket that a stream holds; None when it is none of a bucket."""
    return stream.removeprefix(_BUCKET) if stream.startswith(_BUCKET) else None


async def stream_names(client: Client) -> Sequence[str]:
    """Every stream of the account, those of KV buckets too."""
    js = client.jetstream()
    names: list[str] = []
    while page := await js.streams_info(offset=len(names)):
        names += [info.config.name or "" for info in page]
    return names
