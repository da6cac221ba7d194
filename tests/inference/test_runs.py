"""Datasets in, runs followed, commands out: on a real NATS server and a real store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import tidemill
from tidemill.bus import parse_event
from tidemill.bus.dead_letters import bury
from tidemill.bus.delivery import Delivery
from tidemill.contracts import (
    ArtifactRef,
    DatasetIngested,
    DatasetPublished,
    RunFinished,
    RunProgressed,
)
from tidemill.errors import InvalidInput

CSV = "text,label\n很好,positive\nbad,negative\n".encode()


@pytest.fixture(scope="module")
async def http(platform: Any, serving: Any) -> AsyncIterator[httpx.AsyncClient]:
    context = serving(platform.settings(upload_bytes=1 << 20, upload_files=3))
    url = await asyncio.to_thread(context.__enter__)
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        yield client
    await asyncio.to_thread(context.__exit__, None, None, None)


async def last_published(platform: Any) -> tuple[DatasetPublished, dict[str, str]]:
    message = await platform.bus.jetstream.get_last_msg("EVENTS", DatasetPublished.subject)
    event = parse_event(message.subject, message.data, message.headers)
    assert isinstance(event, DatasetPublished)
    return event, message.headers


async def commands(platform: Any) -> list[dict[str, Any]]:
    """The commands in the stream."""
    state = (await platform.bus.jetstream.stream_info("JOBS")).state
    messages = [await platform.bus.jetstream.get_msg("JOBS", seq) for seq in range(1, state.last_seq + 1)]
    return [json.loads(message.data) for message in messages if message.subject.startswith("tidemill.job.register.")]


async def test_an_upload_becomes_a_source_and_a_run(platform: Any, http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/v1/datasets",
        data={
            "name": "评论",
            "recipe": "training: {epochs: 2}",
            "promote": "false",
            "append": "true",
            "licence": " CC BY 4.0 ",
            "owner": "张伟",
        },
        files=[("file", ("train.csv", CSV)), ("file", ("数据/test.csv", CSV))],
    )
    body = answer.json()
    assert answer.status_code == 202, body
    event, headers = await last_published(platform)
    assert (event.run_id, event.name, event.origin) == (body["run_id"], "评论", "http")
    assert (event.recipe, event.promote, event.use_cache) == ({"training": {"epochs": 2}}, False, True)
    assert (event.append, event.licence, event.owner) == (True, "CC BY 4.0", "张伟")
    assert event.source is not None
    assert event.source.kind == "source"
    assert await platform.store.files(event.source) == {"train.csv": len(CSV), "数据/test.csv": len(CSV)}
    record = await platform.store.records().run("default", event.run_id)
    assert record.event == event
    assert headers["traceparent"].split("-")[1] == record.traceparent.split("-")[1]
    assert body["events"] == f"/v1/runs/{event.run_id}/events"
    # The registry has not heard of it yet; it is on record all the same.
    shown = (await http.get(body["links"]["self"])).json()
    assert (shown["state"], shown["stages"][0]) == ("running", shown["stages"][0] | {"state": "waiting"})
    assert not list((platform.folder / "scratch" / "inference").iterdir())


async def test_an_address_is_announced_as_it_is(platform: Any, http: httpx.AsyncClient) -> None:
    asked = {"name": "spam", "uri": "https://example.org/a.csv", "recipe": {"goal": {"metric": "accuracy"}}}
    words = {"append": True, "licence": "MIT", "owner": "UCI"}
    answer = await http.post("/v1/datasets", json={**asked, **words, "use_cache": False})
    assert answer.status_code == 202
    event, _ = await last_published(platform)
    assert {"append": event.append, "licence": event.licence, "owner": event.owner} == words
    assert (event.uri, event.recipe, event.use_cache) == (asked["uri"], asked["recipe"], False)
    assert event.run_id > "run-0"


@pytest.mark.parametrize(
    ("send", "status", "said"),
    [
        ({"json": {"name": "a", "uri": "s3://b/c", "recipe": {"trainig": {}}}}, 400, "training"),
        ({"json": {"name": "../a", "uri": "s3://b/c"}}, 400, "name"),
        ({"json": {"name": "a"}}, 400, "uri"),
        ({"json": {"name": "a", "uri": "s3://b/c", "file": "x"}}, 400, "file"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JSON"),
        ({"content": b"a,b", "headers": {"Content-Type": "text/csv"}}, 415, "multipart"),
        ({"data": {"name": "a"}, "files": {"data": ("a.csv", CSV)}}, 400, "file"),
        ({"data": {}, "files": {"file": ("a.csv", CSV)}}, 400, "name"),
        ({"data": {"name": "a", "colour": "red"}, "files": {"file": ("a.csv", CSV)}}, 400, "colour"),
        ({"data": {"name": "a", "recipe": "training: [1"}, "files": {"file": ("a.csv", CSV)}}, 400, "YAML"),
        ({"data": {"name": "a", "recipe": "a: &a [1]\nb: *a"}, "files": {"file": ("a.csv", CSV)}}, 400, "alias"),
        ({"data": {"name": "a", "use_cache": "maybe"}, "files": {"file": ("a.csv", CSV)}}, 400, "maybe"),
        ({"data": {"name": "a"}, "files": {"file": ("../..", CSV)}}, 400, "'../..'"),
        ({"data": {"name": "a", "append": "maybe"}, "files": {"file": ("a.csv", CSV)}}, 400, "maybe"),
        ({"data": {"name": "a", "licence": "x" * 201}, "files": {"file": ("a.csv", CSV)}}, 400, "licence"),
        ({"data": {"name": "a", "recipe": "data: {query: SELECT 1}"}, "files": {"file": ("a.csv", CSV)}}, 400, "query"),
        ({"json": {"name": "a", "uri": "s3://b/c", "owner": " "}}, 400, "owner"),
        ({"json": {"name": "a", "uri": "postgresql://u:topsecret@h/d"}}, 400, "env:NAME"),
        ({"json": {"name": "a", "uri": "postgresql://u@h/d?password=topsecret"}}, 400, "env:NAME"),
        ({"data": {"name": "a"}, "files": [("file", ("a.csv", CSV))] * 2}, 400, "twice"),
        ({"data": {"name": "a"}, "files": [("file", (f"{i}.csv", CSV)) for i in range(4)]}, 400, "one zip or tar.gz"),
        ({"data": {"name": "a"}, "files": {"file": ("a.csv", b"x" * (2 << 20))}}, 413, "bytes"),
        (
            {"content": b"--b\r\nContent-Dis", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
            400,
            "early",
        ),
    ],
)
async def test_what_cannot_be_published_says_why(
    platform: Any, http: httpx.AsyncClient, send: dict[str, Any], status: int, said: str
) -> None:
    before = await last_published(platform)
    answer = await http.post("/v1/datasets", **send)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert "topsecret" not in answer.text
    assert await last_published(platform) == before
    assert not list((platform.folder / "scratch" / "inference").iterdir())


async def test_the_sdk_hears_why_a_large_upload_is_refused(http: httpx.AsyncClient, tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).write_bytes(b"x" * (4 << 20))
    with tidemill.connect(str(http.base_url).rstrip("/")) as platform:
        for sources, says in (([tmp_path], "at most 1,048,576 bytes"), ([tmp_path / "a"], "at most 1,048,576 bytes")):
            with pytest.raises(InvalidInput, match=says):
                await asyncio.to_thread(platform.publish, sources, name="large")
        for name in "abcd":
            (tmp_path / name).write_bytes(b"x")
        with pytest.raises(InvalidInput, match=r"more than 3 files were sent.*one zip"):
            await asyncio.to_thread(platform.publish, tmp_path, name="many")


async def test_views_of_the_registry_pass_through(platform: Any, http: httpx.AsyncClient, run_view: Any) -> None:
    rows = [{"run_id": "run-1", "name": "reviews", "state": "failed", "created_at": "2026-11-22T00:00:00Z"}]
    asked = []
    platform.registry.answers["tidemill.query.runs.list"] = lambda question: asked.append(question) or rows
    assert (await http.get("/v1/runs?limit=7&state=failed")).json() == rows
    assert (asked[0]["limit"], asked[0]["state"]) == (7, "failed")
    assert (await http.get("/v1/runs?limit=many")).status_code == 400
    assert (await http.get("/v1/runs?state=odd")).status_code == 400
    model = {"name": "reviews", "task": "text-classification", "aliases": {}, "versions": [{"version": 2}]}
    platform.registry.answers["tidemill.query.models.show"] = lambda q: model if q["name"] == "reviews" else None
    for kind in ("models", "datasets"):
        asked.clear()
        platform.registry.answers[f"tidemill.query.{kind}.list"] = lambda question: asked.append(question) or []
        assert (await http.get(f"/v1/{kind}?limit=7")).json() == []
        assert asked[0]["limit"] == 7
        assert (await http.get(f"/v1/{kind}?limit=1001")).status_code == 400
    assert (await http.get("/v1/datasets?name=评论")).json() == []
    assert asked[1]["name"] == "评论"
    assert (await http.get("/v1/models/reviews")).json() == model
    assert (await http.get("/v1/models/reviews/versions/2")).json() == {"version": 2}
    assert "it has 2" in (await http.get("/v1/models/reviews/versions/3")).json()["detail"]
    assert (await http.get("/v1/models/other")).status_code == 404
    assert (await http.get("/v1/runs/run-unknown")).status_code == 404
    assert (await http.get("/v1/runs/RUN!")).status_code == 404


async def test_commands_are_durable(platform: Any, http: httpx.AsyncClient, run_view: Any) -> None:
    states = {"run-a": "running", "run-b": "failed", "run-c": "finished"}
    platform.registry.answers["tidemill.query.runs.show"] = lambda q: (
        run_view(q["run_id"], states[q["run_id"]]) if q["run_id"] in states else None
    )
    platform.registry.answers["tidemill.query.models.show"] = {"name": "reviews", "versions": [{"version": 2}]}
    assert (await http.post("/v1/runs/run-a:cancel")).status_code == 202
    assert (await http.post("/v1/runs/run-b:retry")).status_code == 202
    limits = {"max_cost": 2.5, "max_wall_time": "2h", "max_stage_time": {"train": 90}}
    assert (await http.post("/v1/runs/run-b:retry", json=limits)).status_code == 202
    for wrong, words in (
        ({"max_cost": -1}, "max_cost: Input should be greater than 0 (got -1)"),
        ({"max_price": 1}, "max_price: Extra inputs are not permitted"),
        ({"max_stage_time": {"trainer": 9}}, "did you mean 'train'?"),
    ):
        refused = await http.post("/v1/runs/run-b:retry", json=wrong)
        assert (refused.status_code, words in refused.json()["detail"]) == (400, True)
    assert (await http.post("/v1/models/reviews:promote", json={"version": 2})).status_code == 202
    for path, status in (
        ("/v1/runs/run-c:cancel", 409),
        ("/v1/runs/run-c:retry", 409),
        ("/v1/runs/run-x:cancel", 404),
        ("/v1/dead-letters/0123456789abcdef:replay", 404),
    ):
        assert (await http.post(path)).status_code == status
    assert (await http.post("/v1/models/reviews:promote", json={"version": 9})).status_code == 404
    assert (await http.post("/v1/models/reviews:promote", json={"version": "new"})).status_code == 400
    letter = Delivery("tidemill.dataset.published.v1", b"{}")
    await bury(platform.bus, platform.store.records(), stage="ingest", delivery=letter, error="why", kind="permanent")
    kept = (await platform.store.records().letters.newest("default", limit=1))[0].id
    assert (await http.post(f"/v1/dead-letters/{kept}:replay")).status_code == 202
    for unknown in ("99", "%2e%2e", "x" * 16):
        assert (await http.post(f"/v1/dead-letters/{unknown}:replay")).status_code == 404
    found = await commands(platform)
    kinds = ["cancel-run", "retry-run", "retry-run", "promote-version", "replay-dead-letter"]
    assert [one["command"] for one in found] == kinds
    assert (found[0]["run_id"], found[3]["version"], found[3]["alias"]) == ("run-a", 2, "champion")
    assert found[1]["budget"] is None
    assert found[2]["budget"] == {"max_cost": 2.5, "max_wall_time": "PT2H", "max_stage_time": {"train": "PT1M30S"}}


async def test_a_run_is_followed_to_its_end(
    platform: Any, http: httpx.AsyncClient, run_view: Callable[..., dict[str, Any]]
) -> None:
    state = "running"
    platform.registry.answers["tidemill.query.runs.show"] = lambda q: run_view(q["run_id"], state, created_at="2026")
    reference = ArtifactRef(digest="sha256:" + "b" * 64, kind="dataset", size_bytes=1)
    seen: list[tuple[str, dict[str, Any]]] = []

    async def act(number: int) -> None:
        nonlocal state
        if number == 1:  # somebody else's progress is not ours
            await platform.bus.report(RunProgressed(run_id="run-other", stage="ingest"))
            await platform.bus.report(RunProgressed(run_id="run-f", stage="ingest", fraction=0.5))
        elif number == 2:
            event = DatasetIngested(
                run_id="run-f", name="reviews", recipe=reference, source=reference, dataset=reference,
                task="text-classification", rows=2, parts={"data": 2},
            )  # fmt: skip
            await platform.bus.announce(event, fingerprint="x")
        elif number == 3:
            state = "finished"
            await platform.bus.announce(RunFinished(run_id="run-f", state="finished"), fingerprint="x")

    await follow(http, "run-f", seen, act)
    assert [kind for kind, _ in seen] == ["run", "progress", "stage", "stage", "run"]
    assert seen[1][1]["fraction"] == 0.5
    assert (seen[2][1]["stage"], seen[2][1]["event"]["rows"]) == ("ingest", 2)
    assert seen[3][1]["type"] == "tidemill.run.finished.v1"
    assert (seen[0][1]["state"], seen[-1][1]["state"]) == ("running", "finished")
    again: list[tuple[str, dict[str, Any]]] = []
    await follow(http, "run-f", again, act)
    assert [kind for kind, _ in again] == ["run"]


async def follow(http: httpx.AsyncClient, run_id: str, seen: list[Any], act: Callable[[int], Awaitable[None]]) -> None:
    kind = ""
    async with http.stream("GET", f"/v1/runs/{run_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                seen.append((kind, json.loads(line.removeprefix("data: "))))
                await act(len(seen))


async def test_status_says_who_is_there(platform: Any, http: httpx.AsyncClient) -> None:
    platform.registry.answers["tidemill.query.models.list"] = []
    status = (await http.get("/v1/status")).json()
    assert status["bus"]["connected"]
    assert status["registry"]["reachable"]
    assert status["store"]["reachable"]
    assert status["queue"]["rows"] == 0
