"""A project's decisions: a chain of create-only records, each naming the digest of the one before.

Whoever wants to decide looks at the whole chain and writes the next link; of two who do so at once one wins and the
other looks again. Knows nothing of what the decisions mean.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from tidemill.artifacts.objects import Objects
from tidemill.artifacts.parallel import in_parallel
from tidemill.errors import CorruptArtifact, NotFound
from tidemill.records.documents import canonical, from_json
from tidemill.records.keys import decision_key, decisions_folder, number_of
from tidemill.records.schema import Decision, DecisionRecord

Decide = Callable[[Sequence[DecisionRecord]], Decision | None]
"""Looks at the chain so far and says what to add, or None for nothing. May be asked several times."""

FIRST = "0" * 64
"""``previous`` of the first decision."""

_DECISION: TypeAdapter[Any] = TypeAdapter(Decision)
_TIME = TypeAdapter(datetime)


class DecisionChain:
    """The decisions of one project. What was read and verified once is kept: records never change."""

    def __init__(self, objects: Objects, project: str) -> None:
        self._objects = objects
        self._project = project
        self._known: list[DecisionRecord] = []
        self._listed = False
        self._reading = asyncio.Lock()

    async def read(self) -> list[DecisionRecord]:
        """All decisions in their order.

        Raises:
            CorruptArtifact: a link is broken or missing; names its sequence.
        """
        async with self._reading:
            while new := await self._new():
                self._known.extend(new)
            return list(self._known)

    async def append(self, decide: Decide) -> DecisionRecord | None:
        """Ask ``decide`` and write what it says as the next decision; None when it says nothing.

        It is asked again whenever somebody else's decision came in between, so it always decides on the whole chain.
        """
        while True:
            chain = await self.read()
            decision = decide(chain)
            if decision is None:
                return None
            record = _link(chain, decision)
            data = canonical(record.model_dump(mode="json"))
            if await self._objects.create_own(decision_key(self._project, record.sequence), data):
                return record

    async def _new(self) -> list[DecisionRecord]:
        """What came behind the known decisions. The first look lists them all, so that a gap is noticed."""
        first = last = len(self._known) + 1
        if not self._listed:
            folder = decisions_folder(self._project)
            last = max([number_of(key) async for key in self._objects.keys(folder)], default=0)
        sequences = range(first, last + 1)
        documents = await in_parallel(self._document, sequences, limit=16)
        previous = self._known[-1].digest if self._known else FIRST
        new = []
        for sequence, document in zip(sequences, documents, strict=True):
            if document is None and not self._listed:
                raise CorruptArtifact(
                    f"decision {sequence} of project {self._project!r} is missing, decision {last} is there; "
                    "restore it from a copy of the bucket"
                )
            if document is None:
                break
            record = self._verified(sequence, document, previous)
            previous = record.digest
            new.append(record)
        self._listed = True
        return new

    async def _document(self, sequence: int) -> bytes | None:
        try:
            return await self._objects.read(decision_key(self._project, sequence))
        except NotFound:
            return None

    def _verified(self, sequence: int, data: bytes, previous: str) -> DecisionRecord:
        record = from_json(data, DecisionRecord, decision_key(self._project, sequence))
        # Taken over the document as it is, so that fields which this version does not know count too.
        raw = json.loads(data)
        found = digest_of(raw["previous"], raw["decision"], raw["at"])
        for what, expected, actual in (
            ("digest", record.digest, found),
            ("previous", previous, record.previous),
            ("sequence", sequence, record.sequence),
        ):
            if expected != actual:
                raise CorruptArtifact(
                    f"decision {sequence} of project {self._project!r} breaks the chain: expected {what} {expected}, "
                    f"found {actual}; restore it from a copy of the bucket"
                )
        return record


def digest_of(previous: str, decision: dict[str, Any], at: str) -> str:
    """sha256 in hex over the canonical JSON of the three, each in its JSON form."""
    return hashlib.sha256(canonical({"at": at, "decision": decision, "previous": previous})).hexdigest()


def _link(chain: Sequence[DecisionRecord], decision: Decision) -> DecisionRecord:
    previous = chain[-1].digest if chain else FIRST
    at = datetime.now(UTC)
    return DecisionRecord(
        sequence=len(chain) + 1,
        previous=previous,
        decision=decision,
        at=at,
        digest=digest_of(previous, _DECISION.dump_python(decision, mode="json"), _TIME.dump_python(at, mode="json")),
    )
