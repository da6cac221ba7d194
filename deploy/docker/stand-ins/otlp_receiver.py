"""Receives traces, metrics and logs by OTLP/HTTP on port 4318, counts them by service, and shows the counts on 3000."""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

COUNTS: dict[str, Counter[str]] = defaultdict(Counter)
LOCK = threading.Lock()

SIGNALS: dict[str, tuple[type[Any], str, str, str]] = {
    "/v1/traces": (ExportTraceServiceRequest, "resource_spans", "scope_spans", "spans"),
    "/v1/metrics": (ExportMetricsServiceRequest, "resource_metrics", "scope_metrics", "metrics"),
    "/v1/logs": (ExportLogsServiceRequest, "resource_logs", "scope_logs", "log_records"),
}


class Receiver(BaseHTTPRequestHandler):
    """OTLP on POST, the counts on GET."""

    def do_POST(self) -> None:
        """Count what a request brings; 404 for another path."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path not in SIGNALS:
            self.send_error(404)
            return
        kind, resources, scopes, items = SIGNALS[self.path]
        request = kind.FromString(body)
        with LOCK:
            for resource in getattr(request, resources):
                names = [one.value.string_value for one in resource.resource.attributes if one.key == "service.name"]
                for scope in getattr(resource, scopes):
                    COUNTS[names[0] if names else "?"][items] += len(getattr(scope, items))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """The counts as JSON."""
        with LOCK:
            body = json.dumps(COUNTS, indent=2, sort_keys=True).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing of every request."""


if __name__ == "__main__":
    everywhere = "0.0.0.0"  # noqa: S104 - a container of its own
    threading.Thread(target=ThreadingHTTPServer((everywhere, 3000), Receiver).serve_forever, daemon=True).start()
    ThreadingHTTPServer((everywhere, 4318), Receiver).serve_forever()
