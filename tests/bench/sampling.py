"""What a running platform holds, sampled while it works: resident memory of its processes, messages in its queues."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from tidemill.bus import Bus
from tidemill.bus.subjects import JOBS
from tidemill.platform.data_dir import PlatformRecord

MB = 2**20


@dataclass(frozen=True)
class Sample:
    """One moment. ``memory`` in bytes by process, ``queued`` jobs by stage."""

    seconds: float
    memory: Mapping[str, int]
    queued: Mapping[str, int]


async def sample(record: PlatformRecord, bus: Bus, begun: float) -> Sample:
    """The platform now; ``begun`` is the monotonic time that seconds are counted from."""
    info = await bus.jetstream.stream_info(JOBS, subjects_filter=">")
    queued: dict[str, int] = {}
    for subject, count in (info.state.subjects or {}).items():
        stage = subject.split(".")[2]
        queued[stage] = queued.get(stage, 0) + count
    return Sample(time.monotonic() - begun, memory_of(record), queued)


def memory_of(record: PlatformRecord) -> dict[str, int]:
    """Resident bytes of every service, and of the forkserver of each that has one. Jobs come and go: left out."""
    found: dict[str, int] = {}
    for process in record.processes:
        if process.identity is None:
            continue
        with contextlib.suppress(psutil.Error):
            service = psutil.Process(process.identity.pid)
            found[process.name] = service.memory_info().rss
            for child in service.children():
                if "forkserver" in " ".join(child.cmdline()):
                    found[f"{process.name} forkserver"] = child.memory_info().rss
    return found


def report_memory(samples: Sequence[Sample], most: float) -> bool:
    """Print the medians of each third, after the first tenth; True when no last third exceeds ``most`` × the first."""
    kept = samples[len(samples) // 10 :]
    third = max(1, len(kept) // 3)
    flat = True
    print(f"\n{'resident memory, MB':28} {'begin':>8} {'middle':>8} {'end':>8} {'end/begin':>10}")
    for name in sorted({name for one in kept for name in one.memory}):
        values = [one.memory[name] / MB for one in kept if name in one.memory]
        if len(values) < len(kept) // 2:
            continue  # it was started late, or ended
        first, middle, last = (
            statistics.median(part) for part in (values[:third], values[third:-third] or values, values[-third:])
        )
        flat = flat and last <= most * first
        print(f"{name:28} {first:8.0f} {middle:8.0f} {last:8.0f} {last / first:10.2f}")
    return flat


def report_queues(samples: Sequence[Sample]) -> None:
    """Print how many jobs waited at ten moments."""
    moments = [samples[round(index * (len(samples) - 1) / 9)] for index in range(10)] if samples else []
    print(f"\n{'jobs queued, at second':28} " + " ".join(f"{one.seconds:6.0f}" for one in moments))
    for stage in sorted({stage for one in samples for stage in one.queued}):
        print(f"{stage:28} " + " ".join(f"{one.queued.get(stage, 0):6}" for one in moments))
