"""Typed JSON documents in object storage: create-only, tolerant of fields that this version does not know.

Knows neither which records there are nor where they are kept.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tidemill.artifacts.objects import Objects
from tidemill.artifacts.parallel import in_parallel
from tidemill.errors import CorruptArtifact, InvalidInput, NotFound

D = TypeVar("D", bound=BaseModel)


def canonical(document: Any) -> bytes:
    """JSON with sorted keys and no spaces, in UTF-8: the same document gives the same bytes.

    Raises:
        InvalidInput: it holds a number that JSON has no word for (NaN, infinity).
    """
    try:
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise InvalidInput(f"a record cannot hold NaN or infinity: {error}") from error


def to_json(record: BaseModel) -> bytes:
    """A record as it is kept."""
    return canonical(record.model_dump(mode="json"))


def from_json(data: bytes, kind: type[D], key: str) -> D:
    """The record in ``data``.

    Raises:
        CorruptArtifact: it is not JSON, or lacks what ``kind`` needs; names the key and the field.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CorruptArtifact(
            f"record {key} cannot be read: {where + ': ' if where else ''}{first['msg']}; restore it from a copy of "
            "the bucket, or upgrade if a newer Tidemill wrote it"
        ) from error


class Documents:
    """Reading and creating records by key."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    async def create(self, key: str, record: BaseModel) -> bool:
        """Write ``record`` unless there is one; False when there was another."""
        return await self.objects.create_own(key, to_json(record))

    async def read(self, key: str, kind: type[D]) -> D | None:
        """The record at ``key``, None when there is none."""
        try:
            return from_json(await self.objects.read(key), kind, key)
        except NotFound:
            return None

    async def read_all(self, folder: str, kind: type[D]) -> list[D]:
        """All records directly below ``folder``, sorted by key."""
        keys = await self.keys(folder)
        found = await in_parallel(lambda key: self.read(key, kind), keys, limit=16)
        return [record for record in found if record is not None]

    async def read_below(self, folder: str, kind: type[D]) -> list[D]:
        """All records below ``folder``, at whatever depth, sorted by key."""
        keys = sorted([key async for key in self.objects.keys(folder) if key.endswith(".json")])
        found = await in_parallel(lambda key: self.read(key, kind), keys, limit=16)
        return [record for record in found if record is not None]

    async def keys(self, folder: str) -> list[str]:
        """Keys of the records directly below ``folder``, sorted."""
        return sorted(
            [
                key
                async for key in self.objects.keys(folder)
                if key.endswith(".json") and key.rpartition("/")[0] == folder
            ]
        )
