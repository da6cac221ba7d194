"""Leases: who works on a fingerprint now. They save double work; the create-only result is the truth.

A lease is an entry of the KV bucket ``leases``, whose entries the server drops after ``lease_ttl`` without renewal, so
no clock of a worker matters. The revision of its first write is the fencing token: it only ever grows, a checkpoint
is written under it, and an owner whose lease has changed hands may not commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from nats.js.api import Header
from nats.js.errors import KeyDeletedError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KV_DEL, KV_OP

from tidemill.bus.connection import UNREACHABLE, Bus
from tidemill.bus.subjects import LEASES_BUCKET
from tidemill.errors import TransientError

log = logging.getLogger(__name__)


class LeaseLost(TransientError):
    """Another worker holds the lease now; this one must not commit."""


@dataclass
class Lease:
    """A lease that this worker holds. ``token`` is its fencing token."""

    fingerprint: str
    owner: str
    token: int
    _value: bytes = field(repr=False)
    """What this lease writes, unlike any other's: an entry that holds it is this lease's own."""
    _revision: int = field(repr=False)
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)


class Leases:
    """Acquire, renew, check and release."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def acquire(self, fingerprint: str, owner: str) -> Lease | None:
        """A lease of ``fingerprint``, or None while another worker holds it."""
        bucket = await self._bus.bucket(LEASES_BUCKET)
        value = f"{owner} {uuid.uuid4().hex}".encode()
        try:
            revision = await bucket.create(_key(fingerprint), value)
        except KeyWrongLastSequenceError:
            return None
        except UNREACHABLE as error:
            raise TransientError(f"lease of {fingerprint} cannot be written: {error!r}") from error
        return Lease(fingerprint, owner, revision, value, revision)

    async def renew(self, lease: Lease) -> None:
        """Hold on to the lease for another term.

        Raises:
            LeaseLost: it ended or somebody else has it.
            TransientError: the server cannot be reached; the lease may still be held.
        """
        try:
            async with lease._renewing:  # the owner's own parts must not race each other
                await self._write(lease)
        except UNREACHABLE as error:
            raise TransientError(f"lease of {lease.fingerprint} cannot be renewed: {error!r}") from error

    @asynccontextmanager
    async def kept(self, lease: Lease, every: float) -> AsyncIterator[None]:
        """Renew the lease every so many seconds meanwhile, however long it takes. Whoever needs to know whether it was
        lost asks with ``renew`` afterwards."""
        over = asyncio.Event()
        # Told to end, not cancelled: Python 3.11's wait_for, inside nats-py, can swallow a cancellation, and whoever
        # waits for the end then waits for ever.
        renewing = asyncio.create_task(self._renew_until(over, lease, every))
        try:
            yield
        finally:
            over.set()
            await asyncio.wait({renewing})

    async def _renew_until(self, over: asyncio.Event, lease: Lease, every: float) -> None:
        while not over.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(over.wait(), every)
                return
            try:
                await self.renew(lease)
            except LeaseLost:
                return
            except TransientError as error:
                log.warning("%s", error)

    async def _write(self, lease: Lease) -> None:
        bucket = await self._bus.bucket(LEASES_BUCKET)
        key = _key(lease.fingerprint)
        try:
            lease._revision = await bucket.update(key, lease._value, last=lease._revision)
        except KeyWrongLastSequenceError:
            own = await self._own_revision(lease)
            if own is None:
                raise LeaseLost(f"another worker holds the lease of {lease.fingerprint}") from None
            try:
                lease._revision = await bucket.update(key, lease._value, last=own)
            except KeyWrongLastSequenceError:
                raise LeaseLost(f"another worker holds the lease of {lease.fingerprint}") from None

    async def release(self, lease: Lease) -> None:
        """Give the lease back; nothing happens when it is lost already.

        The server is told and not waited for, in one write that holds only while the entry is this lease's: should it
        be lost, the lease ends with its term.
        """
        with contextlib.suppress(*UNREACHABLE, TransientError):
            async with lease._renewing:  # a renewal in flight would move the revision
                headers = {KV_OP: KV_DEL, Header.EXPECTED_LAST_SUBJECT_SEQUENCE: str(lease._revision)}
                await self._bus.client.publish(f"$KV.{LEASES_BUCKET}.{_key(lease.fingerprint)}", headers=headers)

    async def holder(self, fingerprint: str) -> str | None:
        """Who holds the lease now."""
        bucket = await self._bus.bucket(LEASES_BUCKET)
        try:
            entry = await bucket.get(_key(fingerprint))
        except (KeyNotFoundError, KeyDeletedError):
            return None
        return (entry.value or b"").decode().partition(" ")[0] or None

    async def _own_revision(self, lease: Lease) -> int | None:
        """The entry's revision if it is this lease's own: a write whose answer was lost has moved it."""
        bucket = await self._bus.bucket(LEASES_BUCKET)
        try:
            entry = await bucket.get(_key(lease.fingerprint))
        except (KeyNotFoundError, KeyDeletedError):
            return None
        return entry.revision if entry.value == lease._value else None


def _key(fingerprint: str) -> str:
    return fingerprint.replace(":", "-")
