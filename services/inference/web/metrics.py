"""What the gateway measures, told twice: to Prometheus, which asks for it, and to OpenTelemetry, which is sent it.

One Prometheus registry per app, so that several apps can live in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tidemill.telemetry import measures
from tidemill.telemetry.measures import Attributes, Measure, Observed


class _Noting(Protocol):
    def __call__(self, amount: float) -> None: ...


class _Figure:
    """A counter or histogram of Prometheus, and the measure that is told the same."""

    def __init__(self, metric: Counter | Histogram, measure: Measure) -> None:
        self._metric = metric
        self._measure = measure
        self._labelled: dict[tuple[str, ...], _Labelled] = {}

    def labels(self, *values: str) -> _Labelled:
        """The figure of these values of the labels, which are as many as the measure's attributes."""
        labelled = self._labelled.get(values)
        if labelled is None:
            child = self._metric.labels(*values)
            note = child.inc if isinstance(child, Counter) else child.observe
            attributes = {
                key: int(value) if key == measures.STATUS else value
                for key, value in zip(self._measure.attributes, values, strict=True)
            }
            labelled = self._labelled[values] = _Labelled(note, self._measure, attributes)
        return labelled


class _Labelled:
    def __init__(self, note: _Noting, measure: Measure, attributes: Attributes) -> None:
        self._note = note
        self._measure = measure
        self._attributes = attributes

    def inc(self, amount: float = 1) -> None:
        """Count."""
        self._note(amount)
        self._measure.record(amount, self._attributes)

    observe = inc
    """Note a value in a histogram."""


class Metrics:
    """The gateway's metrics."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._watched: list[tuple[Measure, Callable[[], int]]] = []
        self.requests = self._counter(
            "tidemill_requests_total", "HTTP requests by route and status.", ["method", "route", "status"],
            measures.REQUESTS,
        )  # fmt: skip
        self.latency = self._histogram(
            "tidemill_request_seconds", "Time from a request's arrival to its answer, streams left out.",
            ["method", "route", "status"], measures.REQUEST_DURATION,
        )  # fmt: skip
        self.batch_rows = self._histogram(
            "tidemill_batch_rows", "Rows of one call of a model.", ["model"], measures.BATCH_SIZE
        )
        self.predictions = self._counter(
            "tidemill_predictions_total", "Rows predicted.", ["model", "version"], measures.PREDICTIONS
        )
        self.rejections = self._counter(
            "tidemill_rejections_total", "Requests refused because too much was waiting.", ["reason"],
            measures.REJECTIONS,
        )  # fmt: skip
        self.swaps = self._counter(
            "tidemill_model_swaps_total", "Deployments put into service.", ["model"], measures.MODEL_SWAPS
        )
        self.load_failures = self._counter(
            "tidemill_model_load_failures_total", "Versions that could not be loaded.", ["model"],
            measures.LOAD_FAILURES,
        )  # fmt: skip

    def watch(self, *, queued_rows: Callable[[], int], loaded_versions: Callable[[], int]) -> None:
        """Read these when somebody asks."""
        for name, description, measure, read in (
            ("tidemill_queue_rows", "Rows that wait for a free thread.", measures.QUEUED_ROWS, queued_rows),
            (
                "tidemill_model_versions_loaded", "Model versions in memory.", measures.VERSIONS_LOADED,
                loaded_versions,
            ),
        ):  # fmt: skip
            Gauge(name, description, registry=self._registry).set_function(read)
            self._watched.append((measure, read))

    def export(self) -> None:
        """Send the gauges through the telemetry that is configured now, and show at zero what alerts look at."""
        for measure, read in self._watched:
            measure.observe(_reading(read))
        for reason in ("requests", "rows"):
            self.rejections.labels(reason).inc(0)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, description: str, labels: list[str], measure: Measure) -> _Figure:
        return _Figure(Counter(name, description, labels, registry=self._registry), measure)

    def _histogram(self, name: str, description: str, labels: list[str], measure: Measure) -> _Figure:
        buckets = measure.bounds or ()
        return _Figure(Histogram(name, description, labels, buckets=buckets, registry=self._registry), measure)


def _reading(read: Callable[[], int]) -> Callable[[], Observed]:
    return lambda: [(read(), {})]
