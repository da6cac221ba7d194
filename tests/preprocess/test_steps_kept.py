"""The outcomes of a preparation's steps are kept: what did not change is not done again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from services.preprocess import passes, tools
from services.preprocess.dataset import preprocess
from services.preprocess.spec import PreprocessSpec, ShardInfo, map_spec, report_spec, steps_of
from services.preprocess.stage import preprocess_stage
from tests.preprocess.conftest import contents, write_ingested
from tidemill.contracts import ArtifactRef, parse_recipe
from tidemill.jobs.report import Inputs, SilentReport
from tidemill.stage.fingerprint import step_fingerprints

BASE: dict[str, Any] = {"text": "body", "label": "kind"}
PRIVATE = {"detect": ["email"], "treatment": "mask"}


class Remembering(SilentReport):
    """A report that keeps steps as workers do, under their fingerprints."""

    keeps_steps = True

    def __init__(self, folder: Path, fingerprints: list[str]) -> None:
        self._folder = folder
        self._fingerprints = fingerprints
        self.kept: list[int] = []

    def step(self, number: int, directory: Path) -> None:
        self.kept.append(number)
        shutil.copytree(directory, self._folder / self._fingerprints[number])


@dataclass
class Worker:
    folder: Path
    read: list[str] = field(default_factory=list)
    """Names of the passes over the rows that were made."""

    def prepare(self, data: Mapping[str, Any], privacy: Mapping[str, Any]) -> tuple[list[str], dict[str, bytes]]:
        """Which steps were worked, and what came out."""
        recipe = parse_recipe({"data": {**BASE, **data}, "privacy": privacy})
        spec = PreprocessSpec.of("text-classification", recipe)
        steps = steps_of(spec)
        ref = ArtifactRef(digest="sha256:" + "0" * 64, kind="dataset", size_bytes=1)
        fingerprints = step_fingerprints("preprocess", preprocess_stage().revision, steps, {"dataset": ref})
        known = [number for number, name in enumerate(fingerprints) if (self.folder / "kept" / name).is_dir()]
        last = (known[-1], self.folder / "kept" / fingerprints[known[-1]]) if known else None
        report = Remembering(self.folder / "kept", fingerprints)
        output = self.folder / "output"
        shutil.rmtree(output, ignore_errors=True)
        preprocess(spec, Inputs({"dataset": self.folder / "ingested"}, step=last), output, report)
        return [steps[number].name for number in report.kept], contents(output / "dataset")


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    table = pa.table(
        {
            "body": [f"text {number % 80}, ask a{number % 80}@example.org" for number in range(120)],
            "kind": [("yes", "no")[number % 2] for number in range(120)],
        }
    )
    write_ingested(tmp_path / "ingested", {"data": table}, "text-classification", {"text": "body", "label": "kind"})
    worker = Worker(tmp_path)
    for name in ("clean", "key"):
        made = getattr(passes, name)

        def counted(*arguments: Any, name: str = name, made: Any = made) -> None:
            worker.read.append(name)
            made(*arguments)

        monkeypatch.setattr(passes, name, counted)
    return worker


def test_changing_the_last_step_repeats_that_one_alone(worker: Worker) -> None:
    first, plain = worker.prepare({}, {})
    assert first == ["clean and key", "deduplicate", "split"]
    again, more = worker.prepare({"augment": {"text": {"copies": 2}}}, {})
    assert (again, worker.read) == ([], ["key"])
    assert len(more["train/00000.parquet"]) > len(plain["train/00000.parquet"])
    assert more["test/00000.parquet"] == plain["test/00000.parquet"]
    assert worker.prepare({"balance": {"method": "undersample"}}, {})[0] == []


def test_another_split_repeats_the_split_and_another_treatment_what_is_behind_it(worker: Worker) -> None:
    assert worker.prepare({}, PRIVATE)[0] == ["clean", "deidentify", "deduplicate", "split"]
    assert worker.prepare({"split": {"seed": 3}}, PRIVATE)[0] == ["split"]
    assert worker.prepare({}, {**PRIVATE, "treatment": "drop", "entities": {"email": "mask"}})[0] == [
        "deidentify", "deduplicate", "split",
    ]  # fmt: skip
    assert worker.read == ["clean", "key", "key"]
    assert worker.prepare({"normalize": False}, PRIVATE)[0] == ["clean", "deidentify", "deduplicate", "split"]


@pytest.mark.parametrize("privacy", [{}, PRIVATE])
def test_what_begins_behind_a_known_step_leaves_the_same(worker: Worker, privacy: dict[str, Any]) -> None:
    whole = worker.prepare({}, privacy)[1]
    assert worker.prepare({}, privacy) == ([], whole)
    recipe = parse_recipe({"data": BASE, "privacy": privacy})
    spec = PreprocessSpec.of("text-classification", recipe)
    shutil.rmtree(worker.folder / "output")
    preprocess(spec, Inputs({"dataset": worker.folder / "ingested"}), worker.folder / "output", SilentReport())
    assert contents(worker.folder / "output" / "dataset") == whole


def test_another_version_of_what_finds_things_repeats_the_step(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    worker.prepare({}, PRIVATE)

    def upgraded(package: str) -> list[str]:
        with monkeypatch.context() as patched:
            patched.setattr(tools, "_version", lambda name: "another" if name == package else metadata.version(name))
            return worker.prepare({}, PRIVATE)[0]

    assert upgraded("phonenumbers") == ["deidentify", "deduplicate", "split"]
    assert upgraded("daft") == ["clean", "deidentify", "deduplicate", "split"]
    assert upgraded("py3langid") == []


def test_another_model_under_the_same_name_is_another_job_in_every_round(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.onnx"):
        (folder / name).write_text("{}")
    recipe = parse_recipe({"data": BASE, "privacy": {"detect": ["person"], "model": str(folder)}})
    shard = ShardInfo(part="data", number=0, first=1, rows=9)

    def planned() -> list[Any]:
        spec = PreprocessSpec.of("text-classification", recipe)
        return [spec, map_spec(spec, shard), report_spec("text-classification", recipe), steps_of(spec)[1]]

    before = planned()
    assert planned() == before
    (folder / "model.onnx").write_bytes(b"another")
    assert all(one != other for one, other in zip(planned(), before, strict=True))
