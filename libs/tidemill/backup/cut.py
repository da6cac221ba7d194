"""Which records belong to a backup that is made while records are being written: a cut that is true of itself.

A listing takes time, and what is written meanwhile may be in it or not. The records that say how something ended
(outcomes, replays) are taken from a first listing; everything else from a second one, which is begun after that and so
holds whatever they rest on.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from tidemill.artifacts.objects import Objects
from tidemill.records.audit import AUDIT
from tidemill.records.decisions import DECISIONS
from tidemill.records.hash_chain import ChainKind
from tidemill.records.keys import number_of

CHAINS: dict[str, ChainKind[Any]] = {"decisions": DECISIONS, "audit": AUDIT}
"""The hash chains of a project by their folders."""

_MOST_OVERTAKEN = 1000
"""Links that can have been written during a listing; where more are missing, a chain is broken, and said to be."""


async def consistent_cut(source: Objects) -> dict[str, int]:
    """Keys and sizes of the records that belong together."""
    first = {found.key: found.size async for found in source.entries("records")}
    second = {found.key: found.size async for found in source.entries("records")}
    cut = first | {key: size for key, size in second.items() if not _tells_an_end(key)}
    return cut | dict.fromkeys(_overtaken(cut), 0)


def chains(keys: Iterable[str]) -> list[list[str]]:
    """The links of hash chains among ``keys``: a list for every chain, in the order in which they were made."""
    linked = sorted(key for key in keys if is_link(key))
    return [list(links) for _, links in groupby(linked, key=_folder)]


def is_link(key: str) -> bool:
    """Whether a record is a link of a hash chain: a decision or an audit entry."""
    return chain_of(key) in CHAINS and key.rpartition("/")[2].removesuffix(".json").isdecimal()


def chain_of(key: str) -> str:
    """The folder of a project that a record is in."""
    return "".join(key.split("/")[2:3])


def _overtaken(cut: Iterable[str]) -> list[str]:
    """Links that a listing has missed, since it had passed by when they were written, though it has later ones."""
    missed = []
    for links in chains(cut):
        there = {number_of(key) for key in links}
        if max(there) - len(there) > _MOST_OVERTAKEN:
            continue
        folder = _folder(links[0])
        missed += [f"{folder}/{number:012d}.json" for number in range(1, max(there)) if number not in there]
    return missed


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def project_of(key: str) -> str:
    """The project of a record."""
    return key.split("/")[1]


def runs_among(keys: Iterable[str]) -> int:
    """How many runs there are among ``keys``."""
    return sum(1 for key in keys if key.split("/")[2:3] == ["runs"] and key.endswith("/run.json"))


def _tells_an_end(key: str) -> bool:
    return "/outcomes/" in key or "/dead-letters/replayed/" in key
