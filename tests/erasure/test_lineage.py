"""What was made from what: over stages and runs, in flight too, and no further."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from tidemill.contracts import (
    ArtifactKind,
    ArtifactRef,
    DatasetIngested,
    DatasetPrepared,
    DatasetPublished,
    ResourceUsage,
)
from tidemill.erasure.lineage import Lineage
from tidemill.records import keys
from tidemill.records.schema import AttemptRecord, CheckpointRecord, ResultRecord, RunRecord, StageRecord

NOW = datetime.now(UTC)


def ref(kind: ArtifactKind, name: str) -> ArtifactRef:
    return ArtifactRef(
        digest=f"sha256:{hashlib.sha256(f'{kind} {name}'.encode()).hexdigest()}", kind=kind, size_bytes=1
    )


class History:
    """The records of a project, as the stages leave them."""

    def __init__(self) -> None:
        self.lineage = Lineage()

    def add(self, key: str, record: Any) -> None:
        self.lineage.add(key, json.dumps(record.model_dump(mode="json")).encode())

    def run(self, run_id: str, source: str | None) -> None:
        given = {"source": ref("source", source)} if source else {"uri": "https://x/a.csv"}
        event = DatasetPublished.model_validate({"run_id": run_id, "name": "a", **given})
        self.add(f"{keys.run_folder('default', run_id)}/run.json", RunRecord(event=event, created_at=NOW))

    def stage(self, run_id: str, event: DatasetIngested | DatasetPrepared, *fingerprints: str) -> None:
        stage = "ingest" if isinstance(event, DatasetIngested) else "preprocess"
        record = StageRecord.model_validate({
            "stage": stage, "subject": event.subject, "event": event.model_dump(mode="json"), "fingerprint": "x",
            "started_at": NOW, "finished_at": NOW, "cached": False, "jobs": 1, "fingerprints": list(fingerprints),
        })  # fmt: skip
        self.add(keys.stage_key("default", run_id, record.stage), record)

    def result(self, run_id: str, stage: Any, fingerprint: str, **artifacts: ArtifactRef) -> None:
        record = ResultRecord(
            fingerprint=fingerprint, stage=stage, result={}, artifacts=artifacts, usage=ResourceUsage(),
            committed_at=NOW, run_id=run_id,
        )  # fmt: skip
        self.add(keys.result_key("default", fingerprint, 1), record)


def ingested(run_id: str, source: str, dataset: str) -> DatasetIngested:
    return DatasetIngested(
        run_id=run_id, name="a", recipe=ref("recipe", "r"), source=ref("source", source),
        dataset=ref("dataset", dataset), task="text-classification", rows=1, parts={"data": 1},
        report=ref("report", dataset),
    )  # fmt: skip


def prepared(run_id: str, dataset: str, out: str) -> DatasetPrepared:
    return DatasetPrepared(
        run_id=run_id, name="a", recipe=ref("recipe", "r"), ingested=ref("dataset", dataset),
        dataset=ref("dataset", out), task="text-classification", parts={"train": 1}, labels=[], vault=ref("vault", out),
    )  # fmt: skip


def test_everything_that_was_made_from_it_and_nothing_else() -> None:
    history = History()
    history.run("run-1", "one")
    history.stage("run-1", ingested("run-1", "one", "v1"))
    history.result("run-1", "preprocess", "shard", rows=ref("dataset", "first shard"))
    history.stage("run-1", prepared("run-1", "v1", "p1"), "shard")
    history.run("run-2", "two")  # appends: its first shard is the same
    history.stage("run-2", ingested("run-2", "two", "v2"))
    history.result("run-2", "preprocess", "decide", keys=ref("dataset", "keys"))
    history.stage("run-2", prepared("run-2", "v2", "p2"), "shard", "decide")
    history.result("run-2", "train", "fit", model=ref("model", "m2"))  # which has announced nothing yet
    attempt = AttemptRecord(
        run_id="run-2", epoch=1, stage="train", fingerprint="fit", kind="crash", error="", at=NOW
    )  # fmt: skip
    history.add(keys.attempt_key("default", "run-2", "fit", attempt.attempt_id), attempt)
    checkpoint = CheckpointRecord(fingerprint="fit", token=1, number=1, artifact=ref("checkpoint", "c"), at=NOW)
    history.add(keys.checkpoint_key("default", "fit", 1, 1), checkpoint)
    made = history.lineage.made_from([ref("source", "two").digest])
    expected = [
        ref("dataset", "v2"), ref("report", "v2"), ref("dataset", "p2"), ref("vault", "p2"), ref("dataset", "keys"),
        ref("dataset", "first shard"), ref("model", "m2"), ref("checkpoint", "c"),
    ]  # fmt: skip
    assert made == {one.digest for one in expected}
    assert history.lineage.runs_with(made) == {"run-2"}


def test_a_snapshot_is_the_source_of_its_run() -> None:
    history = History()
    history.run("run-1", None)
    history.result("run-1", "ingest", "snapshot", source=ref("source", "s"))
    history.result("run-1", "ingest", "read", dataset=ref("dataset", "v"), recipe=ref("recipe", "r"))
    assert history.lineage.made_from([ref("source", "s").digest]) == {ref("dataset", "v").digest}
    assert history.lineage.runs_with([ref("source", "s").digest]) == {"run-1"}
