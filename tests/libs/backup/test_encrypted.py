"""Backups of encrypted stores, and of plain ones into encrypted ones: the way to encrypt what there is already."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidemill.artifacts import ObjectArtifactStore
from tidemill.artifacts.encryption.master import FILE, write_master_key
from tidemill.artifacts.encryption.objects import EncryptedObjects
from tidemill.artifacts.location import parse_location
from tidemill.artifacts.objects import Objects, open_objects, open_source
from tidemill.backup import back_up, restore
from tidemill.contracts import ArtifactRef, DatasetPublished
from tidemill.progress import silent
from tidemill.records import RecordStore
from tidemill.records.schema import RunRecord
from tidemill.testing.artifact_store import contents, fill

SECRET = b"what nobody else may read " * 300_000


async def filled(objects: Objects, folder: Path) -> ArtifactRef:
    """An artifact of several parts and a run on record."""
    store = ObjectArtifactStore(objects, cache=folder / "cache")
    ref = await store.put(fill(folder / "in", {"data.bin": SECRET, "small.txt": SECRET[:30]}), kind="source")
    event = DatasetPublished(run_id="run-1", name="reviews", source=ref)
    await RecordStore(objects).create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
    return ref


async def test_a_plain_store_becomes_an_encrypted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = open_objects(str(tmp_path / "plain"))
    ref = await filled(plain, tmp_path)
    await back_up(plain, open_objects(str(tmp_path / "backup")), messages=None, counted=None, progress=silent)
    write_master_key(tmp_path / "master.key")
    monkeypatch.setenv(FILE, str(tmp_path / "master.key"))
    source = await open_source(str(tmp_path / "backup"))
    target = open_objects(str(tmp_path / "encrypted"))
    await target.check()  # which makes its first key
    summary = await restore(source, target, messages=tmp_path / "kept", progress=silent)
    assert (summary.runs, summary.artifacts, summary.damages) == (1, 1, [])
    store = ObjectArtifactStore(target, cache=tmp_path / "other-cache")
    assert contents(await store.fetch(ref, tmp_path / "into")) == {"data.bin": SECRET, "small.txt": SECRET[:30]}
    for path in (tmp_path / "encrypted").rglob("*"):
        assert not path.is_file() or b"nobody else" not in path.read_bytes()
        assert not path.is_file() or b"reviews" not in path.read_bytes()


async def test_a_backup_of_an_encrypted_store_is_encrypted_and_names_what_cannot_be_decrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_ENCRYPTION_KEY", base64.b64encode(b"m" * 32).decode())
    objects = open_objects(str(tmp_path / "store"))
    ref = await filled(objects, tmp_path)
    backup = open_objects(str(tmp_path / "backup"))
    assert isinstance(backup, EncryptedObjects)
    made = await back_up(objects, backup, messages=None, counted=None, progress=silent)
    assert (made.runs, made.artifacts, made.damages) == (1, 1, [])
    for path in (tmp_path / "backup").rglob("*"):
        assert not path.is_file() or b"nobody else" not in path.read_bytes()
    raw = Objects(parse_location(str(tmp_path / "backup")))
    record = next(key for key in [key async for key in raw.keys("records")] if key.endswith("run.json"))
    for key in (record, f"artifacts/manifests/{ref.digest.removeprefix('sha256:')}.json"):
        data = bytearray(await raw.read(key))
        data[-1] ^= 1
        await raw.write(key, iter([bytes(data)]))
    again = await restore(backup, open_objects(str(tmp_path / "new")), messages=tmp_path / "kept", progress=silent)
    assert len(again.damages) == 2
    assert all("cannot be decrypted" in damage.problem for damage in again.damages)
    await back_up(objects, backup, messages=None, counted=None, progress=silent)
    healed = await restore(backup, open_objects(str(tmp_path / "newer")), messages=tmp_path / "kept", progress=silent)
    assert [damage.key for damage in healed.damages] == [record]  # a record is never written over
