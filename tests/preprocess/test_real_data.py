"""Real datasets, ingested and prepared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from services.ingest.spec import IngestSpec
from services.ingest.stage import ingest
from services.preprocess.spec import PreprocessResult
from services.preprocess.stage import plan_preprocess, preprocess
from tidemill.contracts import ArtifactRef, DatasetIngested, parse_recipe
from tidemill.datasets import read_part
from tidemill.jobs.report import Inputs, SilentReport


def prepared(files: list[Path], tmp_path: Path, recipe: dict[str, object]) -> tuple[PreprocessResult, Path]:
    source, ingested, output = tmp_path / "source", tmp_path / "ingested", tmp_path / "prepared"
    source.mkdir()
    for file in files:
        shutil.copy(file, source)
    done = ingest(IngestSpec(recipe=parse_recipe(recipe)), Inputs({"source": source}), ingested, SilentReport())
    frozen = parse_recipe(json.loads((ingested / "recipe" / "recipe.json").read_text(encoding="utf-8")))
    ref = ArtifactRef(digest="sha256:" + "0" * 64, kind="dataset", size_bytes=0)
    event = DatasetIngested(
        run_id="r1", name="x", recipe=ref, source=ref, dataset=ref, task=done.task, rows=done.rows, parts=done.parts
    )
    (job,) = plan_preprocess(event, frozen)
    return preprocess(job.spec, Inputs({"dataset": ingested / "dataset"}), output, SilentReport()), output / "dataset"


def test_sms_spam(real_data: Path, tmp_path: Path) -> None:
    file = real_data / "sms_spam" / "SMSSpamCollection"
    result, folder = prepared([file], tmp_path, {"data": {"columns": ["label", "text"]}})
    # 403 lines are exact duplicates; more are once white space is normalised.
    assert sum(result.parts.values()) <= 5574 - 403
    assert result.labels == ["ham", "spam"]
    keys = [
        {text.casefold() for text in read_part(folder, part)["text"].to_pylist()}
        for part in ("train", "validation", "test")
    ]
    assert sum(map(len, keys)) == len(set().union(*keys))


def test_banking77(real_data: Path, tmp_path: Path) -> None:
    files = [real_data / "banking77" / name for name in ("train.csv", "test.csv")]
    result, folder = prepared(files, tmp_path, {})
    assert len(result.labels) == 77
    # One row of the published test part is an exact duplicate of another.
    assert result.parts["test"] == 3079
    for part in ("train", "validation", "test"):
        assert len(set(read_part(folder, part)["label"].to_pylist())) == 77
