"""Questions over NATS and the views that answer them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from services.registry.tables import RunEntry
from tests.registry.conftest import Bench, eventually
from tidemill.contracts import RunProgressed
from tidemill.contracts.queries import (
    Answer,
    DatasetRow,
    ListDatasets,
    ListDeadLetters,
    ListModels,
    ListRuns,
    ModelRow,
    ModelView,
    RunRow,
    RunView,
    ShowModel,
    ShowRun,
)
from tidemill.errors import InvalidInput, NotFound
from tidemill.records.schema import OutcomeRecord


async def test_a_run_is_shown_at_once_and_grows_with_its_stages(bench: Bench) -> None:
    run_id = await bench.publish("shown", announce=False)
    view = RunView.model_validate(await bench.bus.ask(ShowRun(run_id=run_id)))
    assert [stage.state for stage in view.stages] == ["running", "waiting", "waiting", "waiting", "waiting"]
    assert view.trace_id == "0af7651916cd43dd8448eb211c80319c"
    await bench.work(run_id, "shown", until="preprocess")
    for fold, fraction in (("fold 1 of 2", 0.25), ("fold 2 of 2", 0.75)):
        await bench.bus.report(
            RunProgressed(run_id=run_id, stage="train", job=fold, fraction=fraction, message="epoch 1")
        )

    async def training() -> RunView | None:
        shown = RunView.model_validate(await bench.bus.ask(ShowRun(run_id=run_id)))
        return shown if shown.stages[2].fraction == 0.5 else None

    view = await eventually(training)
    assert view.stages[2].state == "running"
    assert view.stages[2].message == "fold 2 of 2: epoch 1"
    assert (view.rows, view.labels, view.uri) == (100, ["好", "坏"], "file:///data.csv")
    assert view.stages[0].seconds == pytest.approx(2)
    assert view.usage.cpu_seconds == 3.0


async def test_an_answer_is_never_older_than_what_is_on_record(bench: Bench) -> None:
    run_id = await bench.publish("fresh")
    await bench.bus.ask(ShowRun(run_id=run_id))
    await bench.work(run_id, "fresh", until="ingest", announce=False)
    view = RunView.model_validate(await bench.bus.ask(ShowRun(run_id=run_id)))
    assert [stage.state for stage in view.stages[:2]] == ["finished", "running"]
    now = datetime.now(UTC)
    outcome = OutcomeRecord(epoch=1, state="failed", ended_at=now, stage="preprocess", error="空")
    await bench.records.create_outcome("default", run_id, outcome)
    view = RunView.model_validate(await bench.bus.ask(ShowRun(run_id=run_id)))
    assert (view.state, view.error, view.error_stage) == ("failed", "空", "preprocess")


async def test_lists_and_models(bench: Bench) -> None:
    finished = await bench.finished("中文", macro_f1=0.91)
    rows = [RunRow.model_validate(row) for row in await bench.bus.ask(ListRuns(limit=1))]
    assert [(row.run_id, row.state, row.stage, row.version) for row in rows] == [
        (finished.run_id, "finished", "register", 1)
    ]
    assert await bench.bus.ask(ListRuns(state="cancelled")) == []
    models = {row["name"]: ModelRow.model_validate(row) for row in await bench.bus.ask(ListModels())}
    assert models["中文"].champion == 1
    assert models["中文"].metrics == {"accuracy": 0.91, "macro_f1": 0.91}
    model = ModelView.model_validate(await bench.bus.ask(ShowModel(name="中文")))
    assert model.versions[0].serving_variant == "onnx-int8"
    assert model.versions[0].aliases == ["champion"]
    view = RunView.model_validate(await bench.bus.ask(ShowRun(run_id=finished.run_id)))
    assert view.metrics == {"accuracy": 0.91, "macro_f1": 0.91}
    assert view.original is not None
    assert [stage.state for stage in view.stages] == ["finished"] * 5
    assert await bench.bus.ask(ListModels(project="elsewhere")) == []
    assert await bench.bus.ask(ListDeadLetters(project="elsewhere")) == []


async def test_lists_show_the_newest_and_no_more_than_is_asked_for(bench: Bench) -> None:
    for name in ("b-first", "c-second", "a-third"):
        await bench.finished(name, model=f"{name}-1")
    await bench.finished("b-first", model="b-first-2", macro_f1=0.5)

    async def newest() -> bool:
        return bool((await bench.bus.ask(ListModels(limit=1)))[0]["versions"] == 2)

    await eventually(newest)
    models = [ModelRow.model_validate(row) for row in await bench.bus.ask(ListModels(limit=3))]
    assert [(row.name, row.versions, row.champion) for row in models] == [
        ("b-first", 2, 1), ("a-third", 1, 1), ("c-second", 1, 1)
    ]  # fmt: skip
    assert models[0].metrics["macro_f1"] == 0.9  # the champion's
    datasets = [DatasetRow.model_validate(row) for row in await bench.bus.ask(ListDatasets(limit=2))]
    assert [(row.name, row.runs) for row in datasets] == [("b-first", 2), ("a-third", 1)]
    (one,) = await bench.bus.ask(ListDatasets(limit=1, name="c-second"))
    assert (one["name"], one["rows"]) == ("c-second", 100)
    assert await bench.bus.ask(ListDatasets(name="unheard-of")) == []


async def test_an_answer_that_nats_would_not_carry_says_what_to_do(bench: Bench) -> None:
    database = bench.databases.open()
    now = datetime.now(UTC)
    async with database.writing() as session:
        for number in range(1000):
            session.add(
                RunEntry(
                    project="huge", run_id=f"run-huge-{number}", name="huge", state="failed", stage="ingest", epoch=1,
                    created_at=now, ended_at=now, error="长" * 3000, error_stage="ingest",
                )
            )  # fmt: skip
    await database.close()
    with pytest.raises(InvalidInput, match=r"max_payload.*--limit"):
        await bench.bus.ask(ListRuns(project="huge", limit=1000))
    assert len(await bench.bus.ask(ListRuns(project="huge", limit=500))) == 500


async def test_what_is_not_there_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound, match="no run 'run-missing'"):
        await bench.bus.ask(ShowRun(run_id="run-missing"))
    with pytest.raises(NotFound, match="no model '没有'"):
        await bench.bus.ask(ShowModel(name="没有"))
    with pytest.raises(NotFound):
        await bench.bus.ask(ShowModel(name="reviews", project="elsewhere"))


@pytest.mark.parametrize(
    ("subject", "body", "words"),
    [
        ("tidemill.query.runs.show", b"{}", "run_id"),
        ("tidemill.query.runs.show", b"[", "Invalid JSON"),
        ("tidemill.query.runs.list", json.dumps({"limit": 10**9}).encode(), "limit"),
        ("tidemill.query.models.show", json.dumps({"name": "../x"}).encode(), "usable name"),
        ("tidemill.query.everything", b"{}", "is no question"),
    ],
)
async def test_a_wrong_question_is_told_what_is_wrong(bench: Bench, subject: str, body: bytes, words: str) -> None:
    reply = await bench.bus.client.request(subject, body, timeout=5)
    problem: Any = Answer.model_validate_json(reply.data).problem
    assert problem.kind == "invalid"
    assert words in problem.detail
