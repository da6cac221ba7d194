"""What the tests of ingest share: reading bytes as a dataset, without a platform."""

from __future__ import annotations

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
from tidemill.jobs.report import Inputs, SilentReport


@dataclass(frozen=True)
class Ingested:
    result: IngestResult
    folder: Path

    @property
    def recipe(self) -> Recipe:
        return parse_recipe(json.loads((self.folder / "recipe" / "recipe.json").read_text(encoding="utf-8")))

    @property
    def profile(self) -> Any:
        return json.loads((self.folder / "dataset" / "profile.json").read_text(encoding="utf-8"))

    def rows(self, part: str = "data") -> list[dict[str, Any]]:
        return pq.read_table(self.folder / "dataset" / f"{part}.parquet").to_pylist()


IngestFiles = Callable[..., Ingested]


@pytest.fixture
def ingest_files(tmp_path: Path) -> IngestFiles:
    """Ingest files given as bytes by name; ``data`` is the recipe's section."""

    def run(files: Mapping[str, bytes], data: Mapping[str, Any] | None = None, **spec: Any) -> Ingested:
        source, output = tmp_path / "source", tmp_path / "output"
        source.mkdir(exist_ok=True)
        for old in source.iterdir():
            old.unlink()
        for name, content in files.items():
            (source / name).write_bytes(content)
        recipe = parse_recipe({"data": dict(data or {})})
        job = IngestSpec.model_validate_json(IngestSpec(recipe=recipe, **spec).model_dump_json())
        return Ingested(ingest(job, Inputs({"source": source}), output, SilentReport()), output)

    return run
