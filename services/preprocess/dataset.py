"""The work of preprocess: an ingested dataset becomes a clean one in three parts, with a report on its quality.

Knows files and the order of things; each thing itself is in ``steps``, ``parts``, ``quality`` and ``page``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from services.preprocess.examples import read_examples, write_part
from services.preprocess.page import render_page
from services.preprocess.parts import make_parts
from services.preprocess.quality import quality_report
from services.preprocess.spec import PreprocessResult, PreprocessSpec
from services.preprocess.steps import cleaning_plan, run
from tidemill.jobs.report import Inputs, ProgressReport
from tidemill.telemetry import span


def preprocess(spec: PreprocessSpec, inputs: Inputs, output: Path, report: ProgressReport) -> PreprocessResult:
    """Clean the ingested dataset in ``inputs["dataset"]`` and leave its parts in ``output/dataset``.

    Writes ``train.parquet``, ``validation.parquet``, ``test.parquet`` (columns ``text``: string, ``label``: string,
    ``row``: int64, the number of the row in the ingested part from 1), ``labels.json`` (sorted), ``report.json`` and
    ``report.html``.

    Raises:
        InvalidInput: what is left cannot be cut into parts that all have every class.
    """
    target = output / "dataset"
    target.mkdir(parents=True, exist_ok=True)
    report.progress(0.0, "reading")
    with span("read"):
        examples = read_examples(inputs["dataset"], text=spec.text, label=spec.label)
    source_rows = {entry["values"]: entry["counts"] for entry in pc.value_counts(examples["part"]).to_pylist()}
    report.progress(0.2, f"cleaning {examples.num_rows:,} rows")
    plan = cleaning_plan(normalize=spec.normalize, drop_duplicates=spec.drop_duplicates)
    with span("clean", rows=examples.num_rows):
        examples, steps = run(plan, examples)
    report.progress(0.6, f"splitting {examples.num_rows:,} rows")
    with span("split", rows=examples.num_rows):
        prepared = make_parts(examples, spec.split)
    steps = [*steps, prepared.step] if prepared.step else steps
    source_parts: dict[str, str] = {}
    for number, (part, table) in enumerate(prepared.parts.items()):
        report.progress(0.8 + 0.05 * number, f"writing {part}")
        # Every row of a part comes from the same given one: only training rows are ever moved, to validation.
        source_parts[part] = table["part"][0].as_py()
        write_part(table, target / f"{part}.parquet", source_part=source_parts[part])
    quality = quality_report(spec, source_rows, steps, prepared.parts, source_parts, prepared.warnings)
    _write_json(target / "labels.json", quality["labels"])
    _write_json(target / "report.json", quality)
    (target / "report.html").write_text(render_page(quality), encoding="utf-8")
    return PreprocessResult(parts=quality["rows"]["prepared"], labels=quality["labels"])


def _write_json(path: Path, document: Any) -> None:
    """Canonical JSON: the same content is always the same bytes."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")
