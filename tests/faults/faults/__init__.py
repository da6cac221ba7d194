"""The kinds of faults. Each injects itself, undoes what the world would undo, and waits until it is over."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.arena import Arena, Hit
from tests.faults.faults import (
    artifacts,
    deliveries,
    network,
    pauses,
    processes,
    storage,
    streams,
    versions,
)

Inject = Callable[[Arena, random.Random], Awaitable[Hit]]


@dataclass(frozen=True)
class Kind:
    """One kind of fault. ``weight`` is how often it is drawn beside the others; ``measured`` says what its recovery
    time means."""

    name: str
    inject: Inject
    measured: str
    weight: int = 2
    scenes: tuple[str, ...] = ("folder", "s3")


READY = "ready again"
STEP = "next step of a run"
COMMIT = "job committed"
TAKEN = "taken over"
STEPS = "next step of all runs"

KINDS: tuple[Kind, ...] = (
    Kind("kill-service", processes.kill_service, READY, weight=8),
    Kind("term-service", processes.term_service, READY, weight=4),
    Kind("kill-both-replicas", processes.kill_both, READY, weight=2),
    Kind("kill-job", processes.kill_job, COMMIT, weight=4),
    Kind("kill-owner", processes.kill_owner, TAKEN, weight=4),
    Kind("kill-nats", processes.kill_nats, STEP, weight=2),
    Kind("pause-owner", pauses.pause_owner, TAKEN, weight=4),
    Kind("pause-any", pauses.pause_any, STEP, weight=2),
    Kind("network-cut", network.cut, "connected again", weight=4),
    Kind("network-hole", network.black_hole, STEP, weight=2),
    Kind("disk-full", storage.disk_full, STEP, weight=2, scenes=("folder",)),
    Kind("store-quota", storage.quota, STEP, weight=4, scenes=("s3",)),
    Kind("store-slow", storage.slow, STEP, weight=4, scenes=("s3",)),
    Kind("store-down", storage.down, STEP, weight=4, scenes=("s3",)),
    Kind("events-purged", streams.purge_events, STEPS, weight=1),
    Kind("events-deleted", streams.delete_events, STEPS, weight=1),
    Kind("jobs-purged", streams.purge_jobs, STEPS, weight=1),
    Kind("kv-purged", streams.purge_buckets, STEPS, weight=2),
    Kind("database-deleted", storage.delete_database, "runs listed again", weight=1),
    Kind("artifact-corrupt", artifacts.corrupt, "run ended", weight=2),
    Kind("artifact-deleted", artifacts.delete, "run ended", weight=1),
    Kind("events-again", deliveries.again, "–", weight=6),
    Kind("events-late", deliveries.late, "–", weight=3),
    Kind("other-version", versions.other_version, READY, weight=4),
    Kind("rolling-update", versions.rolling_update, READY, weight=1),
)
BY_NAME = {kind.name: kind for kind in KINDS}
