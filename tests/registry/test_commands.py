"""Cancel, retry, promote, replay: durable commands, each doing its work once however they race."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.registry.conftest import Bench, eventually
from tidemill.bus.delivery import Delivery
from tidemill.contracts import (
    CancelRun,
    DatasetIngested,
    DatasetPublished,
    ModelPromoted,
    PromoteVersion,
    ReplayDeadLetter,
    RetryRun,
    RunFailed,
    RunFinished,
)
from tidemill.contracts.queries import ListDeadLetters, ShowModel, ShowRun
from tidemill.stage.runs import Runs


async def test_a_cancelled_run_stops_and_registers_nothing(bench: Bench) -> None:
    run_id = await bench.publish("cancelled")
    await bench.work(run_id, "cancelled", until="preprocess")
    await bench.bus.command(CancelRun(run_id=run_id, reason="错了"))
    finished = await bench.log.wait_for(RunFinished, run_id)
    assert (finished.state, finished.reason) == ("cancelled", "错了")
    assert not await Runs(bench.bus, bench.records).reach("default", run_id, "train")
    view = await bench.bus.ask(ShowRun(run_id=run_id))
    states = [stage["state"] for stage in view["stages"]]
    assert states == ["finished", "finished", "cancelled", "waiting", "waiting"]
    assert view["state"] == "cancelled"


async def test_cancel_and_registration_race_and_one_of_them_wins(bench: Bench) -> None:
    async def race(name: str) -> RunFinished:
        run_id = await bench.publish(name)
        await bench.work(run_id, name, until="train")
        cancel = bench.bus.command(CancelRun(run_id=run_id))
        await asyncio.gather(bench.work(run_id, name), cancel, return_exceptions=True)
        return await bench.log.wait_for(RunFinished, run_id)

    for index in range(5):
        ended = await race(f"raced-{index}")
        outcomes = await bench.records.outcomes("default", ended.run_id)
        assert [outcome.state for outcome in outcomes] == [ended.state]
        await _status(bench, ended.run_id, ended.state)
        named = [r for r in await bench.records.decisions("default") if r.decision.name == f"raced-{index}"]
        assert bool(named) == (ended.state == "finished")


async def test_a_finished_run_can_be_neither_cancelled_nor_retried(bench: Bench) -> None:
    finished = await bench.finished("done")
    await bench.bus.command(CancelRun(run_id=finished.run_id))
    await bench.bus.command(RetryRun(run_id=finished.run_id))
    letter = await eventually(lambda: _letter(bench, finished.run_id))
    assert "has finished" in letter["error"]
    assert (await bench.bus.ask(ShowRun(run_id=finished.run_id)))["state"] == "finished"
    assert [one.state for one in await bench.records.outcomes("default", finished.run_id)] == ["finished"]


async def test_a_failed_run_is_retried_from_where_it_stopped(bench: Bench) -> None:
    run_id = await bench.publish("retried")
    await bench.work(run_id, "retried", until="ingest")
    await _fail(bench, run_id)
    view = await eventually(lambda: _view(bench, run_id, "failed"))
    assert (view["error"], view["error_stage"]) == ("第 3 行 is empty", "preprocess")
    announced = len(bench.log.of(DatasetIngested, run_id))
    await asyncio.gather(*(bench.bus.command(RetryRun(run_id=run_id)) for _ in range(3)))
    await bench.log.wait_for(DatasetIngested, run_id, where=lambda _: _count(bench, run_id) > announced)
    status = await bench.states.get("default", run_id)
    assert status is not None
    assert (status.state, status.epoch, status.reached, status.error) == ("running", 2, ["ingest"], None)
    assert len(await bench.records.epochs("default", run_id)) == 1
    await bench.work(run_id, "retried")
    assert (await bench.log.wait_for(RunFinished, run_id)).version == 1


async def test_a_cancelled_run_that_reached_nothing_is_retried_from_its_publication(bench: Bench) -> None:
    run_id = await bench.publish("again")
    await bench.bus.command(CancelRun(run_id=run_id))
    await bench.log.wait_for(RunFinished, run_id)
    await bench.bus.command(RetryRun(run_id=run_id))
    await bench.log.wait_for(DatasetPublished, run_id, where=lambda _: len(_published(bench, run_id)) == 2)
    await bench.work(run_id, "again")
    ended = await bench.log.wait_for(RunFinished, run_id, where=lambda event: event.state == "finished")
    assert ended.promoted
    assert [one.state for one in await bench.records.outcomes("default", run_id)] == ["cancelled", "finished"]


async def test_a_person_promotes_whatever_the_gates_say(bench: Bench) -> None:
    best = await bench.finished("模型", macro_f1=0.95)
    worse = await bench.finished("模型", macro_f1=0.90)
    await bench.bus.command(PromoteVersion(name="模型", version=2))
    promoted = await bench.log.wait_for(ModelPromoted, worse.run_id)
    assert (promoted.version, promoted.previous, promoted.reason) == (2, 1, "promoted by a person")
    deployment = await bench.deployments.get("default", "模型")
    assert deployment is not None
    assert deployment.versions[0].run_id == worse.run_id
    assert (await bench.bus.ask(ShowModel(name="模型")))["aliases"] == {"champion": 2}
    await bench.bus.command(PromoteVersion(name="模型", version=1, alias="challenger"))
    await bench.log.wait_for(ModelPromoted, best.run_id, where=lambda event: event.alias == "challenger")
    assert (await bench.deployments.get("default", "模型")) == deployment
    await bench.bus.command(PromoteVersion(name="模型", version=9))
    letter = await eventually(lambda: _letter(bench, "no version 9"))
    assert letter["stage"] == "register"


async def test_a_replayed_dead_letter_lets_its_run_go_on(bench: Bench) -> None:
    run_id = await bench.publish("replayed")
    event = await bench.work(run_id, "replayed", until="ingest")
    await _fail(bench, run_id, Delivery(event.subject, event.model_dump_json().encode(), {"ce-id": "first"}))
    await eventually(lambda: _view(bench, run_id, "failed"))
    letter = await eventually(lambda: _letter(bench, "第 3 行"))
    assert (letter["run_id"], letter["subject"], letter["kind"]) == (run_id, DatasetIngested.subject, "permanent")
    announced = _count(bench, run_id)
    await bench.bus.command(ReplayDeadLetter(letter=letter["id"]))
    await bench.log.wait_for(DatasetIngested, run_id, where=lambda _: _count(bench, run_id) > announced)
    status = await bench.states.get("default", run_id)
    assert status is not None
    assert (status.state, status.epoch) == ("running", 2)

    async def gone() -> bool:
        return letter["id"] not in [one["id"] for one in await bench.bus.ask(ListDeadLetters())]

    await eventually(gone)


@pytest.mark.parametrize("body", [b"not json", b'{"command": "explode"}', b'{"command": "cancel-run"}'])
async def test_what_is_no_command_goes_to_the_dead_letters(bench: Bench, body: bytes) -> None:
    await bench.bus.publish_durably("JOBS", "tidemill.job.register.cpu.default", body, {})
    await eventually(lambda: _letter(bench, body.decode(), field="data"))


async def test_commands_for_runs_that_are_not_there_say_so(bench: Bench) -> None:
    await bench.bus.command(CancelRun(run_id="run-unheard-of"))
    letter = await eventually(lambda: _letter(bench, "run-unheard-of"))
    assert "tidemill runs list" in letter["error"]


async def _fail(bench: Bench, run_id: str, delivery: Delivery | None = None) -> None:
    body = f"event of {run_id}".encode()
    await Runs(bench.bus, bench.records).fail(
        "default", run_id, epoch=1, stage="preprocess", error="第 3 行 is empty", kind="permanent",
        delivery=delivery or Delivery(DatasetIngested.subject, body),
    )  # fmt: skip
    await bench.log.wait_for(RunFailed, run_id)


def _count(bench: Bench, run_id: str) -> int:
    return len(bench.log.of(DatasetIngested, run_id))


def _published(bench: Bench, run_id: str) -> list[DatasetPublished]:
    return bench.log.of(DatasetPublished, run_id)


async def _letter(bench: Bench, words: str, field: str = "error") -> Any:
    letters = await bench.bus.ask(ListDeadLetters())
    return next((one for one in letters if words in one[field] or one["run_id"] == words), None)


async def _view(bench: Bench, run_id: str, state: str) -> Any:
    view = await bench.bus.ask(ShowRun(run_id=run_id))
    return view if view["state"] == state else None


async def _status(bench: Bench, run_id: str, state: str) -> None:
    async def reached() -> bool:
        status = await bench.states.get("default", run_id)
        return status is not None and status.state == state

    await eventually(reached)
