"""Records: what is written once stays, on both kinds of storage."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tidemill.artifacts.buckets import prepare_bucket
from tidemill.artifacts.objects import Objects, open_objects
from tidemill.contracts import ArtifactRef, DatasetPublished, ResourceUsage
from tidemill.errors import CorruptArtifact, InvalidInput
from tidemill.records import RecordStore, open_records
from tidemill.records.hash_chain import FIRST, digest_of
from tidemill.records.schema import (
    AliasMoved,
    AttemptRecord,
    CheckpointRecord,
    DeadLetterRecord,
    Decision,
    DecisionRecord,
    OutcomeRecord,
    ReplayRecord,
    ResultRecord,
    RunRecord,
    StageRecord,
)
from tidemill.testing.artifact_store import other_process

NOW = datetime(2026, 11, 22, 3, 4, 5, 678901, tzinfo=UTC)
MODEL = ArtifactRef(digest=f"sha256:{'a' * 64}", kind="model", size_bytes=3)


@pytest.fixture(params=["folder", "s3"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return open_objects(str(tmp_path / "store"))
    request.getfixturevalue("s3")
    url = f"s3://{request.getfixturevalue('bucket')}/prefix"
    await prepare_bucket(url)
    return open_objects(url)


@pytest.fixture
def records(objects: Objects) -> RecordStore:
    return RecordStore(objects)


def run(run_id: str, project: str = "default") -> RunRecord:
    event = DatasetPublished(project=project, run_id=run_id, name="评论", uri="file:///data/评论.csv")
    return RunRecord(event=event, created_at=NOW)


def result(by: str, seconds: float = 1.5) -> ResultRecord:
    return ResultRecord(
        fingerprint="sha256:f00d",
        stage="train",
        result={"f1": 0.1 + 0.2, "labels": ["好", "坏"]},
        artifacts={"model": MODEL},
        usage=ResourceUsage(wall_seconds=seconds),
        committed_at=NOW,
        run_id=by,
    )


def moved(version: int, previous: int | None) -> AliasMoved:
    return AliasMoved(name="reviews", alias="champion", version=version, previous=previous, reason="better")


async def test_runs(records: RecordStore) -> None:
    assert await records.projects() == []
    assert await records.run("default", "a") is None
    assert await records.create_run(run("b"))
    assert await records.create_run(run("a"))
    assert await records.create_run(run("a")), "the very same record is this call's own: its answer was lost"
    assert not await records.create_run(run("a").model_copy(update={"traceparent": "another"}))
    assert await records.create_run(run("a", project="项目"))
    assert await records.run("default", "a") == run("a")
    assert [each.event.run_id async for each in records.runs("default")] == ["a", "b"]
    assert [each.event.project async for each in records.runs("项目")] == ["项目"]
    assert await records.projects() == ["default", "项目"]


async def test_stages_and_outcomes_come_in_their_order(records: RecordStore) -> None:
    def stage(name: str, jobs: int = 1) -> StageRecord:
        return StageRecord.model_validate(
            {
                "stage": name,
                "subject": "tidemill.model.trained.v1",
                "event": {"run_id": "a"},
                "fingerprint": "f",
                "started_at": NOW,
                "finished_at": NOW,
                "cached": False,
                "jobs": jobs,
            }
        )

    for name in ("train", "ingest", "preprocess"):
        assert await records.create_stage("default", "a", stage(name))
    assert not await records.create_stage("default", "a", stage("train", jobs=2))
    assert await records.stage("default", "a", "train") == stage("train")
    assert await records.stage("default", "a", "compress") is None
    assert [each.stage for each in await records.stages("default", "a")] == ["ingest", "preprocess", "train"]

    for epoch in (10, 9, 1):
        outcome = OutcomeRecord(epoch=epoch, state="failed", ended_at=NOW, error="no")
        assert await records.create_outcome("default", "a", outcome)
    assert [each.epoch for each in await records.outcomes("default", "a")] == [1, 9, 10]
    assert await records.outcomes("default", "b") == []


async def test_a_try_is_recorded_once_under_its_id(records: RecordStore) -> None:
    def attempt(error: str, run_id: str = "a", **changes: object) -> AttemptRecord:
        values = {"run_id": run_id, "epoch": 1, "stage": "train", "fingerprint": "f", "kind": "crash", "error": error}
        return AttemptRecord.model_validate(values | {"at": NOW} | changes)

    assert all(await asyncio.gather(*(records.add_attempt("default", attempt(str(n))) for n in range(12))))
    assert len(await records.attempts("default", "a", "f")) == 12
    lost = attempt("went without a word", attempt_id="one", kind="lost")
    assert await records.add_attempt("default", lost)
    assert not await records.add_attempt("default", attempt("woke up", attempt_id="one"))
    assert await records.add_attempt("default", attempt("other job", fingerprint="g"))
    assert await records.add_attempt("default", attempt("other run", run_id="b"))
    assert len(await records.attempts("default", "a", "f")) == 13
    assert len(await records.run_attempts("default", "a")) == 14
    assert lost in await records.run_attempts("default", "a")


async def test_of_sixteen_commits_one_wins_and_all_adopt_it(objects: Objects) -> None:
    stores = [RecordStore(objects) for _ in range(16)]
    mine = [result(f"run-{n}") for n in range(16)]
    winners = await asyncio.gather(
        *(store.create_result("default", each) for store, each in zip(stores, mine, strict=True))
    )
    assert len({winner.run_id for winner in winners}) == 1
    assert sum(winner is own for winner, own in zip(winners, mine, strict=True)) == 1
    assert await stores[0].result("default", "sha256:f00d") == winners[0]
    assert await stores[0].result("other", "sha256:f00d") is None


async def test_an_older_owner_cannot_add_a_checkpoint(records: RecordStore) -> None:
    def checkpoint(token: int, number: int) -> CheckpointRecord:
        return CheckpointRecord(fingerprint="f", token=token, number=number, artifact=MODEL, at=NOW)

    assert await records.latest_checkpoint("default", "f") is None
    for token, number in ((9, 1), (9, 2), (10, 1)):
        assert await records.add_checkpoint("default", checkpoint(token, number))
    assert not await records.add_checkpoint("default", checkpoint(9, 3))
    assert await records.add_checkpoint("default", checkpoint(10, 1)), "the answer to the first try was lost"
    later = checkpoint(10, 1).model_copy(update={"at": NOW + timedelta(seconds=1)})
    assert not await records.add_checkpoint("default", later)
    assert await records.latest_checkpoint("default", "f") == checkpoint(10, 1)


async def test_decisions_are_a_chain_that_every_decider_has_seen(objects: Objects) -> None:
    """Sixteen want the alias at their version; each must see the one before it, whoever that was."""

    def next_version(chain: list[DecisionRecord]) -> Decision:
        return moved(len(chain) + 1, chain[-1].decision.version if chain else None)

    stores = [RecordStore(objects) for _ in range(16)]
    await asyncio.gather(*(store.append_decision("default", next_version) for store in stores))
    chain = await RecordStore(objects).decisions("default")
    assert [record.sequence for record in chain] == list(range(1, 17))
    assert [record.decision.previous for record in chain] == [None, *range(1, 16)]
    assert chain == await stores[0].decisions("default")
    assert await stores[0].append_decision("default", lambda chain: None) is None
    assert await stores[0].append_decision("项目", next_version) is not None
    assert len(await stores[5].decisions("default")) == 16


async def test_a_compare_and_set_is_decided_once(objects: Objects) -> None:
    """All want to be first; the losers look again and leave it."""

    def first_only(chain: list[DecisionRecord]) -> Decision | None:
        return None if chain else moved(1, None)

    made = await asyncio.gather(*(RecordStore(objects).append_decision("default", first_only) for _ in range(16)))
    assert sum(record is not None for record in made) == 1


async def test_a_broken_chain_is_named(objects: Objects) -> None:
    records = RecordStore(objects)
    for version in (1, 2, 3):
        await records.append_decision("default", lambda chain, version=version: moved(version, None))
    second = "records/default/decisions/000000000002.json"
    good = await objects.read(second)

    await objects.write(second, iter([good.replace(b'"better"', b'"bribed"')]))
    with pytest.raises(CorruptArtifact, match=r"decision 2 of project 'default' breaks the chain: expected digest"):
        await RecordStore(objects).decisions("default")
    await objects.delete([second])
    with pytest.raises(CorruptArtifact, match=r"decision 2 .* is missing, decision 3 is there"):
        await RecordStore(objects).append_decision("default", lambda chain: moved(9, None))
    await objects.write(second, iter([b"{}"]))
    with pytest.raises(CorruptArtifact, match=r"000000000002\.json cannot be read: sequence"):
        await RecordStore(objects).decisions("default")
    await objects.write(second, iter([good]))
    assert len(await RecordStore(objects).decisions("default")) == 3


async def test_fields_of_a_later_version_are_ignored_and_still_covered_by_the_chain(objects: Objects) -> None:
    decision = moved(1, None).model_dump(mode="json") | {"approved_by": "阿明"}
    at = "2027-01-01T00:00:00Z"
    document = {
        "sequence": 1,
        "previous": FIRST,
        "decision": decision,
        "at": at,
        "digest": digest_of("decision", FIRST, decision, at),
        "signature": "later",
    }
    await objects.create("records/default/decisions/000000000001.json", json.dumps(document).encode())
    (record,) = await RecordStore(objects).decisions("default")
    assert record.decision == moved(1, None)

    later = run("a").model_dump(mode="json") | {"later": {"x": 1}}
    await objects.create("records/default/runs/a/run.json", json.dumps(later).encode())
    assert await RecordStore(objects).run("default", "a") == run("a")


async def test_what_cannot_be_a_record_is_refused(records: RecordStore, objects: Objects) -> None:
    with pytest.raises(InvalidInput, match="NaN"):
        await records.create_result("default", result("a", seconds=float("inf")))
    with pytest.raises(InvalidInput, match="fingerprint"):
        await records.result("default", "../runs/a/run")
    with pytest.raises(InvalidInput, match="longer than 200 bytes"):
        await records.create_run(run("a", project="项" * 90))
    await objects.create("records/default/runs/a/run.json", b"")
    with pytest.raises(CorruptArtifact, match=r"records/default/runs/a/run\.json"):
        await records.run("default", "a")


WRITER = """
import asyncio, sys
from tidemill.records import open_records
from tidemill.records.schema import AliasMoved
async def main():
    records = open_records(sys.argv[1])
    for _ in range(10):
        await records.append_decision("default", lambda chain: AliasMoved(
            name="m", alias="champion", version=len(chain) + 1, previous=len(chain) or None, reason=sys.argv[2]))
asyncio.run(main())
"""


async def test_several_processes_make_one_chain(tmp_path: Path) -> None:
    url = str(tmp_path / "store")
    writers = [other_process(WRITER, url, str(n)) for n in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    chain = await RecordStore(open_objects(url)).decisions("default")
    assert [record.decision.version for record in chain] == list(range(1, 31))


def letter(number: int, **changes: Any) -> DeadLetterRecord:
    values: dict[str, Any] = {
        "id": f"{number:016x}", "subject": "tidemill.x", "stage": "ingest", "error": "为什么", "kind": "permanent",
        "at": datetime(2026, 11, 1, 8, number % 60, tzinfo=UTC), "headers": {"ce-id": "好"}, "body": b"\xff\x00" + b"x",
    }  # fmt: skip
    return DeadLetterRecord.model_validate(values | changes)


async def test_dead_letters_are_kept_once_and_listed_by_time(objects: Objects) -> None:
    letters = RecordStore(objects).letters
    for number in (3, 1, 2):
        assert await letters.keep("项目", letter(number)) == letter(number)
    assert await letters.keep("项目", letter(2, error="later", at=datetime.now(UTC))) == letter(2)
    assert await letters.newest("项目", limit=2) == [letter(3), letter(2)]
    assert await letters.newest("other", limit=2) == []
    replay = ReplayRecord(identity="a", at=datetime.now(UTC))
    assert await letters.create_replay("项目", letter(3).id, replay)
    assert not await letters.create_replay("项目", letter(3).id, replay.model_copy(update={"identity": "b"}))
    assert await letters.replayed("项目", letter(3).id) == replay
    assert await letters.newest("项目", limit=9) == [letter(2), letter(1)]
    assert await letters.get("项目", letter(3).id) == letter(3)


async def test_a_letter_whose_writer_died_before_it_was_listed_is_listed_by_the_next_try(tmp_path: Path) -> None:
    letters = open_records(str(tmp_path)).letters
    await letters.keep("default", letter(1))
    (entry,) = tmp_path.glob("records/default/dead-letters/listed/*")
    entry.unlink()
    assert await letters.newest("default", limit=9) == []
    await letters.keep("default", letter(1, at=datetime.now(UTC)))
    assert await letters.newest("default", limit=9) == [letter(1)]
    assert [path.name for path in tmp_path.glob("records/default/dead-letters/listed/*")] == [entry.name]
