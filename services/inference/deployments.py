"""Follows the desired state of serving, of all projects.

A deployment that is missing from a bucket made anew is not taken out of service; only its removal is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from services.inference.following import Following, read_kept, write_kept
from services.inference.serving.models import ServedModels
from tidemill.bus import Bus, DeploymentChange, Deployments
from tidemill.contracts import Deployment

log = logging.getLogger(__name__)


class DeploymentWatch(Following[DeploymentChange]):
    """Hands every change to ``models`` and remembers them in ``file``."""

    what = "deployments"

    def __init__(self, bus: Bus, models: ServedModels, *, connected: asyncio.Event, file: Path) -> None:
        super().__init__(bus, connected)
        self._models = models
        self._file = file

    def watching(self) -> AbstractAsyncContextManager[AsyncIterator[DeploymentChange]]:
        """A watch of the bucket."""
        return Deployments(self._bus).watching()

    async def take(self, change: DeploymentChange) -> None:
        """Serve what ought to be served."""
        if change.caught_up:
            self.known.set()
        elif change.deployment is None:
            self._models.remove(change.project, change.name)
        else:
            self._models.apply(change.deployment)
        if self.known.is_set():
            await asyncio.to_thread(write_kept, self._file, self._models.deployments())

    def use_last_known(self) -> None:
        """Serve what was served last."""
        last = read_kept(self._file, Deployment) or []
        for deployment in last:
            self._models.apply(deployment)
        log.warning("NATS does not answer; serving the last known deployments (%d)", len(last))
