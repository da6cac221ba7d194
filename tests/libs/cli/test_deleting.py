"""Deleting and garbage collection from the command line: nothing goes without a yes, a dry run changes nothing."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.libs.cli.test_commands import Command, gateway, tidemill  # noqa: F401
from tidemill.artifacts import open_store
from tidemill.platform.data_dir import DataDir, PlatformRecord
from tidemill.platform.processes import ProcessIdentity
from tidemill.testing.artifact_store import fill
from tidemill.testing.gateway import ScriptedGateway


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_model_is_deleted_after_a_yes(
    gateway: ScriptedGateway,  # noqa: F811
    tidemill: Command,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unasked = tidemill("models", "delete", "reviews", "--url", gateway.url)
    assert (unasked.code, gateway.deleted) == (2, [])
    assert "--yes" in unasked.err
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert tidemill("models", "delete", "reviews", "--url", gateway.url).code == 1
    assert gateway.deleted == []
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert "deleted" in tidemill("models", "delete", "reviews", "--version", "3", "--url", gateway.url).out
    done = tidemill("models", "delete", "reviews", "--yes", "--json", "--url", gateway.url)
    assert (done.code, done.document["done"]) == (0, True)
    assert gateway.deleted == ["/v1/models/reviews/versions/3", "/v1/models/reviews"]
    assert tidemill("models", "delete", "reviews", "--yes", "--url", gateway.url).code == 1


def test_datasets_are_listed_and_deleted(gateway: ScriptedGateway, tidemill: Command) -> None:  # noqa: F811
    listed = tidemill("datasets", "list", "--url", gateway.url).out
    for said in ("评论", "1,200", "5.0 kB", "1 running"):
        assert said in listed
    done = tidemill("datasets", "delete", "评论", "--yes", "--json", "--url", gateway.url)
    assert done.document == {"dataset": "评论", "done": True}
    assert gateway.deleted == ["/v1/datasets/评论"]
    assert tidemill("datasets", "list", "--url", gateway.url, "--json").document[0]["deleted"]
    again = tidemill("datasets", "delete", "评论", "--yes", "--url", gateway.url)
    assert (again.code, "datasets list" in again.err) == (1, True)


async def test_gc_says_what_would_go_and_then_frees_it(
    tidemill: Command,  # noqa: F811
    tmp_path: Path,
) -> None:
    store = open_store(str(tmp_path / "platform" / "store"), cache=tmp_path / "cache")
    ref = await store.put(fill(tmp_path / "in", {"内容.txt": b"x" * 5000}), kind="model")
    import asyncio

    def call(*arguments: str) -> str:
        done = tidemill("gc", *arguments)
        assert done.code == 0, done.err
        return done.out

    said = await asyncio.to_thread(call, "--dry-run", "--grace", "0")
    assert ("model" in said, "would free 5." in said) == (True, True)
    assert await store.exists(ref)
    assert "freed 0 B" in await asyncio.to_thread(call)  # younger than an hour
    manifest = tmp_path / "platform" / "store" / "artifacts" / "manifests" / f"{ref.digest[7:]}.json"
    os.utime(manifest, (1, 1))
    assert "more when their grace" in await asyncio.to_thread(call)
    assert await store.exists(ref)
    assert "freed 5." in await asyncio.to_thread(call, "--grace", "0")
    assert not await store.exists(ref)


def test_gc_collects_the_store_of_the_running_platform_whatever_the_environment_says(
    tidemill: Command,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIDEMILL_STORE_URL", str(tmp_path / "another"))
    data = DataDir(tmp_path / "platform")
    data.create()
    supervisor = ProcessIdentity.of(os.getpid())
    assert supervisor is not None
    record = PlatformRecord(
        platform_id="p", state="ready", supervisor=supervisor, data_dir=str(data.root), store_url=str(tmp_path / "its"),
        gateway_url="http://127.0.0.1:9", nats_url="nats://127.0.0.1:9", started_at=datetime.now(UTC),
    )  # fmt: skip
    data.write_record(record)
    assert tidemill("gc", "--json").document["store_url"] == str(tmp_path / "its")
    assert not (tmp_path / "another").exists()
    data.write_record(record.model_copy(update={"state": "stopped"}))
    assert tidemill("gc", "--json").document["store_url"] == str(tmp_path / "another")


@pytest.mark.parametrize("grace", ["h", "-1h", "1w", "soon"])
def test_a_grace_that_is_no_time_is_misuse(tidemill: Command, grace: str) -> None:  # noqa: F811
    done = tidemill("gc", f"--grace={grace}")
    assert done.code == 2
    assert "is not a duration; write" in done.err
