"""What NATS keeps is a signal: streams and buckets are emptied, or deleted altogether, in mid-run."""

from __future__ import annotations

import random

from tests.faults.arena import Arena, Hit, NotRecovered, now
from tidemill.bus.streams import StreamLimits, provision
from tidemill.bus.subjects import EVENTS, JOBS, LEASES_BUCKET, RUNS_BUCKET


async def purge_events(arena: Arena, chance: random.Random) -> Hit:
    """The EVENTS stream is emptied."""
    async with arena.claimed("nats"):
        await _nothing_bare(arena)
        await arena.platform.bus.jetstream.purge_stream(EVENTS)
        arena.events_lost_at.append(now())
        return Hit(EVENTS, await arena.until_all_step())


async def delete_events(arena: Arena, chance: random.Random) -> Hit:
    """The EVENTS stream is deleted, and its consumers with it: somebody has to provision it again."""
    async with arena.claimed("nats"):
        await _nothing_bare(arena)
        jetstream = arena.platform.bus.jetstream
        await jetstream.delete_stream(EVENTS)
        arena.events_lost_at.append(now())

        async def there() -> bool:
            await jetstream.stream_info(EVENTS)
            return True

        try:
            seconds = await arena.until(there)
        except NotRecovered:
            await provision(arena.platform.nats, StreamLimits(lease_ttl=arena.platform.settings.silence))
            raise NotRecovered("nobody provisions the deleted stream EVENTS again") from None
        return Hit(EVENTS, seconds + await arena.until_all_step())


async def purge_jobs(arena: Arena, chance: random.Random) -> Hit:
    """Every queued job is gone."""
    async with arena.claimed("nats"):
        await arena.moment(chance)
        await arena.platform.bus.jetstream.purge_stream(JOBS, subject="tidemill.job.*.cpu.>")
        return Hit(JOBS, await arena.until_all_step())


async def purge_buckets(arena: Arena, chance: random.Random) -> Hit:
    """The states of all runs, or all leases, are gone."""
    async with arena.claimed("nats"):
        await arena.moment(chance)
        bucket = chance.choice([RUNS_BUCKET, LEASES_BUCKET])
        await arena.platform.bus.jetstream.purge_stream(f"KV_{bucket}")
        return Hit(bucket, await arena.until_all_step())


async def _nothing_bare(arena: Arena) -> None:
    """A bare publish that ingest has not seen is lost with its stream: that is documented, and not tested here."""
    await arena.until(lambda: arena.runs.bare_pending == 0)
