"""Looking things up in a project's chain of decisions. Pure functions; knows neither store nor bus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tidemill.errors import NotFound
from tidemill.records.schema import AliasMoved, DatasetDeleted, DecisionRecord, ModelDeleted, VersionRegistered

CHAMPION = "champion"
"""The alias that serves."""

Chain = Sequence[DecisionRecord]


def registered(chain: Chain, name: str) -> list[VersionRegistered]:
    """All versions that a model ever had, in the order in which they were registered."""
    return [
        record.decision
        for record in chain
        if isinstance(record.decision, VersionRegistered) and record.decision.name == name
    ]


def deleted_versions(chain: Chain, name: str) -> set[int]:
    """Numbers of the versions of a model that were deleted."""
    return {
        number
        for record in chain
        if isinstance(record.decision, ModelDeleted) and record.decision.name == name
        for number in record.decision.versions
    }


def versions(chain: Chain, name: str) -> list[VersionRegistered]:
    """The versions of a model that there are, in the order in which they were registered."""
    deleted = deleted_versions(chain, name)
    return [version for version in registered(chain, name) if version.version not in deleted]


def version_of(chain: Chain, name: str, *, run_id: str, digest: str) -> VersionRegistered | None:
    """The version that a run made already, though it were deleted since, else the one that its package has."""
    by_run = (version for version in registered(chain, name) if version.run_id == run_id)
    by_package = (version for version in versions(chain, name) if version.event.model.digest == digest)
    return next(by_run, None) or next(by_package, None)


def deleted_runs(chain: Chain) -> set[str]:
    """The runs whose datasets were deleted."""
    return {
        run_id for record in chain if isinstance(record.decision, DatasetDeleted) for run_id in record.decision.runs
    }


def numbered(chain: Chain, name: str, version: int) -> VersionRegistered | None:
    """Version ``version`` of a model, None when there is none or it was deleted."""
    return next((known for known in versions(chain, name) if known.version == version), None)


def no_version(chain: Chain, name: str, version: int | None = None) -> NotFound:
    """What is said when version ``version`` of a model, or the model itself, is not there."""
    if not versions(chain, name):
        return NotFound(f"there is no model {name!r}; `tidemill models list` shows the ones there are")
    return NotFound(f"model {name!r} has no version {version}; `tidemill models show {name}` shows them")


def next_number(chain: Chain, name: str) -> int:
    """The number that the next version of a model gets."""
    return max((known.version for known in registered(chain, name)), default=0) + 1


def alias(chain: Chain, name: str, alias_name: str) -> DecisionRecord | None:
    """The decision that put an alias where it points now."""
    return next(_moves(chain, name, alias_name), None)


def target(chain: Chain, name: str, alias_name: str) -> VersionRegistered | None:
    """The version that an alias points to; an alias goes with its version."""
    for record in _moves(chain, name, alias_name):
        assert isinstance(record.decision, AliasMoved)
        return numbered(chain, name, record.decision.version)
    return None


def moved_by(chain: Chain, name: str, alias_name: str, run_id: str) -> AliasMoved | None:
    """The move of an alias that a run brought about."""
    for record in _moves(chain, name, alias_name):
        if isinstance(record.decision, AliasMoved) and record.decision.run_id == run_id:
            return record.decision
    return None


def aliased(chain: Chain, alias_name: str) -> list[str]:
    """The models that have an alias of that name, sorted."""
    return sorted(
        {
            record.decision.name
            for record in chain
            if isinstance(record.decision, AliasMoved) and record.decision.alias == alias_name
        }
    )


def _moves(chain: Chain, name: str, alias_name: str) -> Iterator[DecisionRecord]:
    """Newest first."""
    for record in reversed(chain):
        decision = record.decision
        if isinstance(decision, AliasMoved) and decision.name == name and decision.alias == alias_name:
            yield record
