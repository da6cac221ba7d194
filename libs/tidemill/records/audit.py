"""The audit logs: a hash chain for each project, with an entry for every control action. See ``AuditEntry``.

A chain may have millions of entries. To append, its end is found by probing (create-only entries have no gaps) and
remembered; nothing lists or reads the whole chain but ``entries``. Of two who append at once one wins, and the other
reads that entry and comes behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import NamedTuple

from tidemill.artifacts.objects import Objects
from tidemill.records.hash_chain import ChainKind, HashChain
from tidemill.records.keys import audit_folder
from tidemill.records.schema import AuditEntry, AuditRecord

AUDIT = ChainKind("audit entry", "entry", AuditRecord, audit_folder)

CLOCKS = timedelta(minutes=5)
"""How far the clocks of those who append and of whoever stored a command may differ."""
_REMEMBERED = 1024
"""Entries that are remembered at least; older ones are read again for the sake of a command that is as old."""
_LOOK_BACK = 64
_FAR = 1024
"""Entries of others that are read one by one before the end is looked for again."""


class Audit:
    """The audit logs of all projects. Raises what ``RecordStore`` raises."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._logs: dict[str, _Log] = {}

    async def append(self, project: str, entry: AuditEntry, *, commanded_at: datetime | None = None) -> AuditRecord:
        """Put a control action on record, behind all that are there.

        A command is put on record once, however often it is delivered: an entry of the same ``entry.command`` since
        ``commanded_at``, when the command was stored, is returned instead.

        Raises:
            CorruptArtifact: the end of the chain is broken; names the entry.
        """
        return await self._log(project).append(entry, commanded_at)

    async def newest(self, project: str, *, limit: int, before: int | None = None) -> list[AuditRecord]:
        """The latest entries, or the latest with a sequence below ``before``; newest first. Lists nothing.

        Raises:
            CorruptArtifact: one of them was altered or is missing.
        """
        return await self._log(project).newest(limit, before)

    def entries(self, project: str) -> AsyncIterator[AuditRecord]:
        """All entries in their order, verified link by link; memory does not grow with their number.

        Raises:
            CorruptArtifact: while iterating: names the first entry that is altered, missing or out of place.
        """
        return HashChain(self._objects, project, AUDIT).links()

    def _log(self, project: str) -> _Log:
        return self._logs.setdefault(project, _Log(HashChain(self._objects, project, AUDIT)))


class _Log:
    """One project's log, and what this process remembers of its end."""

    def __init__(self, chain: HashChain[AuditRecord]) -> None:
        self._chain = chain
        self._lock = asyncio.Lock()
        self._opened = False
        self._head: AuditRecord | None = None
        self._recent: deque[_Seen] = deque()
        """The last entries without a gap, up to the head."""
        self._commands: dict[str, int] = {}
        """Of these, the sequences by command."""

    async def append(self, entry: AuditEntry, commanded_at: datetime | None) -> AuditRecord:
        async with self._lock:
            await self._open()
            while True:
                if entry.command is not None and commanded_at is not None:
                    recorded = await self._recorded(entry.command, commanded_at - CLOCKS)
                    if recorded is not None:
                        return recorded
                record = self._chain.link(self._head, entry)
                if await self._chain.create(record):
                    self._take(record)
                    return record
                await self._catch_up()

    async def newest(self, limit: int, before: int | None) -> list[AuditRecord]:
        async with self._lock:
            await self._open()
            await self._catch_up()
            last = self._head.sequence if self._head else 0
        last = min(last, before - 1) if before is not None else last
        numbers = range(last, max(0, last - limit), -1)
        found = []
        previous: str | None = None
        for number, document in reversed(list(zip(numbers, await self._chain.documents(numbers), strict=True))):
            if document is None:
                raise self._chain.missing(number, last)
            found.append(self._chain.verified(number, document, previous))
            previous = found[-1].digest
        return found[::-1]

    async def _recorded(self, command: str, since: datetime) -> AuditRecord | None:
        while self._recent and self._recent[0].sequence > 1 and self._recent[0].at >= since:
            await self._look_back()
        sequence = self._commands.get(command)
        if sequence is None:
            return None
        (document,) = await self._chain.documents([sequence])
        if document is None:
            raise self._chain.missing(sequence, self._next - 1)
        return self._chain.verified(sequence, document, None)

    async def _look_back(self) -> None:
        oldest = self._recent[0].sequence
        numbers = range(max(1, oldest - _LOOK_BACK), oldest)
        documents = await self._chain.documents(numbers)
        for number, document in reversed(list(zip(numbers, documents, strict=True))):
            if document is None:
                raise self._chain.missing(number, oldest)
            seen = _Seen.of(self._chain.verified(number, document, None))
            self._recent.appendleft(seen)
            if seen.command is not None:
                self._commands[seen.command] = number

    async def _open(self) -> None:
        if not self._opened:
            await self._find_end()
            self._opened = True

    async def _find_end(self) -> None:
        """The last entry, by doubling steps and then by halves: some forty requests for a million entries."""
        low, step = self._head.sequence if self._head else 0, 1
        while await self._chain.exists(low + step):
            low, step = low + step, 2 * step
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if await self._chain.exists(middle) else (low, middle)
        later = await self._chain.listed_behind(low)
        if later is not None and not await self._chain.exists(low + 1):
            raise self._chain.missing(low + 1, later)
        if low and (self._head is None or low > self._head.sequence):
            (document,) = await self._chain.documents([low])
            if document is None:
                raise self._chain.missing(low, later or low + 1)
            self._recent.clear()
            self._commands.clear()
            self._take(self._chain.verified(low, document, None))

    async def _catch_up(self) -> None:
        """Take what others have appended."""
        first = self._next
        page = 1
        while True:
            numbers = range(self._next, self._next + page)
            for number, document in zip(numbers, await self._chain.documents(numbers), strict=True):
                if document is None:
                    return
                self._take(self._chain.verified(number, document, self._head.digest if self._head else None))
            page = min(2 * page, _LOOK_BACK)
            if self._next - first > _FAR:
                await self._find_end()

    @property
    def _next(self) -> int:
        return self._head.sequence + 1 if self._head else 1

    def _take(self, record: AuditRecord) -> None:
        self._head = record
        self._recent.append(_Seen.of(record))
        if record.entry.command is not None:
            self._commands[record.entry.command] = record.sequence
        # What a command that comes now could have to be compared with stays, however much it is.
        before = record.at - 2 * CLOCKS
        while len(self._recent) > _REMEMBERED and self._recent[0].at < before:
            old = self._recent.popleft()
            if old.command is not None:
                self._commands.pop(old.command, None)


class _Seen(NamedTuple):
    """What is remembered of an entry."""

    sequence: int
    at: datetime
    command: str | None

    @classmethod
    def of(cls, record: AuditRecord) -> _Seen:
        return cls(record.sequence, record.at, record.entry.command)
