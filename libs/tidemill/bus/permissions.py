"""Who may say and hear what on the bus: the least that each service's code needs, by the names that the code uses.

Deny by default: what is not listed is refused by the server. An event belongs to those whom ``ANNOUNCED_BY`` names; a
worker can queue jobs of its own stage alone. The registry may publish every event, since it announces again what runs
have reached. What permissions cannot tell apart is said in docs/bus-security.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from tidemill.bus import js_api
from tidemill.bus.streams import StreamLimits, bucket_configs, bucket_stream, stream_configs
from tidemill.bus.subjects import (
    ACCESS_BUCKET,
    ANSWERS,
    ATTEMPTS_BUCKET,
    BUCKET_NOTIFIED,
    COMMANDS_DURABLE,
    DEPLOYMENTS_BUCKET,
    ERASED,
    EVENTS,
    JOBS,
    LEASES_BUCKET,
    LIVE_EVENTS,
    NOTIFICATIONS_DURABLE,
    QUERIES,
    RECONCILER_LEASE,
    RUNS_BUCKET,
    SAYING,
    dead_subject,
    events_durable,
    inbox,
    job_consumer,
    job_lane,
    jobs_of,
    kv_subject,
)
from tidemill.contracts import (
    AlertRaised,
    ArtifactLost,
    DatasetIngested,
    DatasetPrepared,
    DatasetPublished,
    DriftDetected,
    Event,
    FeedbackReceived,
    ModelCompressed,
    ModelPromoted,
    ModelRegistered,
    ModelTrained,
    ResourceClass,
    RunFailed,
    RunFinished,
    RunProgressed,
    StageName,
)

SERVICES = ("ingest", "preprocess", "trainer", "compressor", "registry", "inference")
STAGE_OF: Mapping[str, StageName] = {
    "ingest": "ingest", "preprocess": "preprocess", "trainer": "train", "compressor": "compress",
}  # fmt: skip
"""The stage that each working service does; its name on the bus (``ce-source``, inbox) is the stage's."""
WORKERS = tuple(STAGE_OF)
PROVISION = "provision"
"""Makes streams and buckets, as ``tidemill up`` and a deploy step do."""
OPERATOR = "operator"
"""A person with the command line: looks at everything, asks, publishes datasets, gives commands."""
PUBLISHER = "publisher"
"""A program elsewhere that publishes datasets and feedback."""
NOTIFIER = "notifier"
"""An object store that tells of new objects."""
USERS = (*SERVICES, PROVISION, OPERATOR, PUBLISHER, NOTIFIER)

ANNOUNCED_BY: Mapping[type[Event], tuple[str, ...]] = {
    DatasetPublished: ("ingest", "inference", "registry", PROVISION, OPERATOR, PUBLISHER),
    DatasetIngested: ("ingest", "registry"),
    DatasetPrepared: ("preprocess", "registry"),
    ModelTrained: ("trainer", "registry"),
    ModelCompressed: ("compressor", "registry"),
    ModelRegistered: ("registry",),
    ModelPromoted: ("registry",),
    RunProgressed: WORKERS,
    RunFailed: (*WORKERS, "registry"),
    RunFinished: ("registry",),
    ArtifactLost: (*WORKERS, "registry"),
    FeedbackReceived: ("inference", "registry", PROVISION, OPERATOR, PUBLISHER),
    DriftDetected: ("inference", "registry"),
    AlertRaised: ("inference", "registry"),
}
"""The registry is named where it announces again or replays; ``provision`` where it publishes what a backup held;
ingest where a bucket's notification becomes a run."""
ANYBODYS_ANSWERS = f"{ANSWERS}.>"
"""Where a client listens that was not told its own prefix: an operator's tools, an object store. No service does."""
_COMMANDS = job_lane("register", "cpu", "*")


@dataclass(frozen=True)
class Permissions:
    """What one user may publish and subscribe to. ``denied`` goes before ``publish``."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    denied: tuple[str, ...] = ()


EVERYTHING = Permissions(publish=(">",), subscribe=(">",))


def permissions() -> dict[str, Permissions]:
    """The permissions of every user of the platform, by name."""
    return {
        **{service: _worker(service, stage) for service, stage in STAGE_OF.items()},
        "registry": _registry(),
        "inference": _inference(),
        PROVISION: _provision(),
        OPERATOR: _operator(),
        PUBLISHER: Permissions(tuple(_announced(PUBLISHER)), (_answers(PUBLISHER),)),
        # An object store cannot be told where to listen for the stream's acknowledgement.
        NOTIFIER: Permissions((BUCKET_NOTIFIED,), (_answers(NOTIFIER), ANYBODYS_ANSWERS)),
    }


def _worker(service: str, stage: StageName) -> Permissions:
    jobs = jobs_of(stage)
    publish = [
        *_announced(service), jobs, dead_subject(stage),
        *js_api.consume(EVENTS, events_durable(stage)),
        *js_api.consume(JOBS, "*", only=jobs), js_api.stream_info(JOBS),
        *js_api.read(RUNS_BUCKET), *js_api.watch(RUNS_BUCKET), kv_subject(RUNS_BUCKET),
        *js_api.read(LEASES_BUCKET), kv_subject(LEASES_BUCKET, "*"),
        *js_api.read(ATTEMPTS_BUCKET), kv_subject(ATTEMPTS_BUCKET), js_api.purge(bucket_stream(ATTEMPTS_BUCKET)),
    ]  # fmt: skip
    if service == "ingest":
        publish += js_api.consume(EVENTS, NOTIFICATIONS_DURABLE)
    return Permissions(tuple(publish), (_answers(stage), jobs, ERASED), (*_not_a_workers(stage),))


def _not_a_workers(stage: StageName) -> Iterator[str]:
    """What ``*`` for a lane's consumer would allow beyond a stage's own: the lanes that are known by name."""
    yield kv_subject(LEASES_BUCKET, RECONCILER_LEASE)
    for other in STAGE_OF.values():
        if other != stage:
            for resource_class in get_args(ResourceClass):
                yield from js_api.consume(JOBS, job_consumer(other, job_lane(other, resource_class, "default")))
    yield from js_api.consume(JOBS, COMMANDS_DURABLE)


def _registry() -> Permissions:
    publish = [
        *_announced("registry"), "tidemill.job.>", dead_subject("register"),
        *(_answers(asker) for asker in ("inference", OPERATOR)), ANYBODYS_ANSWERS,
        *js_api.consume(EVENTS, events_durable("register")), *js_api.consume(JOBS, COMMANDS_DURABLE),
        *_make(), js_api.STREAM_LIST, js_api.stream_info("*"), js_api.consumer_info(EVENTS),
        js_api.consumer_list(EVENTS), js_api.consumer_list(JOBS), js_api.purge(bucket_stream(ATTEMPTS_BUCKET)), ERASED,
    ]  # fmt: skip
    for stream in SAYING:  # a person's data is erased from there
        publish += js_api.search(stream)
    for bucket in (RUNS_BUCKET, LEASES_BUCKET, ATTEMPTS_BUCKET, DEPLOYMENTS_BUCKET, ACCESS_BUCKET):
        publish += [*js_api.read(bucket), *js_api.watch(bucket), kv_subject(bucket)]
    return Permissions(tuple(dict.fromkeys(publish)), (_answers("registry"), QUERIES, RunProgressed.subject, ERASED))


def _inference() -> Permissions:
    publish = [
        *_announced("inference"), _COMMANDS, QUERIES,
        *js_api.read(DEPLOYMENTS_BUCKET), *js_api.watch(DEPLOYMENTS_BUCKET),
        *js_api.read(ACCESS_BUCKET), *js_api.watch(ACCESS_BUCKET),
        js_api.consumer_list(EVENTS), js_api.consumer_list(JOBS),
        js_api.stream_info(EVENTS), js_api.stream_info(JOBS),
    ]  # fmt: skip
    return Permissions(tuple(publish), (_answers("inference"), LIVE_EVENTS))


def _provision() -> Permissions:
    publish = [*_announced(PROVISION), BUCKET_NOTIFIED, _COMMANDS, *_make(), *_change(), js_api.stream_info("*")]
    return Permissions(tuple(publish), (_answers(PROVISION),))


def _operator() -> Permissions:
    publish = [*_announced(OPERATOR), _COMMANDS, QUERIES, *js_api.LOOK]
    return Permissions(tuple(publish), (_answers(OPERATOR), ANYBODYS_ANSWERS, "tidemill.>"))


def _make() -> list[str]:
    return [js_api.create(stream) for stream in _streams()]


def _change() -> list[str]:
    return [js_api.update(stream) for stream in _streams()]


def _streams() -> list[str]:
    limits = StreamLimits()
    streams = [config.name for config in stream_configs(limits) if config.name is not None]
    return [*streams, *(bucket_stream(config.bucket) for config in bucket_configs(limits))]


def _announced(user: str) -> list[str]:
    return [event.subject for event, users in ANNOUNCED_BY.items() if user in users]


def _answers(source: str) -> str:
    return f"{inbox(source)}.>"
