"""``Objects`` that encrypt what they write and decrypt what they read. Sizes and ranges are of the plain bytes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from tidemill.artifacts.encryption.keyring import Keyring
from tidemill.artifacts.encryption.master import MasterKey
from tidemill.artifacts.encryption.sealed import CHUNK, HEADER, SEALED, Seal, Tampered, plain_size, store_key_id
from tidemill.artifacts.location import Bucket, Folder
from tidemill.artifacts.objects import STORE_KEYS, Objects, StoredObject
from tidemill.errors import CorruptArtifact

_SEALS = 256
"""Headers that are remembered: the parts of one object are read one after the other."""


class EncryptedObjects(Objects):
    """See ``Objects``. What was changed, swapped, cut off or moved is a ``CorruptArtifact`` that names the object."""

    def __init__(self, location: Folder | Bucket, master: MasterKey) -> None:
        super().__init__(location)
        self.keyring = Keyring(Objects(location), master)
        self._seals: OrderedDict[str, Seal] = OrderedDict()

    async def read(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """See ``Objects.read``."""
        if length == 0:
            return b""
        for again in (True, False):
            try:
                return await self._range(key, start, length)
            except Tampered as error:
                # Somebody may have written the object anew since its header was read.
                if self._seals.pop(key, None) is None or not again:
                    raise self._corrupt(key, error) from None
        raise AssertionError("the second try ends it")

    async def look_up(self, key: str) -> StoredObject | None:
        """See ``Objects.look_up``."""
        found = await super().look_up(key)
        return replace(found, size=plain_size(found.size)) if found is not None else None

    async def create(self, key: str, data: bytes) -> bool:
        """See ``Objects.create``."""
        seal = await self._new_seal(key)
        return await super().create(key, await asyncio.to_thread(seal.close_all, data))

    async def write(self, key: str, chunks: Iterator[bytes] | AsyncIterator[bytes]) -> None:
        """See ``Objects.write``."""
        seal = await self._new_seal(key)
        if isinstance(chunks, AsyncIterator):
            await super().write(key, seal.close_blocks_async(chunks))
        else:
            await super().write(key, seal.close_blocks(chunks))

    async def blocks(self, key: str) -> AsyncIterator[bytes]:
        """See ``Objects.blocks``."""
        held, number, seal = bytearray(), 0, None
        try:
            async for block in super().blocks(key):
                held += block
                if seal is None:
                    if len(held) < HEADER:
                        continue
                    seal = await self._seal(key, bytes(held[:HEADER]))
                    del held[:HEADER]
                whole = (len(held) - 1) // SEALED  # the last chunk is known at the end
                if whole > 0:
                    sealed = bytes(held[: whole * SEALED])
                    del held[: whole * SEALED]
                    yield await asyncio.to_thread(seal.open_range, sealed, number, to_the_end=False)
                    number += whole
            if seal is None:
                raise Tampered("it is not encrypted")
            if not held:
                raise Tampered("it is cut off")
            yield await asyncio.to_thread(seal.open_range, bytes(held), number, to_the_end=True)
        except Tampered as error:
            raise self._corrupt(key, error) from None

    async def entries(self, prefix: str, *, after: str | None = None) -> AsyncIterator[StoredObject]:
        """See ``Objects.entries``."""
        async for found in super().entries(prefix, after=after):
            plain = found.key.startswith(f"{STORE_KEYS}/")
            yield found if plain else replace(found, size=plain_size(found.size))

    async def _range(self, key: str, start: int, length: int | None) -> bytes:
        first = start // CHUNK
        if first == 0 and length is None:
            data = await super().read(key)
            seal = await self._seal(key, data[:HEADER])
            if len(data) == HEADER:
                raise Tampered("it is cut off")
            return (await asyncio.to_thread(seal.open_range, data[HEADER:], 0, to_the_end=True))[start:]
        remembered = self._seals.get(key)
        seal = remembered or await self._seal(key, await super().read(key, start=0, length=HEADER))
        chunks = None if length is None else (start + length - 1) // CHUNK - first + 1
        # A byte more than is needed tells whether the last chunk of these is the last of all.
        wanted = None if chunks is None else chunks * SEALED + 1
        sealed = await super().read(key, start=HEADER + first * SEALED, length=wanted)
        if not sealed and first == 0:
            raise Tampered("it is cut off")
        more = wanted is not None and len(sealed) == wanted
        opened = await asyncio.to_thread(
            seal.open_range, sealed[:-1] if more else sealed, first, to_the_end=not more
        )  # fmt: skip
        begin = start - first * CHUNK
        return opened[begin:] if length is None else opened[begin : begin + length]

    async def _check_encryption(self) -> None:
        await self.keyring.current()

    async def _new_seal(self, key: str) -> Seal:
        store_key, secret = await self.keyring.current()
        self._seals.pop(key, None)
        return Seal.new(key, secret, store_key)

    async def _seal(self, key: str, header: bytes) -> Seal:
        secret = await self.keyring.key(store_key_id(header))
        if secret is None:
            raise Tampered(f"its store key {store_key_id(header).hex()} is not in {STORE_KEYS}/")
        seal = self._seals[key] = Seal.of(key, header, secret)
        while len(self._seals) > _SEALS:
            self._seals.popitem(last=False)
        return seal

    def _corrupt(self, key: str, error: Tampered) -> CorruptArtifact:
        return CorruptArtifact(
            f"{key} in the store at {self.url} cannot be decrypted: {error}; make it again, or restore it from a copy"
        )
