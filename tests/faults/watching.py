"""What the suite sees of the platform from outside: the messages on the bus, as they pass. No truth."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nats.aio.msg import Msg

NEXT = {
    "tidemill.dataset.published.v1": "ingest",
    "tidemill.dataset.ingested.v1": "preprocess",
    "tidemill.dataset.prepared.v1": "train",
    "tidemill.model.trained.v1": "compress",
    "tidemill.model.compressed.v1": "register",
}
ENDS = ("tidemill.run.finished.v1", "tidemill.run.failed.v1")


@dataclass(frozen=True)
class Seen:
    """A message of the EVENTS stream as it passed."""

    subject: str
    body: bytes
    headers: Mapping[str, str]


@dataclass
class Watch:
    """What passed on the bus since ``follow``."""

    stage: dict[str, str] = field(default_factory=dict)
    """The stage that each run was last seen in."""
    announced: Counter[str] = field(default_factory=Counter)
    """Events seen, by subject."""
    steps_of: Counter[str] = field(default_factory=Counter)
    """Events seen, by run."""
    events: list[Seen] = field(default_factory=list)
    runs_of: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Runs that queued a job of this fingerprint."""
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The last stage event of each run."""

    async def follow(self, client: Any) -> None:
        """Subscribe; nats-py subscribes again by itself after an outage."""
        for subject in (*NEXT, *ENDS):
            await client.subscribe(subject, cb=self._event)
        await client.subscribe("tidemill.run.progressed.v1", cb=self._progress)
        await client.subscribe("tidemill.job.>", cb=self._job)

    @property
    def steps(self) -> int:
        """Grows whenever a stage of any run has announced something."""
        return sum(self.announced.values())

    def some_events(self, chance: random.Random, count: int) -> list[Seen]:
        """Some of the messages that passed, the latest stages first."""
        chosen = chance.sample(self.events, min(count, len(self.events)))
        order = list(NEXT)
        return sorted(chosen, key=lambda seen: -order.index(seen.subject) if seen.subject in order else 1)

    async def _event(self, message: Msg) -> None:
        self.announced[message.subject] += 1
        headers = dict(message.headers or {})
        if not headers.get("Tidemill-Faults"):
            self.events.append(Seen(message.subject, bytes(message.data), headers))
        document = json.loads(message.data)
        run_id = document.get("run_id")
        if run_id is None:
            return
        if not headers.get("Tidemill-Faults"):
            self.steps_of[run_id] += 1
        if message.subject in NEXT:
            self.stage[run_id] = NEXT[message.subject]
            self.inputs[run_id] = document
        else:
            self.stage[run_id] = "ended"

    async def _progress(self, message: Msg) -> None:
        document = json.loads(message.data)
        self.stage[document["run_id"]] = document["stage"]

    async def _job(self, message: Msg) -> None:
        document = json.loads(message.data)
        for fingerprint in document.get("fingerprints", ()):
            self.runs_of[fingerprint].add(document["run_id"])
