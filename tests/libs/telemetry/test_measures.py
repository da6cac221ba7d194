"""Measures: nothing where telemetry is not configured, figures with their names where it is; none is undocumented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill import telemetry
from tidemill.telemetry import measures
from tidemill.telemetry.measures import MEASURES, Measure
from tidemill.testing.otlp import Collector, labels, prometheus_name, values

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"


@pytest.fixture(autouse=True)
def _shut_down() -> Iterator[None]:
    yield
    telemetry.shutdown()


def test_where_nothing_is_configured_nothing_happens() -> None:
    measures.FAILURES.record(1, {measures.STAGE: "train", measures.KIND: "crash"})
    measures.QUEUE_PENDING.observe(lambda: pytest.fail("nobody asks"))


def test_figures_arrive_under_their_names(tmp_path: Path, collector: Collector) -> None:
    telemetry.configure("registry", tmp_path)
    waiting = {measures.STREAM: "JOBS", measures.CONSUMER: "train-jobs-gpu", measures.STAGE: "train"}
    measures.QUEUE_PENDING.observe(lambda: [(7, waiting)])
    for _ in range(2):
        measures.CPU_TIME.record(1.5, {measures.STAGE: "train", measures.PROJECT: "默认"})
    measures.JOB_DURATION.record(20.0, {measures.STAGE: "train", measures.OUTCOME: "finished"})
    telemetry.shutdown()
    found = {metric.name: metric for _, metric in collector.metrics()}
    (point,) = found["tidemill.job.cpu.time"].sum.data_points
    assert (point.as_double, values(point.attributes)) == (
        3.0, {"tidemill.stage": "train", "tidemill.project": "默认"},
    )  # fmt: skip
    (point,) = found["tidemill.queue.pending"].gauge.data_points
    assert (point.as_int, values(point.attributes)) == (7, waiting)
    (bins,) = found["tidemill.job.duration"].histogram.data_points
    assert list(bins.explicit_bounds) == list(measures.JOB_DURATION.bounds or ())
    assert bins.bucket_counts[list(bins.explicit_bounds).index(60.0)] == 1
    assert {prometheus_name(metric) for metric in found.values()} == {
        "tidemill_job_cpu_time_seconds_total", "tidemill_queue_pending", "tidemill_job_duration_seconds",
    }  # fmt: skip
    assert labels(found["tidemill.queue.pending"]) == {
        "messaging_destination_name", "messaging_consumer_group_name", "tidemill_stage",
    }  # fmt: skip


def test_figures_go_on_under_the_next_configuration(tmp_path: Path, collector: Collector) -> None:
    for service in ("first", "second"):
        telemetry.configure(service, tmp_path)
        measures.FAILURES.record(1, {measures.STAGE: "train", measures.KIND: "crash"})
    telemetry.shutdown()
    assert [service for service, _ in collector.metrics()] == ["first", "second"]


def test_combinations_of_attributes_are_bounded(tmp_path: Path, collector: Collector) -> None:
    telemetry.configure("trainer", tmp_path)
    for number in range(2500):
        measures.CPU_TIME.record(1.0, {measures.STAGE: "train", measures.PROJECT: f"p-{number}"})
    telemetry.shutdown()
    ((_, metric),) = collector.metrics()
    assert len(metric.sum.data_points) == 2001, "the last one has all that came beyond"
    assert sum(point.as_double for point in metric.sum.data_points) == 2500


def test_a_gauge_is_observed_and_a_histogram_is_not(tmp_path: Path, collector: Collector) -> None:
    telemetry.configure("registry", tmp_path)
    with pytest.raises(ValueError, match=r"tidemill\.queue\.pending is a gauge"):
        measures.QUEUE_PENDING.record(1)
    with pytest.raises(ValueError, match=r"tidemill\.job\.duration is a histogram"):
        measures.JOB_DURATION.observe(list)


def test_every_measure_is_in_the_list_once() -> None:
    declared = [value for value in vars(measures).values() if isinstance(value, Measure)]
    assert sorted(declared, key=lambda one: one.name) == sorted(MEASURES, key=lambda one: one.name)
    assert len({one.name for one in MEASURES}) == len(MEASURES)
    assert not [one.name for one in MEASURES if (one.kind == "histogram") != (one.bounds is not None)]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda one: one.name)
def test_every_measure_is_documented_with_its_unit_and_attributes(measure: Measure) -> None:
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{measure.name}`")]
    assert len(rows) == 1, f"docs/metrics.md has {len(rows)} rows for {measure.name}"
    _, _, told, kind, unit, attributes, _, _ = rows[0].split("|")
    assert (kind.strip(), unit.strip()) == (measure.kind, f"`{measure.unit}`")
    assert tuple(re.findall(r"`([^`]+)`", attributes)) == measure.attributes
    assert re.fullmatch(r" `[a-z_]+` ", told)
