"""What really arrives over OTLP when datasets go through the platform: metrics, traces and logs of every service."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bench.quick_platform import start_quick
from tests.deploy.grafana import OF_THE_RESOURCE, QUERIES, parsed, selectors
from tests.pipeline.conftest import TINY, Whole, reviews, write_csv
from tidemill.telemetry.measures import MEASURES
from tidemill.testing.otlp import Collector, labels, prometheus_name, running_collector, series_names, values

STAGES = {"ingest", "preprocess", "train", "compress"}
SERVICES = STAGES | {"registry", "inference"}
ELSEWHERE = {"tidemill_bucket_notifications_total", "tidemill_model_load_failures_total"}
"""What does not happen in this flow: see the tests of the inbox and of the gateway."""


@dataclass
class Flow:
    """A platform that has worked and ended, and what it sent."""

    platform: Whole
    collector: Collector
    run_id: str

    @property
    def metrics(self) -> dict[str, set[str]]:
        """The series that arrived, as Prometheus names them, with their labels."""
        found: dict[str, set[str]] = defaultdict(set)
        for _, metric in self.collector.metrics():
            for name in series_names(metric):
                found[name] |= labels(metric)
        return found


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """A run to a served model and its prediction, and one that fails."""
    folder: Path = tmp_path_factory.mktemp("telemetry")
    with running_collector() as collector, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        environment.setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")
        environment.setenv("TIDEMILL_REGISTRY_RECONCILE_EVERY", "PT0.25S")  # what runs is seen while it does
        platform = start_quick(folder, ack_wait="PT4S")
        try:
            run = platform.client.publish(write_csv(folder / "reviews.csv", reviews(60)), name="评论", recipe=TINY)
            assert run.wait(timeout=120).state == "finished"
            platform.client.predict("评论", ["很好 1"])
            failed = platform.client.publish(write_csv(folder / "none.csv", []), name="none").wait(timeout=60)
            assert failed.state == "failed"
            until(lambda: "tidemill_queue_pending" in {prometheus_name(one) for _, one in collector.metrics()})
        finally:
            platform.cli("down")
        yield Flow(platform, collector, run.run_id)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.1)


def test_every_metric_that_a_dashboard_or_an_alert_asks_for_is_exported(flow: Flow) -> None:
    exported = flow.metrics
    for where, expression in QUERIES:
        for selector in selectors(parsed(expression)):
            if selector.name not in ELSEWHERE:
                assert selector.name in exported, (
                    f"{where}: {selector.name} did not arrive; there are {sorted(exported)}"
                )
                asked = {matcher.name for matcher in selector.matchers.matchers}
                assert asked <= exported[selector.name] | OF_THE_RESOURCE, where


def test_every_service_sends_metrics_traces_and_logs(flow: Flow) -> None:
    assert {service for service, _ in flow.collector.metrics()} == SERVICES
    assert {service for service, _ in flow.collector.spans()} >= SERVICES
    assert {service for service, _ in flow.collector.logs()} >= SERVICES
    assert {metric.name for _, metric in flow.collector.metrics()} <= {measure.name for measure in MEASURES}


def test_the_whole_run_is_one_trace(flow: Flow) -> None:
    spans = [(service, span) for service, span in flow.collector.spans()]
    (trace,) = {span.trace_id for _, span in spans if values(span.attributes).get("run_id") == flow.run_id}
    ours = [(service, span) for service, span in spans if span.trace_id == trace]
    assert {service for service, _ in ours} >= SERVICES
    known = {span.span_id for _, span in ours}
    assert [span.name for _, span in ours if span.parent_span_id and span.parent_span_id not in known] == []


def test_a_log_line_leads_to_its_run_and_trace(flow: Flow) -> None:
    lines = [record for _, record in flow.collector.logs() if values(record.attributes).get("run_id") == flow.run_id]
    assert lines
    assert any(record.trace_id for record in lines)
    assert any(record.severity_text == "ERROR" for _, record in flow.collector.logs()), "a run has failed"


def test_what_was_used_was_counted_by_every_stage(flow: Flow) -> None:
    used: dict[str, float] = {}
    for _, metric in flow.collector.metrics():
        if metric.name == "tidemill.job.cpu.time":
            used |= {
                str(values(point.attributes)["tidemill.stage"]): point.as_double for point in metric.sum.data_points
            }
    assert set(used) == STAGES
    assert min(used.values()) > 0


def test_no_attribute_tells_runs_or_datasets_apart(flow: Flow) -> None:
    told = {
        str(value)
        for _, metric in flow.collector.metrics()
        for point in getattr(metric, metric.WhichOneof("data") or "gauge").data_points
        for key, value in values(point.attributes).items()
        if key != "tidemill.model"
    }
    assert flow.run_id not in told
    assert "none" not in told
