"""The audit log: nothing can be changed in it unseen, and every action is in it once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tidemill.artifacts.buckets import prepare_bucket
from tidemill.artifacts.objects import Objects, open_objects
from tidemill.audit import put_on_record, verify
from tidemill.errors import CorruptArtifact
from tidemill.records import RecordStore
from tidemill.records.schema import AliasMoved, AuditEntry, AuditRecord
from tidemill.testing.artifact_store import other_process

FOLDER = "records/default/audit"


@pytest.fixture(params=["folder", "s3"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return open_objects(str(tmp_path / "store"))
    request.getfixturevalue("s3")
    url = f"s3://{request.getfixturevalue('bucket')}/prefix"
    await prepare_bucket(url)
    return open_objects(url)


@pytest.fixture
def folder(tmp_path: Path) -> Objects:
    return open_objects(str(tmp_path / "store"))


def entry(number: int, command: str | None = None) -> AuditEntry:
    return AuditEntry(
        actor="key:阿明", action="cancel-run", subject=f"run:{number}", outcome="done", command=command
    )  # fmt: skip


async def filled(objects: Objects, count: int) -> list[AuditRecord]:
    audit = RecordStore(objects).audit
    return [await audit.append("default", entry(number)) for number in range(1, count + 1)]


def key(sequence: int) -> str:
    return f"{FOLDER}/{sequence:012d}.json"


async def all_of(objects: Objects) -> list[AuditRecord]:
    return [record async for record in RecordStore(objects).audit.entries("default")]


def counting_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that are read from now on."""
    read: list[str] = []
    reading = Objects.read

    async def counted(self: Objects, key: str, **options: int) -> bytes:
        read.append(key)
        return await reading(self, key, **options)

    monkeypatch.setattr(Objects, "read", counted)
    return read


async def test_entries_come_in_their_order_and_the_newest_first_by_pages(objects: Objects) -> None:
    made = await filled(objects, 11)
    assert [record.sequence for record in made] == list(range(1, 12))
    assert await all_of(objects) == made
    audit = RecordStore(objects).audit
    assert await audit.newest("default", limit=3) == made[:-4:-1]
    assert await audit.newest("default", limit=3, before=3) == [made[1], made[0]]
    assert await audit.newest("default", limit=3, before=1) == []
    assert await audit.newest("项目", limit=3) == []
    assert await audit.newest("default", limit=2, before=99) == made[:-3:-1]


async def test_many_writers_at_once_make_one_chain(objects: Objects) -> None:
    logs = [RecordStore(objects).audit for _ in range(8)]
    made = await asyncio.gather(*(log.append("default", entry(n)) for n in range(3) for log in logs))
    assert sorted(record.sequence for record in made) == list(range(1, 25))
    assert await all_of(objects) == sorted(made, key=lambda record: record.sequence)


async def test_writers_in_two_processes_make_one_chain(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from tidemill.artifacts.objects import open_objects
from tidemill.records import RecordStore
from tidemill.records.schema import AuditEntry

async def main():
    audit = RecordStore(open_objects(sys.argv[1])).audit
    for number in range(40):
        entry = AuditEntry(actor=sys.argv[2], action="a", subject="s", outcome="done")
        await audit.append("default", entry)

asyncio.run(main())
"""
    url = str(tmp_path / "store")
    writers = [other_process(program, url, actor) for actor in "ab"]
    assert [await asyncio.to_thread(writer.wait) for writer in writers] == [0, 0]
    found = await all_of(open_objects(url))
    assert [sum(record.entry.actor == actor for record in found) for actor in "ab"] == [40, 40]


async def test_a_command_is_on_record_once_however_often_and_by_whomever_it_is_delivered(objects: Objects) -> None:
    stored_at = datetime.now(UTC)
    first, second = RecordStore(objects).audit, RecordStore(objects).audit
    await filled(objects, 2)
    made = await first.append("default", entry(3, "c"), commanded_at=stored_at)
    assert await first.append("default", entry(3, "c"), commanded_at=stored_at) == made
    await filled(objects, 1)
    assert await second.append("default", entry(3, "c"), commanded_at=stored_at) == made
    at_once = [RecordStore(objects).audit.append("default", entry(4, "d"), commanded_at=stored_at) for _ in range(6)]
    assert len({record.sequence for record in await asyncio.gather(*at_once)}) == 1
    assert [record.entry.command for record in await all_of(objects)] == [None, None, "c", None, "d"]


async def test_a_redelivery_after_very_many_others_finds_its_entry(
    folder: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a process that has seen none of them, and by the one that has forgotten it."""
    monkeypatch.setattr("tidemill.records.audit._REMEMBERED", 50)
    monkeypatch.setattr("tidemill.records.audit.CLOCKS", timedelta(0))
    audit = RecordStore(folder).audit
    before = datetime.now(UTC)
    made = await audit.append("default", entry(1, "c"), commanded_at=before)
    for number in range(300):
        await audit.append("default", entry(number))
    read = counting_reads(monkeypatch)
    assert await audit.append("default", entry(1, "c"), commanded_at=before) == made
    assert len(read) > 200, "it had forgotten"
    assert await RecordStore(folder).audit.append("default", entry(1, "c"), commanded_at=before) == made


async def test_many_commands_in_a_short_time_read_nothing_again(
    folder: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidemill.records.audit._REMEMBERED", 20)
    audit = RecordStore(folder).audit
    read = counting_reads(monkeypatch)
    for number in range(200):
        await audit.append("default", entry(number, f"c{number}"), commanded_at=datetime.now(UTC))
    assert read == []
    assert (await audit.append("default", entry(7, "c7"), commanded_at=datetime.now(UTC))).sequence == 8


async def test_entries_of_long_ago_are_not_looked_through(folder: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    await filled(folder, 300)
    audit = RecordStore(folder).audit
    read = counting_reads(monkeypatch)
    listed = Objects.entries
    listings: list[str] = []

    def counted_listing(self: Objects, prefix: str, **options: str | None) -> object:
        listings.append(prefix)
        return listed(self, prefix, **options)

    monkeypatch.setattr(Objects, "entries", counted_listing)
    later = datetime.now(UTC) + timedelta(hours=1)
    for number in range(20):
        await audit.append("default", entry(number, f"c{number}"), commanded_at=later)
    assert read == [key(300)], "the end of the chain, once"
    assert len(listings) == 1


Change = Callable[[Objects], "asyncio.Future[None]"]


async def altered(objects: Objects) -> None:
    data = await objects.read(key(3))
    await objects.write(key(3), iter([data.replace(b"cancel-run", b"praise-run")]))


async def altered_with_its_digest(objects: Objects) -> None:
    """Somebody who knows how digests are made makes entry 3 anew, whole in itself."""
    elsewhere = RecordStore(open_objects(f"{objects.url}-forged")).audit
    for number in (1, 2, 9):
        record = await elsewhere.append("default", entry(number))
    forged = record.model_dump(mode="json")
    await objects.write(key(3), iter([json.dumps(forged).encode()]))


async def removed(objects: Objects) -> None:
    await objects.delete([key(3)])


async def swapped(objects: Objects) -> None:
    third, fourth = await objects.read(key(3)), await objects.read(key(4))
    await objects.write(key(3), iter([fourth]))
    await objects.write(key(4), iter([third]))


async def inserted(objects: Objects) -> None:
    await objects.write(f"{FOLDER}/000000000003b.json", iter([await objects.read(key(3))]))


async def inserted_between(objects: Objects) -> None:
    for number in (5, 4, 3):
        await objects.write(key(number + 1), iter([await objects.read(key(number))]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (altered, r"audit entry 3 of project 'default' breaks the chain: expected digest"),
        (altered_with_its_digest, r"audit entry 3 of project 'default' breaks the chain: expected previous"),
        (removed, r"audit entry 3 of project 'default' is missing, audit entry 5 is there"),
        (swapped, r"audit entry 3 of project 'default' breaks the chain: expected previous"),
        (inserted, r"000000000003b\.json is no audit entry"),
        (inserted_between, r"audit entry 4 of project 'default' breaks the chain"),
    ],
)
async def test_every_change_is_found_and_the_first_broken_link_named(
    folder: Objects, change: Callable[[Objects], object], words: str
) -> None:
    await filled(folder, 5)
    assert (await verify(folder)).good
    await change(folder)  # type: ignore[misc]
    found = await verify(folder)
    assert not found.good
    (audit,) = [chain for chain in found.chains if chain.chain == "audit"]
    with pytest.raises(CorruptArtifact, match=words):
        await all_of(folder)
    assert audit.broken is not None


async def test_what_is_cut_off_the_end_is_missed_by_whoever_noted_a_digest(folder: Objects) -> None:
    made = await filled(folder, 5)
    heads = [made[1].digest, made[4].digest]
    assert (await verify(folder, heads=heads)).good
    await folder.delete([key(5)])
    assert (await verify(folder)).good, "a chain alone cannot tell"
    found = await verify(folder, heads=heads)
    assert (found.good, found.missing_heads) == (False, [made[4].digest])


async def test_both_chains_of_all_projects_are_verified(folder: Objects) -> None:
    records = RecordStore(folder)
    moved = AliasMoved(name="m", alias="champion", version=1, previous=None, reason="r")
    for project in ("default", "项目"):
        await records.append_decision(project, lambda _: moved)
        await put_on_record(records, project, actor="local", action="a", subject="s")
    found = await verify(folder)
    assert found.good
    assert [(one.project, one.chain, one.links) for one in found.chains] == [
        ("default", "decisions", 1), ("default", "audit", 1), ("项目", "decisions", 1), ("项目", "audit", 1),
    ]  # fmt: skip
    decision = "records/项目/decisions/000000000001.json"
    await folder.write(decision, iter([(await folder.read(decision)).replace(b'"r"', b'"bribed"')]))
    broken = [one for one in (await verify(folder)).chains if one.broken]
    assert [(one.project, one.chain) for one in broken] == [("项目", "decisions")]
    assert (await verify(folder, projects=["default"])).good


async def test_nothing_is_appended_behind_a_gap(folder: Objects) -> None:
    await filled(folder, 6)
    await folder.delete([key(5)])
    with pytest.raises(CorruptArtifact, match=r"audit entry 5 .* is missing, audit entry 6 is there"):
        await RecordStore(folder).audit.append("default", entry(7))
    assert await folder.size(key(5)) is None


async def test_a_writer_that_slept_comes_behind_what_others_wrote(folder: Objects) -> None:
    sleeper = RecordStore(folder).audit
    await sleeper.append("default", entry(0))
    await filled(folder, 1500)
    assert (await sleeper.append("default", entry(1))).sequence == 1502
    assert len(await all_of(folder)) == 1502
