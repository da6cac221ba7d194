"""Pulling: one message at a time from durable consumers, which take turns when there are several.

A free puller asks its lanes one after another, beginning behind the one that it was last served from; when all are
empty it leaves a pull request on each and takes what comes first. What comes too late for that is handed back at once.
A consumer that is gone, with its stream or alone, is made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import ConsumerConfig

from tidemill.bus.connection import UNREACHABLE, Bus
from tidemill.errors import TransientError

log = logging.getLogger(__name__)

WAIT = 5.0
"""Seconds that a pull request on an empty lane stays with the server."""
ANSWER_TIMEOUT = 2.0
"""Seconds for the server to say whether a lane has a message."""
PAUSE = 0.5
"""Seconds between two tries when the server cannot be reached or a consumer is gone."""


@dataclass
class _Lane:
    """A durable consumer, and what the server was asked for last."""

    stream: str
    config: ConsumerConfig
    inbox: str = ""
    answer: asyncio.Future[Msg | None] | None = None


class Puller:
    """Takes messages from its lanes and gives them to ``handle``, one after another; ``name`` is for the log."""

    def __init__(self, bus: Bus, name: str, handle: Callable[[Msg], Awaitable[None]]) -> None:
        self._bus = bus
        self._name = name
        self._handle = handle
        self._lanes: dict[str, _Lane] = {}
        """By the consumer's name, in the order of their turns."""
        self._inbox = ""
        self._requests = 0
        self._arrivals: Subscription | None = None
        self._changed = False
        """Lanes were opened, or it is to close: what waits looks again."""
        self._wake: asyncio.Future[None] | None = None
        self._gone = False
        self._closing = False
        self._working: asyncio.Task[None] | None = None

    async def open(self, stream: str, config: ConsumerConfig) -> None:
        """Make a durable consumer unless it is there, bring its settings up to date, and pull from it as well.

        Raises:
            nats.errors.Error, nats.js.errors.Error, asyncio.TimeoutError: the server did not do so.
        """
        name = config.durable_name or ""
        if name in self._lanes:
            return
        await self._bus.jetstream.add_consumer(stream, config)
        if name not in self._lanes:
            self._lanes = {name: _Lane(stream, config), **self._lanes}
            self._look_again()

    def __contains__(self, durable: str) -> bool:
        return durable in self._lanes

    @property
    def durables(self) -> list[str]:
        """The consumers that are pulled from, by name."""
        return list(self._lanes)

    def forget(self, durable: str) -> None:
        """Pull from this one no more; what it still brings goes back. The consumer itself stays."""
        self._lanes.pop(durable, None)

    async def start(self) -> None:
        """Begin to pull."""
        self._inbox = self._bus.client.new_inbox()
        self._arrivals = await self._bus.client.subscribe(f"{self._inbox}.*", cb=self._arrived)
        self._working = asyncio.create_task(self._work())

    def close(self) -> None:
        """Take no further message. One that is in hand goes on."""
        self._closing = True
        self._look_again()

    async def stop(self, grace: float = 0.0) -> None:
        """End everything; a message that is still in hand after ``grace`` seconds is cancelled and goes back."""
        self.close()
        if self._working is not None:
            await asyncio.wait({self._working}, timeout=grace)
            while not self._working.done():
                self._working.cancel()  # again: Python 3.11's wait_for, inside nats-py, can swallow a cancellation
                await asyncio.wait({self._working}, timeout=0.5)
        if self._arrivals is not None:
            with contextlib.suppress(*UNREACHABLE):
                await self._arrivals.unsubscribe()

    async def _work(self) -> None:
        while not self._closing and not self._bus.client.is_closed:
            try:
                message = await self._next()
                if message is not None:
                    await self._handle(message)
            except (*UNREACHABLE, TransientError, OSError) as error:
                log.warning("%s: messages cannot be fetched: %r", self._name, error)
                await asyncio.sleep(PAUSE)
            except Exception:
                log.exception("%s: unforeseen error between messages", self._name)
                await asyncio.sleep(PAUSE)

    async def _next(self) -> Msg | None:
        """A message of the lane whose turn it is; waits a while when there is none anywhere."""
        if self._gone:
            await asyncio.sleep(PAUSE)
            await self._reopen()
            self._gone = False
        self._changed = self._closing
        if len(self._lanes) > 1:  # of one lane alone, a request that waits brings what is there at once
            for lane in list(self._lanes.values()):
                message = await self._now(lane)
                if message is not None:
                    return message
        return await self._first_to_come()

    async def _now(self, lane: _Lane) -> Msg | None:
        """A message of the lane if it has one."""
        try:
            answer = await self._ask(lane, {"batch": 1, "no_wait": True})
            if not answer.done():
                await self._woken(ANSWER_TIMEOUT)
        except BaseException:
            await self._give_back(await self._taken())
            raise
        return await self._taken()

    async def _first_to_come(self) -> Msg | None:
        """A message of whichever lane has one first; None after ``WAIT``, or when things have changed."""
        request = {"batch": 1, "expires": int(WAIT * 1e9)}
        reconnects = self._bus.client.stats["reconnects"]
        deadline = asyncio.get_running_loop().time() + WAIT
        try:
            answers = [await self._ask(lane, request) for lane in list(self._lanes.values())]
            while not self._changed and asyncio.get_running_loop().time() < deadline:
                if any(answer.done() for answer in answers):
                    break
                await self._woken(PAUSE)
                if self._bus.client.stats["reconnects"] != reconnects:  # the server has forgotten what it was asked
                    break
        except BaseException:
            await self._give_back(await self._taken())
            raise
        return await self._taken()

    async def _woken(self, seconds: float) -> None:
        """Return when something has come or changed, at the latest after ``seconds``. A task less than ``wait_for``."""
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(seconds, self._rouse)
        try:
            await self._wake
        finally:
            timer.cancel()
            self._wake = None

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _look_again(self) -> None:
        self._changed = True
        self._rouse()

    async def _ask(self, lane: _Lane, request: Mapping[str, object]) -> asyncio.Future[Msg | None]:
        self._requests += 1
        lane.inbox = f"{self._inbox}.{self._requests}"
        lane.answer = asyncio.get_running_loop().create_future()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{lane.stream}.{lane.config.durable_name}"
        await self._bus.client.publish(subject, json.dumps(dict(request)).encode(), lane.inbox)
        return lane.answer

    async def _taken(self) -> Msg | None:
        """Ask no lane any more; of the messages that have come, the first is taken and the others go back."""
        taken: Msg | None = None
        for name, lane in list(self._lanes.items()):
            answer, lane.answer = lane.answer, None
            message = answer.result() if answer is not None and answer.done() else None
            if message is not None and taken is None:
                taken = message
                if name in self._lanes:
                    self._lanes[name] = self._lanes.pop(name)  # its turn is over: the others come first
            else:
                await self._give_back(message)
        return taken

    async def _give_back(self, message: Msg | None) -> None:
        if message is not None:
            with contextlib.suppress(*UNREACHABLE):
                await message.nak()

    async def _arrived(self, message: Msg) -> None:
        """Take what the server sends: a message comes under its own subject, a status under the request's inbox."""
        if message.subject.startswith(self._inbox):
            for lane in self._lanes.values():
                if lane.inbox == message.subject and lane.answer is not None and not lane.answer.done():
                    lane.answer.set_result(None)
                    self._rouse()
            headers = message.headers or {}
            # Nobody there, or told so: a consumer or the whole stream is gone.
            if headers.get("Status") == "503" or "Deleted" in headers.get("Description", ""):
                self._gone = True
            return
        asked = self._lanes.get(message.metadata.consumer)
        if asked is None or asked.answer is None or asked.answer.done():
            await self._give_back(message)
        else:
            asked.answer.set_result(message)
            self._rouse()

    async def _reopen(self) -> None:
        for lane in list(self._lanes.values()):
            await self._bus.jetstream.add_consumer(lane.stream, lane.config)
