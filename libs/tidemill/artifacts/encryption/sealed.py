"""The form of an encrypted object: a header, and chunks of AES-256-GCM. Knows no storage and no store keys.

    header   8 bytes that name the form, 16 the store key's id, 40 the data key wrapped by it (RFC 3394)
    chunks   65,536 bytes each, the last one 0 to 65,536; every one with its tag of 16 bytes behind it

It is the STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizar, "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance", CRYPTO 2015): a chunk's nonce is its number and whether it is the last, so that none
can be swapped, left out or cut off. The header and the object's key are authenticated with each, so that none can be
moved.
Nonces need not be random, for a data key is used for one object alone.
"""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncIterator, Iterable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

FORM = b"TIDEENC1"
CHUNK = 1 << 16
"""Plain bytes of a chunk."""
TAG = 16
SEALED = CHUNK + TAG
ID = 16
"""Bytes of a store key's id."""
KEY = 32
"""Bytes of a key."""
HEADER = len(FORM) + ID + KEY + 8


class Tampered(Exception):
    """Bytes are not what was written under this key of this object."""


class Seal:
    """How one object is encrypted: under a data key of its own."""

    def __init__(self, header: bytes, data_key: bytes, name: str) -> None:
        self.header = header
        self._cipher = AESGCM(data_key)
        self._bound = header + name.encode()

    @classmethod
    def new(cls, name: str, store_key: bytes, store_key_id: bytes) -> Seal:
        """For an object that is written as ``name``."""
        data_key = os.urandom(KEY)
        return cls(FORM + store_key_id + aes_key_wrap(store_key, data_key), data_key, name)

    @classmethod
    def of(cls, name: str, header: bytes, store_key: bytes) -> Seal:
        """For the object of that header, found as ``name``.

        Raises:
            Tampered: its data key was not wrapped by ``store_key``.
        """
        try:
            return cls(header, aes_key_unwrap(store_key, header[len(FORM) + ID :]), name)
        except InvalidUnwrap:
            raise Tampered("its data key is not wrapped by the store key that it names") from None

    def close(self, chunk: bytes, number: int, *, last: bool) -> bytes:
        """A chunk encrypted."""
        return self._cipher.encrypt(_nonce(number, last), chunk, self._bound)

    def open(self, sealed: bytes, number: int, *, last: bool) -> bytes:
        """A chunk decrypted.

        Raises:
            Tampered: it is not that chunk of that object.
        """
        try:
            return self._cipher.decrypt(_nonce(number, last), sealed, self._bound)
        except InvalidTag:
            raise Tampered(f"chunk {number} was changed, swapped or cut off") from None

    def close_all(self, data: bytes) -> bytes:
        """A whole object."""
        return b"".join(self.close_blocks(iter([data])))

    def close_blocks(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """The header and the chunks of a whole object, from its bytes in blocks of any size."""
        yield self.header
        cutter = _Cutter(CHUNK)
        for block in blocks:
            for chunk in cutter.add(block):
                yield self.close(chunk, cutter.number, last=False)
                cutter.number += 1
        yield self.close(cutter.rest(), cutter.number, last=True)

    async def close_blocks_async(self, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same of an async iterator."""
        yield self.header
        cutter = _Cutter(CHUNK)
        async for block in blocks:
            for chunk in cutter.add(block):
                yield self.close(chunk, cutter.number, last=False)
                cutter.number += 1
        yield self.close(cutter.rest(), cutter.number, last=True)

    def open_range(self, sealed: bytes, first: int, *, to_the_end: bool) -> bytes:
        """Consecutive chunks from number ``first`` on; ``to_the_end``: the last of them is the object's last.

        Raises:
            Tampered: as ``open``.
        """
        opened = []
        for offset in range(0, len(sealed), SEALED):
            last = to_the_end and offset + SEALED >= len(sealed)
            opened.append(self.open(sealed[offset : offset + SEALED], first + offset // SEALED, last=last))
        return b"".join(opened)


def store_key_id(header: bytes) -> bytes:
    """The id of the store key that an object's header names.

    Raises:
        Tampered: it is no such header.
    """
    if len(header) < HEADER or not header.startswith(FORM):
        raise Tampered("it is not encrypted")
    return header[len(FORM) : len(FORM) + ID]


def plain_size(size: int) -> int:
    """Bytes of an object whose encrypted form has ``size``; 0 for what is too short to be one."""
    chunks, rest = divmod(size - HEADER, SEALED)
    return max(0, chunks * CHUNK + max(0, rest - TAG))


class _Cutter:
    """Cuts blocks into chunks and holds the last one back: whether it is the last is known at the end."""

    def __init__(self, size: int) -> None:
        self.number = 0
        self._size = size
        self._held = bytearray()

    def add(self, block: bytes) -> Iterator[bytes]:
        self._held += block
        start = 0
        while len(self._held) - start > self._size:
            yield bytes(self._held[start : start + self._size])
            start += self._size
        del self._held[:start]

    def rest(self) -> bytes:
        return bytes(self._held)


def _nonce(number: int, last: bool) -> bytes:
    return struct.pack(">QI", number, last)
