"""Sets up traces, metrics and logs of one service process: OTLP when an endpoint is set, otherwise files.

    <data_dir>/telemetry/spans/<service>-<instance>.jsonl
    <data_dir>/telemetry/metrics/<service>-<instance>.jsonl
    <data_dir>/telemetry/logs/<service>-<instance>.jsonl       (also with OTLP)

OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_…``, ``OTEL_BSP_…``, ``OTEL_METRIC_EXPORT_INTERVAL``) hold.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from tidemill.telemetry import logs
from tidemill.telemetry.context import activate, deactivate
from tidemill.telemetry.conversion import span_of
from tidemill.telemetry.files import LineFile, prune
from tidemill.telemetry.ids import SystemIds
from tidemill.telemetry.spans import SpanRecord

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
METRIC_SECONDS = 15.0

_log = logging.getLogger("tidemill.telemetry")
_UNSAFE = re.compile(r"[^\w.\-]+")


class Telemetry:
    """The telemetry of one process: ``configure`` makes it, ``shutdown`` flushes and ends it."""

    def __init__(self, service: str, data_dir: Path, instance: str, log_level: str) -> None:
        self.service = service
        self.instance = instance
        self._folder = data_dir / "telemetry"
        self._files: list[LineFile] = []
        self._closers: list[Callable[[], object]] = []
        self._resource = Resource.create({"service.name": service, "service.instance.id": instance})
        self._otlp = bool(os.environ.get(ENDPOINT_VARIABLE))
        self._handlers: list[logging.Handler] = [
            logs.readable_handler(service),
            logs.JsonHandler(self._file("logs"), service, instance),
        ]
        self._processor = self._span_processor()
        self.tracer_provider = TracerProvider(
            resource=self._resource,
            # Beside the data everything is kept; a collector may sample as OTEL_TRACES_SAMPLER says.
            sampler=None if self._otlp else ALWAYS_ON,
            id_generator=SystemIds(),
            shutdown_on_exit=False,
        )
        self.tracer_provider.add_span_processor(self._processor)
        self.meter_provider = self._meter_provider()
        if self._otlp:
            self._set_up_otlp_logs()
        self._active = activate(self.tracer_provider, service, instance, self.meter_provider)
        _make_global(self.tracer_provider, self.meter_provider)
        logs.install(self._handlers, log_level)

    @property
    def dropped(self) -> int:
        """Lines that could not be written to the files so far."""
        return sum(file.dropped for file in self._files)

    def export(self, spans: Iterable[SpanRecord]) -> None:
        """Send spans that another process recorded through this one's pipeline; ids and parents are kept."""
        for record in spans:
            try:
                self._processor.on_end(span_of(record, "tidemill.jobs"))
            except Exception as error:
                _log.warning("a span of a job was dropped: %s", error)

    def flush(self) -> None:
        """Send what waits in queues, for at most a few seconds."""
        with contextlib.suppress(Exception):
            self.tracer_provider.force_flush(3000)

    def shutdown(self) -> None:
        """Flush and end; never raises. Logging goes back to the handlers it had otherwise."""
        deactivate(self._active)
        for close in (*self._closers, self.tracer_provider.shutdown):
            try:
                close()
            except Exception as error:
                _log.warning("telemetry could not be flushed: %s", error)
        self._closers.clear()
        logs.remove(self._handlers)
        self._handlers.clear()

    def _file(self, signal: str) -> LineFile:
        folder = self._folder / signal
        prune(folder)
        name = _UNSAFE.sub("_", f"{self.service}-{self.instance}")
        file = LineFile(folder / f"{name}.jsonl")
        self._files.append(file)
        return file

    def _span_processor(self) -> SpanProcessor:
        if self._otlp:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            return BatchSpanProcessor(OTLPSpanExporter())
        from tidemill.telemetry.exporters import SpanFileProcessor

        return SpanFileProcessor(self._file("spans"))

    def _meter_provider(self) -> MeterProvider:
        from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader

        exporter: MetricExporter
        if self._otlp:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

            exporter = OTLPMetricExporter()
        else:
            from tidemill.telemetry.exporters import MetricFileExporter

            exporter = MetricFileExporter(self._file("metrics"), self.service, self.instance)
        interval = float(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", METRIC_SECONDS * 1000))
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=interval)
        provider = MeterProvider([reader], resource=self._resource, shutdown_on_exit=False)
        self._closers.append(provider.shutdown)
        return provider

    def _set_up_otlp_logs(self) -> None:
        from tidemill.telemetry.otlp_logs import open_handler

        handler, close = open_handler(self._resource)
        self._handlers.append(handler)
        self._closers.append(close)


_made_global = False


def _make_global(tracers: TracerProvider, meters: MeterProvider) -> None:
    # For libraries that instrument themselves. OpenTelemetry takes the first of a process and warns of a second.
    global _made_global
    if not _made_global:
        trace.set_tracer_provider(tracers)
        metrics.set_meter_provider(meters)
        _made_global = True


def default_instance() -> str:
    """Host and process id: no two processes write to one file."""
    return f"{socket.gethostname()}-{os.getpid()}"
