"""The quality report as data, made of a prepared dataset's statistics. Its page is in ``page``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.preprocess.lengths import Lengths

_BINS = 24


def quality_report(
    task: str, roles: Mapping[str, str], statistics: Mapping[str, Any], lengths: Mapping[str, Lengths]
) -> dict[str, Any]:
    """The report as JSON-ready values. Lengths are in characters; ``histogram.edges`` are upper bounds."""
    source, prepared = statistics["source"], statistics["prepared"]
    edges = _edges(list(lengths.values()))
    return {
        "version": 2,
        "task": task,
        "columns": dict(roles),
        "rows": {
            "source": source, "prepared": prepared, "removed": sum(step["removed"] for step in statistics["steps"])
        },
        "steps": _steps(statistics["steps"], sum(source.values())),
        "split": {**statistics["split"], "source_parts": statistics["source_parts"]},
        "labels": sorted({label for counts in statistics["balance"].values() for label in counts}),
        "balance": statistics["balance"],
        "lengths": {part: _described(one) for part, one in lengths.items()},
        "histogram": {"edges": edges, "counts": {part: _histogram(one, edges) for part, one in lengths.items()}},
        "warnings": statistics["warnings"],
    }  # fmt: skip


def _steps(steps: Sequence[Mapping[str, Any]], rows: int) -> list[dict[str, Any]]:
    """Each step with the rows before and after it."""
    described = []
    for step in steps:
        described.append({**step, "before": rows, "after": rows - step["removed"]})
        rows -= step["removed"]
    return described


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
