"""A hash chain of typed records: each is created once and names the digest of the one before.

Decisions and audit entries are chains. What one says is a field of its own (``decision``, ``entry``); the digest covers
that, the time and the digest before. Knows neither what the links mean nor how whoever appends comes to them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter

from tidemill.artifacts.objects import Objects
from tidemill.artifacts.parallel import in_parallel
from tidemill.errors import CorruptArtifact, NotFound
from tidemill.records.documents import canonical, from_json
from tidemill.records.schema import Link

FIRST = "0" * 64
"""``previous`` of the first link."""

_PAGE = 256
"""Links that are read ahead while a chain is walked through."""
_READERS = 16
_NAME = re.compile(r"^[0-9]{12,}\.json$")
_TIME = TypeAdapter(datetime)

L = TypeVar("L", bound=Link)


@dataclass(frozen=True)
class ChainKind(Generic[L]):
    """What one kind of chain has of its own."""

    noun: str
    """What a link is called in messages."""
    body: str
    """The field that holds what a link says."""
    record: type[L]
    folder: Callable[[str], str]
    """Where a project's chain is."""


class HashChain(Generic[L]):
    """One chain of one project. Holds no state: whoever reads keeps what was verified."""

    def __init__(self, objects: Objects, project: str, kind: ChainKind[L]) -> None:
        self._objects = objects
        self._project = project
        self._kind = kind
        self._folder = kind.folder(project)

    def key(self, sequence: int) -> str:
        """Where a link is kept."""
        return f"{self._folder}/{sequence:012d}.json"

    def link(self, previous: L | None, body: BaseModel) -> L:
        """The link that says ``body`` behind ``previous``, at this moment."""
        before = previous.digest if previous else FIRST
        at = datetime.now(UTC)
        spelt = body.model_dump(mode="json")
        return self._kind.record.model_validate(
            {
                "sequence": previous.sequence + 1 if previous else 1,
                "previous": before,
                self._kind.body: body,
                "at": at,
                "digest": digest_of(self._kind.body, before, spelt, _TIME.dump_python(at, mode="json")),
            }
        )

    async def create(self, record: L) -> bool:
        """Write a link; False when somebody else's is there."""
        return await self._objects.create_own(self.key(record.sequence), canonical(record.model_dump(mode="json")))

    async def exists(self, sequence: int) -> bool:
        """Whether there is a link of this number."""
        return await self._objects.size(self.key(sequence)) is not None

    async def documents(self, sequences: Sequence[int]) -> list[bytes | None]:
        """The links of these numbers as they are kept, None for those that are not there."""
        return await in_parallel(self._document, sequences, limit=_READERS)

    def verified(self, sequence: int, document: bytes, previous: str | None) -> L:
        """The link in ``document``, which has to follow the one with the digest ``previous`` (None: not looked at).

        Raises:
            CorruptArtifact: it breaks the chain; says where.
        """
        record = from_json(document, self._kind.record, self.key(sequence))
        # Taken over the document as it is, so that fields which this version does not know count too.
        raw = json.loads(document)
        found = digest_of(self._kind.body, raw["previous"], raw[self._kind.body], raw["at"])
        expectations: list[tuple[str, str | int, str | int]] = [
            ("digest", record.digest, found),
            ("sequence", sequence, record.sequence),
        ]
        if previous is not None:
            expectations.insert(1, ("previous", previous, record.previous))
        for what, expected, actual in expectations:
            if expected != actual:
                raise CorruptArtifact(
                    f"{self._kind.noun} {sequence} of project {self._project!r} breaks the chain: expected {what} "
                    f"{expected}, found {actual}; restore it from a copy of the bucket"
                )
        return record

    async def links(self, *, behind: int = 0) -> AsyncIterator[L]:
        """The chain in its order, verified link by link; memory does not grow with it.

        ``behind`` is the sequence of a link that is known to be good: only what follows it is looked at.

        Raises:
            CorruptArtifact: names the first link that was altered, is missing, or does not belong there.
        """
        listed = await self.last_listed()
        previous, start = await self._digest(behind, listed), behind + 1
        while True:
            numbers = range(start, start + _PAGE)
            for number, document in zip(numbers, await self.documents(numbers), strict=True):
                if document is None:
                    if number <= listed:
                        raise self.missing(number, listed)
                    return
                record = self.verified(number, document, previous)
                previous = record.digest
                yield record
            start += _PAGE

    async def _digest(self, sequence: int, listed: int) -> str:
        if not sequence:
            return FIRST
        (document,) = await self.documents([sequence])
        if document is None:
            raise self.missing(sequence, listed)
        return self.verified(sequence, document, None).digest

    async def last_listed(self) -> int:
        """The highest number in the chain's folder, 0 for none.

        Raises:
            CorruptArtifact: the folder holds what is no link; names it.
        """
        last = 0
        async for key in self._objects.keys(self._folder):
            last = max(last, self._number(key))
        return last

    async def listed_behind(self, sequence: int) -> int | None:
        """The number of some link behind ``sequence``, None when there is none."""
        async for key in self._objects.keys(self._folder, after=self.key(sequence)):
            return self._number(key)
        return None

    def missing(self, sequence: int, later: int) -> CorruptArtifact:
        """What is said of a gap."""
        return CorruptArtifact(
            f"{self._kind.noun} {sequence} of project {self._project!r} is missing, {self._kind.noun} {later} is "
            "there; restore it from a copy of the bucket"
        )

    def _number(self, key: str) -> int:
        folder, _, name = key.rpartition("/")
        if folder != self._folder or not _NAME.match(name):
            raise CorruptArtifact(
                f"{key} is no {self._kind.noun} of project {self._project!r}: somebody put it into the folder of its "
                "chain; take it out of there"
            )
        return int(name.removesuffix(".json"))

    async def _document(self, sequence: int) -> bytes | None:
        try:
            return await self._objects.read(self.key(sequence))
        except NotFound:
            return None


def digest_of(body: str, previous: str, said: dict[str, Any], at: str) -> str:
    """sha256 in hex over the canonical JSON of what a link says, under the name ``body``, and its two neighbours."""
    return hashlib.sha256(canonical({"at": at, body: said, "previous": previous})).hexdigest()
