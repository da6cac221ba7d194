"""Which artifacts a project refers to, and which were made from which: read from its records, as JSON that they are.

What was made from somebody's data may hold it in a form that no search finds (hashed, cut to pieces, encrypted), so it
goes with what it was made from. A stage's inputs are what the stage before announced; its outputs are what it announced
and the results and checkpoints of its jobs.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tidemill.contracts import STAGES, StageName

_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
_KEPT = frozenset({"recipe"})
"""Kinds that say how something was made and not of what."""
_MADE_OF = {"ingest": ("source",), "preprocess": ("ingested",), "train": ("dataset",), "compress": ("trained",)}
"""Members of a stage's event that name what it took."""

Job = tuple[str, StageName]
"""A run and a stage of it."""


@dataclass
class Lineage:
    """The artifacts of one project."""

    kinds: dict[str, str] = field(default_factory=dict)
    """Of all artifacts that its records name, by digest."""
    runs: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Digests that each run's own records name, by run."""
    _took: dict[Job, set[str]] = field(default_factory=lambda: defaultdict(set))
    _made: dict[Job, set[str]] = field(default_factory=lambda: defaultdict(set))
    _results: dict[str, tuple[Job, set[str]]] = field(default_factory=dict)
    """By fingerprint; of all generations."""
    _jobs: dict[str, set[Job]] = field(default_factory=lambda: defaultdict(set))
    """What a fingerprint was worked for."""
    _checkpoints: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, key: str, data: bytes) -> None:
        """Take in a record of the project, whatever it is."""
        for digest in _DIGEST.findall(data):
            self.kinds.setdefault(digest.decode(), "")
        parts = key.split("/")[2:]
        document = json.loads(data) if parts[0] in ("runs", "results", "checkpoints", "attempts", "decisions") else None
        if document is None:
            return
        for digest, kind in _references(document):
            self.kinds[digest] = kind
        if parts[0] == "runs":
            self._add_run(parts[1:], document)
        elif parts[0] == "results":
            self._add_result(document)
        elif parts[0] == "checkpoints":
            self._checkpoints[document["fingerprint"]].add(document["artifact"]["digest"])
        elif parts[0] == "attempts":
            self._jobs[document["fingerprint"]].add((document["run_id"], document["stage"]))

    def made_from(self, origins: Iterable[str]) -> set[str]:
        """Everything that was made from ``origins``, directly or not; not they themselves, nor recipes."""
        edges = self._edges()
        found: set[str] = set()
        waiting = list(origins)
        while waiting:
            for child in edges[waiting.pop()] - found:
                found.add(child)
                waiting.append(child)
        return {one for one in found if self.kinds.get(one) not in _KEPT} - set(origins)

    def runs_with(self, digests: Iterable[str]) -> set[str]:
        """The runs whose records name one of ``digests``, or that took one in as their source.

        What their jobs left otherwise does not count: two datasets may share some of it, and only one hold the value.
        """
        wanted = set(digests)
        runs = {run_id for run_id, named in self.runs.items() if named & wanted}
        sources = {one for one in wanted if self.kinds.get(one) == "source"}
        return runs | {run_id for (run_id, _), made in self._made_by_jobs().items() if made & sources}

    def _add_run(self, path: list[str], document: Any) -> None:
        run_id = path[0]
        self.runs[run_id].update(digest for digest, _ in _references(document))
        if path[1:] == ["run.json"]:
            source = document["event"].get("source")
            self._took[run_id, "ingest"] |= {source["digest"]} if source else set()
        elif path[1] == "stages":
            stage, event = document["stage"], document["event"]
            took = {event[name]["digest"] for name in _MADE_OF.get(stage, ()) if event.get(name)}
            self._took[run_id, stage] |= took
            self._made[run_id, stage] |= {digest for digest, _ in _references(event)} - took
            for fingerprint in document.get("fingerprints", ()):
                self._jobs[fingerprint].add((run_id, stage))

    def _add_result(self, document: Any) -> None:
        job = (document["run_id"], document["stage"])
        made = {artifact["digest"] for artifact in document["artifacts"].values()}
        known = self._results.get(document["fingerprint"])
        self._results[document["fingerprint"]] = (job, made | (known[1] if known else set()))
        self._jobs[document["fingerprint"]].add(job)

    def _made_by_jobs(self) -> dict[Job, set[str]]:
        made: dict[Job, set[str]] = defaultdict(set)
        for job, digests in self._made.items():
            made[job] |= digests
        for fingerprint, jobs in self._jobs.items():
            results = self._results.get(fingerprint)
            for job in jobs:
                made[job] |= (results[1] if results else set()) | self._checkpoints.get(fingerprint, set())
        return made

    def _edges(self) -> dict[str, set[str]]:
        edges: dict[str, set[str]] = defaultdict(set)
        for (run_id, stage), outputs in self._made_by_jobs().items():
            inputs = self._took.get((run_id, stage)) or self._announced_before(run_id, stage)
            sources = {one for one in outputs if self.kinds.get(one) == "source"}  # a snapshot is no work on anything
            for parent in inputs | sources:
                edges[parent] |= outputs - inputs - sources - {parent}
        return edges

    def _announced_before(self, run_id: str, stage: str) -> set[str]:
        """What the jobs of a stage took that has announced nothing yet."""
        at = STAGES.index(stage) if stage in STAGES else 0
        announced = self._made.get((run_id, STAGES[at - 1]), set()) if at else set()
        return {one for one in announced if self.kinds.get(one) in ("dataset", "model")}


def _references(document: Any) -> Iterable[tuple[str, str]]:
    """The artifacts that a document names with their kinds."""
    if isinstance(document, dict):
        digest, kind = document.get("digest"), document.get("kind")
        if isinstance(digest, str) and isinstance(kind, str) and digest.startswith("sha256:"):
            yield digest, kind
        for value in document.values():
            yield from _references(value)
    elif isinstance(document, list):
        for value in document:
            yield from _references(value)
