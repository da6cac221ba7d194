"""The current trace and run, and spans under it. Costs nothing until telemetry is configured in this process.

Knows who is configured (``activate``) but not how: services do it in ``setup``, a job's child in ``recording``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from tidemill.telemetry.measures import Attributes, Measure, Observed

SpanKind = Literal["internal", "server", "client", "producer", "consumer"]

_SCOPE = "tidemill"
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
_run_id: ContextVar[str | None] = ContextVar("tidemill_run_id", default=None)


@dataclass(frozen=True)
class Active:
    """What this process's spans go through, and who it is."""

    provider: TracerProvider
    tracer: Tracer
    service: str
    instance: str
    meters: MeterProvider | None = None
    instruments: dict[str, Callable[[float, Mapping[str, Any] | None], None]] = field(default_factory=dict)
    """What notes a value of a measure, by the measure's name; made when it is noted for the first time."""


_active: Active | None = None


def activate(provider: TracerProvider, service: str, instance: str, meters: MeterProvider | None = None) -> Active:
    """From now on spans of this process go to ``provider`` and its figures to ``meters``."""
    global _active
    _active = Active(provider, provider.get_tracer(_SCOPE), service, instance, meters)
    return _active


def deactivate(active: Active) -> None:
    """Spans are no-ops again, unless somebody else was activated since."""
    global _active
    if _active is active:
        _active = None


def service_name() -> str:
    """Name of this process's service; empty where telemetry is not configured."""
    return _active.service if _active is not None else ""


def instance_name() -> str:
    """Which of several processes of the service this is; empty where telemetry is not configured."""
    return _active.instance if _active is not None else ""


def tracer() -> Tracer:
    """The tracer of this process; one that records nothing where telemetry is not configured."""
    if _active is not None:
        return _active.tracer
    from opentelemetry.trace import NoOpTracer

    return NoOpTracer()


def meter() -> Meter:
    """The meter of this process; instruments made before telemetry is configured begin to count with it."""
    if _active is not None and _active.meters is not None:
        return _active.meters.get_meter(_SCOPE)
    from opentelemetry.metrics import get_meter

    return get_meter(_SCOPE)


def instrument(measure: Measure, amount: float, attributes: Attributes | None) -> None:
    """Note a value of a counter or histogram; nothing where telemetry is not configured."""
    active = _active
    if active is None or active.meters is None:
        return
    note = active.instruments.get(measure.name)
    if note is None:
        from tidemill.telemetry.instruments import noting

        note = active.instruments[measure.name] = noting(active.meters.get_meter(_SCOPE), measure)
    note(amount, attributes)


def observed(measure: Measure, read: Callable[[], Observed]) -> None:
    """Have values read at every export; nothing where telemetry is not configured."""
    if _active is not None and _active.meters is not None:
        from tidemill.telemetry.instruments import observe

        observe(_active.meters.get_meter(_SCOPE), measure, read)


@contextmanager
def span(
    name: str,
    *,
    traceparent: str | None = None,
    kind: SpanKind = "internal",
    **attributes: str | bool | int | float | None,
) -> Iterator[Span]:
    """A span around the block, below the current one, or below ``traceparent`` when that is given.

    Attributes that are None are left out. An exception is recorded, marks the span as failed and goes on. Where
    telemetry is not configured the block simply runs.
    """
    from opentelemetry import trace

    if _active is None:
        yield trace.INVALID_SPAN
        return
    with _active.tracer.start_as_current_span(
        name,
        context=context_from(traceparent) if traceparent else None,
        kind=trace.SpanKind[kind.upper()],
        attributes={key: value for key, value in attributes.items() if value is not None},
    ) as current:
        yield current


def current_traceparent() -> str | None:
    """The current span as a W3C ``traceparent``, or None when there is none."""
    if "opentelemetry.trace" not in sys.modules:
        return None  # nobody can have started a span
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def current_parent_id() -> str | None:
    """Id of the span above the current one (16 hexadecimal digits), or None when there is none."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry.trace import get_current_span

    parent = getattr(get_current_span(), "parent", None)
    return f"{parent.span_id:016x}" if parent is not None else None


def context_from(traceparent: str | None) -> Context:
    """The OpenTelemetry context of a W3C ``traceparent``; an empty one for None or anything that is none."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if not traceparent:
        return Context()
    return TraceContextTextMapPropagator().extract({"traceparent": traceparent}, context=Context())


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace id in a ``traceparent`` (32 hexadecimal digits), or None when it is not one."""
    if traceparent and _TRACEPARENT.match(traceparent):
        return traceparent.split("-")[1]
    return None


def span_id_of(traceparent: str | None) -> str | None:
    """The span id in a ``traceparent`` (16 hexadecimal digits), or None when it is not one."""
    if traceparent and _TRACEPARENT.match(traceparent):
        return traceparent.split("-")[2]
    return None


@contextmanager
def run_scope(run_id: str) -> Iterator[None]:
    """Log lines of the block, and of tasks started in it, carry ``run_id``."""
    token = _run_id.set(run_id)
    try:
        yield
    finally:
        _run_id.reset(token)


def current_run() -> str | None:
    """The run that this code works for, where ``run_scope`` said so."""
    return _run_id.get()
