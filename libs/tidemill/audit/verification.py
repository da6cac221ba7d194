"""The proof that nothing on record was changed: both chains of every project walked through, link by link.

A chain proves that no link was altered, taken out, put in or exchanged. That none was cut off its end only a digest
can prove that somebody noted elsewhere: see ``verify``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from typing import Literal

from tidemill.artifacts.objects import Objects
from tidemill.contracts import Frozen
from tidemill.errors import CorruptArtifact
from tidemill.records import RecordStore
from tidemill.records.audit import AUDIT
from tidemill.records.decisions import DECISIONS
from tidemill.records.hash_chain import HashChain
from tidemill.records.schema import Link

ChainName = Literal["audit", "decisions"]

Walked = Callable[[str, ChainName, Link], None]
"""Told of every verified link: its project, its chain, itself."""


class ChainHead(Frozen):
    """One chain as far as it could be verified."""

    project: str
    chain: ChainName
    links: int
    head: str | None = None
    """Digest of the last of them; None of an empty chain."""
    broken: str | None = None
    """What is wrong with the next one."""


class Verification(Frozen):
    """What was found."""

    chains: list[ChainHead]
    missing_heads: list[str]
    """Digests that were asked for and that no chain holds: something was cut off, or they are of another platform."""

    @property
    def good(self) -> bool:
        """Whether every chain is whole and holds what it was asked for."""
        return not self.missing_heads and all(chain.broken is None for chain in self.chains)


def _quiet(project: str, chain: ChainName, link: Link) -> None:
    """Nobody listens."""


async def verify(
    objects: Objects,
    *,
    projects: Collection[str] = (),
    heads: Collection[str] = (),
    walked: Walked = _quiet,
) -> Verification:
    """Walk through both chains of ``projects``, of all when there are none; memory does not grow with the chains.

    Args:
        heads: digests that were noted before; each has to be in one of the chains, at whatever place.

    Raises:
        TransientError: the store cannot be reached.
    """
    missing = set(heads)
    chains = []
    for project in sorted(projects) or await RecordStore(objects).projects():
        decisions = HashChain(objects, project, DECISIONS).links()
        chains.append(await _walk(project, "decisions", decisions, missing, walked))
        chains.append(await _walk(project, "audit", HashChain(objects, project, AUDIT).links(), missing, walked))
    return Verification(chains=chains, missing_heads=sorted(missing))


async def _walk(
    project: str, chain: ChainName, links: AsyncIterator[Link], missing: set[str], walked: Walked
) -> ChainHead:
    count, head = 0, None
    try:
        async for link in links:
            count, head = link.sequence, link.digest
            missing.discard(link.digest)
            walked(project, chain, link)
    except CorruptArtifact as error:
        return ChainHead(project=project, chain=chain, links=count, head=head, broken=str(error))
    return ChainHead(project=project, chain=chain, links=count, head=head)
