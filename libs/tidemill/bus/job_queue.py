"""A worker's jobs, one at a time, the projects in turn: however much one of them has queued, no other waits behind it.

Every project's jobs of a stage and resource class have a durable pull consumer of their own, a *lane*. A free worker
asks the lanes one after another, beginning behind the one that it was last served from; when all are empty it leaves
a pull request on each and takes what comes first. What comes too late for that is handed back at once.

New lanes are noticed at once, since a worker also listens to the subjects that jobs are published on, and by looking
at the stream every ``LOOK_EVERY`` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig

from tidemill.bus.connection import UNREACHABLE, Bus
from tidemill.bus.consumers import Handler, Tries, handle
from tidemill.bus.subjects import JOBS, job_filter, job_lane, name_of
from tidemill.contracts import ResourceClass, StageName
from tidemill.errors import TransientError
from tidemill.records import RecordStore

log = logging.getLogger(__name__)

WAIT = 5.0
"""Seconds that a pull request on an empty lane stays with the server."""
ANSWER_TIMEOUT = 2.0
"""Seconds for the server to say whether a lane has a job."""
LOOK_EVERY = 30.0
PAUSE = 0.5
"""Seconds between two tries when the server cannot be reached or a consumer is gone."""
FORGOTTEN_AFTER = 24 * 3600.0
"""Seconds without any worker after which the server drops a lane's consumer; its jobs stay."""


@dataclass
class _Lane:
    """One project's jobs of one resource class, and what the server was asked for last."""

    durable: str
    prefix: str
    """Of the subjects of its jobs, which end in the run's id."""
    inbox: str = ""
    answer: asyncio.Future[Msg | None] | None = None


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
        self._records = records
        self._stage: StageName = stage
        self._classes = resource_classes
        self._handler = handler
        self._ack_wait = ack_wait
        self._lanes: dict[str, _Lane] = {}
        """By prefix, in the order of their turns."""
        self._inbox = ""
        self._requests = 0
        self._subscriptions: list[Subscription] = []
        self._rung = asyncio.Event()
        self._gone = False
        self._closing = False
        self._tries = Tries()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the lanes that there are and begin to work.

        Raises:
            TransientError: the stream is not provisioned or the server cannot be reached.
        """
        client = self._bus.client
        self._inbox = client.new_inbox()
        try:
            self._subscriptions.append(await client.subscribe(f"{self._inbox}.*", cb=self._arrived))
            for resource_class in self._classes:
                doorbell = job_filter(self._stage, resource_class)
                self._subscriptions.append(await client.subscribe(doorbell, cb=self._ring))
                await self._open(job_lane(self._stage, resource_class, "default"))
            await self._look()
        except UNREACHABLE as error:
            raise TransientError(
                f"the jobs of {self._stage} cannot be consumed: {error!r}; is stream {JOBS} provisioned?"
            ) from error
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._keep_looking())]

    def close(self) -> None:
        """Take no further job. One that is in hand goes on."""
        self._closing = True
        self._rung.set()

    async def stop(self) -> None:
        """End everything; a job that is still in hand is cancelled and goes back."""
        self.close()
        for task in self._tasks:
            while not task.done():
                task.cancel()  # again: Python 3.11's wait_for, inside nats-py, can swallow a cancellation
                await asyncio.wait({task}, timeout=0.5)
        for subscription in self._subscriptions:
            with contextlib.suppress(*UNREACHABLE):
                await subscription.unsubscribe()

    async def _work(self) -> None:
        while not self._closing:
            try:
                message = await self._next()
                if message is not None:
                    await handle(
                        self._bus, self._records, message, self._handler, self._ack_wait, self._stage, self._tries
                    )
            except (*UNREACHABLE, TransientError, OSError) as error:
                log.warning("%s: jobs cannot be fetched: %r", self._stage, error)
                await asyncio.sleep(PAUSE)
            except Exception:
                log.exception("%s: unforeseen error between jobs", self._stage)
                await asyncio.sleep(PAUSE)

    async def _next(self) -> Msg | None:
        """A job of the lane whose turn it is; waits a while when there is none anywhere."""
        if self._gone:
            await asyncio.sleep(PAUSE)
            await self._reopen()
            self._gone = False
        if not self._closing:
            self._rung.clear()
        for lane in list(self._lanes.values()):
            message = await self._now(lane)
            if message is not None:
                return message
        return await self._first_to_come()

    async def _now(self, lane: _Lane) -> Msg | None:
        """A job of the lane if it has one."""
        try:
            answer = await self._ask(lane, {"batch": 1, "no_wait": True})
            await asyncio.wait({answer}, timeout=ANSWER_TIMEOUT)
        except BaseException:
            await self._give_back(await self._taken())
            raise
        return await self._taken()

    async def _first_to_come(self) -> Msg | None:
        """A job of whichever lane has one first; None after ``WAIT``, or when things have changed."""
        request = {"batch": 1, "expires": int(WAIT * 1e9)}
        reconnects = self._bus.client.stats["reconnects"]
        deadline = asyncio.get_running_loop().time() + WAIT
        ringing = asyncio.create_task(self._rung.wait())
        try:
            answers = [await self._ask(lane, request) for lane in list(self._lanes.values())]
            while not self._rung.is_set() and asyncio.get_running_loop().time() < deadline:
                open_ones = [answer for answer in answers if not answer.done()]
                if len(open_ones) < len(answers):
                    break
                awaited: set[asyncio.Future[Any]] = {ringing, *open_ones}
                await asyncio.wait(awaited, timeout=PAUSE, return_when=asyncio.FIRST_COMPLETED)
                if self._bus.client.stats["reconnects"] != reconnects:  # the server has forgotten what it was asked
                    break
        except BaseException:
            await self._give_back(await self._taken())
            raise
        finally:
            ringing.cancel()
        return await self._taken()

    async def _ask(self, lane: _Lane, request: Mapping[str, object]) -> asyncio.Future[Msg | None]:
        self._requests += 1
        lane.inbox = f"{self._inbox}.{self._requests}"
        lane.answer = asyncio.get_running_loop().create_future()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{JOBS}.{lane.durable}"
        await self._bus.client.publish(subject, json.dumps(dict(request)).encode(), lane.inbox)
        return lane.answer

    async def _taken(self) -> Msg | None:
        """Ask no lane any more; of the jobs that have come, the first is taken and the others go back."""
        taken: Msg | None = None
        for lane in list(self._lanes.values()):
            answer, lane.answer = lane.answer, None
            message = answer.result() if answer is not None and answer.done() else None
            if message is not None and taken is None:
                taken = message
                self._lanes[lane.prefix] = self._lanes.pop(lane.prefix)  # its turn is over: the others come first
            else:
                await self._give_back(message)
        return taken

    async def _give_back(self, message: Msg | None) -> None:
        if message is not None:
            with contextlib.suppress(*UNREACHABLE):
                await message.nak()

    async def _arrived(self, message: Msg) -> None:
        """Take what the server sends: a job comes under its own subject, a status under the inbox of the request."""
        if message.subject.startswith(self._inbox):
            for lane in self._lanes.values():
                if lane.inbox == message.subject and lane.answer is not None and not lane.answer.done():
                    lane.answer.set_result(None)
            if (message.headers or {}).get("Status") not in ("404", "408"):  # a consumer or the whole stream is gone
                self._gone = True
            return
        asked = self._lanes.get(_prefix(message.subject))
        if asked is None or asked.answer is None or asked.answer.done():
            await self._give_back(message)
        else:
            asked.answer.set_result(message)

    async def _ring(self, message: Msg) -> None:
        if _prefix(message.subject) not in self._lanes:
            with contextlib.suppress(*UNREACHABLE, OSError):
                await self._open(_prefix(message.subject))
                self._rung.set()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            with contextlib.suppress(*UNREACHABLE, TransientError, OSError):
                await self._look()

    async def _look(self) -> None:
        """Open a lane for every project that has jobs queued."""
        for resource_class in self._classes:
            queued = await self._bus.jetstream.stream_info(
                JOBS, subjects_filter=job_filter(self._stage, resource_class)
            )
            for prefix in {_prefix(subject) for subject in queued.state.subjects or {}}:
                await self._open(prefix)

    async def _reopen(self) -> None:
        """Make the consumers again: a stream that was lost took them along."""
        for lane in list(self._lanes.values()):
            await self._bus.jetstream.add_consumer(JOBS, self._consumer(lane))

    async def _open(self, prefix: str) -> None:
        if prefix in self._lanes:
            return
        resource_class, project = prefix.split(".")[-2:]
        lane = _Lane(durable=f"{self._stage}-jobs-{resource_class}-{project}", prefix=prefix)
        await self._bus.jetstream.add_consumer(JOBS, self._consumer(lane))
        if prefix not in self._lanes:
            self._lanes = {prefix: lane, **self._lanes}
            log.debug("%s takes jobs of project %s", self._stage, name_of(project))

    def _consumer(self, lane: _Lane) -> ConsumerConfig:
        return ConsumerConfig(
            durable_name=lane.durable,
            filter_subject=f"{lane.prefix}.*",
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._ack_wait.total_seconds(),
            max_deliver=-1,
            max_ack_pending=1000,
            inactive_threshold=FORGOTTEN_AFTER,
        )


def _prefix(subject: str) -> str:
    return subject.rpartition(".")[0]
