"""With many runs a sweep stays small, and however long one takes the replica stays the elected one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from services.registry.overdue import Overdue
from services.registry.projection import Projection
from services.registry.reconciler import LEASE
from tests.registry.conftest import Bench, eventually, parts, registry
from tidemill.bus import Leases
from tidemill.bus.subjects import LEASES_BUCKET
from tidemill.contracts import Prices
from tidemill.records.schema import RunRecord
from tidemill.stage.ledger import Ledger, LedgerEntry
from tidemill.stage.runs import Runs


async def test_running_runs_are_compared_by_turns_and_unknown_ones_at_once(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with parts(bench) as registry_parts:
        projection = registry_parts.projection
        runs = [await bench.publish("many", announce=False) for _ in range(5)]
        assert await projection.catch_up(everything=False, at_most=2) == 5
        seen = []

        async def read(project: str, run_id: str) -> RunRecord | None:
            seen.append(run_id)
            return await type(bench.records).run(bench.records, project, run_id)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bench.records, "run", read)
            for turn in (2, 4, 6):
                assert await projection.catch_up(everything=False, at_most=2) == 2
                assert len(seen) == turn
            assert set(seen) == set(runs)
            late = await bench.publish("late", announce=False)
            assert await projection.catch_up(everything=False, at_most=2) == 3
            assert late in seen
            assert await projection.catch_up(everything=False) == 6


async def test_the_lease_is_renewed_while_a_sweep_takes_long(quiet_bench: Bench) -> None:
    bench = quiet_bench
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(self: Projection, *, everything: bool, at_most: int | None = None) -> int:
        if at_most is not None:  # a sweep's, not that of the start
            began.set()
            await goes_on.wait()
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Projection, "catch_up", slow)
        async with registry(bench, reconcile_every=timedelta(seconds=0.1)):
            await asyncio.wait_for(began.wait(), 20)
            bucket = await bench.bus.bucket(LEASES_BUCKET)
            first = (await bucket.get(LEASE)).revision or 0

            async def renewed_often() -> bool:
                return ((await bucket.get(LEASE)).revision or 0) >= first + 3

            await eventually(renewed_often)
            goes_on.set()


async def test_the_ledger_is_read_once_for_many_runs_whose_time_is_over(quiet_bench: Bench) -> None:
    bench = quiet_bench
    reads = []

    class Counted(Ledger):
        async def all(self) -> list[LedgerEntry]:
            reads.append(1)
            return await super().all()

    async with parts(bench) as registry_parts:
        ledger = Counted(bench.bus)
        overdue = Overdue(
            ledger=ledger, leases=Leases(bench.bus), records=bench.records, runs=Runs(bench.bus, bench.records),
            projection=registry_parts.projection, prices=Prices(), ack_wait=timedelta(seconds=30),
        )  # fmt: skip
        recipe = {"economics": {"max_wall_time": "1s"}}

        async def over(run_id: str) -> bool:
            facts = await registry_parts.projection.run("default", run_id)
            assert facts is not None
            return facts.allowance.deadline is not None and datetime.now(UTC) >= facts.allowance.deadline

        runs = [await bench.publish("over", announce=False, recipe=recipe) for _ in range(3)]
        await ledger.open(_in_hand(runs[0]))
        await eventually(lambda: over(runs[-1]))
        ended = [await overdue.end("default", run_id) is not None for run_id in runs]
        assert ended == [False, True, True]  # the first is in hand: its worker ends it
        assert len(reads) == 1
        later = await bench.publish("over", announce=False, recipe=recipe)
        await ledger.open(_in_hand(later))
        await eventually(lambda: over(later))
        assert await overdue.end("default", later) is None  # what was read before its time was over says nothing


def _in_hand(run_id: str) -> LedgerEntry:
    now = datetime.now(UTC)
    return LedgerEntry(
        attempt_id=run_id, project="default", run_id=run_id, stage="ingest", epoch=1, fingerprint=run_id,
        instance="worker", started_at=now, last_seen=now,
    )  # fmt: skip
