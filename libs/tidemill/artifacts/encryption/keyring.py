"""The store keys: they wrap the data keys of objects, and lie in the store below ``keys/``, wrapped by the master key.

The one with the highest number is used for what is written; all of them stay, for what was written under them.
Nothing is encrypted again: a new store key is for new objects, a new master key wraps the store keys anew.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from datetime import UTC, datetime

from pydantic import ValidationError

from tidemill.artifacts.encryption.master import COMMAND, FILE, VARIABLE, MasterKey
from tidemill.artifacts.encryption.sealed import ID, KEY
from tidemill.artifacts.objects import STORE_KEYS, Objects
from tidemill.contracts import Frozen
from tidemill.errors import CorruptArtifact, PermanentError, TidemillError, TransientError

LOOK_SECONDS = 60.0
"""After so many seconds it is looked whether there is a newer store key."""
DATA = ("records", "artifacts")
"""What a store holds beside its keys."""


class StoreKeyRecord(Frozen):
    """A store key as it lies in the store."""

    number: int
    id: str
    """16 bytes in hexadecimal digits, random: what objects name it by."""
    created_at: datetime
    master: str
    """The name of the master key that wraps it."""
    wrapped: str
    """In base64."""


class Keyring:
    """The store keys of one store, read from ``objects`` (which encrypts nothing) and kept once unwrapped."""

    def __init__(self, objects: Objects, master: MasterKey) -> None:
        self._objects = objects
        self._master = master
        self._keys: dict[bytes, bytes] = {}
        self._current: bytes | None = None
        self._looked_at = 0.0
        self._reading = asyncio.Lock()

    async def current(self) -> tuple[bytes, bytes]:
        """Id and key for what is written now; the first one is made where a store is empty.

        Raises:
            PermanentError: the master key does not open it, or the store holds what is not encrypted.
            TransientError: the store cannot be reached.
        """
        if self._current is None or time.monotonic() - self._looked_at > LOOK_SECONDS:
            await self._read()
        if self._current is None:
            await self._begin()
        assert self._current is not None
        return self._current, self._keys[self._current]

    async def key(self, store_key_id: bytes) -> bytes | None:
        """The store key of that id; None when there is none.

        Raises:
            PermanentError, TransientError: as ``current``.
        """
        if store_key_id not in self._keys:
            await self._read()
        return self._keys.get(store_key_id)

    async def records(self) -> list[StoreKeyRecord]:
        """The store keys as they lie in the store, oldest first.

        Raises:
            CorruptArtifact: one cannot be read; names it.
        """
        found = []
        for key in sorted([key async for key in self._objects.keys(STORE_KEYS)]):
            try:
                found.append(StoreKeyRecord.model_validate_json(await self._objects.read(key)))
            except ValidationError:
                raise CorruptArtifact(
                    f"store key {key} in the store at {self._objects.url} is damaged; restore it from a copy"
                ) from None
        return found

    async def add(self) -> StoreKeyRecord:
        """A new store key, which all writers use from now on, or within ``LOOK_SECONDS``."""
        while True:
            records = await self.records()
            number = records[-1].number + 1 if records else 1
            key = os.urandom(KEY)
            record = StoreKeyRecord(
                number=number, id=os.urandom(ID).hex(), created_at=datetime.now(UTC), master=self._master.name,
                wrapped=base64.b64encode(await asyncio.to_thread(self._master.wrap, key)).decode(),
            )  # fmt: skip
            if await self._objects.create_own(_key_of(number), record.model_dump_json().encode()):
                await self._read()
                return record

    async def wrap_anew(self, master: MasterKey) -> int:
        """Let another master key wrap the store keys; how many there are. Safe to repeat after it was cut short.

        Raises:
            PermanentError: neither the one in use nor ``master`` opens a store key.
        """
        records = await self.records()
        for record in records:
            wrapped = base64.b64decode(record.wrapped)
            if record.master == master.name:  # done before
                await asyncio.to_thread(master.unwrap, wrapped)
                continue
            key = await self._unwrapped(record)
            again = base64.b64encode(await asyncio.to_thread(master.wrap, key)).decode()
            changed = record.model_copy(update={"master": master.name, "wrapped": again})
            await self._objects.write(_key_of(record.number), iter([changed.model_dump_json().encode()]))
        return len(records)

    async def _read(self) -> None:
        async with self._reading:
            for record in await self.records():
                number = bytes.fromhex(record.id)
                if number not in self._keys:
                    self._keys[number] = await self._unwrapped(record)
                self._current = number
            self._looked_at = time.monotonic()

    async def _begin(self) -> None:
        for prefix in DATA:
            async for key in self._objects.keys(prefix):
                await self._read()
                if self._current is not None:  # another process has begun meanwhile
                    return
                raise PermanentError(
                    f"the store at {self._objects.url} holds {key}, which is not encrypted; back it up without a "
                    "master key, and restore the backup with one into an empty store"
                )
        await self.add()

    async def _unwrapped(self, record: StoreKeyRecord) -> bytes:
        try:
            return await asyncio.to_thread(self._master.unwrap, base64.b64decode(record.wrapped))
        except TransientError:
            raise
        except (TidemillError, ValueError) as error:
            raise PermanentError(
                f"store key {record.number} of {self._objects.url} was wrapped by master key {record.master!r}: "
                f"{error}; give that one in {FILE}, {VARIABLE} or {COMMAND}"
            ) from None


def _key_of(number: int) -> str:
    return f"{STORE_KEYS}/{number:08d}.json"
