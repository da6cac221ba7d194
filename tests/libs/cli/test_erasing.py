"""Erasing from the command line: nothing goes without a yes, the value is never shown, the report says everything."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.libs.cli.test_commands import Command, gateway, tidemill  # noqa: F401
from tidemill.testing.gateway import ScriptedGateway, erasure_view

MAIL = "an@x-mail.org"
DIGEST = "sha256:" + "1" * 64


def report(**changes: Any) -> dict[str, Any]:
    """A report of everything that there is to say."""
    now = "2026-11-01T12:00:00Z"
    return {
        "id": "0123456789abcdef", "project": "default", "kind": "email", "dry_run": False, "asked_at": now,
        "finished_at": now, "searched_artifacts": 12, "searched_files": 3400, "searched_bytes": 5_000_000,
        "searched_records": 90, "records": 2, "messages": {"EVENTS": 1}, "runs_cancelled": ["run-7"],
        "artifacts": [
            {"digest": DIGEST, "kind": "source", "fate": "removed", "held": True, "files": 1},
            {"digest": DIGEST, "kind": "vault", "fate": "removed", "held": False},
        ],
        "datasets": [{"name": "评论", "version": 3, "run_id": "erasure-1", "erased": 6, "left": 54}],
        "models": [{"name": "评论", "version": 2, "run_id": "run-1", "aliases": ["champion"], "serving": True}],
        "unsearched": [{"what": "images", "files": 4}], "left": ["another project refers to the same bytes"],
        "advice": ["tidemill publish 评论-without --name 评论 --wait"],
    } | changes  # fmt: skip


def test_everything_is_said_and_the_value_is_not(
    gateway: ScriptedGateway,  # noqa: F811
    tidemill: Command,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = tidemill("erase", "--subject", MAIL, "--url", gateway.url)
    assert (refused.code, gateway.erasures) == (2, [])
    gateway.erasure_views += [
        erasure_view(state="running", step="searching files", done=3, total=9),
        erasure_view(state="running", step="stopped, and tried again later: no store"),
        erasure_view(state="done", report=report()),
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{MAIL}\n"))
    done = tidemill("erase", "--subject", "-", "--kind", "email", "--yes", "--url", gateway.url)
    assert (done.code, gateway.erasures) == (0, [{"subject": MAIL, "kind": "email", "dry_run": False}])
    for said in (
        "3,400 files", "2 artifacts removed: 1 with the value", "评论, version 3: 6 rows erased, 54 left",
        "erasure-1", "run-7 was cancelled", "2 records overwritten, 1 messages removed", "version 2 (serving)",
        "tidemill publish 评论-without", "4 images", "another project", "stopped, and tried again later",
    ):  # fmt: skip
        assert said in done.out, said
    assert MAIL not in done.out + done.err


def test_a_dry_run_needs_no_yes_and_a_document_is_one(gateway: ScriptedGateway, tidemill: Command) -> None:  # noqa: F811
    gateway.erasure_views.append(erasure_view(state="done", report=report(dry_run=True)))
    done = tidemill("erase", "--subject", MAIL, "--dry-run", "--json", "--url", gateway.url)
    assert (done.code, done.document["dry_run"], done.document["records"]) == (0, True, 2)
    gateway.erasure_views.append(erasure_view(state="done", report=report(artifacts=[], records=0, messages={})))
    shown = tidemill("erase", "--show", "0123456789abcdef", "--url", gateway.url)
    assert "nothing of this person was found" in shown.out


@pytest.mark.parametrize("arguments", [[], ["--subject", MAIL, "--show", "1"], ["--subject", MAIL, "--kind", "soul"]])
def test_misuse_is_said_without_the_value(gateway: ScriptedGateway, tidemill: Command, arguments: list[str]) -> None:  # noqa: F811
    misused = tidemill("erase", *arguments, "--yes", "--url", gateway.url)
    assert (misused.code, gateway.erasures) == (2, [])
    assert MAIL not in misused.out + misused.err
