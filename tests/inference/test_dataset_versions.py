"""Versions of datasets and data reports, read from records alone: no registry answers in these tests."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tidemill.contracts import ArtifactKind, ArtifactRef, DatasetIngested, DatasetPrepared, DatasetPublished, StageEvent
from tidemill.records.schema import DatasetVersionRecord, OutcomeRecord, RunRecord, StageRecord

NAME = "评论"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
REPORT = {"report.html": "<!doctype html><title>报告</title>", "report.json": '{"version": 2}'}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def http(platform: Any, serving: Any) -> AsyncIterator[httpx.AsyncClient]:
    context = serving(platform.settings())
    url = await asyncio.to_thread(context.__enter__)
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        yield client
    await asyncio.to_thread(context.__exit__, None, None, None)


async def put(platform: Any, files: dict[str, str], kind: ArtifactKind = "dataset") -> ArtifactRef:
    folder = platform.folder / f"artifact-{next(_numbers)}"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    ref: ArtifactRef = await platform.store.put(folder, kind=kind)
    return ref


async def begun(platform: Any, run_id: str) -> ArtifactRef:
    source = await put(platform, {"a.csv": run_id}, "source")
    event = DatasetPublished(run_id=run_id, name=NAME, source=source)
    await platform.store.records().create_run(RunRecord(event=event, created_at=NOW))
    return source


async def passed(platform: Any, event: StageEvent, stage: Any) -> None:
    record = StageRecord(
        stage=stage, subject=event.subject, event=event.model_dump(mode="json"), fingerprint="f", started_at=NOW,
        finished_at=NOW, cached=False, jobs=1,
    )  # fmt: skip
    await platform.store.records().create_stage("default", event.run_id, record)


async def test_versions_come_newest_first_with_their_provenance(platform: Any, http: httpx.AsyncClient) -> None:
    records = platform.store.records()
    dataset = await put(platform, {"a": "ingested"})
    for number, run_id in enumerate(("run-v1", "run-v2"), 1):
        source = await begun(platform, run_id)
        record = DatasetVersionRecord(
            name=NAME, version=number, run_id=run_id, source=source, append=number == 2, licence="MIT", at=NOW,
            uri=None if number == 1 else "https://data.org/a.csv",
        )  # fmt: skip
        await records.create_dataset_version("default", record)
        if number == 1:
            ingested = DatasetIngested(
                run_id=run_id, name=NAME, recipe=dataset, source=source, dataset=dataset, task="text-classification",
                rows=7, parts={"data": 7}, quarantine=dataset,
            )  # fmt: skip
            await passed(platform, ingested, "ingest")
    newest, first = (await http.get(f"/v1/datasets/{NAME}/versions")).json()
    assert (newest["version"], newest["append"], newest["uri"]) == (2, True, "https://data.org/a.csv")
    assert (newest["rows"], newest["dataset"], newest["quarantined"]) == (None, None, False)
    assert (first["version"], first["rows"], first["parts"]) == (1, 7, {"data": 7})
    assert (first["dataset"], first["licence"], first["quarantined"]) == (dataset.digest, "MIT", True)


async def test_a_dataset_without_versions_is_not_found(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/datasets/nobody/versions")
    assert answer.status_code == 404
    assert "'nobody' has no version" in answer.json()["detail"]


async def test_a_report_is_a_page_in_which_nothing_runs_or_json(platform: Any, http: httpx.AsyncClient) -> None:
    source = await begun(platform, "run-good")
    prepared = DatasetPrepared(
        run_id="run-good", name=NAME, recipe=source, ingested=source, dataset=source, task="text-classification",
        parts={"train": 1}, labels=[], report=await put(platform, REPORT, "report"),
    )  # fmt: skip
    await passed(platform, prepared, "preprocess")
    page = await http.get("/v1/runs/run-good/report")
    assert page.text == REPORT["report.html"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["x-content-type-options"] == "nosniff"
    assert (await http.get("/v1/runs/run-good/report?format=json")).json() == {"version": 2}
    wrong = await http.get("/v1/runs/run-good/report?format=pdf")
    assert (wrong.status_code, "'pdf'" in wrong.json()["detail"]) == (400, True)


async def test_a_run_that_did_not_pass_its_gate_has_the_report_that_says_why(
    platform: Any, http: httpx.AsyncClient
) -> None:
    await begun(platform, "run-refused")
    records = platform.store.records()
    report = await put(platform, REPORT, "report")
    refused = OutcomeRecord(epoch=1, state="failed", ended_at=NOW, stage="preprocess", error="no", evidence=report)
    await records.create_outcome("default", "run-refused", refused)
    assert (await http.get("/v1/runs/run-refused/report")).text == REPORT["report.html"]
    cancelled = OutcomeRecord(epoch=2, state="cancelled", ended_at=NOW)
    await records.create_outcome("default", "run-refused", cancelled)
    assert (await http.get("/v1/runs/run-refused/report")).status_code == 200


async def test_what_has_no_report_says_so(platform: Any, http: httpx.AsyncClient) -> None:
    await begun(platform, "run-early")
    for run_id, sentence in (("run-early", "no data report yet"), ("run-nobody", "there is no run 'run-nobody'")):
        answer = await http.get(f"/v1/runs/{run_id}/report")
        assert answer.status_code == 404
        assert sentence in answer.json()["detail"]


async def test_what_a_run_made_is_taken_away_file_by_file(platform: Any, http: httpx.AsyncClient) -> None:
    source = await begun(platform, "run-fetched")
    prepared = await put(platform, {"labels.json": '["好"]', "schema.json": "{}"})
    event = DatasetPrepared(
        run_id="run-fetched", name=NAME, recipe=source, ingested=source, dataset=prepared, task="text-classification",
        parts={"train": 1}, labels=["好"],
    )  # fmt: skip
    await passed(platform, event, "preprocess")
    listed = (await http.get("/v1/runs/run-fetched/artifacts/dataset")).json()
    assert listed == {"digest": prepared.digest, "files": {"labels.json": len('["好"]'.encode()), "schema.json": 2}}
    answer = await http.get("/v1/runs/run-fetched/artifacts/dataset/labels.json")
    assert answer.text == '["好"]'
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("run-fetched/artifacts/dataset/..%2F..%2Fsecret", "no file '../../secret'"),
        ("run-fetched/artifacts/dataset/nothing.parquet", "no file 'nothing.parquet'"),
        ("run-fetched/artifacts/vault", "has no vault"),
        ("run-fetched/artifacts/model", "it can be dataset, ingested, quarantine, report, vault"),
        ("nobody/artifacts/dataset", "there is no run 'nobody'"),
    ],
)
async def test_what_is_not_there_is_said(http: httpx.AsyncClient, path: str, says: str) -> None:
    answer = await http.get(f"/v1/runs/{path}")
    assert answer.status_code == 404
    assert says in answer.text
