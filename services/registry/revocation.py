"""Taking a version out of service for good: a decision in the chain, which also says where its aliases point now."""

from __future__ import annotations

import logging

from services.registry import chain as decided
from services.registry.chain import CHAMPION, Chain
from services.registry.projection import Projection
from services.registry.serving import Serving
from tidemill.bus import Bus
from tidemill.contracts import ModelPromoted, RevokeVersion
from tidemill.errors import InvalidInput
from tidemill.records import RecordStore
from tidemill.records.schema import DecisionRecord, VersionRevoked

log = logging.getLogger(__name__)


class Revocation:
    """Carries out ``RevokeVersion``. ``identity`` is the same for every delivery of a command."""

    def __init__(self, bus: Bus, records: RecordStore, projection: Projection, serving: Serving) -> None:
        self._bus = bus
        self._records = records
        self._projection = projection
        self._serving = serving

    async def revoke(self, command: RevokeVersion, identity: str) -> str:
        """Revoke a version; what its aliases point to now, in words.

        Raises:
            NotFound: there is no such version.
            InvalidInput: it was revoked already.
        """

        def decide(chain: Chain) -> VersionRevoked | None:
            if _by(chain, identity) is not None:
                return None
            version = decided.numbered(chain, command.name, command.version)
            if version is None:
                raise decided.no_version(chain, command.name, command.version)
            known = decided.revocation(chain, command.name, command.version)
            if known is not None:
                raise InvalidInput(revoked_words(known))
            pointing = decided.aliases_of(chain, command.name, command.version)
            return VersionRevoked(
                name=command.name, version=command.version, reason=command.reason, command=identity,
                aliases={alias: decided.fallback(chain, command.name, alias) for alias in pointing},
            )  # fmt: skip

        await self._records.append_decision(command.project, decide)
        link = _by(await self._records.decisions(command.project), identity)
        assert link is not None
        assert isinstance(link.decision, VersionRevoked)
        # Out of service before anything else: tables and announcements may wait for a database or a stream.
        await self._serving.deploy(command.project, command.name)
        await self._projection.decisions(command.project)
        await self._announce(command.project, link, link.decision)
        said = _where_aliases_point(link.decision)
        log.warning("model %s: version %d is revoked: %s; %s", command.name, command.version, command.reason, said)
        return f"{command.reason}; {said}"

    async def _announce(self, project: str, link: DecisionRecord, revoked: VersionRevoked) -> None:
        chain = await self._records.decisions(project)
        for alias, number in revoked.aliases.items():
            version = decided.numbered(chain, revoked.name, number) if number is not None else None
            if version is None:
                continue
            promoted = ModelPromoted(
                project=project, run_id=version.run_id, name=revoked.name, alias=alias, version=version.version,
                previous=revoked.version, reason=revoked_words(revoked),
            )  # fmt: skip
            await self._bus.announce(promoted, fingerprint=f"{link.digest}:{alias}")


def revoked_words(revoked: VersionRevoked) -> str:
    """What is said of a version that was revoked."""
    return f"version {revoked.version} of model {revoked.name!r} was revoked: {revoked.reason}"


def _by(chain: Chain, identity: str) -> DecisionRecord | None:
    for record in chain:
        if isinstance(record.decision, VersionRevoked) and record.decision.command == identity:
            return record
    return None


def _where_aliases_point(revoked: VersionRevoked) -> str:
    said = []
    for alias, number in sorted(revoked.aliases.items()):
        where = f"is version {number} again" if number is not None else "points to nothing, since no good one is left"
        said.append(f"{alias} {where}")
    if CHAMPION not in revoked.aliases:
        said.append("it was not in service")
    return "; ".join(said)
