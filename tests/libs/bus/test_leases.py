"""Leases and run states on a real server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tidemill.bus import Bus, Lease, LeaseLost, Leases, RunStates, RunStatus
from tidemill.platform.nats_server import NatsServer
from tidemill.testing.nats import settings_for


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bus]:
    bus = Bus.from_settings(settings_for(nats_server, tmp_path_factory.mktemp("bus")), "test")
    await bus.connect()
    yield bus
    await bus.broker.stop()


async def acquire_when_free(leases: Leases, fingerprint: str, owner: str) -> Lease:
    async with asyncio.timeout(10):
        while (lease := await leases.acquire(fingerprint, owner)) is None:
            await asyncio.sleep(0.05)
    return lease


async def test_of_sixteen_workers_one_gets_the_lease(bus: Bus) -> None:
    leases = Leases(bus)
    won = [lease for lease in await asyncio.gather(*(leases.acquire("f1", f"w{n}") for n in range(16))) if lease]
    assert len(won) == 1
    assert await leases.holder("f1") == won[0].owner


async def test_a_silent_owner_loses_it_and_may_not_commit(bus: Bus) -> None:
    leases = Leases(bus)
    paused = await acquire_when_free(leases, "f2", "paused")
    other = await acquire_when_free(leases, "f2", "other")
    assert other.token > paused.token
    with pytest.raises(LeaseLost):
        await leases.renew(paused)
    await leases.release(paused)
    assert await leases.holder("f2") == "other"


async def test_a_lease_that_is_released_does_not_sit_out_its_term(bus: Bus) -> None:
    leases = Leases(bus)
    lease = await leases.acquire("f3", "first")
    assert lease is not None
    await leases.renew(lease)
    await leases.release(lease)
    again = await acquire_when_free(leases, "f3", "second")
    assert again.token > lease.token
    letters = await bus.jetstream.get_last_msg("KV_leases", "$KV.leases.f3")
    assert letters.seq == again.token == lease._revision + 2, "acquired, renewed, released, acquired: nothing expired"


async def test_cancel_and_commit_race_on_one_entry(bus: Bus) -> None:
    states = RunStates(bus)
    await states.create("默认", "run-1", RunStatus())

    def reach(status: RunStatus) -> RunStatus | None:
        return status.model_copy(update={"reached": [*status.reached, "train"]}) if status.state == "running" else None

    def cancel(status: RunStatus) -> RunStatus | None:
        return status.model_copy(update={"state": "cancelled"}) if status.state == "running" else None

    results = await asyncio.gather(*(states.change("默认", "run-1", cancel if n % 2 else reach) for n in range(10)))
    assert sum(written for n, (_, written) in enumerate(results) if n % 2) == 1
    final = await states.get("默认", "run-1")
    assert final is not None
    assert final.state == "cancelled"


async def test_watching_sees_the_present_and_every_change(bus: Bus) -> None:
    states = RunStates(bus)
    await states.create("p", "run-2", RunStatus())
    async with states.watching("p", "run-2") as statuses:
        assert (await anext(statuses)).state == "running"
        await states.change("p", "run-2", lambda status: status.model_copy(update={"state": "failed"}))
        assert (await asyncio.wait_for(anext(statuses), 5)).state == "failed"


class _SwallowingLeases(Leases):
    """Its renewals take a while and cannot be cancelled, as one of nats-py at times."""

    renewals = 0

    async def renew(self, lease: Lease) -> None:
        self.renewals += 1
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)


async def test_a_lease_is_kept_as_long_as_something_takes_and_no_longer(bus: Bus) -> None:
    leases = _SwallowingLeases(bus)
    lease = await acquire_when_free(leases, "f-kept", "owner")
    async with asyncio.timeout(5):
        async with leases.kept(lease, 0.01):
            while leases.renewals < 3:
                await asyncio.sleep(0.005)
    renewals = leases.renewals
    await asyncio.sleep(0.1)
    assert leases.renewals == renewals


async def test_a_kept_lease_outlives_its_term(bus: Bus) -> None:
    leases = Leases(bus)
    lease = await acquire_when_free(leases, "f-long", "owner")
    async with leases.kept(lease, 0.2):
        await asyncio.sleep(4)  # twice the term of the server of these tests
        assert await leases.holder("f-long") == "owner"
    await leases.renew(lease)
