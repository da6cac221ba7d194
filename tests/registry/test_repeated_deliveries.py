"""What comes twice because an acknowledgement was lost, or late because somebody else was quicker, does no harm."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.registry.conftest import Bench, Parts, parts
from tidemill.contracts import CancelRun, ModelCompressed, ModelRegistered, RetryRun, RunFailed
from tidemill.records.schema import OutcomeRecord
from tidemill.stage.runs import Runs


async def test_a_retry_that_comes_twice_begins_one_epoch_even_when_that_has_failed_in_between(
    quiet_bench: Bench,
) -> None:
    bench = quiet_bench
    async with parts(bench) as registry:
        run_id = await bench.publish("tried-once-more")
        await _fail(bench, run_id)
        await registry.commands.carry_out(RetryRun(run_id=run_id), "first")
        await _fail(bench, run_id)
        await registry.commands.carry_out(RetryRun(run_id=run_id), "first")
        assert [(one.epoch, one.command) for one in await bench.records.epochs("default", run_id)] == [(2, "first")]
        assert await _state(bench, run_id) == ("failed", 2)
        await registry.commands.carry_out(RetryRun(run_id=run_id), "second")
        assert await _state(bench, run_id) == ("running", 3)


async def test_a_retry_that_comes_again_after_its_run_has_finished_is_no_error(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with parts(bench) as registry:
        run_id = await bench.publish("finished-since")
        await _fail(bench, run_id)
        await registry.commands.carry_out(RetryRun(run_id=run_id), "retry")
        await bench.work(run_id, "finished-since")
        await _register(registry, run_id)
        await registry.commands.carry_out(RetryRun(run_id=run_id), "retry")
        assert await _state(bench, run_id) == ("finished", 2)


async def test_a_cancel_that_comes_twice_leaves_a_later_retry_alone(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with parts(bench) as registry:
        run_id = await bench.publish("cancelled-once")
        await registry.commands.carry_out(CancelRun(run_id=run_id), "cancel")
        await registry.commands.carry_out(CancelRun(run_id=run_id), "cancel")
        assert await _state(bench, run_id) == ("cancelled", 1)
        await registry.commands.carry_out(RetryRun(run_id=run_id), "retry")
        await registry.commands.carry_out(CancelRun(run_id=run_id), "cancel")
        assert await _state(bench, run_id) == ("running", 2)
        await registry.commands.carry_out(CancelRun(run_id=run_id), "cancel again")
        assert await _state(bench, run_id) == ("cancelled", 2)


async def test_a_failure_that_was_written_before_registration_began_registers_nothing(quiet_bench: Bench) -> None:
    bench = quiet_bench
    async with parts(bench) as registry:
        run_id = await bench.publish("failed-first")
        event = await bench.work(run_id, "failed-first")
        assert isinstance(event, ModelCompressed)
        facts, _ = await registry.registrar.compressed("default", run_id)
        # A limit ends the run behind the back of the facts; its KV entry is not changed yet.
        await bench.records.create_outcome("default", run_id, _failed())
        await registry.registrar.register(facts, event)
        await bench.log.wait_for(RunFailed, run_id)
        assert await _state(bench, run_id) == ("failed", 1)
        assert bench.log.of(ModelRegistered, run_id) == []
        assert "failed-first" not in [one.decision.name for one in await bench.records.decisions("default")]


def _failed() -> OutcomeRecord:
    return OutcomeRecord(
        epoch=1, state="failed", ended_at=datetime.now(UTC), stage="train", error="zu teuer", reason="budget"
    )


async def _fail(bench: Bench, run_id: str) -> None:
    runs = Runs(bench.bus, bench.records)
    epoch = (await runs.status("default", run_id)).epoch
    await runs.fail("default", run_id, epoch=epoch, stage="ingest", error="空", kind="permanent")


async def _register(registry: Parts, run_id: str) -> None:
    facts, event = await registry.registrar.compressed("default", run_id)
    await registry.registrar.register(facts, event)


async def _state(bench: Bench, run_id: str) -> tuple[str, int]:
    status = await Runs(bench.bus, bench.records).status("default", run_id)
    return status.state, status.epoch
