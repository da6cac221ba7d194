"""Processes that end: a service, both replicas of it, the child that does a job, NATS."""

from __future__ import annotations

import asyncio
import os
import random
import signal

from tests.faults.arena import Arena, AtWork, Hit, NotNow, job_child
from tests.faults.platform import SERVICES
from tests.faults.runs import PROJECT


async def kill_service(arena: Arena, chance: random.Random) -> Hit:
    """SIGKILL of any replica."""
    return await _end(arena, chance, signal.SIGKILL)


async def term_service(arena: Arena, chance: random.Random) -> Hit:
    """SIGTERM of any replica: it hands back what it has."""
    return await _end(arena, chance, signal.SIGTERM)


async def kill_both(arena: Arena, chance: random.Random) -> Hit:
    """SIGKILL of both replicas of a service at once."""
    replicas = arena.platform.replicas(chance.choice(SERVICES))
    async with arena.claimed(*replicas):
        await arena.moment(chance)
        pids = [arena.platform.signal(name, signal.SIGKILL) for name in replicas]
        again = zip(replicas, pids, strict=True)
        return Hit(" ".join(replicas), max(await asyncio.gather(*(arena.until_ready(*one) for one in again))))


async def kill_job(arena: Arena, chance: random.Random) -> Hit:
    """SIGKILL of the child that does a job; each job once, since a healthy one has three tries."""
    job = await arena.at_work()
    child = job_child(job.pid)
    if child is None or job.fingerprint in arena.child_kills:
        raise NotNow("no job whose child could be killed")
    arena.child_kills.add(job.fingerprint)
    os.kill(child, signal.SIGKILL)
    return Hit(f"job of {job.replica}", await until_committed(arena, job.fingerprint))


async def kill_owner(arena: Arena, chance: random.Random) -> Hit:
    """SIGKILL of the replica that has a job in hand: the other one takes it over."""
    job = await arena.at_work()
    async with arena.claimed(*arena.platform.siblings(job.replica)):
        if arena.platform.pid(job.replica) != job.pid or await is_committed(arena, job.fingerprint):
            raise NotNow("the job was done before its owner could be killed")
        arena.platform.signal(job.replica, signal.SIGKILL)
        taken, committed = await until_taken_over(arena, job)
        await arena.until_ready(job.replica, job.pid)
        return Hit(job.replica, taken, committed)


async def kill_nats(arena: Arena, chance: random.Random) -> Hit:
    """SIGKILL of the NATS server."""
    async with arena.claimed("nats"):
        await arena.moment(chance)
        killed = arena.platform.signal("nats", signal.SIGKILL)
        before = arena.watch.steps
        seconds = await arena.until_ready("nats", killed)
        moved = await arena.until(lambda: arena.watch.steps > before or not arena.runs.in_flight())
        return Hit("nats", seconds + moved)


async def until_taken_over(arena: Arena, job: AtWork) -> tuple[float | None, float]:
    """Seconds until another process has the job, and until it has its result; the first is None where every other
    replica was busy with a job of its own, since that job's time would be measured."""

    async def taken() -> bool:
        if (await arena.holders()).get(job.fingerprint, job.pid) != job.pid:
            return True
        return await is_committed(arena, job.fingerprint)

    seconds = await arena.until(taken, patience=60.0 if job.free else 120.0)
    return seconds if job.free else None, seconds + await until_committed(arena, job.fingerprint)


async def until_committed(arena: Arena, fingerprint: str) -> float:
    """Seconds until the job has its result, or none of its runs goes on."""
    return await arena.until(lambda: is_committed(arena, fingerprint), patience=90.0)


async def is_committed(arena: Arena, fingerprint: str) -> bool:
    """Whether the job has its result, or needs none any more."""
    if await arena.platform.records.result(PROJECT, fingerprint) is not None:
        return True
    going_on = {run.run_id for run in arena.runs.in_flight()}
    return not arena.watch.runs_of[fingerprint] & going_on


async def _end(arena: Arena, chance: random.Random, number: signal.Signals) -> Hit:
    replica = chance.choice(arena.platform.replicas(chance.choice(SERVICES)))
    async with arena.claimed(replica):
        await arena.moment(chance)
        pid = arena.platform.signal(replica, number)
        if pid is None:
            raise NotNow(f"{replica} is not running")
        return Hit(replica, await arena.until_ready(replica, pid))
