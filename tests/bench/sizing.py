"""What a run costs the platform: processor and memory by stage, and what it leaves in the store, NATS and the database.

`make bench-sizing`: with ``--data FILE`` a real run with a tiny model first and, with ``--default-model``, one with the
default model; then ``--runs`` runs with quick work, so that what is left behind can be counted run by run.
docs/sizing.md takes its measured figures from here. Counts and bytes travel to other machines; seconds do not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.bench.backpressure import publish, settings_of
from tests.bench.quick_platform import start_quick
from tests.bench.sampling import memory_of
from tests.pipeline.conftest import TINY, Whole, start, stop
from tidemill.bus import Bus
from tidemill.bus.streams import stream_names
from tidemill.contracts import RunFinished, StageEvent
from tidemill.testing.events import event_log

MB = 2**20
PATIENCE = 3600.0


@dataclass(frozen=True)
class Left:
    """What lies about at one moment."""

    objects: Counter[str]
    bytes: Counter[str]
    messages: dict[str, int]
    message_bytes: dict[str, int]
    database: int

    @classmethod
    async def behind(cls, whole: Whole, bus: Bus) -> Left:
        """Count it: objects by what they are, messages by stream."""
        objects: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        store = Path(whole.record.store_url.removeprefix("file://"))
        for path in store.rglob("*"):
            if path.is_file():
                kind = _kind(path.relative_to(store))
                objects[kind] += 1
                sizes[kind] += path.stat().st_size
        messages, message_bytes = {}, {}
        for name in await stream_names(bus.client):
            state = (await bus.jetstream.stream_info(name)).state
            messages[name], message_bytes[name] = state.messages, state.bytes
        return cls(objects, sizes, messages, message_bytes, _database_bytes(whole.data_dir / "registry.db"))


def _database_bytes(path: Path) -> int:
    """Of the tables, what its log holds included."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (pages,), (size,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
        return int(pages * size)


def _kind(path: Path) -> str:
    parts = path.parts
    return f"records/{parts[2]}" if parts[0] == "records" and len(parts) > 3 else parts[0]


async def real(whole: Whole, data: Path, recipe: dict[str, Any], title: str) -> None:
    """One real run, and what its stages used."""
    begun = time.monotonic()
    run = await asyncio.to_thread(whole.client.publish, data, name=title, recipe=recipe, use_cache=False)
    finished = await asyncio.to_thread(run.wait, timeout=PATIENCE)
    took = time.monotonic() - begun
    print(f"\n{title}: {data.name}, {data.stat().st_size:,} bytes, {finished.state} after {took:.0f} s")
    for stage in ("ingest", "preprocess", "train", "compress"):
        event = await asyncio.to_thread(whole.announced, run.run_id, stage)
        assert isinstance(event, StageEvent)
        used = event.usage
        moved = f"{used.read_bytes / MB:8.1f} MB read {used.written_bytes / MB:8.1f} MB written"
        cost = f"{used.cpu_seconds:9.1f} s CPU {used.wall_seconds:9.1f} s {used.peak_memory_bytes / MB:8.0f} MB"
        print(f"  {stage:11}{cost} {moved}")


async def left_by(whole: Whole, bus: Bus, count: int, folder: Path) -> None:
    """Publish ``count`` small datasets and print what each leaves."""
    async with event_log(bus) as log:
        await publish(whole, bus, folder, "default", "warm-up")
        await log.wait_for(RunFinished, "warm-up", seconds=PATIENCE)
        before, cpu_before = await Left.behind(whole, bus), _cpu_seconds(whole)
        begun = time.monotonic()
        names = [f"sized-{number:04}" for number in range(count)]
        for name in names:
            await publish(whole, bus, folder, "default", name)
        for name in names:
            await log.wait_for(RunFinished, name, seconds=PATIENCE)
        took = time.monotonic() - begun
        after, cpu = await Left.behind(whole, bus), _cpu_seconds(whole)
    said = [event for event in log.events if event.run_id in names]
    used = sum(event.usage.cpu_seconds for event in said if isinstance(event, StageEvent))
    print(f"\n{count} runs with quick work: {took:.0f} s, {took / count:.2f} s each")
    print(f"  their jobs used {used / count:.2f} s CPU a run, beside them")
    memory = memory_of(whole.record)
    for name, seconds in cpu.items():
        print(
            f"    {name:12} {(seconds - cpu_before[name]) / count:7.3f} s CPU a run, {memory.get(name, 0) / MB:6.0f} MB"
        )
    report_left(before, after, count)
    as_json = sum(len(event.model_dump_json()) for event in said)
    print(f"  events  {len(said) / count:.2f} a run, {as_json / count:,.0f} bytes of JSON")


def report_left(before: Left, after: Left, count: int) -> None:
    """Print what one of ``count`` runs left, by kind and by stream."""

    def each(grown: Mapping[str, int], grew_from: Mapping[str, int], kind: str) -> float:
        return (grown[kind] - grew_from[kind]) / count

    for kind in sorted(after.objects):
        objects, size = each(after.objects, before.objects, kind), each(after.bytes, before.bytes, kind)
        print(f"  store   {kind:24} {objects:8.2f} objects a run {size:12,.0f} bytes")
    for name in sorted(after.messages):
        messages = each(after.messages, before.messages, name)
        size = each(after.message_bytes, before.message_bytes, name)
        print(f"  nats    {name:24} {messages:8.2f} messages a run {size:11,.0f} bytes")
    print(f"  database {(after.database - before.database) / count:,.0f} bytes a run")


def _cpu_seconds(whole: Whole) -> dict[str, float]:
    """Of the platform's processes themselves, without their jobs."""
    found = {}
    for process in whole.record.processes:
        if process.identity is not None:
            times = psutil.Process(process.identity.pid).cpu_times()
            found[process.name] = times.user + times.system
    return found


async def main(runs: int, data: Path | None, default_model: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        if data is not None:
            whole = start(Path(name) / "real", ack_wait="PT30S")
            try:
                await real(whole, data, TINY, "tiny")
                if default_model:
                    await real(whole, data, {}, "default")
            finally:
                stop(whole)
        whole = start_quick(Path(name) / "quick", ack_wait="PT30S")
        bus = Bus.from_settings(settings_of(whole), "bench")
        try:
            await bus.connect()
            await left_by(whole, bus, runs, Path(name))
        finally:
            await bus.broker.stop()
            stop(whole)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--default-model", action="store_true")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    asyncio.run(main(given.runs, given.data, given.default_model))
