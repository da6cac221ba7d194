"""What work cost: measured by the parent of a job, carried on every event, priced by the registry."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from tidemill.contracts.references import Frozen


class ResourceUsage(Frozen):
    """Resources that one or many jobs used. Times in seconds, sizes in bytes."""

    wall_seconds: float = Field(default=0.0, ge=0)
    cpu_seconds: float = Field(default=0.0, ge=0)
    gpu_seconds: float = Field(default=0.0, ge=0)
    peak_memory_bytes: int = Field(default=0, ge=0)
    read_bytes: int = Field(default=0, ge=0)
    written_bytes: int = Field(default=0, ge=0)
    attempts: int = Field(default=0, ge=0)
    """How many times a child process was started for it; 0 when everything came from the cache."""

    @classmethod
    def total(cls, parts: Iterable[ResourceUsage]) -> ResourceUsage:
        """Sum of ``parts``; the peak memory is the largest, since parts may run one after another."""
        parts = list(parts)
        return cls(
            wall_seconds=sum(part.wall_seconds for part in parts),
            cpu_seconds=sum(part.cpu_seconds for part in parts),
            gpu_seconds=sum(part.gpu_seconds for part in parts),
            peak_memory_bytes=max((part.peak_memory_bytes for part in parts), default=0),
            read_bytes=sum(part.read_bytes for part in parts),
            written_bytes=sum(part.written_bytes for part in parts),
            attempts=sum(part.attempts for part in parts),
        )
