"""What the tests of ingest share: reading bytes as a dataset, without a platform."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from services.ingest.spec import IngestResult, IngestSpec
from services.ingest.stage import ingest
from tidemill.contracts import Recipe, parse_recipe
from tidemill.datasets import DatasetSchema, part_shards, read_part
from tidemill.datasets.intake import IntakeReport
from tidemill.datasets.profile import ColumnFigures, DatasetProfile
from tidemill.jobs.report import Inputs, SilentReport


@dataclass(frozen=True)
class Ingested:
    result: IngestResult
    folder: Path

    @property
    def dataset(self) -> Path:
        return self.folder / "dataset"

    @property
    def recipe(self) -> Recipe:
        return parse_recipe(json.loads((self.folder / "recipe" / "recipe.json").read_text(encoding="utf-8")))

    @property
    def profile(self) -> DatasetProfile:
        return DatasetProfile.read(self.dataset)

    @property
    def schema(self) -> DatasetSchema:
        return DatasetSchema.read(self.dataset)

    @property
    def report(self) -> IntakeReport:
        return IntakeReport.read(self.folder / "report")

    @property
    def quarantined(self) -> list[dict[str, Any]]:
        file = self.folder / "quarantine" / "rows.parquet"
        return pq.read_table(file).to_pylist() if file.exists() else []

    @property
    def digests(self) -> dict[str, str]:
        """Of the files of the dataset, by name."""
        files = sorted(path for path in self.dataset.rglob("*") if path.is_file())
        return {str(path.relative_to(self.dataset)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def kind(self, column: str) -> str:
        found = self.schema.column(column)
        assert found is not None
        return found.kind

    def figures(self, column: str) -> ColumnFigures:
        found = self.profile.column(column)
        assert found is not None
        return found

    def rows(self, part: str = "data") -> list[dict[str, Any]]:
        return read_part(self.dataset, part).to_pylist()

    def shards(self, part: str = "data") -> list[str]:
        return [shard.name for shard in part_shards(self.dataset)[part]]


IngestFiles = Callable[..., Ingested]


@pytest.fixture
def ingest_files(tmp_path: Path) -> IngestFiles:
    """Ingest files given as bytes by name, or as the path of a folder; ``data`` is the recipe's section of that name.

    ``previous`` is the version before, ``append`` adds to it.
    """
    runs = 0

    def run(
        files: Mapping[str, bytes] | Path,
        data: Mapping[str, Any] | None = None,
        *,
        previous: Ingested | None = None,
        recipe: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> Ingested:
        nonlocal runs
        runs += 1
        source, output = tmp_path / f"source-{runs}", tmp_path / f"output-{runs}"
        if isinstance(files, Path):
            source = files
        else:
            for name, content in files.items():
                (source / name).parent.mkdir(parents=True, exist_ok=True)
                (source / name).write_bytes(content)
        job = IngestSpec(recipe=parse_recipe({**(recipe or {}), "data": dict(data or {})}), **spec)
        job = IngestSpec.model_validate_json(job.model_dump_json())
        inputs = {"source": source} | ({"previous": previous.dataset} if previous is not None else {})
        return Ingested(ingest(job, Inputs(inputs), output, SilentReport()), output)

    return run
