"""Deletions over HTTP become commands, or problems; a deployment that is removed serves no longer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from tests.inference.test_serving import until_serving
from tidemill.bus import Deployments


async def test_a_removed_deployment_is_dropped_and_forgotten(platform: Any, serving: Any, deployed: Any) -> None:
    model = await platform.package()
    await platform.deploy("gone", deployed(1, model))
    settings = platform.settings()
    context = serving(settings)
    url = await asyncio.to_thread(context.__enter__)
    try:
        async with asyncio.timeout(20):
            await until_serving(url, "gone", 1)
            await Deployments(platform.bus).remove("default", "gone")
            async with httpx.AsyncClient(base_url=url, timeout=20) as http:
                while (answer := await http.post("/v1/models/gone:predict", json={"instances": ["好"]})).is_success:
                    await asyncio.sleep(0.02)
                assert answer.status_code == 404
                assert (await http.get("/v1/deployments")).json() == []
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


async def test_deletions_are_commands(platform: Any, serving: Any) -> None:
    model = {"name": "评论", "aliases": {"champion": 2}, "versions": [{"version": 2}, {"version": 1}]}
    rows = [
        {"name": "评论", "runs": 2, "running": 1, "deleted": False},
        {"name": "busy", "runs": 1, "running": 1, "deleted": False},
        {"name": "gone", "runs": 1, "running": 0, "deleted": True},
    ]
    platform.registry.answers["tidemill.query.models.show"] = lambda q: model if q["name"] == "评论" else None
    platform.registry.answers["tidemill.query.datasets.list"] = rows
    context = serving(platform.settings())
    url = await asyncio.to_thread(context.__enter__)
    try:
        async with httpx.AsyncClient(base_url=url, timeout=20) as http:
            assert (await http.get("/v1/datasets")).json() == rows
            expected = {
                "/v1/models/评论": 202,
                "/v1/models/评论/versions/1": 202,
                "/v1/datasets/评论": 202,
                "/v1/models/评论/versions/2": 409,
                "/v1/models/评论/versions/7": 404,
                "/v1/models/other": 404,
                "/v1/datasets/busy": 409,
                "/v1/datasets/gone": 404,
                "/v1/datasets/other": 404,
            }
            answers = {path: await http.delete(path) for path in expected}
            assert {path: answer.status_code for path, answer in answers.items()} == expected
            assert "promote another version first" in answers["/v1/models/评论/versions/2"].json()["detail"]
            assert answers["/v1/datasets/busy"].json()["type"] == "urn:tidemill:problem:in-use"
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)
    state = (await platform.bus.jetstream.stream_info("JOBS")).state
    messages = [await platform.bus.jetstream.get_msg("JOBS", seq) for seq in range(1, state.last_seq + 1)]
    found = [json.loads(message.data) for message in messages if ".register." in message.subject]
    assert [(one["command"], one["name"], one.get("version")) for one in found] == [
        ("delete-model", "评论", None),
        ("delete-model", "评论", 1),
        ("delete-dataset", "评论", None),
    ]
