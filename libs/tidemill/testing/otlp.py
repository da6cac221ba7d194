"""A receiver of OTLP over HTTP for tests: takes what services export and gives it back as OpenTelemetry's messages.

Also a fixture to import into a test module or a ``conftest.py``:

    from tidemill.testing.otlp import collector  # noqa: F401
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP and keeps what came, by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.received: list[tuple[str, bytes]] = []

    @property
    def endpoint(self) -> str:
        """For ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        return f"http://127.0.0.1:{self.server_port}"

    def bodies(self, path: str) -> list[bytes]:
        """The requests to ``/v1/traces``, ``/v1/metrics`` or ``/v1/logs``, oldest first."""
        return [body for where, body in list(self.received) if where == path]

    def metrics(self) -> Iterator[tuple[str, Metric]]:
        """Every metric of every export, with the service that sent it."""
        for body in self.bodies("/v1/metrics"):
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                service = str(values(resource.resource.attributes)["service.name"])
                for scope in resource.scope_metrics:
                    yield from ((service, metric) for metric in scope.metrics)

    def spans(self) -> Iterator[tuple[str, Span]]:
        """Every span, with the service that sent it."""
        for body in self.bodies("/v1/traces"):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = str(values(resource.resource.attributes)["service.name"])
                for scope in resource.scope_spans:
                    yield from ((service, span) for span in scope.spans)

    def logs(self) -> Iterator[tuple[str, LogRecord]]:
        """Every log record, with the service that sent it."""
        for body in self.bodies("/v1/logs"):
            for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                service = str(values(resource.resource.attributes)["service.name"])
                for scope in resource.scope_logs:
                    yield from ((service, record) for record in scope.log_records)


class _Post(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Collector)
        self.server.received.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def values(attributes: Any) -> dict[str, str | bool | int | float]:
    """Attributes as plain values, by key."""
    return {item.key: _value(item) for item in attributes}


def _value(item: KeyValue) -> Any:
    kind = item.value.WhichOneof("value")
    return getattr(item.value, kind) if kind is not None else None


def prometheus_name(metric: Metric) -> str:
    """The name under which Prometheus keeps a metric that comes over OTLP, without a histogram's suffixes.

    As ``prometheus/otlptranslator`` does it with suffixes (``UnderscoreEscapingWithSuffixes``), for the units that
    Tidemill has: annotations in braces are dropped.
    """
    kind = metric.WhichOneof("data")
    words = [word for word in metric.name.replace(".", "_").split("_") if word]
    unit = {"s": "seconds", "By": "bytes"}.get(metric.unit, "")
    assert unit or metric.unit.startswith("{"), f"{metric.name}: what does Prometheus make of the unit {metric.unit!r}?"
    if unit and unit not in words:
        words.append(unit)
    if kind == "sum" and metric.sum.is_monotonic:
        words = [word for word in words if word != "total"] + ["total"]
    return "_".join(words)


def series_names(metric: Metric) -> set[str]:
    """The names of the series that Prometheus makes of a metric."""
    name = prometheus_name(metric)
    if metric.WhichOneof("data") == "histogram":
        return {f"{name}_{suffix}" for suffix in ("bucket", "count", "sum")}
    return {name}


def labels(metric: Metric) -> set[str]:
    """The labels that the series of a metric carry, beside those of the resource (``instance``, ``job``, …)."""
    points = getattr(metric, metric.WhichOneof("data") or "gauge").data_points
    return {key.replace(".", "_") for point in points for key in values(point.attributes)}


@contextmanager
def running_collector() -> Iterator[Collector]:
    """A collector on a free port of 127.0.0.1, ended with the context."""
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that this process's telemetry, and that of its children, goes to."""
    with running_collector() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.endpoint)
        yield server
