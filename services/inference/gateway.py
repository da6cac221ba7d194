"""The parts that the routes work with, joined by ``create_app``. Holds no behaviour."""

from __future__ import annotations

import asyncio
import functools
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import cast

from starlette.requests import Request

from services.inference.access.known_keys import KnownKeys
from services.inference.deployments import DeploymentWatch
from services.inference.live import LiveEvents
from services.inference.probes import Probes
from services.inference.serving.batcher import Batcher
from services.inference.serving.models import ServedModels
from services.inference.web.metrics import Metrics
from services.inference.workload import Workload
from tidemill.artifacts import ObjectArtifactStore
from tidemill.bus import Bus
from tidemill.records import RecordStore


@dataclass(frozen=True)
class Limits:
    """How much a request may bring. Sizes in bytes."""

    predict_bytes: int
    upload_bytes: int
    upload_files: int
    max_instances: int


@dataclass
class Gateway:
    """Everything a route may need."""

    limits: Limits
    scratch: Path
    bus: Bus
    store: ObjectArtifactStore
    records: RecordStore
    models: ServedModels
    batcher: Batcher
    watch: DeploymentWatch
    keys: KnownKeys
    live: LiveEvents
    probes: Probes
    workload: Workload
    metrics: Metrics
    connected: asyncio.Event
    """Set once the bus was reached for the first time."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the deployments that were known at the start serve or have failed."""
    started: float = field(default_factory=time.monotonic)


def gateway_of(request: Request) -> Gateway:
    """The gateway that serves ``request``."""
    return cast(Gateway, request.app.state.gateway)


@functools.cache
def program_version() -> str:
    """Version of the installed program."""
    return version("tidemill")
