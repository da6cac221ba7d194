"""What the gauges of queues and runs show: counted on a real server, told by the elected replica alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from services.registry import queues
from services.registry.queues import Queues
from services.registry.tables import RunEntry
from tests.registry.conftest import Bench
from tidemill import telemetry
from tidemill.bus.subjects import job_consumer, job_lane, job_subject
from tidemill.contracts import DatasetPublished
from tidemill.testing.otlp import Collector, values


def run(run_id: str, stage: str) -> RunEntry:
    now = datetime.now(UTC)
    return RunEntry(project="客服", run_id=run_id, name="n", state="running", stage=stage, epoch=1, created_at=now)


def gauges(collector: Collector) -> dict[str, dict[tuple[str | bool | int | float, ...], float]]:
    """What was exported last, by metric, by the values of the attributes in the order of their keys."""
    return {
        metric.name: {
            tuple(value for _, value in sorted(values(point.attributes).items())): float(point.as_int)
            for point in metric.gauge.data_points
        }
        for _, metric in collector.metrics()
    }


async def test_queues_are_counted_also_where_no_worker_ever_was(
    quiet_bench: Bench,
    tmp_path: Path,
    collector: Collector,
) -> None:
    js = quiet_bench.bus.jetstream
    await js.purge_stream("EVENTS")
    for number in range(3):
        event = DatasetPublished(run_id=f"q-{number}", name="n", uri="file:///x")
        await quiet_bench.bus.announce(event, fingerprint="published")
    await js.add_consumer(
        "EVENTS",
        ConsumerConfig(
            durable_name="ingest-events", filter_subject=DatasetPublished.subject, ack_policy=AckPolicy.EXPLICIT
        ),
    )
    await js.add_consumer("EVENTS", ConsumerConfig(durable_name="billing", ack_policy=AckPolicy.EXPLICIT))
    for project in ("default", "客服"):
        for number in range(2):
            await js.publish(job_subject("train", "gpu", project, f"q-{number}"), b"{}")
    lane = job_lane("train", "gpu", "default")
    await js.add_consumer(
        "JOBS",
        ConsumerConfig(
            durable_name=job_consumer("train", lane), filter_subject=f"{lane}.*", ack_policy=AckPolicy.EXPLICIT
        ),
    )
    pulling = await js.pull_subscribe_bind(job_consumer("train", lane), "JOBS")
    (in_hand,) = await pulling.fetch(1)
    telemetry.configure("registry", tmp_path)
    looked = Queues(quiet_bench.bus, every=10)
    looked.observe()
    await looked.look([run("q-1", "train"), run("q-2", "train"), run("q-3", "ingest")])
    telemetry.shutdown()
    shown = gauges(collector)
    pending = shown["tidemill.queue.pending"]
    assert pending[("ingest-events", "EVENTS", "ingest")] == 3
    assert pending[("billing", "EVENTS", "other")] == 3
    assert pending[("train-jobs-gpu", "JOBS", "train")] == 3, "one of four is in hand, two have no worker"
    assert shown["tidemill.queue.unacknowledged"][("train-jobs-gpu", "JOBS", "train")] == 1
    assert shown["tidemill.run.active"] == {("客服", "train"): 2, ("客服", "ingest"): 1}
    await in_hand.ack()
    await js.purge_stream("JOBS")
    for name in ("ingest-events", "billing"):
        await js.delete_consumer("EVENTS", name)


async def test_a_replica_that_is_not_elected_or_cannot_look_tells_nothing(
    quiet_bench: Bench,
    tmp_path: Path,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = Queues(quiet_bench.bus, every=10)
    telemetry.configure("registry", tmp_path)
    looked.observe()
    await looked.look([run("q-1", "train")])
    looked.forget()
    telemetry.shutdown()
    assert gauges(collector) == {}
    monkeypatch.setattr(queues, "STALE_AFTER", 0.0)
    telemetry.configure("registry", tmp_path)
    looked.observe()
    await looked.look([run("q-1", "train")])
    telemetry.shutdown()
    assert gauges(collector) == {}
