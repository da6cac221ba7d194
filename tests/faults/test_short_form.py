"""The short form of `make faults`: the main kinds of faults on a few runs, every promise audited."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.scene import Findings, Plan, play

SEED = 7
MAIN_KINDS = (
    "kill-service", "term-service", "kill-both-replicas", "kill-job", "kill-owner", "kill-nats", "pause-owner",
    "network-cut", "disk-full", "jobs-purged", "kv-purged", "events-purged", "events-again", "other-version",
)  # fmt: skip


def test_nothing_is_lost_duplicated_or_untruthful(tmp_path: Path) -> None:
    plan = Plan("folder", runs=8, faults=15, seed=SEED, kinds=MAIN_KINDS, at_once=4, deadline=90)
    findings = _played(plan, tmp_path)
    assert not findings.violations, "\n".join(f"{one.sort} {one.run_id} {one.seen}" for one in findings.violations)
    assert findings.runs == 8
    assert findings.states["finished"] >= 5
    assert findings.states["failed"] >= 1  # a job that always dies was told the truth about
    assert sum(not injection.skipped for injection in findings.injections) >= 10


def _played(plan: Plan, folder: Path) -> Findings:
    lines: list[str] = []
    return asyncio.run(play(plan, folder / plan.scene, said=lines.append, progress=lambda line: None))
