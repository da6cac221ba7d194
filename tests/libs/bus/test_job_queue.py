"""Jobs on a real server: the projects come in turn, nothing is lost, and a lost stream comes back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from tidemill.bus import Bus
from tidemill.bus.consumers import Handler, Retry
from tidemill.bus.delivery import Delivery
from tidemill.bus.job_queue import JobQueue
from tidemill.bus.streams import StreamLimits, provision
from tidemill.bus.subjects import JOBS, job_subject, name_of
from tidemill.contracts import ResourceClass
from tidemill.platform.nats_server import NatsServer
from tidemill.records import open_records
from tidemill.testing.nats import settings_for

ACK_WAIT = timedelta(seconds=1)
numbers = itertools.count(1)

Consume = Callable[..., Awaitable[JobQueue]]


@pytest_asyncio.fixture(loop_scope="module")
async def bus(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Bus]:
    bus = Bus.from_settings(settings_for(nats_server, tmp_path), "test")
    await bus.connect()
    await bus.jetstream.delete_stream(JOBS)
    await provision(bus.client, StreamLimits())
    yield bus
    await bus.broker.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def consume(bus: Bus, tmp_path: Path) -> AsyncIterator[Consume]:
    started: list[JobQueue] = []

    async def start(handler: Handler, *classes: ResourceClass) -> JobQueue:
        records = open_records(str(tmp_path / "store"))
        queue = JobQueue(bus, "train", classes or ("cpu",), handler=handler, records=records, ack_wait=ACK_WAIT)
        await queue.start()
        started.append(queue)
        return queue

    yield start
    for queue in started:
        await queue.stop()


async def put(bus: Bus, project: str, body: str, resource_class: ResourceClass = "cpu") -> None:
    headers = {"Nats-Msg-Id": f"job-{next(numbers)}"}
    subject = job_subject("train", resource_class, project, f"run-{next(numbers)}")
    await bus.publish_durably(JOBS, subject, body.encode(), headers)


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def waiting(bus: Bus, requests: int) -> None:
    """Return when so many requests for a job of the default project stand open at the server."""
    async with asyncio.timeout(15):
        while (await bus.jetstream.consumer_info(JOBS, "train-jobs-cpu-default")).num_waiting != requests:
            await asyncio.sleep(0.02)


async def queued(bus: Bus) -> int:
    return (await bus.jetstream.stream_info(JOBS)).state.messages


class Done:
    """A handler that remembers what it did."""

    def __init__(self) -> None:
        self.jobs: list[str] = []
        self.projects: list[str] = []

    async def __call__(self, delivery: Delivery) -> None:
        self.jobs.append(delivery.body.decode())
        self.projects.append(name_of(delivery.subject.split(".")[-2]))


async def test_a_project_with_one_job_does_not_wait_for_another_ones_hundred(bus: Bus, consume: Consume) -> None:
    for number in range(100):
        await put(bus, "many", f"{number}")
    await put(bus, "项目", "the only one")
    await put(bus, "default", "another")
    done = Done()
    await consume(done)
    await until(lambda: len(done.jobs) == 102)
    assert {"the only one", "another"} <= set(done.jobs[:4])
    mine = [int(job) for job, project in zip(done.jobs, done.projects, strict=True) if project == "many"]
    assert mine == list(range(100)), "the jobs of one project keep their order"


async def test_a_project_may_have_the_longest_name_there_is(bus: Bus, consume: Consume) -> None:
    name = "名" * 66  # 198 bytes, which make a longer token than the server takes in a consumer's name
    await put(bus, name, "one")
    done = Done()
    await consume(done)
    await put(bus, name, "another")
    await until(lambda: len(done.jobs) == 2)
    assert done.projects == [name, name]


async def test_two_projects_share_a_worker_evenly(bus: Bus, consume: Consume) -> None:
    for number in range(20):
        await put(bus, "a", f"{number}")
    for number in range(20):
        await put(bus, "b", f"{number}")
    done = Done()
    await consume(done)
    await until(lambda: len(done.jobs) == 40)
    assert all(before != after for before, after in itertools.pairwise(done.projects))


async def test_a_waiting_worker_gets_a_job_at_once_also_of_a_project_that_it_never_saw(
    bus: Bus, consume: Consume
) -> None:
    done = Done()
    await consume(done)
    await waiting(bus, 1)
    await put(bus, "default", "known")
    await put(bus, "new", "unknown")
    await until(lambda: len(done.jobs) == 2, 3)


async def test_every_job_is_done_once_by_two_workers(bus: Bus, consume: Consume) -> None:
    first, second = Done(), Done()

    async def slowly(delivery: Delivery) -> None:
        await asyncio.sleep(0.005)
        await second(delivery)

    await consume(first)
    await consume(slowly)
    for number in range(60):
        await put(bus, f"p{number % 5}", f"{number}")
    await until(lambda: len(first.jobs) + len(second.jobs) >= 60)
    await asyncio.sleep(2 * ACK_WAIT.total_seconds())  # what was taken and forgotten would come again
    assert sorted(first.jobs + second.jobs, key=int) == [f"{number}" for number in range(60)]
    assert await queued(bus) == 0


async def test_a_worker_of_two_classes_does_one_job_at_a_time(bus: Bus, consume: Consume) -> None:
    for number in range(6):
        await put(bus, "default", f"{number}", "cpu" if number % 2 else "gpu")
    at_once, most, done = 0, 0, 0

    async def count(delivery: Delivery) -> None:
        nonlocal at_once, most, done
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        done += 1

    await consume(count, "cpu", "gpu")
    await until(lambda: done == 6)
    assert most == 1


async def test_a_job_that_is_handed_back_comes_again(bus: Bus, consume: Consume) -> None:
    seen: list[int] = []

    async def reluctant(delivery: Delivery) -> None:
        seen.append(delivery.deliveries)
        if len(seen) < 3:
            raise Retry(0.05)

    await consume(reluctant)
    await put(bus, "default", "one")
    await until(lambda: len(seen) == 3)
    await asyncio.sleep(0.2)
    assert await queued(bus) == 0


async def test_a_queue_that_is_closed_takes_no_job(bus: Bus, consume: Consume) -> None:
    done = Done()
    queue = await consume(done)
    await waiting(bus, 1)
    queue.close()
    await bus.client.flush()  # its request stands open for seconds yet
    await put(bus, "default", "for another")
    other = Done()
    await consume(other)
    await until(lambda: other.jobs == ["for another"])
    assert not done.jobs


async def test_a_stream_that_was_lost_and_made_again_is_consumed_again(
    bus: Bus, consume: Consume, caplog: pytest.LogCaptureFixture
) -> None:
    done = Done()
    await consume(done)
    await put(bus, "default", "before")
    await until(lambda: done.jobs == ["before"])
    await waiting(bus, 1)
    await bus.jetstream.delete_stream(JOBS)
    await until(lambda: "cannot be fetched" in caplog.text)
    await provision(bus.client, StreamLimits())
    await put(bus, "default", "after")
    await until(lambda: done.jobs == ["before", "after"])
