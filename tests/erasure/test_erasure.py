"""A person's value in datasets of every form is gone from every byte of the platform, and does not come back."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.registry.erasing.overwriting import messages_of
from tests.erasure.conftest import PREPARED, Platform, eventually, sentences, where
from tidemill.artifacts.erased import Erased
from tidemill.contracts import (
    DatasetIngested,
    DatasetPrepared,
    DatasetPublished,
    EvaluationSummary,
    ModelCompressed,
    RetryRun,
    VariantFigures,
)
from tidemill.records.schema import AliasMoved, RunRecord, VersionRegistered
from tidemill.stage.announced import announced

MAIL = "ursula.kroeber@wiesen.example.de"
OTHER = "kursula.kroeber@wiesen.example.de"
NAME = "欧阳小娜"


def texts(number: int, text: str) -> str:
    """Every tenth text is the person's, another tenth that of somebody with a similar address."""
    said = {3: f"{text}, says {MAIL} ({NAME})", 5: f"{text}, says {OTHER}"}
    return said.get(number % 10, text)


def rows(count: int = 60) -> list[dict[str, str]]:
    return [
        {"text": texts(number, text), "label": label} for number, (text, label) in enumerate(sentences(count))
    ]  # fmt: skip


def as_csv() -> dict[str, bytes]:
    file = io.StringIO()
    writer = csv.DictWriter(file, ["text", "label"])
    writer.writeheader()
    writer.writerows(rows())
    return {"reviews.csv": file.getvalue().encode()}


def as_jsonl() -> dict[str, bytes]:
    return {"reviews.jsonl": "".join(f"{json.dumps(row)}\n" for row in rows()).encode()}  # non-ASCII escaped


def as_parquet() -> dict[str, bytes]:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows()), file, compression="zstd")
    return {"train.parquet": file.getvalue(), "test.parquet": as_parquet_part()}


def as_parquet_part() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows(20)), file, compression="snappy")
    return file.getvalue()


def as_text_folder() -> dict[str, bytes]:
    return {f"{row['label']}/{number}.txt": row["text"].encode() for number, row in enumerate(rows())}


def as_zip() -> dict[str, bytes]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/reviews.csv", as_csv()["reviews.csv"].decode())
    return {"reviews.zip": file.getvalue()}


def as_tar() -> dict[str, bytes]:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        content = as_csv()["reviews.csv"].decode().encode("utf-16")
        member = tarfile.TarInfo("reviews.csv")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return {"reviews.tar.gz": file.getvalue()}


def as_squad() -> dict[str, bytes]:
    paragraphs = [
        {
            "context": row["text"],
            "qas": [
                {"id": str(n), "question": f"what {n}?", "answers": [{"text": row["text"][:6], "answer_start": 0}]}
            ],
        }
        for n, row in enumerate(rows())
    ]
    return {"squad.json": json.dumps({"version": "2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}).encode()}


FORMS: dict[str, Any] = {
    "csv": as_csv, "jsonl": as_jsonl, "parquet": as_parquet, "folder": as_text_folder, "zip": as_zip, "tar": as_tar,
    "squad": as_squad,
}  # fmt: skip


async def _gone(platform: Platform, forms: Sequence[str]) -> None:
    """Publish the forms, erase the person, and look at every byte."""
    runs = {name: await platform.prepared(name, FORMS[name]()) for name in forms}
    assert where(platform.folder, f" {MAIL}", NAME)
    dry = await platform.erase(MAIL, dry_run=True)
    assert {(one.erased, one.run_id) for one in dry.datasets if one.name == "csv"} <= {(6, None)}
    assert where(platform.folder, f" {MAIL}", NAME)
    report = await platform.erase(MAIL)
    await platform.rewritten(report)
    assert {one.name for one in report.datasets} == set(forms)
    for dataset in report.datasets:
        assert dataset.erased == (8 if dataset.name == "parquet" else 6), dataset
        versions = await platform.records.dataset_versions("default", dataset.name)
        assert [one.erasure for one in versions] == [None, report.id]
    assert where(platform.folder, f" {MAIL}", NAME) == []
    assert where(platform.streams, f" {MAIL}", f'"{MAIL}', NAME) == []  # nor was it ever
    assert where(platform.folder, OTHER)
    assert set(report.runs_deleted) == set(runs.values())
    assert report.left == []
    for dataset in report.datasets:
        old = await _ingested(platform, runs[dataset.name])
        new = await _ingested(platform, dataset.run_id or "")
        assert (new.rows, new.task, new.parts.keys()) == (old.rows - dataset.erased, old.task, old.parts.keys())


async def _ingested(platform: Platform, run_id: str) -> DatasetIngested:
    record = await platform.records.stage("default", run_id, "ingest")
    assert record is not None
    event = announced(record)
    assert isinstance(event, DatasetIngested)
    return event


async def _prepared(platform: Platform, run_id: str) -> DatasetPrepared:
    record = await platform.records.stage("default", run_id, "preprocess")
    assert record is not None
    event = announced(record)
    assert isinstance(event, DatasetPrepared)
    return event


def csv_of(mail: str) -> bytes:
    """The reviews, said by somebody else."""
    return as_csv()["reviews.csv"].replace(f" {MAIL}".encode(), f" {mail}".encode())


async def test_the_value_is_gone_from_every_byte_and_all_others_are_there(platform: Platform) -> None:
    await _gone(platform, ["csv"])


@pytest.mark.full
async def test_whatever_form_the_dataset_had(platform: Platform) -> None:
    await _gone(platform, ["jsonl", "parquet", "folder", "zip", "tar", "squad"])


async def test_the_same_bytes_are_not_taken_again_and_nobody_brings_them_back(platform: Platform) -> None:
    mail = "inge@wiesen.example.de"
    run_id = await platform.prepared("again", {"again.csv": csv_of(mail)})
    event = await _ingested(platform, run_id)
    report = await platform.erase(mail)
    with pytest.raises(Erased, match=r"'again.csv' holds personal data that was erased"):
        await platform.put({"again.csv": csv_of(mail)})
    with pytest.raises(Erased, match="was erased at the person's request"):
        await platform.store.files(event.dataset)
    await platform.bus.command(RetryRun(run_id=run_id))
    letters = await eventually(lambda: platform.records.letters.newest("default", limit=10))
    assert any(run_id in letter.error and "publish its dataset again" in letter.error for letter in letters)
    await platform.rewritten(report)
    assert await platform.put({"again.csv": csv_of(mail) + b"one more,good\n"})  # other bytes are another file
    assert not await platform.store.exists(event.dataset)
    await platform.erase(mail)


async def test_a_run_that_goes_on_is_cancelled_in_words(platform: Platform) -> None:
    mail = "going.on@wiesen.example.de"
    source = await platform.put({"on.csv": csv_of(mail)})
    run_id = "run-going-on"
    event = DatasetPublished(run_id=run_id, name="on", source=source, recipe=PREPARED)
    await platform.records.create_run(RunRecord(event=event, created_at=datetime.now(UTC)))  # and nobody is told
    report = await platform.erase(mail)
    outcome = await platform.ended(run_id)
    assert (outcome.state, report.runs_cancelled) == ("cancelled", [run_id])
    assert report.id in outcome.reason
    assert "publish it without" in outcome.reason
    await platform.bus.announce(event, fingerprint="published", announcement=7)  # as a reconciler of long ago would
    await asyncio.sleep(2)
    assert await platform.records.stages("default", run_id) == []
    assert not await platform.store.exists(source)


async def test_records_and_messages_that_hold_it_are_overwritten(platform: Platform) -> None:
    mail = "in.words@wiesen.example.de"
    event = DatasetPublished(run_id="run-in-words", name="words", uri=f"file:///data/{mail}.csv", recipe=PREPARED)
    await platform.records.create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
    await platform.bus.announce(event, fingerprint="published")
    outcome = await platform.ended("run-in-words")
    assert outcome.state == "failed"
    report = await platform.erase(mail)
    assert report.records
    assert report.messages["EVENTS"]
    run = await platform.records.run("default", "run-in-words")
    assert run is not None
    assert run.event.uri == "file:///data/erased.csv"
    assert where(platform.folder, mail) == []
    async for message in messages_of(platform.bus.jetstream, "EVENTS"):  # what it had freed before may lie in its files
        assert mail.encode() not in bytes(message.data or b"")


async def test_tokens_of_the_person_leave_the_vault(platform: Platform) -> None:
    mail = "in.the.vault@wiesen.example.de"
    (platform.folder / "key").write_text("sixteen bytes and more")
    recipe = PREPARED | {"privacy": {"detect": ["email"], "treatment": "token", "key": f"file:{platform.folder}/key"}}
    before = await _prepared(platform, await platform.prepared("vault", {"vault.csv": csv_of(mail)}, recipe))
    report = await platform.erase(mail)
    await platform.rewritten(report)
    after = await _prepared(platform, report.datasets[0].run_id or "")
    assert before.vault is not None
    assert after.vault is not None
    fates = {one.digest: (one.fate, one.held) for one in report.artifacts}
    assert fates[before.vault.digest] == ("removed", False)  # nobody could see it there
    assert not await platform.store.exists(before.vault)
    vault = await platform.store.fetch(after.vault, platform.folder / "vault")
    assert sum(pq.read_table(path).num_rows for path in vault.rglob("*.parquet")) == 1  # of the one who stays


async def test_bytes_of_another_project_stay_until_it_erases_too(platform: Platform) -> None:
    mail = "in.two@wiesen.example.de"
    source = await platform.put({"two.csv": f"text,label\n{mail} says,good\n".encode()})
    for project in ("default", "another"):
        event = DatasetPublished(project=project, run_id="run-in-two", name="two", source=source)
        await platform.records.create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
    report = await platform.erase(mail)
    assert [one.fate for one in report.artifacts] == ["kept-shared"]
    assert any("another project refers to the same bytes" in sentence for sentence in report.left)
    assert await platform.store.exists(source)
    request = await platform.ask(mail, project="another")
    await eventually(lambda: platform.records.erasure("another", request.id), 60)
    assert not await platform.store.exists(source)


async def test_models_that_were_trained_on_it_are_listed(platform: Platform) -> None:
    mail = "in.a.model@wiesen.example.de"
    run_id = await platform.prepared("model", {"model.csv": csv_of(mail)})
    prepared = await _prepared(platform, run_id)
    package = await platform.put_as("model", {"vocabulary.txt": f"the\n{mail}\n".encode()})
    evaluation = EvaluationSummary(part="test", examples=2, metrics={"accuracy": 1.0})
    figures = VariantFigures(
        variant="onnx-fp32", size_bytes=1, p50_ms=1.0, p95_ms=1.0, throughput=1.0, threads=1, metrics={}
    )
    event = ModelCompressed(
        run_id=run_id, name="model", recipe=prepared.recipe, dataset=prepared.dataset, trained=package, model=package,
        task=prepared.task, evaluation=evaluation, original=figures, compressed=figures, variants=[figures],
    )  # fmt: skip
    for decision in (
        VersionRegistered(name="model", version=1, run_id=run_id, event=event),
        AliasMoved(name="model", alias="champion", version=1, previous=None, reason="the first"),
    ):
        await platform.records.append_decision("default", lambda _, one=decision: one)
    report = await platform.erase(mail)
    (model,) = report.models
    assert (model.name, model.version, model.aliases, model.serving, model.holds) == (
        "model", 1, ["champion"], True, True
    )  # fmt: skip
    assert any("tidemill models delete model --version 1" in sentence for sentence in report.left)
    assert await platform.store.exists(package)
