"""What the gateway measures, told twice: to Prometheus, which asks for it, and by OpenTelemetry, which sends it.

One Prometheus registry per app, so that several apps can live in one process. Counters and gauges are read from it when
OpenTelemetry sends them, and cost a request nothing; a histogram cannot be read and is told each value itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import Scope

from services.inference.web.problems import HttpProblem
from tidemill.telemetry import measures
from tidemill.telemetry.measures import AttributeValue, Measure, Observed

log = logging.getLogger(__name__)


class Metrics:
    """The gateway's metrics."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._read: list[tuple[Measure, Callable[[], Observed]]] = []
        self.requests = self._counter(
            "tidemill_requests_total", "HTTP requests by route and status.", ["method", "route", "status"],
            measures.REQUESTS,
        )  # fmt: skip
        self.latency = self._histogram(
            "tidemill_request_seconds", "Time from a request's arrival to its answer, streams left out.",
            ["method", "route", "status"], measures.REQUEST_DURATION,
        )  # fmt: skip
        self.batch_rows = self._histogram(
            "tidemill_batch_rows", "Rows of one call of a model.", ["project", "model"], measures.BATCH_SIZE
        )
        self.predictions = self._counter(
            "tidemill_predictions_total", "Rows predicted.", ["project", "model", "version"], measures.PREDICTIONS
        )
        self.rejections = self._counter(
            "tidemill_rejections_total", "Requests refused because too much was waiting.", ["reason"],
            measures.REJECTIONS,
        )  # fmt: skip
        for reason in ("requests", "rows"):  # at zero, so that the first one is an increase
            self.rejections.labels(reason)
        self.swaps = self._counter(
            "tidemill_model_swaps_total", "Deployments put into service.", ["project", "model"], measures.MODEL_SWAPS
        )
        self.load_failures = self._counter(
            "tidemill_model_load_failures_total", "Versions that could not be loaded.", ["project", "model"],
            measures.LOAD_FAILURES,
        )  # fmt: skip
        self.refusals = self._counter(
            "tidemill_access_refusals_total",
            "Requests whose caller was not let in, or may not do what they asked for.", ["reason"], measures.REFUSALS,
        )  # fmt: skip
        self.refusals.labels("unauthorized")

    def refuse(self, scope: Scope, refusal: HttpProblem) -> None:
        """Count a refusal and log it; what was sent as a credential is in neither."""
        self.refusals.labels(refusal.kind).inc()
        client = scope.get("client")
        # Its path comes from a stranger: repr keeps it on one line.
        log.info(
            "refused %s %r from %s: %s", scope["method"], scope["path"][:200], client[0] if client else "?", refusal
        )

    def watch(self, *, queued_rows: Callable[[], int], loaded_versions: Callable[[], int]) -> None:
        """Read these when somebody asks."""
        self._gauge("tidemill_queue_rows", "Rows that wait for a free thread.", queued_rows, measures.QUEUED_ROWS)
        self._gauge(
            "tidemill_model_versions_loaded", "Model versions in memory.", loaded_versions, measures.VERSIONS_LOADED
        )

    def export(self) -> None:
        """Send the figures through the telemetry that is configured now."""
        for measure, read in self._read:
            measure.observe(read)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, description: str, labels: Sequence[str], measure: Measure) -> Counter:
        counter = Counter(name, description, labels, registry=self._registry)

        def read() -> Observed:
            (family,) = counter.collect()
            samples = [sample for sample in family.samples if sample.name == name]
            return [
                (one.value, _attributes(measure, [one.labels[label] for label in labels])) for one in samples
            ]  # fmt: skip

        self._read.append((measure, read))
        return counter

    def _gauge(self, name: str, description: str, read: Callable[[], int], measure: Measure) -> None:
        Gauge(name, description, registry=self._registry).set_function(read)
        self._read.append((measure, lambda: [(read(), {})]))

    def _histogram(self, name: str, description: str, labels: Sequence[str], measure: Measure) -> Distribution:
        buckets = measure.bounds or ()
        return Distribution(Histogram(name, description, labels, buckets=buckets, registry=self._registry), measure)


class Distribution:
    """A histogram of Prometheus, and the measure that is told the same values."""

    def __init__(self, histogram: Histogram, measure: Measure) -> None:
        self._histogram = histogram
        self._measure = measure
        self._labelled: dict[tuple[str, ...], _Labelled] = {}

    def labels(self, *values: str) -> _Labelled:
        """That of these values of the labels, which are as many as the measure's attributes."""
        labelled = self._labelled.get(values)
        if labelled is None:
            child = self._histogram.labels(*values)
            labelled = self._labelled[values] = _Labelled(child, self._measure, _attributes(self._measure, values))
        return labelled


class _Labelled:
    def __init__(self, histogram: Histogram, measure: Measure, attributes: dict[str, AttributeValue]) -> None:
        self._histogram = histogram
        self._measure = measure
        self._attributes = attributes

    def observe(self, amount: float) -> None:
        """Note a value."""
        self._histogram.observe(amount)
        self._measure.record(amount, self._attributes)


def _attributes(measure: Measure, values: Sequence[str]) -> dict[str, AttributeValue]:
    return {
        key: int(value) if key == measures.STATUS else value
        for key, value in zip(measure.attributes, values, strict=True)
    }
