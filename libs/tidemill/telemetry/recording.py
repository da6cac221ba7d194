"""Spans of a job's child process: kept in memory and handed to the parent with the job's answer. No thread, no file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.context import attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from tidemill.telemetry.context import activate, context_from
from tidemill.telemetry.conversion import record_of
from tidemill.telemetry.ids import SystemIds
from tidemill.telemetry.spans import SpanRecord

MOST_SPANS = 2000
"""A job that opens more keeps the first ones; a span per training step is a mistake that must not fill memory."""


class _InMemory(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        if len(self.spans) < MOST_SPANS:
            self.spans.append(span)


class Recorder:
    """What ``record`` returns: places the child's spans below their parent, and gives them back as data."""

    def __init__(self, processor: _InMemory) -> None:
        self._processor = processor

    @contextmanager
    def under(self, traceparent: str | None) -> Iterator[None]:
        """Spans opened in the block are children of ``traceparent``."""
        token = attach(context_from(traceparent))
        try:
            yield
        finally:
            detach(token)

    def finished(self) -> tuple[SpanRecord, ...]:
        """The finished spans so far, in the order in which they ended."""
        return tuple(record_of(span) for span in self._processor.spans)


def record(service: str, instance: str) -> Recorder:
    """Record this process's spans in memory, as spans of ``service``."""
    resource = Resource({"service.name": service, "service.instance.id": instance})
    provider = TracerProvider(resource=resource, sampler=ALWAYS_ON, id_generator=SystemIds(), shutdown_on_exit=False)
    processor = _InMemory()
    provider.add_span_processor(processor)
    activate(provider, service, instance)
    return Recorder(processor)
