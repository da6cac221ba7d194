"""A person's value in datasets of every form is gone from every byte of the platform, and does not come back."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.erasure.conftest import Platform, sentences, where
from tidemill.contracts import DatasetIngested
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
            "qas": [{"id": str(n), "question": f"what {n}?", "answers": [{"text": row["text"][:6], "answer_start": 0}]}],
        }
        for n, row in enumerate(rows())
    ]
    return {"squad.json": json.dumps({"version": "2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}).encode()}


FORMS: dict[str, Any] = {
    "csv": as_csv, "jsonl": as_jsonl, "parquet": as_parquet, "folder": as_text_folder, "zip": as_zip, "tar": as_tar,
    "squad": as_squad,
}  # fmt: skip


import os

if os.environ.get("ERASE_FORMS"):
    FORMS = {k: FORMS[k] for k in os.environ["ERASE_FORMS"].split(",")}


async def test_the_value_is_gone_from_every_byte_and_all_others_are_there(platform: Platform) -> None:
    runs = {name: await platform.prepared(name, files()) for name, files in FORMS.items()}
    assert where(platform.folder, MAIL, NAME)
    dry = await platform.erase(MAIL, dry_run=True)
    assert dry.dry_run
    assert {one.name: (one.erased, one.run_id) for one in dry.datasets}["csv"] == (6, None)
    report = await platform.erase(MAIL)
    await platform.rewritten(report)
    assert {one.name for one in report.datasets} == set(FORMS)
    for dataset in report.datasets:
        assert dataset.erased == (8 if dataset.name == "parquet" else 6), dataset
        versions = await platform.records.dataset_versions("default", dataset.name)
        assert [one.erasure for one in versions] == [None, report.id]
    assert where(platform.folder, f" {MAIL}", NAME) == []
    assert where(platform.folder, OTHER)
    assert set(report.runs_deleted) == set(runs.values())
    assert report.left == []
    before = await platform.records.stage("default", runs["csv"], "ingest")
    after = await platform.records.stage("default", next(d.run_id for d in report.datasets if d.name == "csv"), "ingest")
    old, new = announced(before), announced(after)
    assert isinstance(old, DatasetIngested)
    assert isinstance(new, DatasetIngested)
    assert (old.rows, new.rows, new.task) == (60, 54, old.task)
