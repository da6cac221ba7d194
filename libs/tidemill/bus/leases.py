"""Leases: who works on a fingerprint now. They save double work; the create-only result is the truth.

A lease is an entry of the KV bucket ``leases``, whose entries the server drops after ``lease_ttl`` without renewal, so
no clock of a worker matters. The revision of its first write is the fencing token: it only ever grows, a checkpoint
is written under it, and an owner whose lease has changed hands may not commit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import nats.errors
import nats.js.errors
from nats.js.errors import KeyDeletedError, KeyNotFoundError, KeyWrongLastSequenceError

from tidemill.bus.connection import Bus
from tidemill.bus.subjects import LEASES_BUCKET
from tidemill.errors import TransientError

_UNREACHABLE = (nats.errors.Error, nats.js.errors.Error, asyncio.TimeoutError)


class LeaseLost(TransientError):
    """Another worker holds the lease now; this one must not commit."""


@dataclass
class Lease:
    """A lease that this worker holds. ``token`` is its fencing token."""

    fingerprint: str
    owner: str
    token: int
    _revision: int = field(repr=False)
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)


class Leases:
    """Acquire, renew, check and release."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def acquire(self, fingerprint: str, owner: str) -> Lease | None:
        """A lease of ``fingerprint``, or None while another worker holds it."""
        bucket = await self._bus.bucket(LEASES_BUCKET)
        try:
            revision = await bucket.create(_key(fingerprint), owner.encode())
        except KeyWrongLastSequenceError:
            return None
        except _UNREACHABLE as error:
            raise TransientError(f"lease of {fingerprint} cannot be written: {error!r}") from error
        return Lease(fingerprint, owner, revision, revision)

    async def renew(self, lease: Lease) -> None:
        """Hold on to the lease for another term.

        Raises:
            LeaseLost: it ended or somebody else has it.
            TransientError: the server cannot be reached; the lease may still be held.
        """
        bucket = await self._bus.bucket(LEASES_BUCKET)
        key, owner = _key(lease.fingerprint), lease.owner.encode()
        try:
            async with lease._renewing:  # the owner's own parts must not race each other
                lease._revision = await bucket.update(key, owner, last=lease._revision)
        except KeyWrongLastSequenceError:
            raise LeaseLost(f"another worker holds the lease of {lease.fingerprint}") from None
        except _UNREACHABLE as error:
            raise TransientError(f"lease of {lease.fingerprint} cannot be renewed: {error!r}") from error

    async def release(self, lease: Lease) -> None:
        """Give the lease back; nothing happens when it is lost already."""
        bucket = await self._bus.bucket(LEASES_BUCKET)
        try:
            await bucket.delete(_key(lease.fingerprint), last=lease._revision)
        except _UNREACHABLE:
            return

    async def holder(self, fingerprint: str) -> str | None:
        """Who holds the lease now."""
        bucket = await self._bus.bucket(LEASES_BUCKET)
        try:
            entry = await bucket.get(_key(fingerprint))
        except (KeyNotFoundError, KeyDeletedError):
            return None
        return (entry.value or b"").decode() or None


def _key(fingerprint: str) -> str:
    return fingerprint.replace(":", "-")
