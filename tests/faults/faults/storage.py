"""Storage that is full, slow or away; and the registry's database, which is only a projection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random

from tests.faults.arena import Arena, Hit, NotNow, NotRecovered
from tests.faults.proxy import Trouble
from tidemill.platform.processes import ProcessIdentity


async def disk_full(arena: Arena, chance: random.Random) -> Hit:
    """No byte is left where store and scratch are, for seconds; measured from when there is room again."""
    platform = arena.platform
    if not platform.disk_is_small:
        raise NotNow("skipped: only root can mount the small disk that is to be filled")
    async with arena.claimed("disk"):
        await arena.moment(chance)
        ballast = platform.disk / "ballast"
        try:
            with ballast.open("wb") as file:
                while free := os.statvfs(platform.disk).f_bavail * os.statvfs(platform.disk).f_frsize:
                    with contextlib.suppress(OSError):
                        os.posix_fallocate(file.fileno(), 0, file.seek(0, os.SEEK_END) + free)
                        continue
                    break
            await asyncio.sleep(chance.uniform(2.0, 5.0))
        finally:
            ballast.unlink(missing_ok=True)
        return Hit("store and scratch", await arena.until_a_step())


async def quota(arena: Arena, chance: random.Random) -> Hit:
    """Writes are refused: the store is full, or its quota is used up."""
    return await _trouble(arena, chance, chance.choice(["storage-full", "quota"]), chance.uniform(2.0, 6.0))


async def slow(arena: Arena, chance: random.Random) -> Hit:
    """Every request takes a second more."""
    return await _trouble(arena, chance, "slow", chance.uniform(3.0, 6.0))


async def down(arena: Arena, chance: random.Random) -> Hit:
    """Connections refused, answers lost half way, or 503."""
    return await _trouble(arena, chance, chance.choice(["refuse", "reset", "unavailable"]), chance.uniform(1.0, 6.0))


async def delete_database(arena: Arena, chance: random.Random) -> Hit:
    """The registry's database file is gone; measured until the gateway lists the runs again."""
    platform = arena.platform
    replicas = platform.replicas("registry")
    async with arena.claimed("database", *replicas):
        await arena.moment(chance)
        known = len(await arena.runs.ask(lambda client: client.runs(limit=1000)))
        for path in platform.data.root.glob("registry.db*"):
            path.unlink(missing_ok=True)

        async def listed() -> bool:
            return len(await arena.runs.ask(lambda client: client.runs(limit=1000), seconds=1.0)) >= known

        try:
            # The open file serves on for a moment: what counts is that a file is there again, and whole.
            there = await arena.until(lambda: (platform.data.root / "registry.db").exists())
            return Hit("registry.db", there + await arena.until(listed))
        except NotRecovered:
            for replica in replicas:
                _kill(platform.children[replica].identity)
            await arena.until(lambda: (platform.data.root / "registry.db").exists())
            raise NotRecovered("the registry's database is not made again until the registry is restarted") from None


async def _trouble(arena: Arena, chance: random.Random, trouble: Trouble, seconds: float) -> Hit:
    proxy = arena.platform.s3
    assert proxy is not None
    async with arena.claimed("store"):
        await arena.moment(chance)
        proxy.trouble = trouble
        try:
            await asyncio.sleep(seconds)
        finally:
            proxy.trouble = "none"
        return Hit(f"store: {trouble}", await arena.until_a_step())


def _kill(identity: ProcessIdentity | None) -> None:
    if identity is not None and identity.alive:
        os.kill(identity.pid, 9)
