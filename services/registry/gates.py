"""The gates between a registered version and the alias ``champion``. Pure: figures in, verdict and reason out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tidemill.contracts import Recipe


@dataclass(frozen=True)
class Champion:
    """The version that serves now and its metrics on the test part."""

    version: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Verdict:
    """Whether a version is to be the champion, and why, in a sentence for a person."""

    promote: bool
    reason: str


def judge(
    recipe: Recipe,
    *,
    version: int,
    metrics: Mapping[str, float],
    champion: Champion | None,
    wanted: bool | None = None,
) -> Verdict:
    """Judge version ``version`` by the recipe's gates.

    ``metrics`` are those of the variant that would serve, on the test part. ``wanted`` is what was said when the
    dataset was published and goes before ``promotion.enabled``.
    """
    if champion is not None and champion.version == version:
        return Verdict(True, f"version {version} is the champion already")
    if wanted is False:
        return Verdict(False, "not promoted: published without promotion")
    if wanted is None and not recipe.promotion.enabled:
        return Verdict(False, "not promoted: promotion.enabled is false in the recipe")
    missed = [_missed(name, least, metrics.get(name)) for name, least in recipe.promotion.minimum.items()]
    reasons = [reason for reason in missed if reason]
    if reasons:
        return Verdict(False, f"not promoted: {'; '.join(reasons)}")
    return _against(champion, recipe, metrics)


def _missed(name: str, least: float, found: float | None) -> str:
    if found is None:
        return f"promotion.minimum asks for {name}, which was not measured"
    if not found >= least:
        return f"{name} {found:.3f} is below promotion.minimum {least:g}"
    return ""


def _against(champion: Champion | None, recipe: Recipe, metrics: Mapping[str, float]) -> Verdict:
    goal = recipe.goal.metric
    found = metrics.get(goal)
    measured = f"{goal} {found:.3f}" if found is not None else f"{goal} was not measured"
    if champion is None:
        return Verdict(True, f"first champion: {measured}")
    rival = f"(version {champion.version})"
    if not recipe.promotion.must_beat_champion:
        return Verdict(True, f"{measured}; the recipe asks for no comparison with the champion {rival}")
    best = champion.metrics.get(goal)
    if found is None:
        return Verdict(False, f"not promoted: {goal} was not measured, so it cannot beat the champion {rival}")
    if best is None:
        return Verdict(False, f"not promoted: {goal} of the champion {rival} was not measured")
    digits = 3 if f"{found:.3f}" != f"{best:.3f}" or found == best else 6
    if found > best:
        return Verdict(True, f"{goal} {found:.{digits}f} beats the champion's {best:.{digits}f} {rival}")
    return Verdict(
        False, f"not promoted: {goal} {found:.{digits}f} does not beat the champion's {best:.{digits}f} {rival}"
    )
