"""A worker's jobs, one at a time, the projects in turn: however much one of them has queued, no other waits behind it.

Every project's jobs of a stage and resource class have a durable consumer of their own, and a worker pulls from all of
them in turn. A new project is noticed at once, since a worker also listens to the subjects that jobs are published on,
and by looking at the stream every ``LOOK_EVERY`` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import timedelta

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig

from tidemill.bus.connection import UNREACHABLE, Bus
from tidemill.bus.consumers import Handler, Tries, handle
from tidemill.bus.pulling import Puller
from tidemill.bus.subjects import JOBS, job_consumer, job_filter, job_lane, name_of
from tidemill.contracts import ResourceClass, StageName
from tidemill.errors import TransientError
from tidemill.records import RecordStore

log = logging.getLogger(__name__)

LOOK_EVERY = 30.0
FORGOTTEN_AFTER = 24 * 3600.0
"""Seconds without any worker after which the server drops a project's consumer; its jobs stay."""


class JobQueue:
    """Takes the jobs of ``stage`` that a worker of ``resource_classes`` can do, and gives them to ``handler``."""

    def __init__(
        self,
        bus: Bus,
        stage: StageName,
        resource_classes: Sequence[ResourceClass],
        *,
        handler: Handler,
        records: RecordStore,
        ack_wait: timedelta,
    ) -> None:
        self._bus = bus
        self._stage: StageName = stage
        self._classes = resource_classes
        self._ack_wait = ack_wait
        self._doorbells: list[Subscription] = []
        self._looking: asyncio.Task[None] | None = None
        tries = Tries()

        async def work(message: Msg) -> None:
            await handle(bus, records, message, handler, ack_wait, stage, tries)

        self._puller = Puller(bus, f"jobs of {stage}", work)

    async def start(self) -> None:
        """Begin to work on the jobs that there are and will be.

        Raises:
            TransientError: the stream is not provisioned or the server cannot be reached.
        """
        try:
            for resource_class in self._classes:
                doorbell = job_filter(self._stage, resource_class)
                self._doorbells.append(await self._bus.client.subscribe(doorbell, cb=self._ring))
                await self._open(job_lane(self._stage, resource_class, "default"))
            await self._look()
            await self._puller.start()
        except UNREACHABLE as error:
            await self._unhang()
            raise TransientError(
                f"the jobs of {self._stage} cannot be consumed: {error!r}; is stream {JOBS} provisioned?"
            ) from error
        self._looking = asyncio.create_task(self._keep_looking())

    def close(self) -> None:
        """Take no further job. One that is in hand goes on."""
        self._puller.close()

    async def stop(self) -> None:
        """End everything; a job that is still in hand is cancelled and goes back."""
        await self._puller.stop()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking}, timeout=0.5)
        await self._unhang()

    async def _unhang(self) -> None:
        while self._doorbells:
            with contextlib.suppress(*UNREACHABLE):
                await self._doorbells.pop().unsubscribe()

    async def _ring(self, message: Msg) -> None:
        with contextlib.suppress(*UNREACHABLE, OSError):
            await self._open(_lane(message.subject))

    async def _keep_looking(self) -> None:
        while not self._bus.client.is_closed:
            await asyncio.sleep(LOOK_EVERY)
            with contextlib.suppress(*UNREACHABLE, TransientError, OSError):
                await self._look()

    async def _look(self) -> None:
        """Pull from every project that has jobs queued."""
        for resource_class in self._classes:
            wanted = job_filter(self._stage, resource_class)
            queued = await self._bus.jetstream.stream_info(JOBS, subjects_filter=wanted)
            lanes = {_lane(subject) for subject in queued.state.subjects or {}}
            for lane in lanes:
                try:
                    await self._open(lane)
                except UNREACHABLE as error:  # the others must not wait for this one
                    log.warning("jobs on %s cannot be consumed: %r", lane, error)
            self._forget_idle(lanes | {job_lane(self._stage, resource_class, "default")}, resource_class)

    def _forget_idle(self, lanes: set[str], resource_class: ResourceClass) -> None:
        """Ask no more for projects that have had no job for a while; the next one rings the doorbell."""
        kept = {job_consumer(self._stage, lane) for lane in lanes}
        prefix = job_consumer(self._stage, job_lane(self._stage, resource_class, ""))
        for durable in [name for name in self._puller.durables if name.startswith(prefix) and name not in kept]:
            self._puller.forget(durable)

    async def _open(self, lane: str) -> None:
        durable = job_consumer(self._stage, lane)
        if durable in self._puller:
            return
        await self._puller.open(
            JOBS,
            ConsumerConfig(
                name=durable,  # the API's subject names it then, and its filter: what permissions can tell apart
                durable_name=durable,
                filter_subject=f"{lane}.*",
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=self._ack_wait.total_seconds(),
                max_deliver=-1,
                max_ack_pending=1000,
                inactive_threshold=FORGOTTEN_AFTER,
            ),
        )
        log.debug("%s takes jobs of project %s", self._stage, name_of(lane.rpartition(".")[2]))


def _lane(subject: str) -> str:
    """What the jobs of one project and class have in common: the subject without the run."""
    return subject.rpartition(".")[0]
