"""Processes that stand still for longer than anybody waits for them, and wake up."""

from __future__ import annotations

import asyncio
import random
import signal

from tests.faults.arena import Arena, Hit, NotNow
from tests.faults.faults.processes import is_committed, until_taken_over
from tests.faults.platform import ACK_WAIT, SERVICES


async def pause_owner(arena: Arena, chance: random.Random) -> Hit:
    """SIGSTOP of the replica that has a job in hand, until another has committed it; then it wakes up."""
    job = await arena.at_work()
    async with arena.claimed(*arena.platform.siblings(job.replica)):  # the other one has to be there to take over
        if arena.platform.pid(job.replica) != job.pid:
            raise NotNow(f"{job.replica} is another process by now")
        arena.platform.signal(job.replica, signal.SIGSTOP)
        try:
            if await is_committed(arena, job.fingerprint):
                raise NotNow("the job was done before its owner could be paused")
            taken, committed = await until_taken_over(arena, job)
            await asyncio.sleep(chance.uniform(0.0, 1.0))
        finally:
            arena.platform.signal(job.replica, signal.SIGCONT)
        await asyncio.sleep(1.0)  # what it does now is what fencing is for
        return Hit(job.replica, taken, committed)


async def pause_any(arena: Arena, chance: random.Random) -> Hit:
    """SIGSTOP of any replica for longer than ``ack_wait``."""
    replica = chance.choice(arena.platform.replicas(chance.choice(SERVICES)))
    async with arena.claimed(replica):
        await arena.moment(chance)
        if arena.platform.signal(replica, signal.SIGSTOP) is None:
            raise NotNow(f"{replica} is not running")
        before = arena.watch.steps
        try:
            await asyncio.sleep(ACK_WAIT * chance.uniform(1.2, 2.5))
        finally:
            arena.platform.signal(replica, signal.SIGCONT)
        if arena.watch.steps > before:
            return Hit(replica, 0.0)
        return Hit(replica, await arena.until_a_step())
