"""Where faults act: the platform, what is seen of it, the runs on it, and what has been done to them so far."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psutil

from tests.faults.platform import STAGE_OF, HurtPlatform
from tests.faults.runs import Runs
from tests.faults.watching import Watch

POLL = 0.1
PATIENCE = 60.0
"""Seconds after which the platform has not recovered by itself."""


class NotNow(Exception):
    """There is nothing at the moment that this fault could hit."""


class NotRecovered(Exception):
    """The platform did not get over the fault by itself in time."""


@dataclass(frozen=True)
class Hit:
    """A fault that was injected. ``seconds`` is its recovery time, None where there is nothing to recover from;
    ``committed`` the seconds until the job that it hit had its result."""

    target: str
    seconds: float | None = None
    committed: float | None = None


@dataclass(frozen=True)
class AtWork:
    """A job that a replica has in hand. ``free`` says whether the other replica could take it at once."""

    fingerprint: str
    replica: str
    pid: int
    free: bool


@dataclass
class Arena:
    """Shared by all faults of a scene."""

    platform: HurtPlatform
    watch: Watch
    runs: Runs
    corrupted: set[str] = field(default_factory=set)
    """sha256 of objects that were damaged or deleted."""
    damaged: set[str] = field(default_factory=set)
    """Digests of the artifacts that they belonged to."""
    child_kills: set[str] = field(default_factory=set)
    """Fingerprints whose job child was killed: once each, since three crashes end a run."""
    events_lost_at: list[datetime] = field(default_factory=list)
    """When the EVENTS stream was emptied or deleted."""
    slowness: float = 1.0
    """How much longer than quick work the work takes: patience grows with it."""
    over: bool = False
    """Every run has ended and no other comes."""
    _claims: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    @asynccontextmanager
    async def claimed(self, *names: str) -> AsyncIterator[None]:
        """Nobody else touches these meanwhile; in a fixed order, so that two never wait for each other."""
        async with contextlib.AsyncExitStack() as stack:
            for name in sorted(names):
                await stack.enter_async_context(self._claims[name])
            yield

    async def until(self, condition: Callable[[], bool | Awaitable[bool]], *, patience: float = PATIENCE) -> float:
        """Seconds until ``condition`` holds.

        Raises:
            NotRecovered: it does not after ``patience`` seconds.
        """
        began = time.monotonic()
        while True:
            with contextlib.suppress(Exception):
                answer = condition()
                if answer if isinstance(answer, bool) else await answer:
                    return time.monotonic() - began
            if time.monotonic() - began > patience * self.slowness:
                raise NotRecovered(f"not recovered after {patience * self.slowness:.0f} s")
            await asyncio.sleep(POLL)

    async def until_a_step(self) -> float:
        """Seconds until any run makes its next step; at once when none is under way."""
        before = self.watch.steps
        return await self.until(lambda: self.watch.steps > before or not self.runs.in_flight())

    async def until_all_step(self) -> float:
        """Seconds until every run that is under way now has made its next step or has ended."""
        before = {run.run_id: self.watch.steps_of[run.run_id or ""] for run in self.runs.in_flight()}

        def moved() -> bool:
            going_on = {run.run_id for run in self.runs.in_flight()}
            return all(run_id not in going_on or self.watch.steps_of[run_id or ""] > n for run_id, n in before.items())

        return await self.until(moved, patience=120.0)

    async def until_ready(self, replica: str, than: int | None) -> float:
        """Seconds until the replica is ready as another process than ``than``."""
        return await self.until(lambda: self.platform.ready_again(replica, than))

    async def holders(self) -> dict[str, int]:
        """Who works on which fingerprint now: process ids, by the leases."""
        found: dict[str, int] = {}
        with contextlib.suppress(Exception):
            bucket = await self.platform.bus.jetstream.key_value("leases")
            for fingerprint in await bucket.keys():
                if fingerprint != "reconciler":
                    owner = ((await bucket.get(fingerprint)).value or b"").decode().partition(" ")[0]
                    found[fingerprint] = int(owner.rpartition("-")[2])
        return found

    async def at_work(self) -> AtWork:
        """A job in work; one that an idle replica could take over, if there is such a one within a few seconds.

        Raises:
            NotNow: nobody works.
        """
        pids = {self.platform.pid(name): name for service in STAGE_OF for name in self.platform.replicas(service)}
        for attempt in range(100):
            if self.over:
                break
            held = {fingerprint: pid for fingerprint, pid in (await self.holders()).items() if pid in pids}
            busy = {pids[pid] for pid in held.values()}
            for fingerprint, pid in sorted(held.items()):
                others = set(self.platform.siblings(pids[pid])) - {pids[pid]}
                free = not others & busy and all(self.platform.children[one].ready.is_set() for one in others)
                if free or attempt > 30:
                    return AtWork(fingerprint, pids[pid], pid, free)
            await asyncio.sleep(POLL)
        raise NotNow("nobody works on anything")

    async def moment(self, chance: random.Random) -> None:
        """Wait for a moment that the seed says: some run in some stage, or just a while."""
        stage = chance.choice(["ingest", "preprocess", "train", "compress", "register", None])
        deadline = time.monotonic() + 4.0
        while stage is not None and time.monotonic() < deadline:
            running = {run.run_id for run in self.runs.in_flight()}
            if any(self.watch.stage.get(run_id or "") == stage for run_id in running):
                break
            await asyncio.sleep(POLL)
        await asyncio.sleep(chance.uniform(0.0, 0.7))


def job_child(pid: int) -> int | None:
    """The process that does the job of the service ``pid``: the one below it that leads a session of its own."""
    with contextlib.suppress(psutil.Error, OSError):
        for process in psutil.Process(pid).children(recursive=True):
            if os.getsid(process.pid) == process.pid:
                return process.pid
    return None


def now() -> datetime:
    """The time of records."""
    return datetime.now(UTC)
