"""What Prometheus is told. One registry per app, so that several apps can live in one process."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The gateway's metrics."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "tidemill_requests_total",
            "HTTP requests by route and status.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.latency = Histogram(
            "tidemill_request_seconds",
            "Time from a request's arrival to its answer, streams left out.",
            ["route"],
            buckets=_LATENCY,
            registry=self._registry,
        )
        self.batch_rows = Histogram(
            "tidemill_batch_rows", "Rows of one call of a model.", ["model"], buckets=_ROWS, registry=self._registry
        )
        self.predictions = Counter(
            "tidemill_predictions_total", "Rows predicted.", ["model", "version"], registry=self._registry
        )
        self.rejections = Counter(
            "tidemill_rejections_total",
            "Requests refused because too much was waiting.",
            ["reason"],
            registry=self._registry,
        )
        self.swaps = Counter(
            "tidemill_model_swaps_total", "Deployments put into service.", ["model"], registry=self._registry
        )
        self.load_failures = Counter(
            "tidemill_model_load_failures_total",
            "Versions that could not be loaded.",
            ["model"],
            registry=self._registry,
        )

    def watch(self, *, queued_rows: Callable[[], int], loaded_versions: Callable[[], int]) -> None:
        """Read these when somebody asks."""
        Gauge("tidemill_queue_rows", "Rows that wait for a free thread.", registry=self._registry).set_function(
            queued_rows
        )
        Gauge("tidemill_model_versions_loaded", "Model versions in memory.", registry=self._registry).set_function(
            loaded_versions
        )

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)
