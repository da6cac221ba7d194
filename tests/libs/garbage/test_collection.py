"""What a collection keeps, condemns and deletes."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.libs.garbage.conftest import HOUR, House
from tidemill.artifacts.condemned import NOTICE, Notice, marker_key
from tidemill.errors import CorruptArtifact, TransientError
from tidemill.garbage import Collector, Policy
from tidemill.garbage.collection import last_report
from tidemill.garbage.report import LOOSE, QUARANTINED, UNFINISHED
from tidemill.records.schema import CheckpointRecord, DatasetDeleted, EpochRecord, ModelDeleted


async def test_what_nothing_refers_to_is_condemned_then_deleted(either_house: House) -> None:
    house = either_house
    run = await (await house.publish("评论")).finish("m", 1)
    before = await house.objects()
    lost = await house.put("nobody's", "model")
    assert (await house.collect()).total("condemned").number == 0  # it may be a put in flight
    house.ahead = 25 * HOUR
    first = await house.collect()
    assert (first.total("condemned").number, first.total("freed").number) == (1, 0)
    house.ahead += timedelta(minutes=50) - 25 * HOUR  # the marker is younger than a grace
    assert (await house.collect()).total("freed").number == 0
    assert await house.whole(lost)
    house.ahead += 25 * HOUR
    second = await house.collect()
    assert (second.total("condemned").number, second.total("freed").number) == (0, 1)
    assert not await house.store.exists(lost)
    assert await house.objects() == before
    assert all([await house.whole(ref) for ref in run.artifacts])
    assert await last_report(house.store.objects) == second


async def test_a_dry_run_says_the_same_and_changes_nothing(either_house: House) -> None:
    house = either_house
    await (await house.publish("kept")).finish("m", 1)
    await house.put("nobody's", "model")
    await house.store.objects.create("artifacts/objects/ab/" + "ab" * 32, b"loose")
    house.ahead = 25 * HOUR
    for _ in range(2):
        before = await house.objects()
        planned = await house.collect(dry_run=True)
        assert await house.objects() == before
        done = await house.collect()
        assert [line.model_dump() for line in planned.lines] == [line.model_dump() for line in done.lines]
        house.ahead += 25 * HOUR
    assert done.total("freed").bytes == sum(before.values()) - sum((await house.objects()).values()) - _markers(before)


def _markers(objects: dict[str, int]) -> int:
    return sum(size for key, size in objects.items() if key.startswith("artifacts/condemned/"))


async def test_with_a_grace_of_zero_an_idle_store_is_cleaned_in_one_go(house: House) -> None:
    run = await (await house.publish("kept")).finish("m", 1)
    before = await house.objects()
    await house.put("nobody's", "model")
    await house.store.objects.create("artifacts/objects/ab/" + "ab" * 32, b"loose")
    report = await house.collect(grace=timedelta(0))
    assert report.total("freed").number == 2
    assert await house.objects() == before
    assert all([await house.whole(ref) for ref in run.artifacts])


async def test_what_is_referred_to_again_loses_its_marker(house: House) -> None:
    run = await house.publish("late")
    ref = await house.put("prepared late")
    house.ahead = 25 * HOUR
    await house.collect()
    assert await house.store.objects.size(marker_key(ref.digest)) is not None
    await (await run.ingest()).prepare()
    await house.store.objects.create(marker_key(ref.digest), b"{}")  # as if condemned again before it was on record
    report = await house.collect_twice()
    assert report.total("freed").number == 0
    assert await house.store.objects.size(marker_key(ref.digest)) is None
    assert await house.whole(ref)


async def test_adopting_a_condemned_artifact_spares_it(house: House) -> None:
    ref = await house.put("cached", "model")
    house.ahead = 25 * HOUR
    await house.collect()
    assert await house.store.adopt(ref)
    house.ahead -= 24.5 * HOUR
    await house.collect()
    assert await house.whole(ref)
    await house.collect_twice()
    assert not await house.store.adopt(ref)


async def test_runs_keep_what_they_refer_to(house: House) -> None:
    going_on = await (await (await (await house.publish("going-on")).ingest()).prepare()).train("m")
    fold = await going_on.result("f" * 64, "fold 1")
    failed = await (await (await house.publish("failed")).ingest()).end()
    folded = await failed.result("e" * 64, "fold 2")
    done = await (await house.publish("done")).finish("n", 1)
    unused = await done.result("d" * 64, "fold 3")
    from_a_uri = await house.publish("by-address", uri=True)
    copied = await house.put("copied from a URI", "source")
    await house.collect_twice()
    kept = [*going_on.artifacts, *failed.artifacts, *done.artifacts, fold, folded, copied]
    assert all([await house.whole(ref) for ref in [*kept, unused]])  # a week long: another run may begin with it
    house.ahead += 7 * 24 * HOUR
    await house.collect_twice()
    assert all([await house.whole(ref) for ref in kept])
    assert not await house.store.exists(unused)
    await from_a_uri.end()
    await house.collect_twice()
    assert not await house.store.exists(copied)


async def test_old_runs_without_a_version_can_be_forgotten(house: House) -> None:
    failed = await (await (await house.publish("failed", "one")).ingest()).end()
    fold = await failed.result("e" * 64, "fold")
    retried = await (await (await house.publish("retried", "two")).ingest()).end()
    epoch = EpochRecord(epoch=2, started_at=datetime.now(UTC))
    await house.records.create_epoch("default", retried.run_id, epoch)
    done = await (await house.publish("done", "three")).finish("n", 1)
    await house.collect_twice(forget_older_than=timedelta(days=9))
    assert all([await house.whole(ref) for ref in failed.artifacts])
    await house.collect_twice(forget_older_than=timedelta(days=1))
    assert [ref.kind for ref in failed.artifacts if await house.store.exists(ref)] == ["recipe"]  # all share one
    assert not await house.store.exists(fold)
    assert all([await house.whole(ref) for ref in [*retried.artifacts, *done.artifacts]])


async def test_a_run_that_ended_with_its_prepared_dataset_is_never_forgotten_and_can_be_deleted(house: House) -> None:
    prepared = await (await (await house.publish("prepared")).ingest()).prepare()
    shard = await prepared.result("c" * 64, "shard 1")
    await prepared.end("finished")
    await house.collect_twice(forget_older_than=timedelta(days=1))
    assert all([await house.whole(ref) for ref in [*prepared.artifacts, shard]])
    gone = DatasetDeleted(name="prepared", runs=(prepared.run_id,))
    await house.records.append_decision("default", lambda _: gone)
    await house.collect_twice()
    left = [ref for ref in [*prepared.artifacts, shard] if await house.store.exists(ref)]
    assert left == []


async def test_a_deleted_version_frees_what_no_other_name_refers_to(either_house: House) -> None:
    house = either_house
    first = await (await house.publish("a", "data a")).finish("one", 1)
    second = await (await house.publish("a", "data a")).finish("two", 2)
    same = await (await house.publish("b", "data b")).finish("one", 1)
    before = await house.objects()
    await house.records.append_decision("default", lambda _: ModelDeleted(name="a", versions=(1,)))
    assert (await house.collect_twice()).total("freed").number == 0  # b has the same bytes
    await house.records.append_decision("default", lambda _: ModelDeleted(name="a", versions=(2,)))
    report = await house.collect_twice()
    gone = [second.made["trained"], second.made["model"]]
    assert report.total("freed").number == 2
    assert not any([await house.store.exists(ref) for ref in gone])
    assert all([await house.whole(ref) for ref in [*first.artifacts, *same.artifacts]])
    after = await house.objects()
    assert report.total("freed").bytes == sum(before.values()) - sum(after.values())
    kinds = {key.split("/")[1] for key in before.keys() - after.keys()}
    assert kinds == {"manifests", "objects"}


async def test_a_deleted_dataset_goes_and_the_models_trained_on_it_stay(house: House) -> None:
    run = await (await house.publish("a", "patients")).finish("m", 1)
    later = await (await house.publish("a", "more patients")).ingest()
    await house.records.append_decision("default", lambda _: DatasetDeleted(name="a", runs=(run.run_id,)))
    await house.collect_twice()
    gone = [run.made[role] for role in ("source", "ingested", "prepared")]
    assert not any([await house.store.exists(ref) for ref in gone])
    stay = [run.made[role] for role in ("recipe", "trained", "model")]
    assert all([await house.whole(ref) for ref in [*stay, *later.artifacts]])
    await house.records.append_decision("default", lambda _: ModelDeleted(name="a", versions=(1,)))
    await house.collect_twice()
    assert not any([await house.store.exists(run.made[role]) for role in ("trained", "model")])


async def test_only_the_last_checkpoint_of_a_job_without_a_result_is_kept(house: House) -> None:
    run = await (await house.publish("long")).ingest()

    async def checkpoint(fingerprint: str, token: int, number: int) -> object:
        ref = await house.put(f"checkpoint {fingerprint} {token} {number}", "checkpoint")
        record = CheckpointRecord(
            fingerprint=fingerprint, token=token, number=number, artifact=ref, at=datetime.now(UTC)
        )
        assert await house.records.add_checkpoint("default", record)
        return ref

    old, last = [await checkpoint("a" * 64, token, number) for token, number in ((3, 9), (5, 1))]
    committed = await checkpoint("b" * 64, 1, 1)
    await run.result("b" * 64, "committed")
    await house.collect_twice()
    assert [await house.store.exists(ref) for ref in (old, last, committed)] == [False, True, False]  # type: ignore[arg-type]
    house.ahead = 8 * 24 * HOUR

    async def leased(fingerprint: str) -> bool:
        return fingerprint == "a" * 64

    for _ in range(2):
        await Collector(house.store.objects, Policy(), leased=leased, clock=house.now).collect()
    assert await house.whole(last)  # type: ignore[arg-type]
    await house.collect_twice()
    assert not await house.store.exists(last)  # type: ignore[arg-type]


async def test_what_died_on_its_way_in_goes_after_a_day(house: House, tmp_path: Path) -> None:
    loose = "artifacts/objects/ab/" + "ab" * 32
    await house.store.objects.create(loose, b"loose")
    await house.store.objects.create("artifacts/probes/1", b"1")
    staged = tmp_path / "store" / "artifacts" / "objects" / "ab" / ("cd" * 32 + "#1")
    staged.write_bytes(b"half of it")
    house.ahead = 23 * HOUR
    report = await house.collect()
    assert {line.kind: line.waiting.number for line in report.lines} == {LOOSE: 1, UNFINISHED: 2}
    assert staged.exists()
    house.ahead = 25 * HOUR
    report = await house.collect()
    assert {line.kind: line.freed.number for line in report.lines} == {LOOSE: 1, UNFINISHED: 2}
    assert await house.objects() == {}
    assert not staged.exists()


async def test_what_was_put_aside_as_damaged_goes_after_a_week(either_house: House, tmp_path: Path) -> None:
    house = either_house
    run = await (await house.publish("damaged")).ingest()
    objects = house.store.objects
    damaged = next(key for key in await house.objects() if key.startswith("artifacts/objects/"))
    await objects.write(damaged, iter([b"other bytes"]))
    on_a_folder = tmp_path / "store" / damaged
    if on_a_folder.exists():
        os.utime(on_a_folder, (0, 0))  # it was written long ago, and is put aside now
    put_aside = [key for one in run.artifacts for key in await house.store.quarantine(one)]
    assert set(put_aside) == {damaged}
    aside = f"artifacts/quarantine/{damaged.rpartition('/')[2]}"
    house.ahead = 6 * 24 * HOUR
    report = await house.collect(grace=timedelta(0))
    assert [(line.kept.number, line.freed.number) for line in report.lines if line.kind == QUARANTINED] == [(1, 0)]
    assert await objects.read(aside) == b"other bytes"
    house.ahead = 8 * 24 * HOUR
    report = await house.collect()
    assert [line.freed.bytes for line in report.lines if line.kind == QUARANTINED] == [len(b"other bytes")]
    assert await objects.size(aside) is None


async def test_a_record_that_cannot_be_read_stops_the_collection(house: House, tmp_path: Path) -> None:
    run = await (await house.publish("damaged")).ingest()
    lost = await house.put("nobody's")
    path = tmp_path / "store" / "records" / "default" / "runs" / run.run_id / "stages" / "ingest.json"
    path.write_text('{"stage":')
    house.ahead = 25 * HOUR
    with pytest.raises(CorruptArtifact, match=r"stages/ingest\.json"):
        await house.collect(grace=timedelta(0))
    assert await house.whole(lost)


async def test_a_damaged_manifest_keeps_its_shards_and_is_reported(house: House, tmp_path: Path) -> None:
    ref = await house.put("damaged")
    before = await house.objects()
    path = tmp_path / "store" / "artifacts" / "manifests" / f"{ref.digest.removeprefix('sha256:')}.json"
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data.replace(b'"dataset"', b'"dAtaset"'))
    report = await house.collect_twice()
    assert report.damaged == [ref.digest]
    path.write_bytes(data)
    assert await house.objects() == before
    assert await house.whole(ref)


async def test_two_collections_do_not_delete_at_once(house: House) -> None:
    await house.put("nobody's")
    house.ahead = 25 * HOUR
    await house.collect()
    house.ahead += 25 * HOUR
    notice = Notice(owner="another", number=1, at=datetime.now(UTC), names=frozenset())
    await house.store.objects.create(NOTICE, notice.model_dump_json().encode())
    with pytest.raises(TransientError, match="another garbage collection"):
        await house.collect()
    killed = notice.model_copy(update={"at": datetime.now(UTC) - HOUR})
    await house.store.objects.write(NOTICE, iter([killed.model_dump_json().encode()]))
    assert (await house.collect()).total("freed").number == 1
    assert await house.objects() == {}
