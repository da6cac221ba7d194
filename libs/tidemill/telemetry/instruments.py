"""Measures as OpenTelemetry's instruments. The one place that knows both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from tidemill.telemetry.measures import Measure, Observed


def noting(meter: Meter, measure: Measure) -> Callable[[float, Mapping[str, Any] | None], None]:
    """What notes values of a counter or a histogram.

    Raises:
        ValueError: a gauge is observed, not noted.
    """
    if measure.kind == "counter":
        return meter.create_counter(measure.name, measure.unit, measure.description).add
    if measure.kind == "histogram":
        return meter.create_histogram(
            measure.name, measure.unit, measure.description, explicit_bucket_boundaries_advisory=measure.bounds
        ).record
    raise ValueError(f"{measure.name} is a gauge: give observe() what reads its values")


def observe(meter: Meter, measure: Measure, read: Callable[[], Observed]) -> None:
    """Have ``read`` asked for a gauge's values at every export."""

    def values(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, dict(attributes)) for value, attributes in read()]

    meter.create_observable_gauge(measure.name, [values], measure.unit, measure.description)
