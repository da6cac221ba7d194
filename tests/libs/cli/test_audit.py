"""`tidemill audit` and `signing` on a platform's folder: exit codes, sentences, and what they leave behind."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.libs.cli.test_commands import Command, tidemill  # noqa: F401
from tidemill.artifacts.objects import Objects, open_objects
from tidemill.audit import put_on_record
from tidemill.records import RecordStore
from tidemill.signing import SigningKey


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    objects = open_objects(str(tmp_path / "platform" / "store"))

    async def fill() -> None:
        for project, count in (("default", 3), ("项目", 1)):
            for number in range(count):
                await put_on_record(
                    RecordStore(objects), project, actor="key:阿明", action="cancel-run", subject=f"run:{number}"
                )

    asyncio.run(fill())
    return tmp_path / "platform"


def objects_of(folder: Path) -> Objects:
    return open_objects(str(folder / "store"))


def test_verify_says_what_is_whole_and_what_is_broken(tidemill: Command, folder: Path) -> None:  # noqa: F811
    where = ("--data-dir", str(folder))
    done = tidemill("audit", "verify", *where)
    assert done.code == 0
    assert "project default: 3 audit entries, the last is " in done.out
    document = tidemill("audit", "verify", *where, "--json").document
    assert [(one["project"], one["chain"], one["links"]) for one in document["chains"]] == [
        ("default", "decisions", 0), ("default", "audit", 3), ("项目", "decisions", 0), ("项目", "audit", 1),
    ]  # fmt: skip
    head = document["chains"][1]["head"]
    assert tidemill("audit", "verify", *where, "--head", head).code == 0
    entry = folder / "store/records/default/audit/000000000003.json"
    kept = entry.read_bytes()
    entry.unlink()
    assert tidemill("audit", "verify", *where).code == 0
    cut = tidemill("audit", "verify", *where, "--head", head)
    assert (cut.code, f"no chain holds {head}" in cut.out) == (1, True)
    entry.write_bytes(kept)
    second = folder / "store/records/default/audit/000000000002.json"
    second.write_bytes(second.read_bytes().replace("阿明".encode(), "阿红".encode()))
    broken = tidemill("audit", "verify", *where)
    assert broken.code == 1
    assert "project default: 1 audit entries" in broken.out
    assert "audit entry 2 of project 'default' breaks the chain" in broken.out
    assert tidemill("audit", "verify", *where, "--project", "项目").code == 0


def test_export_writes_every_entry_as_a_json_line(tidemill: Command, folder: Path, tmp_path: Path) -> None:  # noqa: F811
    to = tmp_path / "audit.jsonl"
    where = ("--data-dir", str(folder))
    assert tidemill("audit", "export", str(to), *where).code == 0
    lines = [json.loads(line) for line in to.read_text(encoding="utf-8").splitlines()]
    assert [(one["project"], one["sequence"], one["entry"]["actor"]) for one in lines] == [
        ("default", 1, "key:阿明"), ("default", 2, "key:阿明"), ("default", 3, "key:阿明"), ("项目", 1, "key:阿明"),
    ]  # fmt: skip
    again = tidemill("audit", "export", str(to), *where)
    assert (again.code, "name a new file" in again.err) == (1, True)
    out = tidemill("audit", "export", "-", *where, "--project", "项目").out
    assert json.loads(out)["project"] == "项目"


def test_keys_are_made_trusted_rotated_and_distrusted_and_it_is_on_record(
    tidemill: Command,  # noqa: F811
    folder: Path,
    tmp_path: Path,
) -> None:
    where = ("--data-dir", str(folder))
    nobody = tidemill("signing", "keys", *where)
    assert "nobody is trusted" in nobody.out
    assert "tidemill signing make" in nobody.out
    first = tidemill("signing", "make", *where, "--json").document
    assert first["made"]
    assert not tidemill("signing", "make", *where, "--json").document["made"]
    second = tidemill("signing", "rotate", *where, "--json").document["id"]
    stranger = SigningKey.new()
    (tmp_path / "their.pem").write_bytes(stranger.public.pem)
    assert tidemill("signing", "trust", str(tmp_path / "their.pem"), *where).code == 0
    listed = tidemill("signing", "keys", *where, "--json").document
    assert {one["id"]: one["signs"] for one in listed["keys"]} == {
        first["id"]: False, second: True, stranger.public.id: False,
    }  # fmt: skip
    unasked = tidemill("signing", "distrust", first["id"], *where)
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    assert tidemill("signing", "distrust", first["id"], "--yes", *where).code == 0
    assert tidemill("signing", "distrust", first["id"], "--yes", *where).code == 1
    (tmp_path / "private.pem").write_bytes(stranger.pem)
    refused = tidemill("signing", "trust", str(tmp_path / "private.pem"), *where)
    assert (refused.code, "holds a private key" in refused.err) == (1, True)
    newest = asyncio.run(RecordStore(objects_of(folder)).audit.newest("项目", limit=3))
    assert [(one.entry.action, one.entry.subject) for one in newest] == [
        ("distrust-signer", f"signer:{first['id']}"), ("trust-signer", f"signer:{stranger.public.id}"),
        ("rotate-signing-key", f"signer:{second}"),
    ]  # fmt: skip
    assert b"PRIVATE" not in b"".join(path.read_bytes() for path in (folder / "store").rglob("*") if path.is_file())


def test_garbage_that_was_deleted_is_on_record_and_the_log_is_none(
    tidemill: Command,  # noqa: F811
    folder: Path,
    tmp_path: Path,
) -> None:
    from tidemill.artifacts import open_store

    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_bytes(b"of nobody")
    store = open_store(str(folder / "store"), cache=tmp_path / "cache")
    asyncio.run(store.put(tmp_path / "files", kind="dataset"))
    before = {path: path.read_bytes() for path in (folder / "store/records").rglob("*.json")}
    where = ("--data-dir", str(folder))
    assert tidemill("gc", "--grace", "0", "--dry-run", *where).code == 0
    assert {path: path.read_bytes() for path in (folder / "store/records").rglob("*.json")} == before
    assert tidemill("gc", "--grace", "0", *where).code == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    audit = RecordStore(objects_of(folder)).audit
    entries = [asyncio.run(audit.newest(project, limit=1))[0].entry for project in ("default", "项目")]
    assert [(one.actor, one.action, one.subject) for one in entries] == [("local", "collect-garbage", "store")] * 2
    assert "1 artifacts and objects of" in entries[0].reason
    assert tidemill("gc", "--grace", "0", *where).code == 0
    assert len(asyncio.run(audit.newest("default", limit=9))) == 4, "a collection without a deletion is no entry"
    assert tidemill("audit", "verify", *where).code == 0
