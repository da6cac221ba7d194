"""Looking things up in a project's chain of decisions. Pure functions; knows neither store nor bus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tidemill.contracts import PackageSignature
from tidemill.errors import NotFound
from tidemill.records.schema import (
    AliasMoved,
    DatasetDeleted,
    DecisionRecord,
    ModelDeleted,
    VersionRegistered,
    VersionRevoked,
    VersionSigned,
)

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


def signature(chain: Chain, version: VersionRegistered) -> PackageSignature | None:
    """The signature of a version that counts: the last that was given."""
    for record in reversed(chain):
        signed = record.decision
        if isinstance(signed, VersionSigned) and (signed.name, signed.version) == (version.name, version.version):
            return signed.signature
    return version.signature


def revocation(chain: Chain, name: str, version: int) -> VersionRevoked | None:
    """What took a version out of service for good, None of one that is good."""
    for record in chain:
        revoked = record.decision
        if isinstance(revoked, VersionRevoked) and (revoked.name, revoked.version) == (name, version):
            return revoked
    return None


def alias(chain: Chain, name: str, alias_name: str) -> DecisionRecord | None:
    """The decision that put an alias where it points now."""
    return next(_moves(chain, name, alias_name), None)


def target(chain: Chain, name: str, alias_name: str) -> VersionRegistered | None:
    """The version that an alias points to; an alias goes with its version."""
    for record in _moves(chain, name, alias_name):
        version = _moved_to(record, alias_name)
        return numbered(chain, name, version) if version is not None else None
    return None


def aliases_of(chain: Chain, name: str, version: int) -> list[str]:
    """The aliases that point to a version, sorted."""
    names = {
        record.decision.alias
        for record in chain
        if isinstance(record.decision, AliasMoved) and record.decision.name == name
    }
    pointed = {one: target(chain, name, one) for one in sorted(names)}
    return [one for one, found in pointed.items() if found is not None and found.version == version]


def fallback(chain: Chain, name: str, alias_name: str) -> int | None:
    """The last version before the present one that an alias pointed to and that is there and good."""
    present = target(chain, name, alias_name)
    for record in _moves(chain, name, alias_name):
        version = _moved_to(record, alias_name)
        if version is None or (present is not None and version == present.version):
            continue
        if numbered(chain, name, version) is not None and revocation(chain, name, version) is None:
            return version
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
    """What moved an alias, a revocation too; newest first."""
    for record in reversed(chain):
        decision = record.decision
        if isinstance(decision, AliasMoved) and decision.name == name and decision.alias == alias_name:
            yield record
        if isinstance(decision, VersionRevoked) and decision.name == name and alias_name in decision.aliases:
            yield record


def _moved_to(record: DecisionRecord, alias_name: str) -> int | None:
    decision = record.decision
    if isinstance(decision, VersionRevoked):
        return decision.aliases[alias_name]
    return decision.version if isinstance(decision, AliasMoved) else None
