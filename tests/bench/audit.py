"""The audit log with very many entries: what one more costs, and how long the proof takes.

``python -m tests.bench.audit [--entries 100000] [--folder DIR]``. The entries are laid down below DIR (a temporary
folder) as plain files of a true chain; appending, reading and verifying are the product's own code. Appends to the long
chain and to one that begins empty take turns, so that whatever else the machine does falls on both.
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
from tidemill.records.audit import AUDIT, CLOCKS
from tidemill.records.documents import to_json
from tidemill.records.hash_chain import HashChain
from tidemill.records.keys import audit_folder
from tidemill.records.schema import AuditEntry, AuditRecord


def entry(number: int) -> AuditEntry:
    return AuditEntry(
        actor="key:0123456789abcdef", action="promote-version", subject=f"model:reviews:{number}", outcome="done",
        command=f"{number:032x}", trace_id="0af7651916cd43dd8448eb211c80319c",
    )  # fmt: skip


def lay_down(folder: Path, entries: int) -> None:
    """A chain of ``entries`` links, long ago, written without syncing."""
    chain = HashChain(open_objects(str(folder)), "default", AUDIT)
    target = folder / audit_folder("default")
    target.mkdir(parents=True)
    head: AuditRecord | None = None
    for number in range(entries):
        head = chain.link(head, entry(number))
        (target / f"{head.sequence:012d}.json").write_bytes(to_json(head))


async def append(long: str, short: str, times: int) -> dict[str, float]:
    """Milliseconds of one append with its look for the command, to both chains in turns."""
    logs = {"long": RecordStore(open_objects(long)).audit, "short": RecordStore(open_objects(short)).audit}
    took: dict[str, list[float]] = {name: [] for name in logs}
    stored_at = datetime.now(UTC) + CLOCKS  # no command of before the entries that are there
    for number in range(times + 1):
        for name, log in logs.items():
            started = time.perf_counter()
            await log.append("default", entry(-number), commanded_at=stored_at)
            took[name].append(1000 * (time.perf_counter() - started))
    figures: dict[str, float] = {}
    for name, each in took.items():
        figures |= {
            f"{name}_first_append_ms": round(each[0], 1),
            f"{name}_append_ms_p50": round(statistics.median(each[1:]), 2),
            f"{name}_append_ms_p95": round(sorted(each[1:])[int(0.95 * times)], 2),
        }
    return figures


async def look(url: str) -> dict[str, float]:
    objects = open_objects(url)
    opened = time.perf_counter()
    await RecordStore(objects).audit.newest("default", limit=50)
    listed = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = await verify(objects)
    done = time.perf_counter()
    assert found.good
    return {
        "newest_50_ms": round(1000 * (listed - opened), 1),
        "verify_seconds": round(done - listed, 1),
        "verified_links": sum(chain.links for chain in found.chains),
        "verify_more_memory_mib": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--appends", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        long, short = Path(scratch) / "long", Path(scratch) / "short"
        lay_down(long, arguments.entries)
        figures: dict[str, float] = {"entries": arguments.entries}
        print(json.dumps(figures | asyncio.run(append(str(long), str(short), arguments.appends)), indent=1), flush=True)
        print(json.dumps(asyncio.run(look(str(long))), indent=1))


if __name__ == "__main__":
    main()
