"""Which version of a dataset a run makes: one each, the same when asked again, none for the same source twice."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidemill.artifacts import open_store
from tidemill.contracts import ArtifactRef, DatasetIngested, DatasetPublished, Recipe, parse_recipe
from tidemill.errors import PermanentError, TransientError
from tidemill.records.schema import OutcomeRecord, RunRecord, StageRecord
from tidemill.stage.versions import claim_version
from tidemill.testing.artifact_store import fill

NAME = "评论"


class Versions:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = open_store(str(folder / "store"), cache=folder / "cache")
        self.records = self.store.records()
        self.numbers = itertools.count(1)

    async def put(self, text: str) -> ArtifactRef:
        return await self.store.put(fill(self.folder / f"in-{next(self.numbers)}", {"a": text.encode()}), kind="source")

    async def publish(self, text: str, *, append: bool = False) -> DatasetPublished:
        run_id = f"run-{next(self.numbers)}"
        event = DatasetPublished(run_id=run_id, name=NAME, source=await self.put(text), append=append, licence="MIT")
        await self.records.create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
        return event

    async def claim(self, event: DatasetPublished, recipe: Recipe | None = None) -> DatasetPublished:
        return await claim_version(event, recipe or Recipe(), self.records, self.store)

    async def ingest(self, event: DatasetPublished) -> ArtifactRef:
        assert event.source is not None
        dataset = await self.put(f"ingested {event.run_id}")
        ingested = DatasetIngested(
            run_id=event.run_id, name=NAME, recipe=dataset, source=event.source, dataset=dataset,
            task="text-classification", rows=1, parts={"data": 1},
        )  # fmt: skip
        now = datetime.now(UTC)
        record = StageRecord(
            stage="ingest", subject=ingested.subject, event=ingested.model_dump(mode="json"), fingerprint="f",
            started_at=now, finished_at=now, cached=False, jobs=1,
        )  # fmt: skip
        await self.records.create_stage("default", event.run_id, record)
        return dataset

    async def fail(self, event: DatasetPublished) -> None:
        outcome = OutcomeRecord(epoch=1, state="failed", ended_at=datetime.now(UTC), error="no")
        await self.records.create_outcome("default", event.run_id, outcome)


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path)


async def test_versions_are_counted_and_know_the_one_before(versions: Versions) -> None:
    first = await versions.claim(await versions.publish("one"))
    assert (first.version, first.previous) == (1, None)
    dataset = await versions.ingest(first)
    second = await versions.claim(await versions.publish("two"))
    assert (second.version, second.previous) == (2, dataset)


async def test_the_same_source_again_is_the_same_version(versions: Versions) -> None:
    first = await versions.claim(await versions.publish("one"))
    await versions.ingest(first)
    again = await versions.claim(await versions.publish("one"))
    assert (again.version, again.previous) == (1, None)
    assert len(await versions.records.dataset_versions("default", NAME)) == 1


async def test_the_same_source_read_otherwise_is_another_version(versions: Versions) -> None:
    await versions.ingest(await versions.claim(await versions.publish("one")))
    for number, recipe in enumerate(({"columns": ["a"]}, {"on_bad_row": "drop"}, {"owner": "we"}), 2):
        claimed = await versions.claim(await versions.publish("one"), parse_recipe({"data": recipe}))
        assert claimed.version == number
        await versions.ingest(claimed)
    prepared_otherwise = parse_recipe({"data": {"owner": "we", "split": {"seed": 3}}, "training": {"epochs": 2}})
    assert (await versions.claim(await versions.publish("one"), prepared_otherwise)).version == 4


async def test_a_version_that_was_never_taken_in_does_not_stand_for_its_source(versions: Versions) -> None:
    broken = await versions.claim(await versions.publish("one"))
    await versions.fail(broken)
    good = await versions.claim(await versions.publish("one"))
    assert good.version == 2
    dataset = await versions.ingest(good)
    more = await versions.claim(await versions.publish("more", append=True))
    assert (more.version, more.previous) == (3, dataset)


async def test_an_older_source_again_is_a_new_version_for_which_nothing_is_worked_again(versions: Versions) -> None:
    first = await versions.claim(await versions.publish("one"))
    await versions.ingest(first)
    await versions.ingest(await versions.claim(await versions.publish("two")))
    again = await versions.claim(await versions.publish("one"))
    assert (again.version, again.previous, again.source) == (3, first.previous, first.source)


async def test_a_run_that_is_planned_again_keeps_its_version_whatever_came_since(versions: Versions) -> None:
    one, two = await versions.publish("one"), await versions.publish("two")
    claimed = await versions.claim(one)
    await versions.ingest(one)
    await versions.claim(two)
    await versions.ingest(two)
    assert await versions.claim(one) == claimed


async def test_a_planner_that_was_killed_behind_the_claim_finds_it_again(versions: Versions) -> None:
    event = await versions.publish("one")
    claimed = await versions.claim(event)
    (versions.folder / "store/records/default/runs" / event.run_id / "dataset.json").unlink()
    assert await versions.claim(event) == claimed
    assert len(await versions.records.dataset_versions("default", NAME)) == 1


async def test_sixteen_runs_at_once_make_sixteen_versions(versions: Versions) -> None:
    events = [await versions.publish(f"text {number}") for number in range(16)]
    claimed = await asyncio.gather(*(versions.claim(event) for event in events))
    assert sorted(event.version or 0 for event in claimed) == list(range(1, 17))


async def test_an_append_waits_for_the_run_before_and_builds_on_it(versions: Versions) -> None:
    first = await versions.publish("one")
    await versions.claim(first)
    more = await versions.publish("two", append=True)
    with pytest.raises(TransientError, match=f"run {first.run_id} has taken in version 1 of {NAME}"):
        await versions.claim(more)
    dataset = await versions.ingest(first)
    claimed = await versions.claim(more)
    assert (claimed.version, claimed.previous, claimed.append) == (2, dataset, True)


async def test_an_append_passes_by_a_version_whose_run_failed(versions: Versions) -> None:
    first = await versions.publish("one")
    await versions.claim(first)
    dataset = await versions.ingest(first)
    broken = await versions.publish("broken", append=True)
    await versions.claim(broken)
    await versions.fail(broken)
    assert (await versions.claim(await versions.publish("two", append=True))).previous == dataset


async def test_the_same_rows_appended_twice_are_two_versions(versions: Versions) -> None:
    first = await versions.publish("one")
    await versions.claim(first)
    await versions.ingest(first)
    for number in (2, 3):
        more = await versions.publish("two", append=True)
        assert (await versions.claim(more)).version == number
        await versions.ingest(more)


async def test_an_append_to_nothing_is_a_first_version(versions: Versions) -> None:
    claimed = await versions.claim(await versions.publish("one", append=True))
    assert (claimed.version, claimed.previous, claimed.append) == (1, None, False)


async def test_a_deleted_version_before_counts_as_none_but_not_for_an_append(versions: Versions) -> None:
    first = await versions.publish("one")
    await versions.claim(first)
    dataset = await versions.ingest(first)
    other, more = await versions.publish("two"), await versions.publish("three", append=True)
    await versions.claim(other)
    await versions.ingest(other)
    appended = await versions.claim(more)
    assert appended.previous is not None
    for artifact in (dataset, appended.previous):
        await versions.store.delete(artifact)
    assert (await versions.claim(other)).previous is None
    with pytest.raises(PermanentError, match="deleted since"):
        await versions.claim(more)


async def test_provenance_is_what_the_recipe_says_or_else_the_publisher(versions: Versions) -> None:
    await versions.claim(await versions.publish("one"))
    await versions.claim(
        await versions.publish("two"), parse_recipe({"data": {"licence": "CC-BY-4.0", "owner": "我们"}})
    )
    one, two = await versions.records.dataset_versions("default", NAME)
    assert (one.licence, one.owner) == ("MIT", None)
    assert (two.licence, two.owner) == ("CC-BY-4.0", "我们")
    assert one.source != two.source
