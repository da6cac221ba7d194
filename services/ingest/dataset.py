"""The work of ingest: the data files of a source become an immutable Parquet version with its profile and recipe.

Knows files, not where they came from, and neither bus nor store.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from services.ingest.delimited import DelimitedFile
from services.ingest.formats import detect_format
from services.ingest.jsonl import JsonLinesFile
from services.ingest.layout import part_files
from services.ingest.parquet import ParquetFile
from services.ingest.profile import ColumnStatistics
from services.ingest.spec import IngestResult, IngestSpec
from services.ingest.tables import Limits, TableFile
from tidemill.contracts import Recipe
from tidemill.contracts.data import Data
from tidemill.errors import HandedBack, InvalidInput
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.tasks import resolve_task, task_schema
from tidemill.telemetry import span


def ingest(spec: IngestSpec, inputs: Inputs, output: Path, report: ProgressReport) -> IngestResult:
    """Read the data files in ``inputs["source"]`` into ``output/dataset`` and freeze the recipe in ``output/recipe``.

    ``dataset`` gets ``<part>.parquet`` (``data``, or the given parts), ``profile.json`` and ``schema.json``; the
    columns of text formats are strings. ``recipe`` gets ``recipe.json``: the whole recipe, what was detected filled in.

    Raises:
        InvalidInput: the files are no dataset for the task; names file, line and column.
        HandedBack: the worker wants to leave.
    """
    dataset, frozen = output / "dataset", output / "recipe"
    dataset.mkdir(parents=True, exist_ok=True)
    frozen.mkdir(parents=True, exist_ok=True)
    with span("detect format"):
        tables = _open_parts(part_files(inputs["source"]), spec.recipe.data, Limits(spec.max_cell))
    columns = next(iter(tables.values())).columns
    with span("read and write"):
        statistics = {
            part: _write(table, columns, dataset / f"{part}.parquet", report, number / len(tables), 1 / len(tables))
            for number, (part, table) in enumerate(tables.items())
        }
    overall = _merged(columns, list(statistics.values()))
    where = " and ".join(table.path.name for table in tables.values())
    task, data = resolve_task(spec.recipe.task, [column.profile() for column in overall], spec.recipe.data, where)
    label = next(column for column in overall if column.name == data.label)
    task_schema(task).check_labels(label.values, label.name, where)
    recipe = spec.recipe.model_copy(update={"task": task, "data": _with_writing(data, tables)})
    rows = {part: columns[0].profile().rows for part, columns in statistics.items()}
    _write_json(dataset / "profile.json", _profile(tables, statistics, overall, label.name))
    _write_json(dataset / "schema.json", _schema(recipe, overall))
    _write_json(frozen / "recipe.json", recipe.model_dump(mode="json", exclude={"economics"}))
    return IngestResult(task=task, rows=sum(rows.values()), parts=rows)


def _open_parts(files: dict[str, Path], data: Data, limits: Limits) -> dict[str, TableFile]:
    tables: dict[str, TableFile] = {}
    header: bool | None = None
    for part, path in files.items():
        table = tables[part] = _open(path, data, limits, header)
        header = table.writing.header if header is None else header
        first = next(iter(tables.values()))
        if set(table.columns) != set(first.columns):
            raise InvalidInput(
                f"{table.path.name} has the columns {', '.join(table.columns)}, but {first.path.name} has "
                f"{', '.join(first.columns)}; all parts of a dataset need the same columns"
            )
    return tables


def _open(path: Path, data: Data, limits: Limits, header: bool | None) -> TableFile:
    format = detect_format(path, data.format)
    if format == "parquet":
        return ParquetFile(path, data, limits)
    if format == "jsonl":
        return JsonLinesFile(path, data, limits)
    return DelimitedFile(path, format, data, limits, header=header)


def _write(
    table: TableFile, columns: Sequence[str], target: Path, report: ProgressReport, done: float, share: float
) -> list[ColumnStatistics]:
    """Write all rows of ``table`` to ``target``, columns in the order of ``columns``; figures of every column."""
    statistics = [ColumnStatistics(name) for name in columns]
    writer: pq.ParquetWriter | None = None
    rows = 0
    try:
        for batch in table.batches():
            ordered = batch.rows.select(columns)
            if writer is None:
                writer = pq.ParquetWriter(target, ordered.schema, compression="zstd")
            writer.write_batch(ordered)
            for column, figures in zip(ordered.columns, statistics, strict=True):
                figures.update(column)
            rows += ordered.num_rows
            report.progress(done + share * batch.fraction, f"{rows:,} rows of {table.path.name}")
            if report.stop_requested:
                raise HandedBack("the worker is leaving in the middle of reading a dataset")
    finally:
        if writer is not None:
            writer.close()
    if not rows:
        raise InvalidInput(
            f"{table.path.name} has column names ({', '.join(columns)}) but no rows; add rows below them"
        )
    return statistics


def _merged(columns: Sequence[str], parts: Sequence[Sequence[ColumnStatistics]]) -> list[ColumnStatistics]:
    overall = [ColumnStatistics(name) for name in columns]
    for part in parts:
        for total, figures in zip(overall, part, strict=True):
            total.merge(figures)
    return overall


def _with_writing(data: Data, tables: dict[str, TableFile]) -> Data:
    """``data`` with what was found out about the files, as far as it is true of all of them."""
    writings = [table.writing for table in tables.values()]
    found: dict[str, Any] = {}
    if len({writing.format for writing in writings}) == 1:
        found["format"] = writings[0].format
    if len({writing.encoding for writing in writings}) == 1 and writings[0].encoding is not None:
        found["encoding"] = writings[0].encoding
    headers = {writing.header for writing in writings}
    if headers == {True}:
        found["header"] = True
    elif headers == {False}:
        found |= {"header": False, "columns": next(iter(tables.values())).columns}
    return data.model_copy(update=found)


def _profile(
    tables: dict[str, TableFile],
    statistics: dict[str, list[ColumnStatistics]],
    overall: Sequence[ColumnStatistics],
    label: str,
) -> dict[str, Any]:
    def described(columns: Sequence[ColumnStatistics]) -> dict[str, Any]:
        counts = next(column for column in columns if column.name == label).values or Counter()
        return {
            "rows": columns[0].profile().rows,
            "columns": [column.profile().model_dump() for column in columns],
            "label_counts": dict(sorted(counts.items())),
        }

    parts = {
        part: {"file": table.path.name, **asdict(table.writing), **described(statistics[part])}
        for part, table in tables.items()
    }
    return {"version": 1, **described(overall), "parts": parts}


def _schema(recipe: Recipe, columns: Sequence[ColumnStatistics]) -> dict[str, Any]:
    described = [{"name": column.name, "type": column.profile().type} for column in columns]
    return {
        "version": 1,
        "task": recipe.task,
        "text": recipe.data.text,
        "label": recipe.data.label,
        "columns": described,
    }


def _write_json(path: Path, document: dict[str, Any]) -> None:
    """Canonical JSON: the same content is always the same bytes."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")
