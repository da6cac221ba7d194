"""The audit log with very many entries: what one more costs, and how long the proof takes.

``python -m tests.bench.audit [--entries 100000] [--folder DIR]``. Entries are written below DIR (a temporary folder)
by the product's own code, each synced to the disk; then a fresh process appends, reads a page and verifies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tidemill.artifacts.objects import open_objects
from tidemill.audit import verify
from tidemill.records import RecordStore
from tidemill.records.schema import AuditEntry


def entry(number: int) -> AuditEntry:
    return AuditEntry(
        actor="key:0123456789abcdef", action="promote-version", subject=f"model:reviews:{number}", outcome="done",
        command=f"{number:032x}", trace_id="0af7651916cd43dd8448eb211c80319c",
    )  # fmt: skip


async def append(url: str, entries: int) -> dict[str, float]:
    audit = RecordStore(open_objects(url)).audit
    took = []
    for number in range(entries):
        started = time.perf_counter()
        await audit.append("default", entry(number), commanded_at=datetime.now(UTC))
        took.append(time.perf_counter() - started)
    tail = took[-1000:]
    return {
        "entries": entries,
        "append_ms_p50_first_1000": round(1000 * statistics.median(took[:1000]), 3),
        "append_ms_p50_last_1000": round(1000 * statistics.median(tail), 3),
        "append_ms_p99_last_1000": round(1000 * sorted(tail)[int(0.99 * len(tail))], 3),
    }


async def look(url: str) -> dict[str, float]:
    objects = open_objects(url)
    fresh = RecordStore(objects).audit
    started = time.perf_counter()
    await fresh.append("default", entry(-1))
    opened = time.perf_counter()
    await RecordStore(objects).audit.newest("default", limit=50)
    listed = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = await verify(objects)
    done = time.perf_counter()
    assert found.good
    return {
        "first_append_of_a_process_ms": round(1000 * (opened - started), 1),
        "newest_50_ms": round(1000 * (listed - opened), 1),
        "verify_seconds": round(done - listed, 1),
        "verified_links": sum(chain.links for chain in found.chains),
        "verify_more_memory_mib": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        figures = asyncio.run(append(folder, arguments.entries))
        print(json.dumps(figures | asyncio.run(look(folder)), indent=1))


if __name__ == "__main__":
    main()
