"""Traces, metrics and logs of a service, and of the jobs that it runs. Importing this costs next to nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.telemetry.context import (
    context_from,
    current_parent_id,
    current_run,
    current_traceparent,
    instance_name,
    meter,
    run_scope,
    service_name,
    span,
    span_id_of,
    trace_id_of,
    tracer,
)
from tidemill.telemetry.spans import SpanRecord

if TYPE_CHECKING:
    from tidemill.telemetry.setup import Telemetry

_configured: Telemetry | None = None


def configure(service_name: str, data_dir: Path, instance: str | None = None, *, log_level: str = "INFO") -> Telemetry:
    """Set up traces, metrics and logs of this process; an earlier configuration is shut down.

    ``instance`` tells processes of one service apart (default: host and process id). With
    ``OTEL_EXPORTER_OTLP_ENDPOINT`` set all three signals go there over HTTP, otherwise to files below
    ``data_dir/telemetry``. A full disk or an unreachable endpoint costs telemetry, never work.
    """
    global _configured
    from tidemill.telemetry.setup import Telemetry, default_instance

    if _configured is not None:
        _configured.shutdown()
    _configured = Telemetry(service_name, Path(data_dir), instance or default_instance(), log_level)
    return _configured


def export(spans: Iterable[SpanRecord]) -> None:
    """Send the spans of a job's child through this process's pipeline; nothing where telemetry is not configured."""
    if _configured is not None:
        _configured.export(spans)


def shutdown() -> None:
    """Flush and end this process's telemetry, if it was configured."""
    global _configured
    configured, _configured = _configured, None
    if configured is not None:
        configured.shutdown()


__all__ = [
    "SpanRecord",
    "configure",
    "context_from",
    "current_parent_id",
    "current_run",
    "current_traceparent",
    "export",
    "instance_name",
    "meter",
    "run_scope",
    "service_name",
    "shutdown",
    "span",
    "span_id_of",
    "trace_id_of",
    "tracer",
]
