"""API keys as gateways know them: the KV bucket ``access``, written by the registry, watched by every gateway.

A key that was revoked stays in the bucket and says so, so that a gateway that was away learns of it however often the
bucket was lost in between.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import ValidationError

from tidemill.bus.connection import UNREACHABLE, Bus
from tidemill.bus.subjects import ACCESS_BUCKET, key
from tidemill.bus.watching import watching
from tidemill.contracts import AccessKey
from tidemill.errors import TransientError

log = logging.getLogger(__name__)


class AccessKeys:
    """Write, list and watch API keys."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def put(self, access_key: AccessKey) -> None:
        """Let gateways know a key, or what became of it."""
        bucket = await self._bus.bucket(ACCESS_BUCKET)
        try:
            name = key(access_key.project, access_key.key_id)
            await bucket.put(name, access_key.model_dump_json().encode())
        except UNREACHABLE as error:
            raise TransientError(f"API key {access_key.key_id} cannot be written: {error!r}") from error

    async def all(self) -> dict[tuple[str, str], AccessKey]:
        """Every key in the bucket, by project and id."""
        found: dict[tuple[str, str], AccessKey] = {}
        async with self.watching() as keys:
            async for one in keys:
                if one is None:
                    break
                found[one.project, one.key_id] = one
        return found

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[AsyncIterator[AccessKey | None]]:
        """Every key as it is now, None, then every change. What cannot be read is said in the log and left out.

        Raises:
            TransientError: the bucket cannot be watched, or has to be watched anew; while iterating too.
        """
        async with watching(self._bus, ACCESS_BUCKET, ">") as entries:

            async def keys() -> AsyncIterator[AccessKey | None]:
                async for entry in entries:
                    if entry is None:
                        yield None
                        continue
                    try:
                        yield AccessKey.model_validate_json(entry.value or b"")
                    except ValidationError:
                        log.error("entry %s of the KV bucket %s is no API key", entry.key, ACCESS_BUCKET)

            yield keys()
