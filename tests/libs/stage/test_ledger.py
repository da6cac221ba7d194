"""The ledger: one entry for each job, written by whoever has the job now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.libs.stage.conftest import Surroundings
from tidemill.contracts import Prices, ResourceUsage
from tidemill.records.schema import ResultRecord
from tidemill.stage.attempts import put_on_record
from tidemill.stage.ledger import LedgerEntry


def entry(attempt_id: str, fingerprint: str, **changes: object) -> LedgerEntry:
    now = datetime.now(UTC)
    values: dict[str, object] = {
        "attempt_id": attempt_id, "project": "默认", "run_id": "run-l", "stage": "train", "epoch": 1,
        "fingerprint": fingerprint, "instance": "w-1", "started_at": now - timedelta(seconds=9), "last_seen": now,
        "usage": ResourceUsage(cpu_seconds=4, attempts=1),
    }  # fmt: skip
    return LedgerEntry.model_validate(values | changes)


async def test_an_owner_that_wakes_up_does_not_write_over_its_successor(around: Surroundings) -> None:
    ledger = around.ledger
    page = await ledger.open(entry("first", "f1"))
    await ledger.keep_up(page, entry("first", "f1", usage=ResourceUsage(cpu_seconds=5)))
    successor = await ledger.open(entry("second", "f1"))
    await ledger.keep_up(page, entry("first", "f1", usage=ResourceUsage(cpu_seconds=6)))
    await ledger.close(page.entry)
    found = await ledger.read("默认", "f1")
    assert found is not None
    assert found.attempt_id == "second"
    await ledger.close(successor.entry)
    assert await ledger.read("默认", "f1") is None
    bucket = await around.bus.jetstream.stream_info("KV_attempts")
    assert bucket.state.messages == 0, "nothing is left of a try that is on record"


async def test_a_write_whose_answer_was_lost_does_not_end_the_entry(around: Surroundings) -> None:
    ledger = around.ledger
    page = await ledger.open(entry("first", "f2"))
    bucket = await around.bus.bucket("attempts")
    (name,) = await bucket.keys()
    await bucket.put(name, entry("first", "f2").model_dump_json().encode())  # arrived, and nobody was told
    await ledger.keep_up(page, entry("first", "f2"))
    await ledger.keep_up(page, entry("first", "f2", usage=ResourceUsage(cpu_seconds=7)))
    found = await ledger.read("默认", "f2")
    assert found is not None
    assert found.usage.cpu_seconds == 7
    await ledger.close(found)


async def test_a_lost_try_is_recorded_once_and_one_with_a_result_is_not_lost(around: Surroundings) -> None:
    lost = entry("gone", "f3")
    assert await put_on_record(lost, around.records, Prices())
    assert not await put_on_record(lost, around.records, Prices())
    result = ResultRecord(
        fingerprint="f4", stage="train", result={}, artifacts={}, usage=ResourceUsage(cpu_seconds=8, attempts=1),
        committed_at=datetime.now(UTC), run_id="run-l", attempt_id="done",
    )  # fmt: skip
    await around.records.create_result("默认", result)
    assert not await put_on_record(entry("done", "f4"), around.records, Prices())
    recorded = {one.attempt_id: one for one in await around.records.run_attempts("默认", "run-l")}
    assert recorded["gone"].kind == "lost"
    assert (recorded["done"].kind, recorded["done"].usage) == ("finished", result.usage)
