"""A store, records, decisions and a database with something wrong with them, as the doctor sees it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.registry.inspection import inspect
from services.registry.rebuild import rebuild
from tests.doctor.conftest import Only
from tidemill.artifacts.buckets import prepare_bucket
from tidemill.contracts import ArtifactRef, DatasetPublished
from tidemill.doctor import database, disk, store
from tidemill.doctor.findings import Finding
from tidemill.doctor.site import NotLooked, Site
from tidemill.records import RecordStore, open_records
from tidemill.records.schema import AliasMoved, DeadLetterRecord, ReplayRecord, RunRecord
from tidemill.settings import PlatformSettings
from tidemill.testing.disk import fill, small_disk
from tidemill.testing.s3 import bucket, s3, s3_endpoint  # noqa: F401

SOURCE = ArtifactRef(digest="sha256:" + "0" * 64, kind="source", size_bytes=1)


def settings(site: Site) -> PlatformSettings:
    return PlatformSettings.model_validate({"data_dir": site.folder().root, "store_url": site.store_url})


async def recorded(site: Site, run_id: str, *, age: timedelta = timedelta(hours=1)) -> RecordStore:
    records = open_records(site.store())
    event = DatasetPublished(run_id=run_id, name="评论", source=SOURCE)
    await records.create_run(RunRecord(event=event, created_at=datetime.now(UTC) - age))
    return records


async def decided(records: RecordStore, version: int) -> None:
    moved = AliasMoved(name="评论", alias="champion", version=version, previous=None, reason="good")
    await records.append_decision("default", lambda _: moved)


async def test_a_store_that_is_well_and_one_that_is_full(site: Site, only: Only) -> None:
    found = only(await store.look_at_store(site))
    assert found.state == "ok"
    assert "lets one writer win" in found.message
    with small_disk(site.folder().store, megabytes=1) as full:
        fill(full)
        found = only(await store.look_at_store(site))
    assert found.state == "failed"
    assert "make room" in found.advice


async def test_a_store_that_was_never_made_is_not_made_by_the_doctor(site: Site) -> None:
    folder = site.folder().root / "nowhere"
    with pytest.raises(NotLooked, match="no store at"):
        await store.look_at_store(replace(site, store_url=str(folder)))
    assert not folder.exists()


async def test_a_bucket_that_is_missing_keeps_no_versions_or_cannot_be_reached(
    site: Site,
    s3: str,  # noqa: F811
    bucket: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    only: Only,
) -> None:
    there = replace(site, store_url=f"s3://{bucket}/p")
    found = only(await store.look_at_store(there))
    assert (found.state, "create it first" in found.message) == ("failed", True)
    assert "tidemill store prepare" in found.advice
    await prepare_bucket(f"s3://{bucket}")
    assert only(await store.look_at_store(there)).state == "ok"
    _suspend_versions(bucket)
    found = (await store.look_at_store(there))[-1]
    assert (found.state, "keeps no versions" in found.message) == ("warning", True)
    assert "tidemill store prepare" in found.advice


def _suspend_versions(name: str) -> None:
    from minio.versioningconfig import SUSPENDED, VersioningConfig

    from tidemill.artifacts.buckets import bucket_client

    bucket_client().set_bucket_versioning(name, VersioningConfig(SUSPENDED))


async def test_a_damaged_record_is_named(site: Site, only: Only) -> None:
    await recorded(site, "run-1")
    await recorded(site, "run-2")
    assert only(await store.look_at_records(site)).message == "the records of 2 runs were read"
    (site.folder().store / "records/default/runs/run-2/run.json").write_text("{")
    found = only(await store.look_at_records(site))
    assert (found.state, "run run-2" in found.message) == ("failed", True)
    assert "copy of the bucket" in found.advice


async def test_a_missing_decision_is_named(site: Site, only: Only) -> None:
    records = await recorded(site, "run-1")
    for version in (1, 2, 3):
        await decided(records, version)
    assert only(await store.look_at_decisions(site)).message == "the chain of 3 decisions is unbroken"
    (site.folder().store / "records/default/decisions/000000000002.json").unlink()
    found = only(await store.look_at_decisions(site))
    assert (found.state, "decision 2 of project 'default' is missing" in found.message) == ("failed", True)


def dead(letter_id: str, *, error: str, minute: int = 0) -> DeadLetterRecord:
    return DeadLetterRecord(
        id=letter_id, subject="tidemill.x", stage="train", error=error, kind="permanent", epoch=1, headers={},
        at=datetime(2026, 1, 1, 0, minute, tzinfo=UTC), body=b"{}",
    )  # fmt: skip


async def test_dead_letters_of_every_project_say_the_last_error_and_how_to_replay(site: Site, only: Only) -> None:
    assert only(await store.look_at_dead_letters(site)).message == "none"
    letters = open_records(site.store()).letters
    await letters.keep("default", dead("a" * 16, error="column label: empty"))
    await letters.keep("default", dead("b" * 16, error="列 label: 空", minute=1))
    await letters.keep("项目", dead("c" * 16, error="no such column"))
    mine, theirs = await store.look_at_dead_letters(replace(site, data_dir_option=" --data-dir x"))
    assert mine.state == "warning"
    assert f"2 messages could not be handled; the last ({'b' * 16}) by train: 列 label: 空" in mine.message
    assert f"`tidemill dead replay {'b' * 16} --data-dir x`" in mine.advice
    assert "1 messages of project 项目" in theirs.message
    assert "at the gateway of project 项目" in theirs.advice
    for letter_id in ("a" * 16, "b" * 16):
        await letters.create_replay("default", letter_id, ReplayRecord(identity="again", at=datetime.now(UTC)))
    assert "项目" in only(await store.look_at_dead_letters(site)).message


async def inspected(site: Site) -> Finding:
    """What ``database.look`` finds, without a process of its own."""
    found = await inspect(settings(site))
    return database.judged(json.loads(found.model_dump_json()), site)


async def test_a_database_that_is_lost_or_behind(site: Site) -> None:
    assert (await inspected(site)).state == "ok"  # nothing on record, nothing in it
    await recorded(site, "run-1")
    assert "although 1 runs are on record" in (await inspected(site)).message
    await rebuild(settings(site))
    assert (await inspected(site)).state == "ok"

    await recorded(site, "run-2")
    await recorded(site, "run-just-now", age=timedelta())  # it is on its way
    found = await inspected(site)
    assert found.state == "failed"
    assert "1 runs and 0 versions are missing in it" in found.message
    assert "tidemill registry rebuild" in found.advice
    await rebuild(settings(site))
    shutil.rmtree(site.folder().store / "records/default/runs/run-2")
    assert "1 of its runs are not" in (await inspected(site)).message


async def test_a_database_of_another_version_or_of_none(site: Site, only: Only) -> None:
    await recorded(site, "run-1")
    await rebuild(settings(site))
    assert only(await database.look(site)).state == "ok"
    path = site.folder().root / "registry.db"
    for revision, state, said in (("9999", "failed", "does not know"), ("0000", "warning", "this version needs")):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        found = await inspected(site)
        assert (found.state, said in found.message) == (state, True), found
    for leftover in path.parent.glob("registry.db-*"):
        leftover.unlink()
    path.write_bytes(b"this is no database at all" * 100)
    found = only(await database.look(site))
    assert (found.state, "cannot be read" in found.message) == ("failed", True)
    assert "Traceback" not in found.message


def test_a_disk_without_space_and_one_without_files(site: Site) -> None:
    cache = site.folder().root / "cache"
    for name, options, said in (
        ("full", {"megabytes": 64}, "refuse to write soon"),
        ("many", {"megabytes": 4096, "files": 100}, "more files can be made"),
    ):
        with small_disk(site.folder().root / name, **options) as folder:
            found = disk.of_folder(folder, folder, cache)
        assert (found.state, said in found.message) == ("failed", True)
        assert str(cache) in found.advice
    with small_disk(site.folder().root / "close", megabytes=1024) as folder:
        assert disk.of_folder(folder, folder, cache).state == "warning"


async def test_every_file_system_is_looked_at_once(site: Site) -> None:
    assert len(await disk.look(site)) == 1
    with small_disk(site.folder().jetstream, megabytes=64):
        found = await disk.look(site)
    assert [one.state for one in found][1:] == ["failed"]
    assert str(site.folder().jetstream) in found[1].message
