"""What a job's two processes say to each other: pickled dataclasses behind an eight-byte length, on a socket.

Both ends are this code base on one machine under one user, so pickle is as safe here as in ``multiprocessing``.
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from pathlib import Path

from tidemill.jobs.outcome import Progress
from tidemill.telemetry.spans import SpanRecord

LENGTH = struct.Struct("!Q")


@dataclass(frozen=True)
class ChildSettings:
    """What a child has to know besides its call."""

    preload: tuple[str, ...] = ()
    traceparent: str | None = None
    service: str = ""
    instance: str = ""
    log_level: int = 20


@dataclass(frozen=True)
class ChildUsage:
    """What a child measured about itself and its children that have ended. Seconds and bytes."""

    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


@dataclass(frozen=True)
class Progressed:
    """Child to parent: how far it is."""

    progress: Progress


@dataclass(frozen=True)
class CheckpointReady:
    """Child to parent: store this directory and answer with ``CheckpointAnswer``.

    ``step``: it is the outcome of that step of the job, rather than a state to go on from.
    """

    number: int
    directory: Path
    step: int | None = None


@dataclass(frozen=True)
class Logged:
    """Child to parent: a log record of the domain code."""

    level: int
    logger: str
    message: str


@dataclass(frozen=True)
class GpuHeld:
    """Child to parent: seconds during which it held GPU memory so far, so that a crash does not lose them."""

    seconds: float


@dataclass(frozen=True)
class Returned:
    """Child to parent, last: the pickled value."""

    value: bytes
    usage: ChildUsage
    spans: tuple[SpanRecord, ...] = ()


@dataclass(frozen=True)
class Raised:
    """Child to parent, last: an error.

    ``types`` names the classes of a Tidemill error (module, qualified name), the most special first; empty for
    anything else. ``memory``: it was a MemoryError.
    """

    message: str
    traceback: str
    types: tuple[tuple[str, str], ...] = ()
    memory: bool = False
    usage: ChildUsage = ChildUsage()
    spans: tuple[SpanRecord, ...] = ()


@dataclass(frozen=True)
class StopRequested:
    """Parent to child: save a checkpoint if you can and raise ``HandedBack``."""


@dataclass(frozen=True)
class CheckpointAnswer:
    """Parent to child: the checkpoint is stored, or why not."""

    number: int
    error: str | None = None
    transient: bool = True


FromChild = Progressed | CheckpointReady | Logged | GpuHeld | Returned | Raised
FromParent = StopRequested | CheckpointAnswer
Message = FromChild | FromParent


def encode(message: Message) -> bytes:
    """One frame."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


def decode(body: bytes) -> Message:
    """The message of a frame's body."""
    message: Message = pickle.loads(body)  # noqa: S301 - both ends are ours
    return message
