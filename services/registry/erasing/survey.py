"""Reads all records of a project: what they refer to, what was made from what, and which of them hold the value."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field

from tidemill.artifacts.objects import Objects
from tidemill.artifacts.parallel import in_parallel
from tidemill.erasure.documents import holds_value
from tidemill.erasure.lineage import Lineage
from tidemill.erasure.subject import Matcher
from tidemill.erasure.texts import found_in
from tidemill.errors import NotFound
from tidemill.records import RecordStore, keys

_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
CHAINS = frozenset({"decisions", "audit"})
"""Records that are chained by their digests: changing one would break the chain."""


@dataclass
class Survey:
    """What the records of a project say."""

    lineage: Lineage = field(default_factory=Lineage)
    records: int = 0
    held: list[str] = field(default_factory=list)
    """Keys of records that hold the value."""
    chained: list[str] = field(default_factory=list)
    """Of those, links of a chain, which cannot be overwritten."""
    named: list[str] = field(default_factory=list)
    """Keys that hold the value themselves, in the name of a dataset."""
    elsewhere: set[str] = field(default_factory=set)
    """Digests that other projects refer to."""


async def survey(objects: Objects, records: RecordStore, project: str, matcher: Matcher) -> Survey:
    """Read everything that is on record.

    Raises:
        CorruptArtifact: a record cannot be read.
        TransientError: the store is out of reach.
    """
    found = Survey()
    folder, own = keys.project_folder(project), keys.erasures_folder(project)

    async def look(key: str) -> None:
        try:
            data = await objects.read(key)
        except NotFound:
            return
        if not key.startswith(f"{own}/"):
            await asyncio.to_thread(_look, found, key, data, matcher)

    await in_parallel(look, [key async for key in objects.keys(folder) if key.endswith(".json")], limit=16)
    for other in await records.projects():
        if other != project:
            found.elsewhere |= await _referred_to(objects, records, other)
    return found


def _look(found: Survey, key: str, data: bytes, matcher: Matcher) -> None:
    found.records += 1
    found.lineage.add(key, data)
    if found_in(key, matcher):
        found.named.append(key)
    part = key.split("/")[2]
    # Messages are kept as base64, where a look at the bytes shows nothing.
    suspicious = part == "dead-letters" or found_in(data.decode("utf-8", "replace"), matcher)
    if suspicious and holds_value(json.loads(data), matcher):
        (found.chained if part in CHAINS else found.held).append(key)


async def _referred_to(objects: Objects, records: RecordStore, project: str) -> set[str]:
    """What another project refers to, without what it has given up in an erasure of its own."""
    named: set[str] = set()

    async def look(key: str) -> None:
        try:
            named.update(digest.decode() for digest in _DIGEST.findall(await objects.read(key)))
        except NotFound:
            return

    own = keys.erasures_folder(project)
    found = [key async for key in objects.keys(keys.project_folder(project)) if key.endswith(".json")]
    await in_parallel(look, [key for key in found if not key.startswith(f"{own}/")], limit=16)
    given_up = {
        artifact.digest
        for report in await records.erasures(project)
        for artifact in report.artifacts
        if not report.dry_run and artifact.fate == "kept-shared"
    }
    return named - given_up
