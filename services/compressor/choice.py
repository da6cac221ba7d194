"""Which variant serves: a pure rule over what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidemill.contracts import VariantFigures

FALLBACK = "onnx-fp32"

_ROUNDING = 1e-9
"""A drop of exactly the budget is within it, whatever binary fractions make of 0.93 - 0.92."""


@dataclass(frozen=True)
class Choice:
    """The variant that serves, and why, for a person."""

    variant: str
    reason: str


def choose(original: VariantFigures, candidates: Sequence[VariantFigures], metric: str, budget: float) -> Choice:
    """The smallest p50 among the candidates that are good enough and faster here than ``original``.

    Good enough: ``metric`` on the validation part fell by at most ``budget``. Equal latencies: the smaller one. When
    none qualifies, the ONNX export at full precision serves, since the original cannot be served without PyTorch.
    The test part plays no role.
    """
    if not candidates:
        return Choice(FALLBACK, f"{FALLBACK} serves: no candidate could be made")
    good = [one for one in candidates if _drop(original, one, metric) <= budget + _ROUNDING]
    faster = [one for one in good if one.p50_ms < original.p50_ms]
    if not faster:
        lacking = _lacking(original, candidates, good, metric, budget)
        return Choice(FALLBACK, f"{FALLBACK} serves: {lacking}")
    best = min(faster, key=lambda one: (one.p50_ms, one.size_bytes, one.variant))
    reason = (
        f"{best.variant} serves: {original.p50_ms / best.p50_ms:.1f} times faster and "
        f"{original.size_bytes / best.size_bytes:.1f} times smaller than the original, {metric} on the validation part "
        f"{best.metrics[metric]:.4f} against {original.metrics[metric]:.4f} (budget {budget:g})"
    )
    costly = [one for one in candidates if one not in good and one.p50_ms < best.p50_ms]
    if costly:
        names = ", ".join(f"{one.variant} (-{_drop(original, one, metric):.4f})" for one in costly)
        reason += f"; faster but beyond the budget: {names}"
    return Choice(best.variant, reason)


def _drop(original: VariantFigures, candidate: VariantFigures, metric: str) -> float:
    return original.metrics[metric] - candidate.metrics[metric]


def _lacking(
    original: VariantFigures,
    candidates: Sequence[VariantFigures],
    good: Sequence[VariantFigures],
    metric: str,
    budget: float,
) -> str:
    if not good:
        least = min(_drop(original, one, metric) for one in candidates)
        return (
            f"every candidate lost more than {budget:g} of {metric} on the validation part (the best {least:.4f}); "
            "raise compression.quality_budget to accept it"
        )
    fastest = min(one.p50_ms for one in good)
    return (
        f"no candidate within the budget was faster than the original here ({fastest:.2f} ms against "
        f"{original.p50_ms:.2f} ms at p50)"
    )
