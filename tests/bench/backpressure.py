"""Many datasets published at once on one small machine: do they end one after another, in order, fairly, memory flat?

Two projects publish tiny datasets to one platform: the first nine tenths of them at once, the other the rest right
after. Prints when runs ended and in which order, how the second project fared, the memory of every process and the
lengths of the queues. `make bench-backpressure`, or with `RUNS=20`. ``--work quick`` leaves out what training and
compression cost, so that 500 datasets take minutes and the platform itself is what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.quick_platform import start_quick
from tests.bench.sampling import Sample, report_memory, report_queues, sample
from tests.pipeline.conftest import Whole, reviews, start, stop, write_csv
from tidemill.artifacts import open_store
from tidemill.bus import Bus
from tidemill.contracts import DatasetPublished, Event, RunFailed, RunFinished, StageEvent
from tidemill.platform.data_dir import DataDir
from tidemill.records.schema import RunRecord
from tidemill.settings import PlatformSettings
from tidemill.testing.events import EventLog, event_log

RECIPE: dict[str, Any] = {
    "model": {"from_scratch": {"layers": 1, "hidden_size": 16, "heads": 2, "vocabulary": 200}, "max_length": 16},
    "training": {"epochs": 1, "learning_rate": 0.005, "batch_size": 16, "precision": "fp32"},
    "compression": {"candidates": ["onnx-fp32"], "calibration_examples": 16},
    "promotion": {"enabled": False},
}
ROWS = 60
MANY, FEW = "many", "few"
"""The two projects."""
SAMPLE_EVERY = 2.0
SILENCE = 300.0
"""Seconds without a run that ends after which the bench gives up."""
MOST_MEMORY = 1.2


@dataclass
class Outcome:
    """What became of the runs. ``order`` holds run ids in the order in which their runs ended."""

    published: dict[str, list[str]]
    begun: float
    took_to_publish: float = 0.0
    order: list[str] = field(default_factory=list)
    ended: dict[str, float] = field(default_factory=dict)
    failed: list[RunFailed] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @property
    def runs(self) -> int:
        return sum(len(ids) for ids in self.published.values())


async def main(runs: int, work: str) -> bool:
    with tempfile.TemporaryDirectory() as name:
        starting = start_quick if work == "quick" else start
        whole = starting(Path(name) / "platform", ack_wait="PT30S")
        try:
            bus = Bus.from_settings(settings_of(whole), "operator")
            await bus.connect()
            async with event_log(bus) as log:
                few = max(1, runs // 10)
                print(
                    f"{runs} datasets of {ROWS} rows: {runs - few} of project {MANY!r}, then {few} of project {FEW!r}"
                )
                await one_run(whole, bus, log, Path(name))
                outcome = await watched(whole, bus, log, Path(name), {MANY: runs - few, FEW: few})
            await bus.broker.stop()
        finally:
            stop(whole)
    return report(outcome)


async def one_run(whole: Whole, bus: Bus, log: EventLog, folder: Path) -> None:
    """The cost of one run alone, and the warm-up of the platform."""
    for run_id in ("warm-up", "alone"):
        begun = time.monotonic()
        await publish(whole, bus, folder, "default", run_id)
        await log.wait_for(RunFinished, run_id, seconds=SILENCE)
    print(f"one run alone: {time.monotonic() - begun:.1f} s")
    for event in log.events:
        if isinstance(event, StageEvent) and event.run_id == "alone":
            fact = event.subject.removeprefix("tidemill.")
            print(f"  {fact:22} {event.usage.wall_seconds:5.2f} s, {event.usage.cpu_seconds:.2f} s CPU")


async def watched(whole: Whole, bus: Bus, log: EventLog, folder: Path, counts: dict[str, int]) -> Outcome:
    """Publish everything and follow it until every run has ended or nothing ends any more."""
    named = {project: [f"{project}-{number:04}" for number in range(count)] for project, count in counts.items()}
    outcome = Outcome(named, time.monotonic())
    publishing = asyncio.create_task(publish_all(whole, bus, folder, outcome))
    seen, last_ended = len(log.events), time.monotonic()
    while len(outcome.order) < outcome.runs and time.monotonic() - last_ended < SILENCE:
        with suppress(Exception):  # a sample that cannot be taken is left out
            outcome.samples.append(await sample(whole.record, bus, outcome.begun))
        await asyncio.sleep(SAMPLE_EVERY)
        news, seen = log.events[seen:], len(log.events)
        for event in news:
            if isinstance(event, RunFinished | RunFailed) and event.run_id not in outcome.ended:
                note(outcome, event)
                last_ended = time.monotonic()
    await publishing
    return outcome


def note(outcome: Outcome, event: Event) -> None:
    outcome.order.append(event.run_id)
    outcome.ended[event.run_id] = time.monotonic() - outcome.begun
    if isinstance(event, RunFailed):
        outcome.failed.append(event)


async def publish_all(whole: Whole, bus: Bus, folder: Path, outcome: Outcome) -> None:
    """The projects one after the other, each in the order of its numbers."""
    for project, ids in outcome.published.items():
        for run_id in ids:
            await publish(whole, bus, folder, project, run_id)
    outcome.took_to_publish = time.monotonic() - outcome.begun


async def publish(whole: Whole, bus: Bus, folder: Path, project: str, run_id: str) -> None:
    """What the gateway does with an upload: the source and the run's record first, then the event."""
    store = open_store(settings_of(whole).store_url, cache=folder / "cache")
    source = folder / "sources" / run_id
    source.mkdir(parents=True)
    seed = sum(ord(letter) * 31**place for place, letter in enumerate(run_id)) % 2**31
    write_csv(source / "data.csv", reviews(rows=ROWS, seed=seed))
    event = DatasetPublished(
        project=project, run_id=run_id, name=f"model-of-{project}", recipe=RECIPE,
        source=await store.put(source, kind="source"),
    )  # fmt: skip
    await store.records().create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
    await bus.announce(event, fingerprint="published")


def settings_of(whole: Whole) -> PlatformSettings:
    return PlatformSettings(
        nats_url=whole.record.nats_url, nats_nkey_file=DataDir(whole.data_dir).nkey_file("operator"),
        store_url=whole.record.store_url, data_dir=whole.data_dir,
    )  # fmt: skip


def report(outcome: Outcome) -> bool:
    """Print everything; True when every target is met."""
    times = sorted(outcome.ended.values())
    print(f"\npublished in {outcome.took_to_publish:.1f} s; {len(times)} of {outcome.runs} runs ended", end="")
    print(f" after {times[-1]:.0f} s, {times[-1] / len(times):.1f} s each" if times else "")
    for tenth in range(1, 11):
        if times:
            at = times[round(tenth * (len(times) - 1) / 10)]
            print(f"  {tenth * 10:3} % after {at:6.0f} s  {'█' * round(50 * at / times[-1])}")
    print(f"\n{'project':10} {'runs':>5} {'ended at rank':>24} {'pairs out of order':>20}")
    for project, ids in outcome.published.items():
        ranks = [outcome.order.index(run_id) + 1 for run_id in ids if run_id in outcome.ended]
        if ranks:
            summary = f"{min(ranks)}, median {statistics.median(ranks):g}, {max(ranks)}"
            pairs = len(ranks) * (len(ranks) - 1) // 2
            print(f"{project:10} {len(ids):5} {summary:>24} {inversions(ranks):11} of {pairs}")
    flat = report_memory(outcome.samples, MOST_MEMORY)
    report_queues(outcome.samples)
    for failed in outcome.failed[:5]:
        print(f"failed: {failed.run_id} in {failed.stage}: {failed.error}")
    few = [outcome.order.index(run_id) + 1 for run_id in outcome.published[FEW] if run_id in outcome.ended]
    fair = bool(few) and statistics.median(few) <= 3 * len(few)
    complete = len(times) == outcome.runs and not outcome.failed
    print()
    for target, met in (
        ("every run ended, none failed", complete),
        (f"memory of the last third at most {MOST_MEMORY} × the first", flat),
        (f"fair: the median run of {FEW!r} ends among the first {3 * len(outcome.published[FEW])}", fair),
    ):
        print(f"target: {target}: {'met' if met else 'NOT met'}")
    return complete and flat and fair


def inversions(ranks: Sequence[int]) -> int:
    """Pairs of runs that ended in another order than they were published in."""
    return sum(1 for earlier, later in itertools.combinations(ranks, 2) if earlier > later)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--work", choices=("real", "quick"), default="real")
    given = parser.parse_args()
    sys.exit(not asyncio.run(main(given.runs, given.work)))
