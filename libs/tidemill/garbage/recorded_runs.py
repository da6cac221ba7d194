"""Runs as a collection sees them: what their records refer to, and which of that still counts.

Records are read as the JSON that they are: every reference in them counts, also in fields that this version does not
know. A record that cannot be read stops the collection, since it may refer to anything.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tidemill.artifacts.objects import Objects
from tidemill.artifacts.parallel import in_parallel
from tidemill.errors import CorruptArtifact, NotFound
from tidemill.garbage.deletions import Deletions
from tidemill.progress import Progress
from tidemill.records import keys
from tidemill.records.documents import from_json
from tidemill.records.schema import OutcomeRecord, RunRecord

Reference = tuple[str, str | None]
"""A digest, and the artifact's kind where the record tells."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
DATASET_KINDS: frozenset[str | None] = frozenset({"source", "dataset", "report", "quarantine", "vault"})
"""What a deleted dataset leaves nothing of."""
_MODEL: frozenset[str | None] = frozenset({"model", "checkpoint"})


@dataclass
class RecordedRun:
    """One run's records."""

    run_id: str
    name: str
    created_at: datetime
    references: set[Reference] = field(default_factory=set)
    outcome: OutcomeRecord | None = None
    """How its latest epoch ended, None while it goes on."""
    ingested: bool = False

    def counting(self, deleted: Deletions, forget_before: datetime | None) -> set[Reference] | None:
        """What the run still refers to, without what was deleted on purpose; None when it counts no more."""
        if self.outcome is None:
            return self.references
        finished = self.outcome.state == "finished"
        has_version = finished and self.outcome.version is not None
        version_gone = has_version and (self.outcome.name or self.name, self.outcome.version) in deleted.versions
        dataset_gone = self.run_id in deleted.runs
        forgotten = forget_before is not None and self.outcome.ended_at < forget_before
        if forgotten and (version_gone or not finished):
            return None
        if dataset_gone and (version_gone or not has_version):
            return None
        dropped = (_MODEL if version_gone else frozenset()) | (DATASET_KINDS if dataset_gone else frozenset())
        return {reference for reference in self.references if reference[1] not in dropped}


def references_in(document: Any) -> Iterator[Reference]:
    """Every reference in a JSON document: ``ArtifactRef``s with their kinds, and whatever else has a digest's form."""
    if isinstance(document, dict):
        digest, kind = document.get("digest"), document.get("kind")
        whole = isinstance(digest, str) and _DIGEST.fullmatch(digest) is not None and isinstance(kind, str)
        if whole:
            yield str(digest), kind
        for key, value in document.items():
            if not (whole and key == "digest"):
                yield from references_in(value)
    elif isinstance(document, list):
        for value in document:
            yield from references_in(value)
    elif isinstance(document, str) and _DIGEST.fullmatch(document):
        yield document, None


async def read_runs(objects: Objects, project: str, progress: Progress) -> list[RecordedRun]:
    """All runs of a project.

    Raises:
        CorruptArtifact: a record cannot be read; names it.
    """
    folder = keys.runs_folder(project)
    found = [key async for key in objects.keys(folder) if key.endswith(".json")]
    by_run: dict[str, dict[str, bytes]] = defaultdict(dict)
    done = 0

    async def read(key: str) -> None:
        nonlocal done
        run_id, _, rest = key.removeprefix(f"{folder}/").partition("/")
        try:
            by_run[run_id][rest] = await objects.read(key)
        except NotFound:
            raise CorruptArtifact(f"record {key} was there and is gone; nothing may delete records") from None
        done += 1
        progress(f"reading the runs of {project}", done, len(found))

    await in_parallel(read, found, limit=16)
    return [_run(f"{folder}/{run_id}", documents) for run_id, documents in by_run.items() if "run.json" in documents]


def _run(folder: str, documents: dict[str, bytes]) -> RecordedRun:
    record = from_json(documents["run.json"], RunRecord, f"{folder}/run.json")
    run = RecordedRun(record.event.run_id, record.event.name, record.created_at)
    epoch = 1
    outcomes: dict[int, OutcomeRecord] = {}
    for path, data in documents.items():
        run.references.update(references_in(_json(data, f"{folder}/{path}")))
        if path.startswith("epochs/"):
            epoch = max(epoch, keys.number_of(path))
        elif path.startswith("outcomes/"):
            outcomes[keys.number_of(path)] = from_json(data, OutcomeRecord, f"{folder}/{path}")
        elif path == "stages/ingest.json":
            run.ingested = True
    run.outcome = outcomes.get(epoch)
    return run


def _json(data: bytes, key: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise CorruptArtifact(f"record {key} cannot be read: {error}; restore it from a copy of the bucket") from None
