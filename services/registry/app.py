"""The registry's process: joins bus, store, records and database with the handlers, and runs them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket

from faststream import FastStream

from services.registry.access import Access
from services.registry.answers import Answers
from services.registry.commands import Commands
from services.registry.database import Database
from services.registry.dead_letters import DeadLetters
from services.registry.erasing.erasures import Erasures
from services.registry.housekeeping import Housekeeping
from services.registry.live import Live
from services.registry.overdue import Overdue
from services.registry.projection import Projection
from services.registry.provisioning import Provisioning
from services.registry.queues import Queues
from services.registry.reconciler import Reconciler
from services.registry.registration import Registrar
from services.registry.serving import Serving
from services.registry.settings import RegistrySettings
from services.registry.signing import Signer
from services.registry.subscribers import EVENT_SUBJECTS, Subscribers, begin_counting_runs
from tidemill.artifacts import open_store
from tidemill.bus import Bus, Leases
from tidemill.bus.consumers import subscribe
from tidemill.bus.pulling import Puller
from tidemill.bus.streams import stream_limits
from tidemill.bus.subjects import COMMANDS_DURABLE, EVENTS, JOBS, events_durable, job_filter
from tidemill.errors import TidemillError
from tidemill.garbage import Policy
from tidemill.records import RecordStore
from tidemill.signing import SigningFolder
from tidemill.stage.application import announce_ready, when_reachable
from tidemill.stage.forgetting import forget_erased
from tidemill.stage.ledger import Ledger
from tidemill.stage.metering import begin_counting
from tidemill.stage.runs import Runs
from tidemill.stage.scratch import own_scratch
from tidemill.telemetry import configure, shutdown

log = logging.getLogger(__name__)

SERVICE = "registry"
LOOKS_AT_QUEUES = 2
"""Rounds of the reconciler between two looks at what waits."""
LOOK_EVERY = 1.0
"""Seconds between two looks at whether the database is still there."""


def create_app(settings: RegistrySettings) -> FastStream:
    """A FastStream application that is the registry.

    Raises:
        PermanentError: there is no key to sign models with.
    """
    platform = settings.platform
    signer = Signer(
        SigningFolder.below(
            platform.data_dir, key_file=settings.signing_key_file, trusted_signers=platform.trusted_signers
        )
    )
    signer.check()
    instance = f"{socket.gethostname()}-{os.getpid()}"
    bus = Bus.from_settings(platform, SERVICE)
    app = FastStream(bus.broker, logger=None)
    database = Database(settings.database)
    parts: list[_Parts] = []
    consuming: list[Puller] = []

    async def join_parts() -> None:
        configure(SERVICE, platform.data_dir, instance, log_level=platform.log_level)
        fresh = await when_reachable(database.prepare)
        await when_reachable(bus.connect)
        parts.append(joined := await _joined(bus, database, settings, instance, signer, fresh=fresh))
        handlers = joined.subscribers
        consuming.append(
            await when_reachable(lambda: subscribe(
                bus, records=joined.records, stream=EVENTS, durable=events_durable("register"),
                filter_subjects=EVENT_SUBJECTS, handler=handlers.on_event, ack_wait=platform.silence, stage="register",
            ))
        )  # fmt: skip
        consuming.append(
            await when_reachable(lambda: subscribe(
                bus, records=joined.records, stream=JOBS, durable=COMMANDS_DURABLE,
                filter_subjects=[job_filter("register", "cpu")], handler=handlers.on_command,
                ack_wait=platform.silence, stage="register",
            ))
        )  # fmt: skip

    async def ready() -> None:
        begin_counting("register")
        begin_counting_runs()
        await parts[0].start()
        announce_ready(platform)
        log.info("registry is ready")

    async def leave() -> None:
        await asyncio.gather(*(puller.stop(settings.shutdown_grace.total_seconds()) for puller in consuming))
        for joined in parts:
            await joined.stop()

    async def end() -> None:
        await database.close()
        shutdown()

    app.on_startup(join_parts)
    app.after_startup(ready)
    app.on_shutdown(leave)
    app.after_shutdown(end)
    return app


class _Parts:
    """The joined registry: what consumes, and what runs beside it."""

    def __init__(
        self,
        *,
        records: RecordStore,
        subscribers: Subscribers,
        reconciler: Reconciler,
        projection: Projection,
        serving: Serving,
        access: Access,
        database: Database,
        fresh: bool,
    ) -> None:
        self.records = records
        self.subscribers = subscribers
        self._reconciler = reconciler
        self._projection = projection
        self._serving = serving
        self._access = access
        self._database = database
        self._fresh = fresh
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Answer questions; catch up and reconcile beside it."""
        await self.subscribers.listen()
        self._tasks.append(asyncio.create_task(self._catch_up_and_reconcile()))
        self._tasks.append(asyncio.create_task(self._keep_database()))

    async def stop(self) -> None:
        """End what runs beside the consumers."""
        for task in self._tasks:
            while not task.done():
                # Again and again: Python 3.11's wait_for swallows a cancellation that meets its result.
                task.cancel()
                await asyncio.wait({task}, timeout=0.5)
        await self.subscribers.close()

    async def _catch_up_and_reconcile(self) -> None:
        while True:
            try:
                await self._serving.restore()
                await self._access.restore()
                await self._projection.catch_up(everything=self._fresh)
                break
            except TidemillError as error:
                log.warning("catching up: %s; again in 5 s", error)
            except Exception:
                log.exception("catching up: unforeseen error; again in 5 s")
            await asyncio.sleep(5)
        await self._reconciler.run()

    async def _keep_database(self) -> None:
        """Notice within seconds that the database was lost, make it again and fill it from the records."""
        to_fill = False
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._database.doubted.wait(), LOOK_EVERY)
            try:
                to_fill = await self._database.made_again() or to_fill
                if to_fill:
                    seen = await self._projection.catch_up(everything=True)
                    to_fill = False
                    log.warning("the registry's database is made again from the records of %d runs", seen)
            except TidemillError as error:
                log.warning("the registry's database: %s", error)
                await asyncio.sleep(LOOK_EVERY)
            except Exception:
                log.exception("the registry's database: unforeseen error")
                await asyncio.sleep(LOOK_EVERY)


async def _joined(
    bus: Bus, database: Database, settings: RegistrySettings, instance: str, signer: Signer, *, fresh: bool
) -> _Parts:
    platform = settings.platform
    store = open_store(platform.store_url, cache=platform.data_dir / "cache", cache_bytes=platform.cache_bytes)
    await when_reachable(store.check)
    await forget_erased(bus, store, platform.data_dir)
    records = store.records()
    runs = Runs(bus, records)
    live = Live()
    projection = Projection(records, database)
    serving = Serving(bus, records)
    access = Access(bus, records)
    dead_letters = DeadLetters(bus, records)
    prices = settings.prices.read()
    registrar = Registrar(
        bus=bus, records=records, store=store, runs=runs, projection=projection, serving=serving,
        signer=signer, max_attempts=settings.max_attempts,
    )  # fmt: skip
    commands = Commands(
        bus=bus, records=records, runs=runs, registrar=registrar, projection=projection, serving=serving,
        dead_letters=dead_letters, signer=signer, access=access,
    )  # fmt: skip
    erasures = Erasures(
        bus=bus, objects=store.objects, records=records, commands=commands, projection=projection, database=database,
        scratch=await asyncio.to_thread(own_scratch, platform.data_dir, SERVICE), silence=platform.silence,
        owner=f"registry@{instance}",
    )  # fmt: skip
    subscribers = Subscribers(
        bus=bus, projection=projection, registrar=registrar, commands=commands, erasures=erasures,
        answers=Answers(database, projection, dead_letters, live, prices), live=live,
    )  # fmt: skip
    leases = Leases(bus)
    overdue = Overdue(
        ledger=Ledger(bus), leases=leases, records=records, runs=runs, projection=projection, prices=prices,
        ack_wait=platform.silence,
    )  # fmt: skip
    queues = Queues(bus, every=LOOKS_AT_QUEUES * settings.reconcile_every.total_seconds())
    queues.observe()
    housekeeping = Housekeeping(store.objects, database, leases, every=settings.collect_every, policy=Policy())
    limits = stream_limits(settings.streams, platform.silence)
    reconciler = Reconciler(
        bus=bus, provisioning=Provisioning(bus, limits, serving, access), records=records, runs=runs,
        projection=projection, registrar=registrar, commands=commands, database=database, live=live, overdue=overdue,
        housekeeping=housekeeping, queues=queues, access=access, erasures=erasures,
        owner=f"registry@{instance}", every=settings.reconcile_every, after=settings.reconcile_after,
    )  # fmt: skip
    return _Parts(
        records=records, subscribers=subscribers, reconciler=reconciler, projection=projection, serving=serving,
        access=access, database=database, fresh=fresh,
    )  # fmt: skip
