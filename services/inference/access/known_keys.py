"""The API keys that this gateway knows: followed in the KV bucket ``access``, kept on its disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

from services.inference.following import Following, read_kept, write_kept
from tidemill.bus import AccessKeys, Bus
from tidemill.contracts import AccessKey

log = logging.getLogger(__name__)


class KnownKeys(Following[AccessKey | None]):
    """Keys by id, revoked ones too. A key that is missing from a bucket made anew stays known."""

    what = "API keys"

    def __init__(self, bus: Bus, *, connected: asyncio.Event, file: Path) -> None:
        super().__init__(bus, connected)
        self._file = file
        self._keys: dict[str, AccessKey] = {}
        self.heard = False
        """Whether the bus ever said, or the disk still knows, which keys there are."""

    def get(self, key_id: str) -> AccessKey | None:
        """The key of that id, None when there is none."""
        return self._keys.get(key_id)

    def still_takes(self, actor: str) -> bool:
        """Whether ``actor``, who was let in before, would be let in now, as far as keys go."""
        kind, _, key_id = actor.partition(":")
        if kind != "key":
            return True
        key = self._keys.get(key_id)
        return key is not None and key.refusal(datetime.now(UTC)) is None

    def of_project(self, project: str) -> list[AccessKey]:
        """All keys of a project, the last issued first."""
        found = [key for key in self._keys.values() if key.project == project]
        return sorted(found, key=lambda key: key.issued_at, reverse=True)

    def watching(self) -> AbstractAsyncContextManager[AsyncIterator[AccessKey | None]]:
        """A watch of the bucket."""
        return AccessKeys(self._bus).watching()

    async def take(self, change: AccessKey | None) -> None:
        """Know a key, or what became of it."""
        if change is None:
            self.known.set()
            self.heard = True
        elif self._keys.get(change.key_id) == change:
            return
        else:
            self._keys[change.key_id] = change
        if self.known.is_set():
            await asyncio.to_thread(write_kept, self._file, list(self._keys.values()))

    def use_last_known(self) -> None:
        """Take the keys that were taken last."""
        last = read_kept(self._file, AccessKey)
        self.heard = self.heard or last is not None
        for key in last or ():
            self._keys.setdefault(key.key_id, key)
        log.warning("NATS does not answer; taking the last known API keys (%d)", len(self._keys))
