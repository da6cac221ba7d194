"""The audit log over HTTP, and the commands that decide what may be served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tidemill.audit import put_on_record
from tidemill.contracts.queries import ShowModel


@pytest.fixture(scope="module")
async def http(platform: Any, serving: Any) -> AsyncIterator[httpx.AsyncClient]:
    context = serving(platform.settings())
    url = await asyncio.to_thread(context.__enter__)
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        yield client
    await asyncio.to_thread(context.__exit__, None, None, None)


async def command(platform: Any) -> dict[str, Any]:
    """The last command that was handed to the registry."""
    message = await platform.bus.jetstream.get_last_msg("JOBS", "tidemill.job.register.cpu.default")
    return dict(json.loads(message.data))


def model(**changes: Any) -> dict[str, Any]:
    version = {"version": 2, "revoked_at": None, "revoked_because": None} | changes
    return {"name": "reviews", "aliases": {"champion": 2}, "versions": [version]}


async def test_publishing_is_on_record_with_its_actor_and_trace(platform: Any, http: httpx.AsyncClient) -> None:
    published = await http.post("/v1/datasets", json={"name": "评论", "uri": "https://example.org/x.csv"})
    run_id = published.json()["run_id"]
    (entry, *_) = (await http.get("/v1/audit", params={"limit": 1})).json()
    assert (entry["actor"], entry["action"], entry["subject"]) == ("local", "publish-dataset", f"run:{run_id}")
    assert (entry["outcome"], entry["reason"]) == ("done", "dataset 评论")
    record = await platform.store.records().run("default", run_id)
    assert record is not None
    assert record.actor == "local"
    assert record.traceparent is not None
    assert entry["trace_id"] == record.traceparent.split("-")[1]


async def test_a_publish_that_cannot_be_read_is_no_action(http: httpx.AsyncClient) -> None:
    before = (await http.get("/v1/audit", params={"limit": 1})).json()
    assert (await http.post("/v1/datasets", json={"name": "../x"})).status_code == 400
    assert (await http.get("/v1/audit", params={"limit": 1})).json() == before


async def test_pages_of_the_log_and_what_is_no_page(platform: Any, http: httpx.AsyncClient) -> None:
    for number in range(5):
        await put_on_record(platform.store.records(), "default", actor="operator", action="a", subject=f"s:{number}")
    newest = (await http.get("/v1/audit", params={"limit": 2})).json()
    assert [one["subject"] for one in newest] == ["s:4", "s:3"]
    older = (await http.get("/v1/audit", params={"limit": 2, "before": newest[-1]["sequence"]})).json()
    assert [one["subject"] for one in older] == ["s:2", "s:1"]
    for params in ({"limit": "0"}, {"limit": "1001"}, {"limit": "٣"}, {"before": "-1"}, {"before": "9" * 40}):
        refused = await http.get("/v1/audit", params=params)
        assert (refused.status_code, refused.json()["title"]) == (400, "Invalid input"), params


async def test_a_revocation_is_a_command_with_its_reason(platform: Any, http: httpx.AsyncClient) -> None:
    platform.registry.answers[ShowModel.subject] = model()
    path = "/v1/models/reviews/versions/2:revoke"
    assert (await http.post(path, json={"reason": "教错了"})).status_code == 202
    sent = await command(platform)
    assert (sent["command"], sent["name"], sent["version"]) == ("revoke-version", "reviews", 2)
    assert (sent["reason"], sent["actor"]) == ("教错了", "local")
    for body in (None, {}, {"reason": ""}, {"reason": "x" * 1001}, {"reason": "x", "more": 1}):
        assert (await http.post(path, json=body)).status_code == 400, body
    assert (await http.post("/v1/models/reviews/versions/9:revoke", json={"reason": "x"})).status_code == 404


async def test_a_revoked_version_is_neither_promoted_nor_revoked_again(platform: Any, http: httpx.AsyncClient) -> None:
    platform.registry.answers[ShowModel.subject] = model(
        revoked_at=datetime.now(UTC).isoformat(), revoked_because="poisoned"
    )
    again = await http.post("/v1/models/reviews/versions/2:revoke", json={"reason": "x"})
    promoted = await http.post("/v1/models/reviews:promote", json={"version": 2})
    assert (again.status_code, promoted.status_code) == (409, 409)
    assert "revoked already: poisoned" in again.json()["detail"]
    assert promoted.json()["detail"] == "version 2 of model 'reviews' was revoked: poisoned"


async def test_signing_what_is_on_record_is_a_command(platform: Any, http: httpx.AsyncClient) -> None:
    for body, name, version in (
        (None, None, None), ({"name": "reviews"}, "reviews", None), ({"name": "r", "version": 3}, "r", 3),
    ):  # fmt: skip
        answered = await http.post("/v1/models:sign", json=body)
        assert answered.status_code == 202, answered.text
        sent = await command(platform)
        assert (sent["command"], sent["name"], sent["version"]) == ("sign-versions", name, version)
    assert (await http.post("/v1/models:sign", json={"version": 3})).status_code == 400
