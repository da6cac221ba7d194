"""What the tests of preprocess share: preparing rows without a platform."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.preprocess.spec import PreprocessResult, PreprocessSpec
from services.preprocess.stage import preprocess
from tidemill.contracts.preparation import Split
from tidemill.jobs.report import Inputs, SilentReport

Rows = Sequence[tuple[Any, Any]]


@dataclass(frozen=True)
class PreparedFiles:
    result: PreprocessResult
    folder: Path

    def rows(self, part: str) -> list[dict[str, Any]]:
        return pq.read_table(self.folder / f"{part}.parquet").to_pylist()

    def texts(self, part: str) -> list[str]:
        return [row["text"] for row in self.rows(part)]

    @property
    def report(self) -> Any:
        return json.loads((self.folder / "report.json").read_text(encoding="utf-8"))

    def removed(self) -> dict[str, int]:
        return {step["name"]: step["removed"] for step in self.report["steps"] if step["removed"]}


Prepare = Callable[..., PreparedFiles]


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Prepare an ingested dataset of (text, label) rows, by part."""

    def run(parts: Mapping[str, Rows] | Rows, **spec: Any) -> PreparedFiles:
        source, output = tmp_path / "ingested", tmp_path / "output"
        source.mkdir(exist_ok=True)
        for old in source.iterdir():
            old.unlink()
        for part, rows in (parts if isinstance(parts, Mapping) else {"data": parts}).items():
            table = pa.table({"body": [text for text, _ in rows], "kind": [label for _, label in rows]})
            pq.write_table(table, source / f"{part}.parquet")
        settings = {"normalize": True, "drop_duplicates": True, "split": Split()} | spec
        job = PreprocessSpec(task="text-classification", text="body", label="kind", **settings)
        result = preprocess(job, Inputs({"dataset": source}), output, SilentReport())
        return PreparedFiles(result, output / "dataset")

    return run
