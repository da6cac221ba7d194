"""What the tests of preprocess share: preparing rows without a platform."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from services.preprocess.spec import PreprocessResult, PreprocessSpec
from services.preprocess.stage import preprocess
from tidemill.contracts import parse_recipe
from tidemill.datasets import Column, DatasetSchema, PartWriter, read_part
from tidemill.datasets.profile import DatasetProfile, PartFigures
from tidemill.datasets.statistics import ColumnStatistics
from tidemill.jobs.report import Inputs, ProgressReport, SilentReport

Rows = Sequence[tuple[Any, Any]]


@dataclass(frozen=True)
class PreparedFiles:
    result: PreprocessResult
    folder: Path

    def rows(self, part: str) -> list[dict[str, Any]]:
        return read_part(self.folder, part).to_pylist()

    def texts(self, part: str) -> list[str]:
        return [row["text"] for row in self.rows(part)]

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    @property
    def statistics(self) -> Any:
        return self.json("statistics.json")

    def step(self, name: str) -> Any:
        return next(step for step in self.statistics["steps"] if step["name"] == name)

    def removed(self) -> dict[str, int]:
        return {step["name"]: step["removed"] for step in self.statistics["steps"] if step["removed"]}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


Prepare = Callable[..., PreparedFiles]


def write_ingested(
    folder: Path, parts: Mapping[str, pa.Table], task: str, roles: Mapping[str, str], *, shard_rows: int = 10_000_000
) -> None:
    """What ingest leaves."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for part, table in parts.items():
        with PartWriter(folder, part, shard_rows=shard_rows) as writer:
            for batch in table.to_batches():
                writer.write(batch)
    schema = next(iter(parts.values())).schema
    DatasetSchema(task=task, roles=dict(roles), columns=[_column(field, roles) for field in schema]).write(folder)
    _profile(parts, roles.get("label")).write(folder)


def _profile(parts: Mapping[str, pa.Table], label: str | None) -> DatasetProfile:
    figures = [ColumnStatistics(name) for name in next(iter(parts.values())).column_names]
    for table in parts.values():
        for running in figures:
            running.update(table[running.name].combine_chunks())
    described = {}
    for part, table in parts.items():
        labels = [] if label is None else table[label].cast(pa.string()).drop_null().to_pylist()
        described[part] = PartFigures(rows=table.num_rows, label_counts=dict(Counter(labels)))
    rows = sum(table.num_rows for table in parts.values())
    return DatasetProfile(rows=rows, columns=[one.figures() for one in figures], parts=described)


def _column(field: pa.Field, roles: Mapping[str, str]) -> Column:
    if pa.types.is_string(field.type):
        label = roles.get("label") == field.name
        long = field.name in [name for role, name in roles.items() if role != "label"]
        return Column(name=field.name, kind="category" if label or not long else "text", strings=True)
    if pa.types.is_binary(field.type):
        return Column(name=field.name, kind="image")
    if pa.types.is_nested(field.type):
        return Column(name=field.name, kind="nested")
    return Column(name=field.name, kind="integer" if pa.types.is_integer(field.type) else "number")


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Prepare an ingested dataset of (text, label) rows, by part; keywords are those of the recipe's data section."""

    def run(
        parts: Mapping[str, Rows] | Rows, *, shard_rows: int = 10_000_000, privacy: Any = None, **data: Any
    ) -> PreparedFiles:
        tables = {
            part: pa.table({"body": [text for text, _ in rows], "kind": [label for _, label in rows]})
            for part, rows in (parts if isinstance(parts, Mapping) else {"data": parts}).items()
        }
        roles = {"text": "body", "label": "kind"}
        write_ingested(tmp_path / "ingested", tables, "text-classification", roles, shard_rows=shard_rows)
        return prepare_folder(tmp_path, "text-classification", data | {"text": "body", "label": "kind"}, privacy)

    return run


@pytest.fixture
def prepare_table(tmp_path: Path) -> Prepare:
    """Prepare ingested tables, by part, for another task."""

    def run(
        parts: Mapping[str, pa.Table] | pa.Table, task: str, roles: Mapping[str, str], *,
        shard_rows: int = 10_000_000, **data: Any,
    ) -> PreparedFiles:  # fmt: skip
        tables = parts if isinstance(parts, Mapping) else {"data": parts}
        write_ingested(tmp_path / "ingested", tables, task, roles, shard_rows=shard_rows)
        return prepare_folder(tmp_path, task, data, None)

    return run


def prepare_folder(
    folder: Path, task: str, data: Mapping[str, Any], privacy: Any, report: ProgressReport | None = None
) -> PreparedFiles:
    """Prepare ``folder/ingested`` into ``folder/output``."""
    shutil.rmtree(folder / "output", ignore_errors=True)
    recipe = parse_recipe({"data": data, "privacy": privacy or {}})
    inputs = Inputs({"dataset": folder / "ingested"})
    result = preprocess(PreprocessSpec.of(task, recipe), inputs, folder / "output", report or SilentReport())
    return PreparedFiles(result, folder / "output" / "dataset")
