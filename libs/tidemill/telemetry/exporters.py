"""Spans and figures on their way to line files: used where no OTLP endpoint is set."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from opentelemetry.sdk.metrics.export import (
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from tidemill.telemetry.conversion import record_of
from tidemill.telemetry.files import LineFile


class SpanFileProcessor(SpanProcessor):
    """Appends every span that ends, one ``SpanRecord`` a line, at once: a process that is killed loses none of them.

    A processor rather than an exporter behind ``SimpleSpanProcessor``, which takes twice as long for each span.
    """

    def __init__(self, file: LineFile) -> None:
        self._file = file

    def on_end(self, span: ReadableSpan) -> None:
        """Append ``span``; what cannot be written is dropped and counted by the file."""
        self._file.write(record_of(span).to_json())

    def shutdown(self) -> None:
        """Close the file."""
        self._file.close()


class MetricFileExporter(MetricExporter):
    """One data point a line: time, service, instance, name, unit, attributes, and value or count, sum, min and max."""

    def __init__(self, file: LineFile, service: str, instance: str) -> None:
        super().__init__()
        self._file = file
        self._who = {"service": service, "instance": instance}

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Append every data point."""
        for resource in metrics_data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self._write(metric)
        return MetricExportResult.SUCCESS

    def _write(self, metric: Metric) -> None:
        for point in metric.data.data_points:
            self._file.write(
                {
                    "time": datetime.fromtimestamp(point.time_unix_nano / 1e9, UTC).isoformat(),
                    **self._who,
                    "name": metric.name,
                    "unit": metric.unit or "",
                    "attributes": dict(point.attributes or {}),
                    **_figures(metric, point),
                }
            )

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing is kept back."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Close the file."""
        self._file.close()


def _figures(metric: Metric, point: Any) -> dict[str, Any]:
    if isinstance(metric.data, Histogram) and isinstance(point, HistogramDataPoint):
        return {
            "count": point.count,
            "sum": point.sum,
            "min": point.min,
            "max": point.max,
            "bounds": list(point.explicit_bounds),
            "buckets": list(point.bucket_counts),
        }
    if isinstance(point, NumberDataPoint):
        return {"value": point.value}
    return {"count": point.count, "sum": point.sum}  # an exponential histogram, when a view asked for one
