"""A project's decisions: a hash chain that every decider has seen whole.

Whoever wants to decide looks at the whole chain and writes the next link; of two who do so at once one wins and the
other looks again. Knows nothing of what the decisions mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tidemill.artifacts.objects import Objects
from tidemill.records.hash_chain import FIRST, ChainKind, HashChain
from tidemill.records.keys import decisions_folder
from tidemill.records.schema import Decision, DecisionRecord

Decide = Callable[[Sequence[DecisionRecord]], Decision | None]
"""Looks at the chain so far and says what to add, or None for nothing. May be asked several times."""

DECISIONS = ChainKind("decision", "decision", DecisionRecord, decisions_folder)


class DecisionChain:
    """The decisions of one project. What was read and verified once is kept: records never change."""

    def __init__(self, objects: Objects, project: str) -> None:
        self._chain = HashChain(objects, project, DECISIONS)
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
            record = self._chain.link(chain[-1] if chain else None, decision)
            if await self._chain.create(record):
                return record

    async def _new(self) -> list[DecisionRecord]:
        """What came behind the known decisions. The first look lists them all, so that a gap is noticed."""
        first = last = len(self._known) + 1
        if not self._listed:
            last = await self._chain.last_listed()
        sequences = range(first, last + 1)
        documents = await self._chain.documents(sequences)
        previous = self._known[-1].digest if self._known else FIRST
        new = []
        for sequence, document in zip(sequences, documents, strict=True):
            if document is None and not self._listed:
                raise self._chain.missing(sequence, last)
            if document is None:
                break
            record = self._chain.verified(sequence, document, previous)
            previous = record.digest
            new.append(record)
        self._listed = True
        return new
