"""API keys: issued, rotated and revoked as decisions, and put where every gateway watches them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from services.registry.chain import Chain
from services.registry.issued_keys import issued_keys, renewed, required, still_taken
from tidemill.bus import AccessKeys, Bus
from tidemill.contracts import IssueKey, RevokeKey, RotateKey
from tidemill.errors import CorruptArtifact, InvalidInput
from tidemill.records import RecordStore
from tidemill.records.schema import KeyIssued, KeyRevoked

log = logging.getLogger(__name__)


class Access:
    """Writes the KV bucket ``access``; the chain of decisions is the truth. Every command may come twice."""

    def __init__(self, bus: Bus, records: RecordStore) -> None:
        self._keys = AccessKeys(bus)
        self._records = records

    async def issue(self, command: IssueKey) -> None:
        """Let a key be taken.

        Raises:
            InvalidInput: its end has passed already.
        """

        def decide(chain: Chain) -> KeyIssued | None:
            if command.key_id in issued_keys(command.project, chain):
                return None
            if command.grant.ends_at is not None and command.grant.ends_at <= datetime.now(UTC):
                raise InvalidInput(f"key {command.key_id} would have ended before it was issued; issue it again")
            return KeyIssued(key_id=command.key_id, digest=command.digest, grant=command.grant, actor=command.actor)

        await self._records.append_decision(command.project, decide)
        await self._show(command.project, command.key_id)

    async def rotate(self, command: RotateKey) -> None:
        """Let another key take the place of one, which is taken itself for a while longer.

        Raises:
            NotFound: there is no such key.
            InvalidInput: it was revoked, replaced or has ended.
        """

        def decide(chain: Chain) -> KeyIssued | None:
            keys = issued_keys(command.project, chain)
            if command.by in keys:
                return None
            now = datetime.now(UTC)
            old = still_taken(required(keys, command.key_id), now)
            return KeyIssued(
                key_id=command.by, digest=command.digest, grant=renewed(old, now), actor=command.actor,
                replaces=old.key_id, replaced_until=command.until,
            )  # fmt: skip

        await self._records.append_decision(command.project, decide)
        await self._show(command.project, command.by, command.key_id)

    async def revoke(self, command: RevokeKey) -> None:
        """Take a key no longer.

        Raises:
            NotFound: there is no such key.
        """

        def decide(chain: Chain) -> KeyRevoked | None:
            key = required(issued_keys(command.project, chain), command.key_id)
            if key.ended_at is not None and key.ended_at <= datetime.now(UTC):
                return None
            return KeyRevoked(key_id=command.key_id, actor=command.actor, reason=command.reason)

        await self._records.append_decision(command.project, decide)
        await self._show(command.project, command.key_id)

    async def restore(self) -> None:
        """Bring the bucket up to the chains of all projects, as after the loss of the bus."""
        shown = await self._keys.all()
        for project in await self._records.projects():
            try:
                keys = issued_keys(project, await self._records.decisions(project))
            except CorruptArtifact as error:  # one project's damaged chain must not lock the others out
                log.error("project %s: its API keys are not restored: %s", project, error)
                continue
            for key_id, key in keys.items():
                if shown.get((project, key_id)) != key:
                    await self._show(project, key_id)

    async def _show(self, project: str, *key_ids: str) -> None:
        """Write what the chain says of the keys.

        Two registries may do so at once: each looks at the chain again after its write, so the last word stays.
        """
        while True:
            before = await self._records.decisions(project)
            keys = issued_keys(project, before)
            for key_id in key_ids:
                await self._keys.put(keys[key_id])
            if issued_keys(project, await self._records.decisions(project)) == keys:
                return
