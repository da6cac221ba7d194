"""A platform's store copied and restored, between folders and buckets, whole and damaged."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tidemill.artifacts import ObjectArtifactStore, open_store
from tidemill.artifacts.buckets import prepare_bucket
from tidemill.artifacts.manifest import manifest_key
from tidemill.artifacts.objects import Objects, open_objects
from tidemill.backup import BackupRecord, RestoreSummary, back_up, restore
from tidemill.contracts import ArtifactRef, DatasetPublished, ResourceUsage
from tidemill.errors import CorruptArtifact, InvalidInput
from tidemill.progress import silent
from tidemill.records import RecordStore
from tidemill.records.schema import AliasMoved, OutcomeRecord, ResultRecord, RunRecord

LARGE = b"".join(number.to_bytes(4, "big") for number in range(3_000_000))


def opened(url: str, folder: Path) -> ObjectArtifactStore:
    return open_store(url, cache=folder / "cache", shard_size=7_000_000)


async def put(store: ObjectArtifactStore, folder: Path, name: str, **files: bytes) -> ArtifactRef:
    (folder / name).mkdir(parents=True)
    for file, content in files.items():
        (folder / name / file).write_bytes(content)
    return await store.put(folder / name, kind="dataset")


async def run(store: ObjectArtifactStore, run_id: str, artifact: ArtifactRef | None = None) -> None:
    records = store.records()
    event = DatasetPublished(run_id=run_id, name="评论", uri="file:///data.csv")
    await records.create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
    if artifact is not None:
        await records.create_result("default", result(run_id, artifact))


def result(run_id: str, artifact: ArtifactRef) -> ResultRecord:
    return ResultRecord(
        fingerprint=f"of-{run_id}", stage="ingest", result={}, artifacts={"dataset": artifact}, usage=ResourceUsage(),
        committed_at=datetime.now(UTC), run_id=run_id,
    )  # fmt: skip


async def decide(records: RecordStore, version: int) -> None:
    moved = AliasMoved(name="评论", alias="champion", version=version, previous=None, reason="测试")
    await records.append_decision("default", lambda _: moved)


async def backed_up(source: Objects, target: Objects, **changes: Any) -> BackupRecord:
    arguments: dict[str, Any] = {"messages": None, "counted": None, "progress": silent}
    return await back_up(source, target, **(arguments | changes))


async def restored(backup: Objects, store: Objects, folder: Path) -> RestoreSummary:
    return await restore(backup, store, messages=folder / "messages.jsonl", progress=silent)


async def everything(objects: Objects) -> dict[str, bytes]:
    keys = [key async for key in objects.keys("records")] + [key async for key in objects.keys("artifacts")]
    return {key: await objects.read(key) for key in sorted(keys)}


async def there_and_back(source: str, backup: str, target: str, folder: Path) -> None:
    store = opened(source, folder)
    large = await put(store, folder, "large", big=LARGE, empty=b"", same=b"x")
    await run(store, "run-1", large)
    for version in (1, 2):
        await decide(store.records(), version)
    made = await backed_up(store.objects, open_objects(backup))
    assert (made.runs, made.artifacts, made.damages) == (1, 1, [])
    assert made.copied_bytes == made.bytes
    summary = await restored(open_objects(backup), open_objects(target), folder)
    assert (summary.runs, summary.artifacts, summary.damages) == (1, 1, [])
    assert await everything(open_objects(target)) == await everything(store.objects)
    again = opened(target, folder / "elsewhere")
    assert (await again.fetch(large, folder / "fetched") / "big").read_bytes() == LARGE
    assert [link.sequence for link in await again.records().decisions("default")] == [1, 2]


async def test_from_folder_to_folder(tmp_path: Path) -> None:
    await there_and_back(*(str(tmp_path / name) for name in ("store", "一个 backup", "new")), tmp_path)


async def test_from_a_bucket_to_a_folder_to_another_bucket(s3: str, bucket: str, tmp_path: Path) -> None:
    for name in (bucket, f"{bucket}-new"):
        await prepare_bucket(f"s3://{name}")
    await there_and_back(f"s3://{bucket}/store", str(tmp_path / "backup"), f"s3://{bucket}-new", tmp_path)


async def test_only_what_is_new_is_copied_again(tmp_path: Path) -> None:
    store = opened(str(tmp_path / "store"), tmp_path)
    first = await put(store, tmp_path, "first", a=LARGE, b=b"shared")
    await run(store, "run-1", first)
    target = open_objects(str(tmp_path / "backup"))
    before = await backed_up(store.objects, target)
    unchanged = await backed_up(store.objects, target)
    assert (unchanged.copied_objects, unchanged.copied_bytes) == (0, 0)
    assert (unchanged.records_digest, unchanged.bytes) == (before.records_digest, before.bytes)
    await run(store, "run-2", await put(store, tmp_path, "second", b=b"shared", c=b"new"))
    after = await backed_up(store.objects, target)
    assert (after.copied_objects, after.runs, after.artifacts) == (4, 2, 2)  # two records, an object, a manifest
    summary = await restored(target, open_objects(str(tmp_path / "new")), tmp_path)
    assert (summary.backup, summary.runs) == (after.id, 2)


async def test_what_is_written_meanwhile_leaves_a_copy_that_is_true_of_itself(tmp_path: Path) -> None:
    """Runs end and are decided on all the time; no outcome may be in a copy without the decision before it."""
    store = opened(str(tmp_path / "store"), tmp_path)
    records, written = store.records(), 0

    async def keep_writing() -> None:
        nonlocal written
        while True:
            written += 1
            run_id = f"run-{written}"
            await run(store, run_id, await put(store, tmp_path / "work", run_id, a=run_id.encode()))
            await decide(records, written)
            outcome = OutcomeRecord(epoch=1, state="finished", ended_at=datetime.now(UTC), version=written)
            await records.create_outcome("default", run_id, outcome)

    writer = asyncio.create_task(keep_writing())
    try:
        for number in range(4):
            while written < 10 * (number + 1):
                await asyncio.sleep(0.01)
            made = await backed_up(store.objects, open_objects(str(tmp_path / "backup")))
            assert made.damages == []
            new = opened(str(tmp_path / f"new-{number}"), tmp_path / f"cache-{number}")
            assert (await restored(open_objects(str(tmp_path / "backup")), new.objects, tmp_path)).damages == []
            decided = [link.decision.version for link in await new.records().decisions("default")]
            assert decided == list(range(1, len(decided) + 1))
            for run_id in await new.records().run_ids("default"):
                assert await new.records().run("default", run_id) is not None
                for outcome in await new.records().outcomes("default", run_id):
                    assert outcome.version in decided
                found = await new.records().result("default", f"of-{run_id}")
                assert found is None or await new.exists(found.artifacts["dataset"])
    finally:
        writer.cancel()
    assert written > 30


async def test_a_damaged_object_is_named_and_the_rest_is_copied(tmp_path: Path) -> None:
    store = opened(str(tmp_path / "store"), tmp_path)
    good, unused = [await put(store, tmp_path, name, data=name.encode() * 100) for name in ("good", "不用")]
    bad = await put(store, tmp_path, "bad", data=LARGE[:6_000_000])
    await run(store, "run-1", good)
    await run(store, "run-2", bad)
    scribble(tmp_path / "store", LARGE[:6_000_000])
    scribble(tmp_path / "store", "不用".encode() * 100)
    made = await backed_up(store.objects, open_objects(str(tmp_path / "backup")))
    assert {(damage.key, damage.needed) for damage in made.damages} == {
        (manifest_key(bad), True),
        (manifest_key(unused), False),
    }
    assert all("expected sha256" in damage.problem and "'data'" in damage.problem for damage in made.damages)
    new = opened(str(tmp_path / "new"), tmp_path / "new-cache")
    summary = await restored(open_objects(str(tmp_path / "backup")), new.objects, tmp_path)
    assert (summary.runs, summary.damages) == (2, [])
    assert await new.exists(good)
    assert not await new.exists(bad)


async def test_damage_in_the_backup_is_named_when_it_is_restored(tmp_path: Path) -> None:
    store = opened(str(tmp_path / "store"), tmp_path)
    ref = await put(store, tmp_path, "data", data=b"of the model" * 100)
    await run(store, "run-1", ref)
    await run(store, "run-2")
    await decide(store.records(), 1)
    await decide(store.records(), 2)
    backup = tmp_path / "backup"
    await backed_up(store.objects, open_objects(str(backup)))
    scribble(backup, b"of the model" * 100)
    (backup / "records/default/runs/run-2/run.json").write_text("{}")
    (backup / "records/default/decisions/000000000001.json").unlink()
    summary = await restored(open_objects(str(backup)), open_objects(str(tmp_path / "new")), tmp_path)
    named = {damage.key: damage.problem for damage in summary.damages if damage.needed}
    assert set(named) == {
        manifest_key(ref),
        "records/default/runs/run-2/run.json",
        "records/default/decisions/000000000001.json",
        "records/default/decisions",
    }
    assert "is not there" in named["records/default/decisions/000000000001.json"]
    (listed,) = backup.glob("backups/*/records.sha256")
    listed.write_text("")
    with pytest.raises(CorruptArtifact, match="damaged: expected sha256"):
        await restored(open_objects(str(backup)), open_objects(str(tmp_path / "another")), tmp_path)


async def test_a_lost_object_of_the_backup_comes_back_with_the_next_one(tmp_path: Path) -> None:
    store = opened(str(tmp_path / "store"), tmp_path)
    await run(store, "run-1", await put(store, tmp_path, "data", data=b"lost" * 100))
    backup = open_objects(str(tmp_path / "backup"))
    await backed_up(store.objects, backup)
    find(tmp_path / "backup", b"lost" * 100).unlink()
    assert (await backed_up(store.objects, backup)).copied_objects == 1
    assert (await restored(backup, open_objects(str(tmp_path / "new")), tmp_path)).damages == []


async def test_artifacts_that_are_deleted_meanwhile_are_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(str(tmp_path / "store"), tmp_path)
    kept = await put(store, tmp_path, "kept", data=b"kept")
    gone = await put(store, tmp_path, "gone", data=b"gone")
    source, read = open_objects(str(tmp_path / "store")), Objects.read

    async def read_while_collected(self: Objects, key: str, **part: Any) -> bytes:
        data = await read(self, key, **part)
        if self is source and key == manifest_key(gone):
            await store.delete(gone)
        return data

    monkeypatch.setattr(Objects, "read", read_while_collected)
    made = await backed_up(source, open_objects(str(tmp_path / "backup")))
    assert (made.artifacts, made.damages) == (1, [])
    assert await opened(str(tmp_path / "backup"), tmp_path / "other").exists(kept)


async def test_messages_travel_along(tmp_path: Path) -> None:
    store = opened(str(tmp_path / "store"), tmp_path)
    await run(store, "run-1")
    kept = tmp_path / "kept.jsonl"
    kept.write_text('{"反馈": 1}\n{"反馈": 2}\n', encoding="utf-8")
    backup = open_objects(str(tmp_path / "backup"))
    await backed_up(store.objects, backup, messages=kept, counted={"FEEDBACK": 2})
    summary = await restored(backup, open_objects(str(tmp_path / "new")), tmp_path)
    assert summary.messages == 2
    assert (tmp_path / "messages.jsonl").read_bytes() == kept.read_bytes()


async def test_places_that_cannot_be_right_are_refused(tmp_path: Path) -> None:
    store = opened(str(tmp_path / "store"), tmp_path)
    await run(store, "run-1")
    for place in ("store", "store/backup", "."):
        with pytest.raises(InvalidInput, match="one holds the other"):
            await backed_up(store.objects, open_objects(str(tmp_path / place)))
    other = opened(str(tmp_path / "another platform"), tmp_path)
    await run(other, "run-9")
    with pytest.raises(InvalidInput, match="no backup; choose an empty"):
        await backed_up(store.objects, other.objects)
    with pytest.raises(InvalidInput, match="no complete backup"):
        await restored(other.objects, open_objects(str(tmp_path / "new")), tmp_path)
    backup = open_objects(str(tmp_path / "backup"))
    await backed_up(store.objects, backup)
    with pytest.raises(InvalidInput, match="is not empty"):
        await restored(backup, other.objects, tmp_path)


def find(folder: Path, content: bytes) -> Path:
    return next(path for path in folder.glob("artifacts/objects/*/*") if path.read_bytes() == content)


def scribble(folder: Path, content: bytes) -> None:
    path = find(folder, content)
    path.chmod(0o644)
    path.write_bytes(bytes(len(content)))
