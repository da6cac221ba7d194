"""Between OpenTelemetry's spans and ``SpanRecord``. The one place that knows the fields of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from tidemill.telemetry.spans import AttributeValue, SpanEvent, SpanRecord, SpanStatus

_STATUS: dict[StatusCode, SpanStatus] = {
    StatusCode.UNSET: "unset",
    StatusCode.OK: "ok",
    StatusCode.ERROR: "error",
}
_CODE = {name: code for code, name in _STATUS.items()}


def record_of(span: ReadableSpan) -> SpanRecord:
    """A finished span as plain data."""
    context = span.context
    assert context is not None
    resource = span.resource.attributes
    return SpanRecord(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_id=f"{span.parent.span_id:016x}" if span.parent is not None else None,
        name=span.name,
        service=str(resource.get("service.name", "")),
        instance=str(resource.get("service.instance.id", "")),
        start_ns=span.start_time or 0,
        end_ns=span.end_time or span.start_time or 0,
        kind=span.kind.name.lower(),
        attributes=_plain(span.attributes or {}),
        status=_STATUS[span.status.status_code],
        status_message=span.status.description or "",
        events=tuple(SpanEvent(event.name, event.timestamp, _plain(event.attributes or {})) for event in span.events),
    )


def span_of(record: SpanRecord, scope: str) -> ReadableSpan:
    """A record as a span that OpenTelemetry's processors and exporters take; ids and times are the record's."""
    flags = TraceFlags(TraceFlags.SAMPLED)
    trace_id = int(record.trace_id, 16)
    parent = SpanContext(trace_id, int(record.parent_id, 16), True, flags) if record.parent_id is not None else None
    return ReadableSpan(
        name=record.name,
        context=SpanContext(trace_id, int(record.span_id, 16), False, flags),
        parent=parent,
        resource=Resource({"service.name": record.service, "service.instance.id": record.instance}),
        attributes=dict(record.attributes),
        events=[Event(event.name, dict(event.attributes), event.time_ns) for event in record.events],
        kind=SpanKind[record.kind.upper()],
        status=Status(_CODE[record.status], record.status_message or None if record.status == "error" else None),
        start_time=record.start_ns,
        end_time=record.end_ns,
        instrumentation_scope=InstrumentationScope(scope),
    )


def _plain(attributes: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in attributes.items()}
