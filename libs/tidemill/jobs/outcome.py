"""How a job ended: its value, or one of the errors that only a child process can have. Knows no process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tidemill.contracts import ResourceUsage
from tidemill.errors import TidemillError
from tidemill.telemetry.spans import SpanRecord

R = TypeVar("R")


@dataclass(frozen=True)
class Progress:
    """How far a job is. ``fraction`` in 0..1 or None when unknown; ``message`` is one short line for a person."""

    fraction: float | None
    message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class JobOutcome(Generic[R]):
    """What a finished job returned, what it used, and the spans that it opened (for ``Telemetry.export``)."""

    value: R
    usage: ResourceUsage
    spans: Sequence[SpanRecord] = ()


class JobFailed(TidemillError):
    """The domain function raised something that nobody foresaw; counts towards the limit of attempts.

    ``str(error)`` is one line for people; ``traceback`` is the child's, for the log.
    """

    traceback: str = ""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class JobCrashed(TidemillError):
    """The child process ended without an answer: a segfault, an out-of-memory kill, ``os._exit``.

    ``signal`` is the name of the signal that ended it (``SIGKILL``) or None; ``output`` is the end of what it printed.
    """

    signal: str | None = None
    output: str = ""

    def __init__(self, message: str, signal: str | None = None, output: str = "") -> None:
        super().__init__(message)
        self.signal = signal
        self.output = output


def usage_of(error: BaseException) -> ResourceUsage:
    """What the job that ended with ``error`` used until then; nothing for an error that no job raised."""
    usage = getattr(error, "_job_usage", None)
    return usage if isinstance(usage, ResourceUsage) else ResourceUsage()


def spans_of(error: BaseException) -> Sequence[SpanRecord]:
    """The spans that the job that ended with ``error`` had finished; a crash takes them with it."""
    spans: Sequence[SpanRecord] = getattr(error, "_job_spans", ())
    return spans


def with_account(error: TidemillError, usage: ResourceUsage, spans: Sequence[SpanRecord] = ()) -> TidemillError:
    """``error`` with what ``usage_of`` and ``spans_of`` give back."""
    vars(error).update(_job_usage=usage, _job_spans=tuple(spans))
    return error
