"""Erasures over HTTP: the value waits in the store alone, in no message, no answer and no problem."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import httpx

from tidemill.bus.subjects import command_subject
from tidemill.contracts.erasures import ErasureReport
from tidemill.erasure.requests import ErasureProgress, PendingErasures

MAIL = "an@x-mail.org"


async def test_an_erasure_is_asked_for_followed_and_listed(platform: Any, serving: Any) -> None:
    context = serving(platform.settings())
    url = await asyncio.to_thread(context.__enter__)
    pending, records = PendingErasures(platform.store.objects), platform.store.records()
    try:
        async with httpx.AsyncClient(base_url=url, timeout=20) as http:
            answer = await http.post("/v1/erasures", json={"subject": MAIL, "kind": "email"})
            assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
            erasure = answer.json()["id"]
            message = await platform.bus.jetstream.get_last_msg("JOBS", command_subject("default"))
            command = {"command": "erase-subject", "project": "default", "actor": "local", "erasure": erasure}
            assert (json.loads(message.data), MAIL in answer.text) == (command, False)
            request = await pending.request("default", erasure)
            assert request is not None
            assert (request.subject, MAIL in repr(request)) == (MAIL, False)
            await pending.tell(request, ErasureProgress(step="searching files", done=3, total=9))
            seen = (await http.get(f"/v1/erasures/{erasure}")).json()
            assert (seen["state"], seen["step"], seen["done"], seen["total"]) == ("running", "searching files", 3, 9)
            now = datetime.now(UTC)
            report = ErasureReport(
                id=erasure, project="default", kind="email", dry_run=False, asked_at=now, finished_at=now, records=2
            )
            await records.create_erasure(report)
            await pending.remove(request)
            seen = (await http.get(f"/v1/erasures/{erasure}")).json()
            assert (seen["state"], seen["report"]["records"]) == ("done", 2)
            assert [one["id"] for one in (await http.get("/v1/erasures")).json()] == [erasure]
            assert (await http.get("/v1/erasures/0000000000000000")).status_code == 404
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


async def test_what_cannot_be_looked_for_is_refused_without_saying_it(platform: Any, serving: Any) -> None:
    context = serving(platform.settings())
    url = await asyncio.to_thread(context.__enter__)
    try:
        async with httpx.AsyncClient(base_url=url, timeout=20) as http:
            for body in (
                {"subject": "secret words", "kind": "email"}, {"subject": "s3"}, {"subject": "secret", "kind": "soul"},
                {"subject": "secret" * 100}, {"subject": "secret", "other": 1}, {}, ["secret"],
            ):  # fmt: skip
                refused = await http.post("/v1/erasures", json=body)
                assert refused.status_code == 400, body
                assert "secret" not in refused.text
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)
