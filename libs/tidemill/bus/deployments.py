"""The desired state of serving: the KV bucket ``deployments``, written by the registry, watched by every gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nats.js.errors import KeyDeletedError, KeyNotFoundError

from tidemill.bus.connection import UNREACHABLE, Bus
from tidemill.bus.subjects import DEPLOYMENTS_BUCKET, key, name_of
from tidemill.bus.watching import watching
from tidemill.contracts import Deployment
from tidemill.errors import TransientError


@dataclass(frozen=True)
class DeploymentChange:
    """``deployment`` is None when it was removed; ``caught_up`` marks the end of what was there at the start."""

    project: str = ""
    name: str = ""
    deployment: Deployment | None = None
    caught_up: bool = False


class Deployments:
    """Read, write and watch deployments."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def put(self, deployment: Deployment) -> None:
        """Make this the desired state of the deployment."""
        bucket = await self._bus.bucket(DEPLOYMENTS_BUCKET)
        try:
            await bucket.put(key(deployment.project, deployment.name), deployment.model_dump_json().encode())
        except UNREACHABLE as error:
            raise TransientError(f"deployment {deployment.name!r} cannot be written: {error!r}") from error

    async def get(self, project: str, name: str) -> Deployment | None:
        """The deployment, or None."""
        bucket = await self._bus.bucket(DEPLOYMENTS_BUCKET)
        try:
            entry = await bucket.get(key(project, name))
        except (KeyNotFoundError, KeyDeletedError):
            return None
        except UNREACHABLE as error:
            raise TransientError(f"deployment {name!r} cannot be read: {error!r}") from error
        return Deployment.model_validate_json(entry.value) if entry.value else None

    async def remove(self, project: str, name: str) -> None:
        """Stop serving the model."""
        bucket = await self._bus.bucket(DEPLOYMENTS_BUCKET)
        try:
            await bucket.delete(key(project, name))
        except UNREACHABLE as error:
            raise TransientError(f"deployment {name!r} cannot be removed: {error!r}") from error

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[AsyncIterator[DeploymentChange]]:
        """Every deployment as it is now, one ``caught_up`` marker, then every change.

        Raises:
            TransientError: the bucket cannot be watched, or has to be watched anew; while iterating too.
        """
        async with watching(self._bus, DEPLOYMENTS_BUCKET, ">") as entries:

            async def changes() -> AsyncIterator[DeploymentChange]:
                async for entry in entries:
                    if entry is None:
                        yield DeploymentChange(caught_up=True)
                        continue
                    project, _, name = entry.key.partition(".")
                    value = Deployment.model_validate_json(entry.value) if entry.value else None
                    yield DeploymentChange(name_of(project), name_of(name), value)

            yield changes()
