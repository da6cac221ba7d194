"""Aliases to deployments: what the chain of decisions says about serving, put where every gateway watches it."""

from __future__ import annotations

import logging

from services.registry import chain as decided
from services.registry.chain import CHAMPION
from tidemill.bus import Bus, Deployments
from tidemill.contracts import DeployedVersion, Deployment
from tidemill.errors import CorruptArtifact
from tidemill.records import RecordStore

log = logging.getLogger(__name__)


class Serving:
    """Writes the KV bucket ``deployments``; the chain is the truth."""

    def __init__(self, bus: Bus, records: RecordStore) -> None:
        self._deployments = Deployments(bus)
        self._records = records

    async def deploy(self, project: str, name: str) -> None:
        """Let the champion of a model serve, and none when it was deleted; a model that had none is left alone.

        Two registries may do so at once: each looks at the chain again after its write, so the last champion stays.
        """
        while True:
            desired = await self._desired(project, name)
            if desired is None and not await self._had_champion(project, name):
                return
            if await self._deployments.get(project, name) != desired:
                if desired is None:
                    await self._deployments.remove(project, name)
                else:
                    await self._deployments.put(desired)
            if await self._desired(project, name) == desired:
                return

    async def restore(self) -> None:
        """Let every champion of every project serve, as after the loss of the bus."""
        for project in await self._records.projects():
            try:
                for name in decided.aliased(await self._records.decisions(project), CHAMPION):
                    await self.deploy(project, name)
            except CorruptArtifact as error:  # one project's damaged chain must not take the others out of service
                log.error("project %s: its models are not restored: %s", project, error)

    async def _had_champion(self, project: str, name: str) -> bool:
        return decided.alias(await self._records.decisions(project), name, CHAMPION) is not None

    async def _desired(self, project: str, name: str) -> Deployment | None:
        chain = await self._records.decisions(project)
        champion = decided.target(chain, name, CHAMPION)
        if champion is None or decided.revocation(chain, name, champion.version) is not None:
            return None
        run = await self._records.run(project, champion.run_id)
        version = DeployedVersion(
            version=champion.version,
            model=champion.event.model,
            signature=decided.signature(chain, champion),
            run_id=champion.run_id,
            traceparent=run.traceparent if run else None,
        )
        return Deployment(project=project, name=name, task=champion.event.task, versions=[version])
