"""What a project's decisions left of its models and datasets. Pure functions over the chain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tidemill.records.schema import DatasetDeleted, DecisionRecord, ModelDeleted, VersionRegistered


@dataclass(frozen=True)
class Deletions:
    """Versions as (name, number), and the ids of the runs whose datasets were deleted."""

    versions: frozenset[tuple[str, int]]
    runs: frozenset[str]


def deletions(chain: Iterable[DecisionRecord]) -> Deletions:
    """Everything that was deleted on purpose."""
    versions: set[tuple[str, int]] = set()
    runs: set[str] = set()
    for record in chain:
        match record.decision:
            case ModelDeleted(name=name, versions=numbers):
                versions.update((name, number) for number in numbers)
            case DatasetDeleted(runs=ids):
                runs.update(ids)
    return Deletions(frozenset(versions), frozenset(runs))


def living_versions(chain: Sequence[DecisionRecord], deleted: Deletions) -> list[VersionRegistered]:
    """The versions of all models that were not deleted."""
    return [
        record.decision
        for record in chain
        if isinstance(record.decision, VersionRegistered)
        and (record.decision.name, record.decision.version) not in deleted.versions
    ]
