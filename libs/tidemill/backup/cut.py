"""Which records belong to a backup that is made while records are being written: a cut that is true of itself.

A listing takes time, and what is written meanwhile may be in it or not. The records that say how something ended
(outcomes, replays) are taken from a first listing; everything else from a second one, which is begun after that and so
holds whatever they rest on.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from tidemill.artifacts.objects import Objects


async def consistent_cut(source: Objects) -> dict[str, int]:
    """Keys and sizes of the records that belong together."""
    first = {found.key: found.size async for found in source.entries("records")}
    second = {found.key: found.size async for found in source.entries("records")}
    return first | {key: size for key, size in second.items() if not _tells_an_end(key)}


def chains(keys: Iterable[str]) -> list[list[str]]:
    """The decisions among ``keys``: a list for every project, in the order in which they were made."""
    decisions = sorted(key for key in keys if is_decision(key))
    return [list(links) for _, links in groupby(decisions, key=project_of)]


def is_decision(key: str) -> bool:
    """Whether a record is a link of a project's chain of decisions."""
    return key.split("/")[2:3] == ["decisions"]


def project_of(key: str) -> str:
    """The project of a record."""
    return key.split("/")[1]


def runs_among(keys: Iterable[str]) -> int:
    """How many runs there are among ``keys``."""
    return sum(1 for key in keys if key.split("/")[2:3] == ["runs"] and key.endswith("/run.json"))


def _tells_an_end(key: str) -> bool:
    return "/outcomes/" in key or "/dead-letters/replayed/" in key
