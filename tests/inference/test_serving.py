"""Versions come and go under load; too much is refused at once; a broken model leaves the old one in service."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from services.inference.serving.batcher import Batcher
from services.inference.serving.errors import NotReady, Overloaded
from tidemill.contracts import ArtifactRef
from tidemill.telemetry.spans import SpanRecord

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def version_serving(url: str, name: str) -> int | None:
    async with httpx.AsyncClient(base_url=url) as http:
        views = {one["name"]: one for one in (await http.get("/v1/deployments")).json()}
        serving = views.get(name, {}).get("serving", [])
        return serving[0]["version"] if serving else None


async def until_serving(url: str, name: str, version: int | None) -> None:
    while await version_serving(url, name) != version:
        await asyncio.sleep(0.02)


async def test_a_swap_under_load_fails_no_request(platform: Any, serving: Any, deployed: Any) -> None:
    models = [await platform.package((f"yes{i}", f"no{i}"), layers=20) for i in (1, 2)]
    await platform.deploy("swap", deployed(1, models[0]))
    context = serving(platform.settings())
    url = await asyncio.to_thread(context.__enter__)
    answers: Counter[tuple[int, int, str]] = Counter()
    stop = asyncio.Event()

    async def ask(http: httpx.AsyncClient) -> None:
        while not stop.is_set():
            answer = await http.post("/v1/models/swap:predict", json={"instances": ["good 好"] * 3})
            body = answer.json()
            labels = {one["label"] for one in body.get("predictions", [{"label": ""}])}
            answers[answer.status_code, body.get("version", 0), "".join(labels)] += 1

    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        clients = [asyncio.create_task(ask(http)) for _ in range(8)]
        for version in (1, 2, 3, 4):
            await platform.deploy("swap", deployed(version, models[(version - 1) % 2]))
            async with asyncio.timeout(15):
                await until_serving(url, "swap", version)
            seen = answers.total()
            while answers.total() < seen + 16:
                await asyncio.sleep(0.01)
        stop.set()
        await asyncio.gather(*clients)
    await asyncio.to_thread(context.__exit__, None, None, None)
    # Every answer is a 200, and the label is always of the version that the answer names.
    assert set(answers) <= {(200, version, f"yes{1 + (version - 1) % 2}") for version in (1, 2, 3, 4)}
    assert {version for _, version, _ in answers} == {1, 2, 3, 4}


async def test_weights_share_the_traffic(platform: Any, serving: Any, deployed: Any) -> None:
    model = await platform.package(("a", "b"))
    await platform.deploy("shared", deployed(1, model, weight=0.25), deployed(2, model, weight=0.75))
    context = serving(platform.settings())
    url = await asyncio.to_thread(context.__enter__)
    async with httpx.AsyncClient(base_url=url) as http:
        asked = [http.post("/v1/models/shared:predict", json={"instances": ["x"]}) for _ in range(100)]
        versions = Counter(answer.json()["version"] for answer in await asyncio.gather(*asked))
        one = await http.post(
            "/v2/models/shared/versions/1/infer",
            json={"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["x"]}]},
        )
    await asyncio.to_thread(context.__exit__, None, None, None)
    assert 5 <= versions[1] <= 50
    assert one.json()["model_version"] == "1"


async def test_a_broken_version_leaves_the_old_one_in_service(
    platform: Any, serving: Any, deployed: Any, eventually: Any
) -> None:
    good = await platform.package(("a", "b"))
    await platform.deploy("broken", deployed(1, good))
    context = serving(platform.settings())
    url = await asyncio.to_thread(context.__enter__)
    missing = ArtifactRef(digest="sha256:" + "c" * 64, kind="model", size_bytes=1)
    await platform.deploy("broken", deployed(2, missing))

    def state() -> dict[str, Any] | None:
        views = {one["name"]: one for one in httpx.get(f"{url}/v1/deployments").json()}
        return views["broken"] if views["broken"]["error"] else None

    view = await eventually(state, "the failure to show")
    assert (view["state"], view["serving"][0]["version"], view["desired"][0]["version"]) == ("serving", 1, 2)
    assert "cccc" in view["error"]
    answer = await asyncio.to_thread(httpx.post, f"{url}/v1/models/broken:predict", json={"instances": ["x"]})
    assert answer.json()["version"] == 1
    await platform.deploy("only-broken", deployed(1, missing))
    await eventually(
        lambda: httpx.post(f"{url}/v1/models/only-broken:predict", json={"instances": ["x"]}).status_code == 503,
        "the new model to be refused",
    )
    await asyncio.to_thread(context.__exit__, None, None, None)


async def test_loading_and_the_first_prediction_are_in_the_runs_trace(
    platform: Any, serving: Any, deployed: Any, tmp_path: Path
) -> None:
    model = await platform.package(("a", "b"))
    await platform.deploy("traced", deployed(1, model, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01"))

    def names() -> list[str]:
        lines = [
            json.loads(line)
            for file in (tmp_path / "telemetry" / "spans").glob("inference-*.jsonl")
            for line in file.read_text().splitlines()
        ]
        spans = [SpanRecord.from_json(line) for line in lines if line["trace_id"] == TRACE]
        assert all(span.parent_id == "00f067aa0ba902b7" for span in spans)
        return sorted(span.name for span in spans)

    for _ in range(2):  # the second gateway finds the model here, and adds nothing to the trace
        context = serving(platform.settings(tmp_path))
        url = await asyncio.to_thread(context.__enter__)
        async with httpx.AsyncClient(base_url=url) as http:
            for _ in range(2):
                await http.post("/v1/models/traced:predict", json={"instances": ["x"]})
        await asyncio.to_thread(context.__exit__, None, None, None)
        assert names() == ["deploy", "first prediction"]


class Slow:
    """A model whose batches wait until the test lets them go."""

    project = "default"
    name = "slow"
    max_length = 64

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[list[str]] = []

    def run(self, instances: Sequence[str]) -> Any:
        self.batches.append(list(instances))
        assert self.go.wait(10)
        if "boom" in instances:
            raise ValueError("boom")
        return np.array([[len(text), 0.0] for text in instances], np.float32)


def batcher(**options: Any) -> Batcher:
    made = Batcher(**{"threads": 1, "max_batch": 8, "max_queued_rows": 16, "observe": lambda *_: None} | options)
    made.start()
    return made


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def test_what_waits_is_taken_together_and_too_much_is_refused_at_once() -> None:
    model, queue = Slow(), batcher()
    first = asyncio.create_task(queue.run(model, ["a"]))
    await until(lambda: model.batches)
    others = [asyncio.create_task(queue.run(model, ["b" * n])) for n in range(1, 17)]
    await until(lambda: queue.queued_rows == 16)
    started = time.monotonic()
    with pytest.raises(Overloaded):
        await queue.run(model, ["c"])
    assert time.monotonic() - started < 1
    model.go.set()
    assert (await first)[0, 0] == 1
    assert [int(result[0, 0]) for result in await asyncio.gather(*others)] == list(range(1, 17))
    assert [len(batch) for batch in model.batches] == [1, 8, 8]
    await queue.close()
    with pytest.raises(NotReady):
        await queue.run(model, ["d"])


async def test_rows_of_other_lengths_are_not_padded_together() -> None:
    model, queue = Slow(), batcher()
    first = asyncio.create_task(queue.run(model, ["a"]))
    await until(lambda: model.batches)
    texts = ["short", "long " * 60, "brief", "lang " * 60]
    others = [asyncio.create_task(queue.run(model, [text])) for text in texts]
    await until(lambda: queue.queued_rows == 4)
    model.go.set()
    await asyncio.gather(first, *others)
    assert model.batches[1:] == [["short", "brief"], ["long " * 60, "lang " * 60]]
    await queue.close()


async def test_one_request_cannot_fail_the_others_of_its_batch() -> None:
    model, queue = Slow(), batcher()
    first = asyncio.create_task(queue.run(model, ["a"]))
    await until(lambda: model.batches)
    bad = asyncio.create_task(queue.run(model, ["boom"]))
    good = asyncio.create_task(queue.run(model, ["fine"]))
    await until(lambda: queue.queued_rows == 2)
    model.go.set()
    await first
    with pytest.raises(ValueError, match="boom"):
        await bad
    assert (await good)[0, 0] == 4
    await queue.close()


async def test_overload_is_429_with_a_time_to_come_back(platform: Any, serving: Any, deployed: Any) -> None:
    await platform.deploy("busy", deployed(1, await platform.package(("a", "b"), layers=400)))
    context = serving(platform.settings(threads=1, max_queued_rows=8))
    url = await asyncio.to_thread(context.__enter__)
    async with httpx.AsyncClient(base_url=url, timeout=20, limits=httpx.Limits(max_connections=200)) as http:
        asked = [http.post("/v1/models/busy:predict", json={"instances": ["good " * 40] * 8}) for _ in range(60)]
        answers = await asyncio.gather(*asked)
    await asyncio.to_thread(context.__exit__, None, None, None)
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["type"] == "urn:tidemill:problem:overloaded"
