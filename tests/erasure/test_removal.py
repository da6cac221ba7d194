"""Stores on disk and on S3: removed with every version, refused when it comes again, dropped from every cache, and not
restored from an older backup."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.registry.erasing.removal import Removal
from services.registry.erasing.search import SearchedArtifact
from tests.erasure.conftest import eventually, platform_at, where
from tidemill.artifacts import ObjectArtifactStore, open_store
from tidemill.artifacts.buckets import bucket_client, prepare_bucket
from tidemill.artifacts.erased import Erased
from tidemill.artifacts.manifest import Manifest, manifest_key, object_key, read_manifest
from tidemill.artifacts.objects import open_objects
from tidemill.backup import back_up, restore
from tidemill.bus.subjects import ERASED
from tidemill.contracts import ArtifactRef, DatasetPublished
from tidemill.erasure.jobs import FoundFile
from tidemill.erasure.requests import ErasureRequest, PendingErasures
from tidemill.platform.nats_server import NatsServer
from tidemill.progress import silent
from tidemill.records.schema import RunRecord
from tidemill.stage.forgetting import forget_erased

MAIL = "an@x-mail.org"
HELD = f"text\nwrite to {MAIL}\n".encode()
ERASURE = "0123456789abcdef"


@pytest.fixture(params=["folder", "bucket"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A store on disk, or in a bucket that keeps old versions."""
    if request.param == "folder":
        yield str(tmp_path / "store")
        return
    request.getfixturevalue("s3")
    name = f"s3://{request.getfixturevalue('bucket')}/deep"
    await prepare_bucket(name)
    yield name


async def put(store: ObjectArtifactStore, folder: Path, **files: bytes) -> ArtifactRef:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return await store.put(folder, kind="source")


async def searched(store: ObjectArtifactStore, ref: ArtifactRef, *held: str) -> dict[str, SearchedArtifact]:
    """An artifact as a search found it: the files ``held`` with the value."""
    manifest = await manifest_of(store, ref)
    files = {entry.path: FoundFile(held=entry.path in held) for entry in manifest.files}
    return {ref.digest: SearchedArtifact(ref, manifest, files)}


async def manifest_of(store: ObjectArtifactStore, ref: ArtifactRef) -> Manifest:
    return read_manifest(await store.objects.read(manifest_key(ref)), ref.digest.removeprefix("sha256:"))


async def erase(store: ObjectArtifactStore, ref: ArtifactRef, *held: str) -> Removal:
    removal = Removal(store.objects, ERASURE)
    found = await searched(store, ref, *held)
    await removal.bury(found)
    await removal.remove(found)
    await removal.complete()
    return removal


async def test_every_version_goes_and_what_others_have_stays(url: str, tmp_path: Path) -> None:
    store = open_store(url, cache=tmp_path / "cache")
    await store.check()
    ref = await put(store, tmp_path / "a", held=HELD, shared=b"shared", own=b"own")
    other = await put(store, tmp_path / "b", shared=b"shared", more=b"more")
    shards = {entry.path: entry.shards[0].sha256 for entry in (await manifest_of(store, ref)).files}
    await store.objects.write(object_key(shards["held"]), iter([HELD]))  # another version of the same
    removal = await erase(store, ref, "held")
    assert removal.refused == []
    if url.startswith("s3://"):
        bucket = url.split("/")[2]
        kept = [one.object_name for one in bucket_client().list_objects(bucket, recursive=True, include_version=True)]
        gone = (manifest_key(ref), object_key(shards["held"]), object_key(shards["own"]))
        assert [name for name in kept if any(name.endswith(key) for key in gone)] == []
    else:
        assert where(tmp_path / "store", MAIL) == []
    into = await store.fetch(other, tmp_path / "fetched")
    assert (into / "shared").read_bytes() == b"shared"
    with pytest.raises(Erased, match="'held' holds personal data that was erased"):
        await store.put(tmp_path / "a", kind="source")
    with pytest.raises(Erased, match="'renamed' holds personal data"):
        await put(open_store(url, cache=tmp_path / "elsewhere"), tmp_path / "c", renamed=HELD)
    assert await put(store, tmp_path / "d", shared=b"shared", own=b"own")  # what the person had no part in


async def test_what_was_made_from_it_may_come_out_again(url: str, tmp_path: Path) -> None:
    store = open_store(url, cache=tmp_path / "cache")
    ref = await put(store, tmp_path / "a", rows=b"of somebody else")
    await erase(store, ref)
    assert not await store.exists(ref)
    assert await store.put(tmp_path / "a", kind="source") == ref
    assert not await store.erased(ref)


async def test_a_put_that_an_erasure_meets_is_taken_back(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"), cache=tmp_path / "cache")
    ref = await put(store, tmp_path / "a", held=HELD)
    found = await searched(store, ref, "held")
    writing = store._write_manifest

    async def met(key: str, data: bytes) -> bool:
        written = await writing(key, data)
        removal = Removal(store.objects, ERASURE)
        await removal.bury(found)  # its deletion came before this put, and its tombstone in the middle of it
        return written

    store._write_manifest = met  # type: ignore[method-assign]
    with pytest.raises(Erased, match="'held'"):
        await store.put(tmp_path / "a", kind="source")
    assert where(tmp_path / "store", MAIL) == []


async def test_two_services_drop_it_at_once_and_a_third_at_its_start(nats_server: NatsServer, tmp_path: Path) -> None:
    async with platform_at(nats_server, tmp_path) as platform:
        ref = await put(platform.store, tmp_path / "a", held=HELD)
        (tmp_path / "a" / "held").unlink()
        stores = []
        for name in ("one", "two", "three"):
            store = open_store(platform.settings.store_url, cache=tmp_path / name / "cache")
            into = await store.fetch(ref, tmp_path / name / "job")
            (into / "held").unlink()
            stores.append(store)
        (tmp_path / "one" / "telemetry").mkdir()
        (tmp_path / "one" / "telemetry" / "log.jsonl").write_text(json.dumps({"message": f"row 3: {MAIL}"}) + "\n")
        for name, store in zip(("one", "two"), stores, strict=False):
            await forget_erased(platform.bus, store, tmp_path / name)
        request = ErasureRequest(id=ERASURE, project="default", subject=MAIL, asked_at=datetime.now(UTC))
        await PendingErasures(platform.store.objects).ask(request)
        await erase(platform.store, ref, "held")
        await platform.bus.client.publish(ERASED, json.dumps({"project": "default", "erasure": ERASURE}).encode())

        async def dropped() -> bool:
            return where(tmp_path / "one", MAIL) == [] and where(tmp_path / "two", MAIL) == []

        await eventually(dropped)
        assert where(tmp_path / "three", MAIL)
        await open_store(platform.settings.store_url, cache=tmp_path / "three" / "cache").check()
        assert where(tmp_path / "three", MAIL) == []


async def test_an_older_backup_does_not_bring_it_back(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"), cache=tmp_path / "cache")
    ref = await put(store, tmp_path / "a", held=HELD, own=b"own")
    derived = await put(store, tmp_path / "b", hashed=b"9f86d081884c7d65")
    event = DatasetPublished(run_id="run-1", name="reviews", source=ref, uri=f"https://x/{MAIL}.csv")
    await store.records().create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
    old, same = open_objects(str(tmp_path / "old")), open_objects(str(tmp_path / "same"))
    messages = tmp_path / "messages.jsonl"
    for target in (old, same):
        messages.write_text(f'{{"label": "{MAIL}"}}\n')
        await back_up(store.objects, target, messages=messages, counted={"FEEDBACK": 1}, progress=silent)
    messages.unlink()
    await asyncio.sleep(0.01)
    removal = Removal(store.objects, ERASURE)
    found = await searched(store, ref, "held") | await searched(store, derived)
    key = "records/default/runs/run-1/run.json"
    cleaned = (await store.objects.read(key)).decode().replace(MAIL, "erased")
    await removal.bury(found, records={key: cleaned})
    await removal.remove(found)
    await store.objects.write(key, iter([cleaned.encode()]))
    for path in sorted((tmp_path / "a").iterdir()):
        path.unlink()

    restored = open_objects(str(tmp_path / "restored"))
    summary = await restore(old, restored, messages=tmp_path / "kept.jsonl", progress=silent, erased_from=store.objects)
    assert (summary.erased, summary.messages) == (3, 0)
    assert [one for one in summary.damages if one.needed] == []
    assert where(tmp_path / "restored", MAIL) == []
    for one in (ref, derived):
        assert await restored.size(manifest_key(one)) is None
    again = open_store(str(tmp_path / "restored"), cache=tmp_path / "cache2")
    with pytest.raises(Erased):  # its tombstone came along
        await put(again, tmp_path / "c", held=HELD)

    assert where(tmp_path / "same", MAIL)
    made = await back_up(store.objects, same, messages=None, counted=None, progress=silent)
    assert (made.erased, made.damages) == (3, [])
    assert where(tmp_path / "same", MAIL) == []
    after = open_objects(str(tmp_path / "after"))
    summary = await restore(same, after, messages=tmp_path / "kept2.jsonl", progress=silent)
    assert summary.damages == []
    assert where(tmp_path / "after", MAIL) == []
