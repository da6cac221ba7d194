"""What waits for the stages, in the gateway's metrics: what a cluster scales the workers by."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import nats
from nats.js.api import ConsumerConfig
from prometheus_client.parser import text_string_to_metric_families

from services.compressor import stage as compressor
from services.inference.settings import InferenceSettings
from services.ingest.settings import IngestSettings
from services.ingest.stage import ingest_stage
from services.preprocess.stage import preprocess_stage
from services.trainer.stage import trainer_stage
from tests.inference.conftest import Platform, serving
from tidemill.bus.subjects import EVENTS, JOBS, events_durable, job_consumer, job_lane, job_subject, token
from tidemill.bus.waiting import CONSUMED, waiting_work
from tidemill.platform.nats_server import free_port
from tidemill.testing.nats import running_nats, settings_for


async def scraped(url: str) -> dict[tuple[str, ...], float]:
    """The figures of what waits, by metric and labels."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"{url}/metrics")).text
    return {
        (sample.name, sample.labels["stage"], sample.labels.get("resource_class", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("tidemill_waiting_")
    }


def test_each_stage_is_asked_about_the_event_that_it_takes() -> None:
    policy = IngestSettings().policy
    stages = [ingest_stage(policy), preprocess_stage(), trainer_stage(), compressor.STAGE]
    assert {stage.name: stage.consumes for stage in stages} == CONSUMED


async def test_jobs_of_all_projects_count_before_any_worker_has_been(platform: Platform) -> None:
    js = platform.bus.jetstream
    for project, run in (("default", "a"), ("default", "b"), ("团队", "c")):
        await js.publish(job_subject("train", "gpu", project, run), b"{}")
    await js.publish(job_subject("train", "cpu", "default", "d"), b"{}")
    assert await js.consumers_info(JOBS) == []
    with serving(platform.settings()) as url:
        found = await scraped(url)
    assert found["tidemill_waiting_jobs", "train", "gpu"] == 3
    assert found["tidemill_waiting_jobs", "train", "cpu"] == 1
    assert found["tidemill_waiting_jobs", "compress", "cpu"] == 0
    await js.purge_stream(JOBS)


async def test_a_job_counts_until_it_is_done(platform: Platform) -> None:
    js = platform.bus.jetstream
    lane = job_lane("train", "cpu", token("default"))
    await js.publish(job_subject("train", "cpu", "default", "in-hand"), b"{}")
    durable = job_consumer("train", lane)
    await js.add_consumer(JOBS, ConsumerConfig(durable_name=durable, filter_subject=f"{lane}.*"))
    (message,) = await (await js.pull_subscribe_bind(durable, JOBS)).fetch(1)
    assert (await waiting_work(js)).jobs["train", "cpu"] == 1
    await message.ack_sync()
    assert (await waiting_work(js)).jobs["train", "cpu"] == 0


async def test_jobs_with_a_consumer_and_jobs_without_one_count_alike(platform: Platform) -> None:
    js = platform.bus.jetstream
    lane = job_lane("compress", "cpu", token("one"))
    await js.add_consumer(JOBS, ConsumerConfig(durable_name=job_consumer("compress", lane), filter_subject=f"{lane}.*"))
    for number in range(3):
        await js.publish(job_subject("compress", "cpu", "one", f"run-{number}"), b"{}")
    assert (await waiting_work(js)).jobs["compress", "cpu"] == 3
    await js.publish(job_subject("compress", "cpu", "another", "run"), b"{}")
    await js.publish(job_subject("ingest", "io", "another", "run"), b"{}")
    counted = (await waiting_work(js)).jobs
    assert (counted["compress", "cpu"], counted["ingest", "io"]) == (4, 1)
    await js.purge_stream(JOBS)


async def test_events_count_before_their_stage_has_run_and_after(platform: Platform) -> None:
    js = platform.bus.jetstream
    for _ in range(2):
        await js.publish(CONSUMED["train"].subject, b"{}")
    assert (await waiting_work(js)).events["train"] == 2
    await js.add_consumer(
        EVENTS, ConsumerConfig(durable_name=events_durable("train"), filter_subject=CONSUMED["train"].subject)
    )
    (message,) = await (await js.pull_subscribe_bind(events_durable("train"), EVENTS)).fetch(1)
    assert (await waiting_work(js)).events["train"] == 2
    await message.ack_sync()
    assert (await waiting_work(js)).events["train"] == 1


async def test_without_a_bus_nothing_is_said_rather_than_an_old_figure(tmp_path: Path) -> None:
    async with running_nats(tmp_path) as server:
        client = await nats.connect(server.config.url, user=server.config.user, password=server.config.password)
        await client.jetstream().publish(job_subject("train", "cpu", "default", "a"), b"{}")
        await client.close()
        settings = InferenceSettings(platform=settings_for(server, tmp_path), port=free_port())
        with serving(settings) as url:
            assert (await scraped(url))["tidemill_waiting_jobs", "train", "cpu"] == 1
            await server.stop()
            for _ in range(100):
                if not (found := await scraped(url)):
                    break
                await asyncio.sleep(0.1)
            assert found == {}
