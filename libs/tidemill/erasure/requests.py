"""What was asked to be erased and is not erased yet: kept in the store, apart from everything that is copied or lasts.

    erasures/<project>/<id>/request.json    ErasureRequest: the one place where the value stands
    erasures/<project>/<id>/progress.json   how far it is, for whoever waits
    erasures/<project>/<id>/state.json      what was done so far, so that a crash in the middle goes on
    erasures/<project>/<id>/searched/…      what files were found to hold, so that they are not read again

Backups leave this folder out, and all of it is removed, every version of it, when the erasure is done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel, Field

from tidemill.artifacts.objects import Objects
from tidemill.contracts import Frozen, Name
from tidemill.contracts.erasures import ErasureId, SubjectKind
from tidemill.erasure.jobs import FoundFile
from tidemill.errors import NotFound
from tidemill.records.documents import from_json, to_json

FOLDER = "erasures"

D = TypeVar("D", bound=BaseModel)


class ErasureRequest(Frozen):
    """Whose data is to go. ``repr`` does not show the value."""

    id: ErasureId
    project: Name
    actor: str = "local"
    subject: str = Field(repr=False)
    kind: SubjectKind = "any"
    dry_run: bool = False
    asked_at: datetime


class ErasureProgress(Frozen):
    """How far an erasure is."""

    step: str
    done: int = 0
    total: int = 0


class Searched(Frozen):
    """What some files were found to hold, by the names of their contents."""

    found: dict[str, FoundFile]


class PendingErasures:
    """The requests of a store that are not done. Everything raises ``TransientError`` when it is out of reach."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def ask(self, request: ErasureRequest) -> bool:
        """Put a request down; False when there is one of its id."""
        return await self._objects.create_own(_key(request.project, request.id, "request.json"), to_json(request))

    async def request(self, project: str, erasure: str) -> ErasureRequest | None:
        """A request, None when there is none or it is done."""
        return await self._read(_key(project, erasure, "request.json"), ErasureRequest)

    async def all(self) -> list[ErasureRequest]:
        """The requests of all projects, the oldest first."""
        keys = [key async for key in self._objects.keys(FOLDER) if key.endswith("/request.json")]
        found = [await self._read(key, ErasureRequest) for key in keys]
        return sorted((one for one in found if one is not None), key=lambda one: one.asked_at)

    async def progress(self, project: str, erasure: str) -> ErasureProgress | None:
        """How far it is, None before it has begun."""
        return await self._read(_key(project, erasure, "progress.json"), ErasureProgress)

    async def tell(self, request: ErasureRequest, progress: ErasureProgress) -> None:
        """Say how far it is."""
        await self._write(_key(request.project, request.id, "progress.json"), progress)

    async def state(self, request: ErasureRequest, kind: type[D]) -> D | None:
        """What was done so far, None before anything was."""
        return await self._read(_key(request.project, request.id, "state.json"), kind)

    async def keep_state(self, request: ErasureRequest, state: BaseModel) -> None:
        """Write what was done so far."""
        await self._write(_key(request.project, request.id, "state.json"), state)

    async def keep_searched(self, request: ErasureRequest, name: str, searched: Searched) -> None:
        """Write what some files were found to hold; ``name`` is that of the first of them."""
        await self._write(_key(request.project, request.id, f"searched/{name}.json"), searched)

    async def searched(self, request: ErasureRequest) -> AsyncIterator[Searched]:
        """What was searched before."""
        async for key in self._objects.keys(_key(request.project, request.id, "searched")):
            found = await self._read(key, Searched)
            if found is not None:
                yield found

    async def remove(self, request: ErasureRequest) -> list[str]:
        """Remove all of a request, its value last. Returns what the service refused; see ``Objects.erase``."""
        first = _key(request.project, request.id, "request.json")
        folder = first.rpartition("/")[0]
        keys = [key async for key in self._objects.keys(folder) if key != first]
        refused = await self._objects.erase(sorted(keys))
        return refused + await self._objects.erase([first])

    async def _read(self, key: str, kind: type[D]) -> D | None:
        try:
            return from_json(await self._objects.read(key), kind, key)
        except NotFound:
            return None

    async def _write(self, key: str, document: BaseModel) -> None:
        await self._objects.write(key, iter([to_json(document)]))


def _key(project: str, erasure: str, name: str) -> str:
    return f"{FOLDER}/{project}/{erasure}/{name}"
