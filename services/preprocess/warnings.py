"""What a person should look at in a prepared dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.preprocess.figures import PartFigures
from services.preprocess.splits.given import listed

_UNEVEN = 20


def warnings_of(figures: Mapping[str, PartFigures], labels: Sequence[str]) -> list[str]:
    """Sentences: classes that are very uneven, classes that a part lacks."""
    if not labels:
        return []
    return [*_uneven(figures["train"].labels), *_absent(figures)]


def _uneven(counts: Mapping[str, int]) -> list[str]:
    ordered = sorted(counts.items(), key=lambda entry: (entry[1], entry[0]))
    (few, least), (many, most) = ordered[0], ordered[-1]
    if most < _UNEVEN * least:
        return []
    return [f"classes are very uneven: {few!r} has {least:,} training rows, {many!r} has {most:,}"]


def _absent(figures: Mapping[str, PartFigures]) -> list[str]:
    known = figures["train"].labels.keys()
    warnings = []
    for part in ("validation", "test"):
        absent = sorted(known - figures[part].labels.keys())
        if absent:
            warnings.append(f"the {part} part has no row of {len(absent)} of {len(known)} labels: {listed(absent)}")
    return warnings
