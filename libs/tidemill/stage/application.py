"""The process of a stage: joins bus, store, records and jobs with the stage's three functions, and runs them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from faststream import FastStream

from tidemill.artifacts import open_store
from tidemill.bus import Bus
from tidemill.bus.consumers import subscribe
from tidemill.bus.subjects import EVENTS as EVENTS_STREAM
from tidemill.bus.subjects import JOBS, job_filter
from tidemill.errors import TransientError
from tidemill.jobs import JobRunner
from tidemill.settings import PlatformSettings, StageSettings
from tidemill.stage.definition import E, R, S, Stage
from tidemill.stage.failure import FailurePolicy
from tidemill.stage.join import Joiner
from tidemill.stage.planner import Planner
from tidemill.stage.runs import Runs
from tidemill.stage.scratch import own_scratch
from tidemill.stage.snapshot import Snapshotter
from tidemill.stage.worker import Worker, Workplace
from tidemill.telemetry import configure, shutdown

log = logging.getLogger(__name__)

WARM_UP_DELAY = 1.0
"""Seconds after its start before a service imports what its jobs need: the others are starting on the same cores.
A job that comes earlier starts the imports itself."""

SettingsT = TypeVar("SettingsT", bound=StageSettings)


def create_stage_app(stage: Stage[E, S, R], settings: StageSettings) -> FastStream:
    """A FastStream application that plans and works ``stage``."""
    platform = settings.platform
    instance = f"{socket.gethostname()}-{os.getpid()}"
    bus = Bus.from_settings(platform, stage.name)
    app = FastStream(bus.broker, logger=None)
    runner = JobRunner(preload=stage.preload)
    snapshot_runner = JobRunner(preload=stage.preload) if stage.snapshot is not None else None
    worker_of: list[Worker[E, S, R]] = []
    background: list[asyncio.Task[None]] = []

    async def join_parts() -> None:
        configure(stage.name, platform.data_dir, instance, log_level=platform.log_level)
        await connect(bus)
        store = open_store(platform.store_url, cache=platform.data_dir / "cache")
        await store.check()
        records = store.records()
        runs = Runs(bus, records)
        joiner = Joiner(stage, bus, store, records, runs)
        failures = FailurePolicy(stage.name, stage.consumes.subject, runs, records, settings.max_attempts)
        scratch = await asyncio.to_thread(own_scratch, platform.data_dir, stage.name)
        snapshotter = None
        if stage.snapshot is not None and snapshot_runner is not None:
            snapshotter = Snapshotter(stage.snapshot, snapshot_runner, store, bus, runs, scratch)
        planner = Planner(stage, bus=bus, runs=runs, joiner=joiner, failures=failures, snapshotter=snapshotter)
        worker = Worker(
            stage, bus=bus, store=store, records=records, runs=runs, joiner=joiner, failures=failures, runner=runner,
            workplace=Workplace(f"{stage.name}@{instance}", scratch, platform.ack_wait, settings.shutdown_grace),
        )  # fmt: skip
        worker_of.append(worker)
        await subscribe(
            bus, records=records, stream=EVENTS_STREAM, durable=f"{stage.name}-events",
            filter_subjects=[stage.consumes.subject],
            handler=planner.on_event, ack_wait=platform.ack_wait, stage=stage.name,
        )  # fmt: skip
        for resource_class in stage.resource_classes:
            await subscribe(
                bus, records=records, stream=JOBS, durable=f"{stage.name}-jobs-{resource_class}",
                filter_subjects=[job_filter(stage.name, resource_class)],
                handler=worker.on_job, ack_wait=platform.ack_wait, stage=stage.name,
            )  # fmt: skip

    async def ready() -> None:
        announce_ready(platform)
        log.info("%s is ready", stage.name)
        background.append(asyncio.create_task(warm_up()))

    async def warm_up() -> None:
        await asyncio.sleep(WARM_UP_DELAY)
        await runner.warm()

    async def leave() -> None:
        for task in background:
            task.cancel()
        if snapshot_runner is not None:
            snapshot_runner.request_stop(0.0)
        for worker in worker_of:
            await worker.leave()
        await runner.close()
        if snapshot_runner is not None:
            await snapshot_runner.close()

    app.on_startup(join_parts)
    app.after_startup(ready)
    app.on_shutdown(leave)
    app.after_shutdown(shutdown)
    return app


async def connect(bus: Bus) -> None:
    """Connect, waiting for the server as long as it takes: a worker that is started first is not an error."""
    delay = 0.1
    while True:
        try:
            await bus.connect()
        except TransientError as error:
            log.warning("%s; trying again in %.1f s", error, delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)
        else:
            return


def announce_ready(platform: PlatformSettings) -> None:
    """Tell a supervisor that this process consumes: write its pid to the file it asked for."""
    if platform.ready_file is not None:
        path = Path(platform.ready_file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(os.getpid()))


def run(create_app: Callable[[SettingsT], FastStream], settings: SettingsT) -> None:
    """Run a service until SIGTERM or SIGINT; what ``python -m services.<name>`` does."""
    logging.basicConfig(level=settings.platform.log_level)
    app = create_app(settings)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    asyncio.run(app.run(sleep_time=0.05))
