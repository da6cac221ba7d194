"""The process of a stage: joins bus, store, records and jobs with the stage's three functions, and runs them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from faststream import FastStream

from tidemill.artifacts import open_store
from tidemill.bus import Bus
from tidemill.bus.consumers import Handler, subscribe
from tidemill.bus.job_queue import JobQueue
from tidemill.bus.pulling import Puller
from tidemill.bus.subjects import EVENTS as EVENTS_STREAM
from tidemill.bus.subjects import events_durable
from tidemill.contracts import ArtifactLost, ResourceClass
from tidemill.ending import end_with
from tidemill.errors import InvalidInput, TidemillError, TransientError
from tidemill.jobs import JobRunner
from tidemill.records import RecordStore
from tidemill.settings import PlatformSettings, ServiceSettings, StageSettings, read_settings
from tidemill.stage.attempts import Attempts
from tidemill.stage.definition import E, R, S, Stage
from tidemill.stage.failure import FailurePolicy
from tidemill.stage.forgetting import forget_erased
from tidemill.stage.join import Joiner
from tidemill.stage.ledger import Ledger
from tidemill.stage.limits import LimitPolicy
from tidemill.stage.metering import begin_counting
from tidemill.stage.planner import Planner
from tidemill.stage.remaking import Remaker
from tidemill.stage.runs import Runs
from tidemill.stage.scratch import own_scratch
from tidemill.stage.snapshot import AT_ONCE
from tidemill.stage.worker import Worker, Workplace
from tidemill.telemetry import configure, shutdown

log = logging.getLogger(__name__)

WARM_UP_DELAY = 1.0
"""Seconds after its start before a service imports what its jobs need: the others are starting on the same cores.
A job that comes earlier starts the imports itself."""

PLANNED_WITHIN = 10.0
"""Seconds in which a service that leaves finishes what it is planning."""

T = TypeVar("T")
SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


@dataclass(frozen=True)
class Beside:
    """Another durable consumer of events in a stage's process: on ``subject``, handled by what ``handler`` makes."""

    durable: str
    subject: str
    handler: Callable[[Bus, RecordStore, Runs], Handler]


def create_stage_app(stage: Stage[E, S, R], settings: StageSettings, *, beside: Sequence[Beside] = ()) -> FastStream:
    """A FastStream application that plans and works ``stage``, and consumes what is ``beside`` it."""
    platform = settings.platform
    instance = f"{socket.gethostname()}-{os.getpid()}"
    bus = Bus.from_settings(platform, stage.name)
    app = FastStream(bus.broker, logger=None)
    benches = [_Bench(JobRunner(preload=stage.preload), stage.resource_classes)]
    if stage.snapshot is not None:
        benches += [_Bench(JobRunner(preload=stage.preload), ("io",)) for _ in range(AT_ONCE)]
    background: list[asyncio.Task[None]] = []
    events: list[Puller] = []

    async def join_parts() -> None:
        configure(stage.name, platform.data_dir, instance, log_level=platform.log_level)
        await when_reachable(bus.connect)
        store = open_store(platform.store_url, cache=platform.data_dir / "cache", cache_bytes=platform.cache_bytes)
        await when_reachable(store.check)
        await forget_erased(bus, store, platform.data_dir)
        records = store.records()
        runs = Runs(bus, records)
        joiner = Joiner(stage, bus, store, records, runs)
        remaker = Remaker(bus, store, records)
        failures = FailurePolicy(stage.name, stage.consumes.subject, runs, records, settings.max_attempts, remaker)
        scratch = await asyncio.to_thread(own_scratch, platform.data_dir, stage.name)
        ledger = Ledger(bus)
        planner = Planner(stage, bus=bus, runs=runs, joiner=joiner, failures=failures)
        prices = settings.prices.read()
        attempts = Attempts(ledger, records, prices, instance)
        limits = LimitPolicy(records, ledger, prices, settings.time_limit)
        workplace = Workplace(f"{stage.name}@{instance}", scratch, platform.silence, settings.shutdown_grace)
        for bench in benches:
            bench.worker = Worker(
                stage, bus=bus, store=store, records=records, runs=runs, joiner=joiner, planner=planner,
                failures=failures, runner=bench.runner, attempts=attempts, limits=limits, workplace=workplace,
            )  # fmt: skip
            bench.queue = JobQueue(
                bus, stage.name, bench.resource_classes, handler=bench.worker.on_job, records=records,
                ack_wait=platform.silence,
            )  # fmt: skip
        consume = partial(
            subscribe, bus, records=records, stream=EVENTS_STREAM, ack_wait=platform.silence, stage=stage.name
        )
        events.append(await when_reachable(partial(
            consume, durable=events_durable(stage.name),
            filter_subjects=[stage.consumes.subject, ArtifactLost.subject], handler=planner.on_event,
        )))  # fmt: skip
        for one in beside:
            handler = one.handler(bus, records, runs)
            events.append(await when_reachable(partial(
                consume, durable=one.durable, filter_subjects=[one.subject], handler=handler,
            )))  # fmt: skip

    async def ready() -> None:
        for bench in benches:
            assert bench.queue is not None
            await when_reachable(bench.queue.start)
        begin_counting(stage.name)
        announce_ready(platform)
        log.info("%s is ready", stage.name)
        background.append(asyncio.create_task(warm_up()))

    async def warm_up() -> None:
        await asyncio.sleep(WARM_UP_DELAY)
        await benches[0].runner.warm()

    async def leave() -> None:
        for task in background:
            task.cancel()
        for puller in events:
            puller.close()
        await asyncio.gather(*(bench.leave() for bench in benches))
        await asyncio.gather(*(puller.stop(PLANNED_WITHIN) for puller in events))

    app.on_startup(join_parts)
    app.after_startup(ready)
    app.on_shutdown(leave)
    app.after_shutdown(shutdown)
    return app


@dataclass
class _Bench:
    """One worker with its runner and its queue: what does one job at a time."""

    runner: JobRunner
    resource_classes: Sequence[ResourceClass]
    worker: Worker[Any, Any, Any] | None = None
    queue: JobQueue | None = None

    async def leave(self) -> None:
        if self.queue is not None and self.worker is not None:
            self.queue.close()
            await self.worker.leave()
            await self.queue.stop()
        await self.runner.close()


async def when_reachable(reach: Callable[[], Awaitable[T]]) -> T:
    """What ``reach`` returns, asked again as long as it takes: a service that is started first is not an error."""
    delay = 0.1
    while True:
        try:
            return await reach()
        except TransientError as error:
            log.warning("%s; trying again in %.1f s", error, delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)


def announce_ready(platform: PlatformSettings) -> None:
    """Tell a supervisor that this process consumes: write its pid to the file it asked for."""
    if platform.ready_file is not None:
        path = Path(platform.ready_file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(os.getpid()))


def main(create_app: Callable[[SettingsT], FastStream], kind: type[SettingsT]) -> NoReturn:
    """Run a service until SIGTERM or SIGINT and end the process; what ``python -m services.<name>`` does.

    The status is 2, after a sentence, when the settings are wrong.
    """
    end_with(partial(_read_and_run, create_app, kind))


def _read_and_run(create_app: Callable[[SettingsT], FastStream], kind: type[SettingsT]) -> None:
    try:
        settings = read_settings(kind)
    except InvalidInput as wrong:
        print(f"{create_app.__module__.removesuffix('.app')}: {wrong}", file=sys.stderr)
        sys.exit(2)
    run(create_app, settings)


def run(create_app: Callable[[SettingsT], FastStream], settings: SettingsT) -> None:
    """Run a service with these settings until SIGTERM or SIGINT.

    Raises:
        SystemExit: with status 2, after a sentence on stderr: it cannot be joined with these settings.
    """
    logging.basicConfig(level=settings.platform.log_level)
    if settings.platform.ready_file is not None:  # of a process before this one, in the same container
        settings.platform.ready_file.unlink(missing_ok=True)
    try:
        app = create_app(settings)
    except TidemillError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    asyncio.run(app.run(sleep_time=0.05))
