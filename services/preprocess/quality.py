"""The quality report as data: what was there, what each step removed, how the parts look. Its page is in ``page``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.preprocess.spec import PreprocessSpec
from services.preprocess.steps import StepReport

_BINS = 24


def quality_report(
    spec: PreprocessSpec,
    source_rows: Mapping[str, int],
    steps: Sequence[StepReport],
    parts: Mapping[str, pa.Table],
    source_parts: Mapping[str, str],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """The report as JSON-ready values. Lengths are in characters; ``histogram.edges`` are upper bounds."""
    lengths = {part: pc.utf8_length(table["text"]).to_numpy() for part, table in parts.items()}
    edges = _edges(np.concatenate(list(lengths.values())))
    labels = sorted({label for table in parts.values() for label in pc.unique(table["label"]).to_pylist()})
    return {
        "version": 1,
        "task": spec.task,
        "columns": {"text": spec.text, "label": spec.label},
        "rows": {
            "source": dict(source_rows),
            "prepared": {part: table.num_rows for part, table in parts.items()},
            "removed": sum(source_rows.values()) - sum(table.num_rows for table in parts.values()),
        },
        "steps": [{**asdict(step), "removed": step.before - step.after} for step in steps],
        "split": {**spec.split.model_dump(), "source_parts": dict(source_parts)},
        "labels": labels,
        "balance": {part: _counts(table, labels) for part, table in parts.items()},
        "lengths": {part: _described(values) for part, values in lengths.items()},
        "histogram": {
            "edges": [int(edge) for edge in edges],
            "counts": {part: _histogram(values, edges) for part, values in lengths.items()},
        },
        "warnings": list(warnings),
    }


def _counts(table: pa.Table, labels: Sequence[str]) -> dict[str, int]:
    found = {entry["values"]: entry["counts"] for entry in pc.value_counts(table["label"]).to_pylist()}
    return {label: found.get(label, 0) for label in labels}


def _described(lengths: np.ndarray[Any, Any]) -> dict[str, float]:
    percentiles = np.percentile(lengths, [50, 95])
    return {
        "min": int(lengths.min()),
        "mean": round(float(lengths.mean()), 1),
        "median": round(float(percentiles[0]), 1),
        "p95": round(float(percentiles[1]), 1),
        "max": int(lengths.max()),
    }


def _edges(lengths: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    # A few very long texts would press all others into the first bin: the last bin is open.
    typical = max(_BINS, int(np.percentile(lengths, 99)))
    return np.append(np.ceil(np.linspace(0, typical, _BINS)[1:]), max(typical + 1, int(lengths.max())))


def _histogram(lengths: np.ndarray[Any, Any], edges: np.ndarray[Any, Any]) -> list[int]:
    counted = np.bincount(np.searchsorted(edges, lengths), minlength=len(edges))
    return [int(count) for count in counted]
