"""The ledger: tries that are under way, in the KV bucket ``attempts``, one entry for each fingerprint.

A worker that is killed cannot say what its try used. Its last entry can: whoever works on the fingerprint next, or the
registry, puts it on record. It is a signal, not a fact: losing the bucket loses the figures of tries in flight.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nats.js.errors import KeyDeletedError, KeyNotFoundError, KeyWrongLastSequenceError, NoKeysError
from pydantic import ValidationError

from tidemill.bus import Bus
from tidemill.bus.connection import UNREACHABLE
from tidemill.bus.streams import bucket_stream
from tidemill.bus.subjects import ATTEMPTS_BUCKET, key
from tidemill.contracts import Frozen, Name, ResourceUsage, RunId, StageName
from tidemill.errors import TransientError


class LedgerEntry(Frozen):
    """A try that is under way: whose it is, and what it used until ``last_seen``."""

    attempt_id: str
    project: Name
    run_id: RunId
    stage: StageName
    epoch: int
    fingerprint: str
    instance: str
    title: str = ""
    started_at: datetime
    last_seen: datetime
    usage: ResourceUsage = ResourceUsage()
    traceparent: str | None = None
    """The try's own span."""
    parent_id: str | None = None
    """The span above it."""

    def fresh(self, now: datetime, silence: timedelta) -> bool:
        """Whether its worker was heard of within ``silence``."""
        return now - self.last_seen <= silence


@dataclass
class Page:
    """The place of an entry that this worker writes."""

    entry: LedgerEntry
    _revision: int = field(repr=False)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)


class Ledger:
    """Read, open, keep up and close entries. Everything raises ``TransientError`` when the bucket is out of reach."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def read(self, project: str, fingerprint: str) -> LedgerEntry | None:
        """The try of a job that is, or was last, under way."""
        found = await self._found(key(project, fingerprint))
        return found[0] if found else None

    async def all(self) -> list[LedgerEntry]:
        """Every try that is under way, and those whose worker is gone."""
        try:
            bucket = await self._bus.bucket(ATTEMPTS_BUCKET)
            keys = await bucket.keys()
        except NoKeysError:
            return []
        except UNREACHABLE as error:
            raise TransientError(f"the ledger of tries cannot be read: {error!r}") from error
        found = [await self._found(name) for name in keys]
        return [one[0] for one in found if one]

    async def open(self, entry: LedgerEntry) -> Page:
        """Write the entry of a try that begins, in the place of one whose worker is gone."""
        name = key(entry.project, entry.fingerprint)
        try:
            return Page(entry, await self._write(name, entry, None))
        except _Raced:  # the entry of a try whose worker is gone
            found = await self._found(name)
            return Page(entry, await self._write(name, entry, found[1] if found else None))

    async def keep_up(self, page: Page, entry: LedgerEntry) -> None:
        """Write how far the try is. Nothing happens when the place is another try's by now."""
        async with page._writing:
            try:
                page._revision = await self._write(key(entry.project, entry.fingerprint), entry, page._revision)
            except _Raced:
                found = await self._found(key(entry.project, entry.fingerprint))
                if found is None or found[0].attempt_id != entry.attempt_id:
                    return
                page._revision = found[1]  # a write whose answer was lost has moved it
            page.entry = entry

    async def close(self, entry: LedgerEntry, page: Page | None = None) -> None:
        """Remove the entry of a try that is on record. Nothing happens when the place is another try's by now.

        ``page`` is what ``open`` gave: with it, the entry need not be looked up.

        Purged up to what was read, not deleted: markers of every fingerprint that ever was would stay for good.
        """
        name = key(entry.project, entry.fingerprint)
        if page is not None:
            revision = page._revision
        else:
            found = await self._found(name)
            if found is None or found[0].attempt_id != entry.attempt_id:
                return
            revision = found[1]
        try:
            js = self._bus.jetstream
            await js.purge_stream(
                bucket_stream(ATTEMPTS_BUCKET), seq=revision + 1, subject=f"$KV.{ATTEMPTS_BUCKET}.{name}"
            )
        except UNREACHABLE as error:
            raise TransientError(f"the ledger's entry of {entry.fingerprint} cannot be removed: {error!r}") from error

    async def _found(self, name: str) -> tuple[LedgerEntry, int] | None:
        bucket = await self._bus.bucket(ATTEMPTS_BUCKET)
        try:
            entry = await bucket.get(name)
        except (KeyNotFoundError, KeyDeletedError):
            return None
        except UNREACHABLE as error:
            raise TransientError(f"the ledger's entry {name} cannot be read: {error!r}") from error
        if not entry.value or entry.revision is None:
            return None
        try:
            return LedgerEntry.model_validate_json(entry.value), entry.revision
        except ValidationError:  # a newer version's: a try of this one goes over it
            return None

    async def _write(self, name: str, entry: LedgerEntry, last: int | None) -> int:
        bucket = await self._bus.bucket(ATTEMPTS_BUCKET)
        value = entry.model_dump_json().encode()
        try:
            if last is None:
                return int(await bucket.create(name, value))
            return int(await bucket.update(name, value, last=last))
        except KeyWrongLastSequenceError:
            raise _Raced(f"the ledger's entry of {entry.fingerprint} is another's") from None
        except UNREACHABLE as error:
            raise TransientError(f"the ledger's entry of {entry.fingerprint} cannot be written: {error!r}") from error


class _Raced(TransientError):
    """Somebody else wrote the entry first."""
