"""Streams and buckets that were lost, made again and filled with what only the registry knows.

Never changes one that exists: limits are set by ``tidemill up`` or a deploy step. What their messages were is not
brought back here: the reconciler announces what runs have reached, and run states are made from records when asked for.
"""

from __future__ import annotations

import logging

from services.registry.access import Access
from services.registry.serving import Serving
from services.registry.trimming import Trimming
from tidemill.bus import Bus
from tidemill.bus.streams import StreamLimits, provision_missing
from tidemill.bus.subjects import ACCESS_BUCKET, DEPLOYMENTS_BUCKET

log = logging.getLogger(__name__)


class Provisioning:
    """Looks after the platform's streams and buckets."""

    def __init__(self, bus: Bus, limits: StreamLimits, serving: Serving, access: Access) -> None:
        self._bus = bus
        self._limits = limits
        self._serving = serving
        self._access = access
        self._trimming = Trimming(bus)
        self._to_restore = False

    async def keep(self) -> None:
        """Make again what is lost, and room in what is nearly full.

        Deployments and API keys come from the chains of decisions.

        Safe for several replicas at once: they make the same.

        Raises:
            TransientError: the server cannot be reached, or did not make one; what is left is made by the next call.
        """
        made = await provision_missing(self._bus.client, self._limits)
        for name in made:
            log.error("stream or bucket %s was lost and is made again, empty", name)
        if DEPLOYMENTS_BUCKET in made or ACCESS_BUCKET in made:
            self._to_restore = True
        if self._to_restore:
            await self._serving.restore()
            await self._access.restore()
            self._to_restore = False
        await self._trimming.trim()
