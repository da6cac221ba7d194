"""The quality report as data, made of a prepared dataset's statistics. Its page is in ``page``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from services.preprocess.figures import PartFigures
from services.preprocess.lengths import Lengths

_BINS = 24


def quality_report(statistics: Mapping[str, Any]) -> dict[str, Any]:
    """The report as JSON-ready values. Lengths are in characters; ``histogram.edges`` are upper bounds."""
    figures = {part: PartFigures.model_validate(one) for part, one in statistics["parts"].items()}
    labels, rows = statistics["labels"], statistics["rows"]
    removed = sum(rows["source"].values()) - sum(rows["prepared"].values())
    edges = _edges([one.lengths for one in figures.values()])
    return {
        "version": 2,
        "task": statistics["task"],
        "columns": statistics["roles"],
        "rows": {**rows, "removed": removed},
        "steps": statistics["steps"],
        "split": statistics["split"],
        "labels": labels,
        "balance": {part: {label: one.labels.get(label, 0) for label in labels} for part, one in figures.items()},
        "lengths": {part: _described(one.lengths) for part, one in figures.items()},
        "histogram": {
            "edges": edges,
            "counts": {part: _histogram(one.lengths, edges) for part, one in figures.items()},
        },
        "warnings": statistics["warnings"],
    }


def _described(lengths: Lengths) -> dict[str, float]:
    return {
        "min": lengths.shortest,
        "mean": round(lengths.total / max(1, lengths.rows), 1),
        "median": lengths.percentile(0.5),
        "p95": lengths.percentile(0.95),
        "max": lengths.longest,
    }


def _edges(parts: list[Lengths]) -> list[int]:
    everything = Lengths()
    for one in parts:
        everything.add(one)
    # A few very long texts would press all others into the first bin: the last bin is open.
    typical = max(_BINS, everything.percentile(0.99))
    inner = np.ceil(np.linspace(0, typical, _BINS)[1:]).astype(int).tolist()
    return [*inner, max(typical + 1, everything.longest)]


def _histogram(lengths: Lengths, edges: list[int]) -> list[int]:
    counts = [0] * len(edges)
    for length, number in lengths.counts.items():
        counts[int(np.searchsorted(edges, length))] += number
    return counts
