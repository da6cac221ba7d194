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
    """Have ``read`` asked for the values of a gauge, or the sums of a counter, at every export.

    Raises:
        ValueError: the values of a histogram are noted, not observed.
    """

    def values(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, dict(attributes)) for value, attributes in read()]

    if measure.kind == "histogram":
        raise ValueError(f"{measure.name} is a histogram: record() its values")
    make = meter.create_observable_gauge if measure.kind == "gauge" else meter.create_observable_counter
    make(measure.name, [values], measure.unit, measure.description)
