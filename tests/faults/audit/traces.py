"""The trace and the resource usage of every run add up, however often it was interrupted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from tests.faults.arena import Arena
from tests.faults.audit.facts import RunOnRecord
from tests.faults.audit.violation import Violation
from tests.faults.schedule import Injection
from tidemill.records.schema import AttemptRecord
from tidemill.stage.announced import announced
from tidemill.telemetry.spans import SpanRecord

CLOSE = timedelta(seconds=1)
"""Tries that end this close to their stage's end may or may not be on its event; later ones are on record alone."""


async def traced(arena: Arena, facts: Sequence[RunOnRecord], injections: Sequence[Injection]) -> list[Violation]:
    """Every span hangs below another of its trace or is the root; what a killed process had open may be missing."""
    folders = {arena.platform.data_dir(name) for name in arena.platform.proxies}
    spans: dict[str, dict[str, SpanRecord]] = defaultdict(dict)
    for span in (span for folder in folders for span in _spans(folder / "telemetry" / "spans")):
        spans[span.trace_id][span.span_id] = span
    killed = any(one.seconds is not None for one in injections)
    found = []
    for one in facts:
        if not one.record.traceparent:
            continue
        trace_id, root = one.record.traceparent.split("-")[1:3]
        mine = spans.get(trace_id, {})
        if not mine:
            found.append(Violation("trace", one.run_id, "its trace has no span"))
            continue
        for span in mine.values():
            orphaned = span.parent_id is not None and span.parent_id not in mine and span.parent_id != root
            if orphaned and not killed:
                found.append(Violation("trace", one.run_id, f"span {span.name} hangs below an unknown one"))
            if span.end_ns < span.start_ns:
                found.append(Violation("trace", one.run_id, f"span {span.name} ends before it begins"))
        found += [
            Violation("trace", one.run_id, f"no span tells of the {attempt.kind} try of {attempt.stage}")
            for attempt in one.attempts
            if attempt.usage.attempts and attempt.kind != "finished" and not _told(attempt, mine.values())
        ]
        done = {stage.stage for stage in one.stages if not stage.cached} - {"register"}
        worked = {span.name.split(" ")[0] for span in mine.values()}
        if missing := done - worked:
            found.append(Violation("trace", one.run_id, f"no span tells of {sorted(missing)}"))
    return found


async def used(arena: Arena, facts: Sequence[RunOnRecord]) -> list[Violation]:
    """Where a run did work itself, its event says what it used."""
    found = []
    for one in facts:
        for stage in one.stages:
            if stage.stage == "register":
                continue
            usage = announced(stage).usage
            made_here = [result for result in one.results[stage.stage] if result.run_id == one.run_id]
            if made_here and (usage.attempts < 1 or usage.wall_seconds <= 0):
                found.append(Violation("usage", one.run_id, f"{stage.stage} worked, and used {usage}"))
            if not made_here:
                continue
            jobs = {result.fingerprint for result in one.results[stage.stage]}
            others = [
                a
                for a in one.attempts
                if a.stage == stage.stage and (a.kind != "finished" or a.fingerprint not in jobs)
            ]
            before = [a.usage.attempts for a in others if a.at <= stage.finished_at - CLOSE]
            around = [a.usage.attempts for a in others if a.at <= stage.finished_at + CLOSE]
            worked = sum(result.usage.attempts for result in made_here)
            least, most = worked + sum(before), worked + sum(around)
            if not least <= usage.attempts <= most:
                found.append(
                    Violation(
                        "usage", one.run_id, f"{stage.stage} counts {usage.attempts} attempts, not {least} to {most}"
                    )
                )
    return found


def _told(attempt: AttemptRecord, spans: Iterable[SpanRecord]) -> bool:
    """Whether one of ``spans`` is that of a try: of the same job, and the try began while it was open."""
    begun, close = (attempt.started_at or attempt.at).timestamp(), CLOSE.total_seconds()
    return any(
        span.attributes.get("fingerprint") == attempt.fingerprint
        and span.start_ns / 1e9 - close <= begun <= span.end_ns / 1e9 + close
        for span in spans
    )


def _spans(folder: Path) -> Iterator[SpanRecord]:
    for path in folder.glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                yield SpanRecord.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue  # a killed process leaves half a line
