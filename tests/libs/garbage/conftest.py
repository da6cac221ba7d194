"""A store with a few runs in it, on a folder and on S3, and a clock that is ahead."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from tidemill.artifacts import ObjectArtifactStore, open_store
from tidemill.artifacts.buckets import prepare_bucket
from tidemill.artifacts.objects import Objects, open_objects
from tidemill.contracts import (
    ArtifactRef,
    DatasetIngested,
    DatasetPrepared,
    DatasetPublished,
    EvaluationSummary,
    ModelCompressed,
    ModelTrained,
    StageEvent,
    StageName,
    VariantFigures,
)
from tidemill.garbage import Collector, Policy, Report
from tidemill.records import RecordStore
from tidemill.records.schema import OutcomeRecord, ResultRecord, RunRecord, StageRecord, VersionRegistered
from tidemill.testing.artifact_store import fill
from tidemill.testing.s3 import bucket, s3, s3_endpoint  # noqa: F401

HOUR = timedelta(hours=1)
SHARD_SIZE = 100


@dataclass
class House:
    """A store, its records, and what a test needs to fill them."""

    url: str
    folder: Path
    ahead: timedelta = timedelta()
    """How far the collections' clock is ahead of the storage's."""
    store: ObjectArtifactStore = field(init=False)
    records: RecordStore = field(init=False)
    counter: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.store = open_store(self.url, cache=self.folder / "cache", shard_size=SHARD_SIZE)
        self.records = self.store.records()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def directory(self, text: str) -> Path:
        """A folder whose bytes follow from ``text``: one file of two shards, one that many share."""
        folder = self.folder / f"in-{next(self.counter)}"
        return fill(folder, {"内容.txt": text.encode() * 200, "licence.txt": b"all rights reserved"})

    async def put(self, text: str, kind: Any = "dataset") -> ArtifactRef:
        return await self.store.put(self.directory(text), kind=kind)

    async def collect(self, *, dry_run: bool = False, objects: Objects | None = None, **policy: Any) -> Report:
        collector = Collector(objects or open_objects(self.url), Policy(**policy), clock=self.now)
        return await collector.collect(dry_run=dry_run)

    async def collect_twice(self, **policy: Any) -> Report:
        """Both phases, more than a grace apart, in a time in which no put is in flight."""
        self.ahead += 25 * HOUR
        await self.collect(**policy)
        self.ahead += 25 * HOUR
        return await self.collect(**policy)

    async def whole(self, ref: ArtifactRef) -> bool:
        """Whether every byte of an artifact is there."""
        if not await self.store.exists(ref):
            return False
        fresh = open_store(self.url, cache=self.folder / f"cache-{next(self.counter)}", shard_size=SHARD_SIZE)
        await fresh.fetch(ref, self.folder / f"out-{next(self.counter)}")
        return True

    async def publish(self, name: str, data: str = "", *, uri: bool = False) -> Run:
        run_id = f"run-{next(self.counter)}"
        source = None if uri else await self.put(f"source {data or name}", "source")
        event = DatasetPublished(run_id=run_id, name=name, source=source, uri="https://a.b/c.csv" if uri else None)
        await self.records.create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
        return Run(self, run_id, name, data or name, source)

    async def objects(self) -> dict[str, int]:
        """Everything below ``artifacts/`` but the last report."""
        found = {one.key: one.size async for one in self.store.objects.entries("artifacts")}
        found.pop("artifacts/collected.json", None)
        return found


@dataclass
class Run:
    """A run whose stages are put on record with real artifacts."""

    house: House
    run_id: str
    name: str
    data: str
    source: ArtifactRef | None
    made: dict[str, ArtifactRef] = field(default_factory=dict)
    event: StageEvent | None = None

    async def ingest(self) -> Run:
        await self._put("recipe", "recipe", "")
        self.made["source"] = self.source or await self.house.put(f"source {self.data}", "source")
        await self._put("ingested", "dataset", self.data)
        await self._stage("ingest", DatasetIngested(
            source=self.made["source"], dataset=self.made["ingested"], task="text-classification", rows=1,
            parts={"data": 1}, **self._shared()))  # fmt: skip
        return self

    async def prepare(self) -> Run:
        await self._put("prepared", "dataset", self.data)
        await self._stage("preprocess", DatasetPrepared(
            ingested=self.made["ingested"], dataset=self.made["prepared"], task="text-classification",
            parts={"train": 1}, labels=["a"], **self._shared()))  # fmt: skip
        return self

    async def train(self, model: str) -> Run:
        await self._put("trained", "model", model)
        await self._stage("train", ModelTrained(
            dataset=self.made["prepared"], model=self.made["trained"], task="text-classification",
            evaluation=_evaluation(), validation=_evaluation(), **self._shared()))  # fmt: skip
        return self

    async def compress(self, model: str) -> Run:
        await self._put("model", "model", model)
        self.event = ModelCompressed(
            dataset=self.made["prepared"], trained=self.made["trained"], model=self.made["model"],
            task="text-classification", evaluation=_evaluation(), original=_figures(), compressed=_figures(),
            variants=[_figures()], **self._shared())  # fmt: skip
        await self._stage("compress", self.event)
        return self

    async def finish(self, model: str, version: int) -> Run:
        """The whole flow, to a registered version."""
        await self.ingest()
        await self.prepare()
        return await self.finish_from_prepared(model, version)

    async def finish_from_prepared(self, model: str, version: int) -> Run:
        await self.train(model)
        await self.compress(model)
        assert isinstance(self.event, ModelCompressed)
        decision = VersionRegistered(name=self.name, version=version, run_id=self.run_id, event=self.event)
        await self.house.records.append_decision("default", lambda _: decision)
        return await self.end("finished", name=self.name, version=version)

    async def end(self, state: Literal["finished", "failed", "cancelled"] = "failed", **more: Any) -> Run:
        outcome = OutcomeRecord(epoch=1, state=state, ended_at=datetime.now(UTC), **more)
        await self.house.records.create_outcome("default", self.run_id, outcome)
        return self

    async def result(self, fingerprint: str, text: str) -> ArtifactRef:
        """A job's commit, joined by no stage."""
        ref = await self.house.put(text, "model")
        record = ResultRecord(
            fingerprint=fingerprint, stage="train", result={}, artifacts={"model": ref}, usage={},
            committed_at=datetime.now(UTC), run_id=self.run_id,
        )  # fmt: skip
        await self.house.records.create_result("default", record)
        return ref

    @property
    def artifacts(self) -> list[ArtifactRef]:
        """Each once: the source that was uploaded is the one that ingest took."""
        return list(dict.fromkeys([*self.made.values(), *([self.source] if self.source else [])]))

    def _shared(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "name": self.name, "recipe": self.made["recipe"]}

    async def _put(self, role: str, kind: Any, text: str) -> None:
        self.made[role] = await self.house.put(f"{role} {text}", kind)

    async def _stage(self, stage: StageName, event: StageEvent) -> None:
        now = datetime.now(UTC)
        record = StageRecord(
            stage=stage, subject=event.subject, event=event.model_dump(mode="json"), fingerprint=stage,
            started_at=now, finished_at=now, cached=False, jobs=1,
        )  # fmt: skip
        await self.house.records.create_stage("default", self.run_id, record)


def _evaluation() -> EvaluationSummary:
    return EvaluationSummary(part="test", examples=1, metrics={"accuracy": 1.0})


def _figures() -> VariantFigures:
    return VariantFigures(
        variant="onnx", size_bytes=1, p50_ms=1.0, p95_ms=1.0, throughput=1.0, threads=1, metrics={"accuracy": 1.0}
    )


@pytest.fixture
def house(tmp_path: Path) -> House:
    """On a local folder, which is quick."""
    return House(str(tmp_path / "store"), tmp_path)


@pytest.fixture(params=["folder", "s3"])
async def either_house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    if request.param == "folder":
        return House(str(tmp_path / "store"), tmp_path)
    request.getfixturevalue("s3")
    url = f"s3://{request.getfixturevalue('bucket')}/prefix"
    await prepare_bucket(url)
    return House(url, tmp_path)
