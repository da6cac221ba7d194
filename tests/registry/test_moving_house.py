"""A new machine, with a copy of the store and nothing else: the same platform, and its runs go on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.registry.rebuild import rebuild
from tests.registry.conftest import Bench, eventually, registry
from tests.registry.databases import Databases
from tidemill.artifacts import open_store
from tidemill.artifacts.objects import open_objects
from tidemill.backup import back_up, restore
from tidemill.backup.messages import keep_messages, publish_kept
from tidemill.bus import Bus
from tidemill.bus.cloudevents import derived_run_id
from tidemill.bus.dead_letters import bury
from tidemill.bus.delivery import Delivery
from tidemill.bus.subjects import BUCKET_NOTIFIED, NOTIFICATIONS_DURABLE
from tidemill.contracts import DatasetPublished, ModelTrained, PromoteVersion, ReplayDeadLetter
from tidemill.contracts.queries import ListDeadLetters, ListModels, ListRuns, ShowModel, ShowRun
from tidemill.progress import silent
from tidemill.records.schema import RunRecord
from tidemill.testing.events import event_log
from tidemill.testing.nats import running_nats, settings_for
from tidemill.testing.notifications import minio_notification

QUICK = {"reconcile_every": timedelta(seconds=0.2), "reconcile_after": timedelta(seconds=1)}
Move = Callable[[Bench, Path], Awaitable[None]]


@asynccontextmanager
async def new_machine(folder: Path, databases: Databases) -> AsyncIterator[Bench]:
    """A server of its own and what is in ``folder``; no registry yet."""
    async with running_nats(folder / "nats", ack_wait=timedelta(seconds=2)) as server:
        platform = settings_for(server, folder, ack_wait=timedelta(seconds=2))
        store = open_store(platform.store_url, cache=folder / "cache")
        bus = Bus.from_settings(platform, "test")
        await bus.connect()
        async with event_log(bus) as log:
            yield Bench(platform, bus, log, store, store.records(), folder, databases)
        await bus.broker.stop()


async def by_copying_the_store(old: Bench, new: Path) -> None:
    await asyncio.to_thread(shutil.copytree, old.folder / "store", new / "store")


async def by_backup_and_restore(old: Bench, new: Path) -> None:
    backup = open_objects(str(new / "backup"))
    await back_up(
        open_objects(old.platform.store_url), backup, messages=None, counted=None, progress=silent
    )  # fmt: skip
    store = open_objects(str(new / "store"))
    assert not (await restore(backup, store, messages=new / "kept", progress=silent)).damages


@pytest.mark.parametrize("move", [by_copying_the_store, by_backup_and_restore])
async def test_the_same_platform_on_another_machine(
    quiet_bench: Bench, databases: Databases, tmp_path: Path, move: Move
) -> None:
    old, name = quiet_bench, f"umzug-{move.__name__}"
    async with registry(old):
        await old.finished(name, model="one", macro_f1=0.9)
        await old.finished(name, model="two", macro_f1=0.95)
        await old.bus.command(PromoteVersion(name=name, version=1))
        failing = await old.publish(f"{name}-bad")
        delivery = Delivery(DatasetPublished.subject, "坏".encode(), {"ce-id": "坏".encode().hex()})
        for letter in (delivery, delivery, Delivery("tidemill.job.register.cpu.default", name.encode())):
            run_id = failing if letter is delivery else None
            await bury(
                old.bus, old.records, stage="ingest", delivery=letter, error=f"为什么 {name}", kind="permanent",
                run_id=run_id,
            )  # fmt: skip
        in_flight = await old.publish(name)
        await old.work(in_flight, name, until="train", model="three", macro_f1=0.97)

        async def settled() -> bool:
            view = await old.bus.ask(ShowRun(run_id=in_flight))
            aliases = (await old.bus.ask(ShowModel(name=name)))["aliases"]
            return view["stages"][2]["state"] == "finished" and aliases == {"champion": 1}

        await eventually(settled)
        before = await answers(old, name)
    await move(old, tmp_path)
    async with new_machine(tmp_path, databases) as new:
        async with registry(new, **QUICK):

            async def all_there() -> bool:
                return bool(await answers(new, name) == before)

            await eventually(all_there)
            deployed = await new.deployments.get("default", name)
            assert deployed is not None
            assert [one.version for one in deployed.versions] == [1]
            again = await new.log.wait_for(ModelTrained, in_flight)
            assert again.name == name
            await new.work(in_flight, name, model="three", macro_f1=0.97)

            async def finished() -> bool:
                return bool((await new.bus.ask(ShowRun(run_id=in_flight)))["state"] == "finished")

            await eventually(finished)
            assert (await new.bus.ask(ShowModel(name=name)))["aliases"] == {"champion": 3}
            letters = [one for one in before["letters"] if one["run_id"] == failing]
            assert len(letters) == 1
            await new.bus.command(ReplayDeadLetter(letter=letters[0]["id"]))
            await new.log.wait_for(DatasetPublished, failing)

            async def off_the_list() -> bool:
                return letters[0] not in await new.bus.ask(ListDeadLetters(limit=1000))

            await eventually(off_the_list)
        summary = await rebuild(new.platform, new.databases.address("again"))
        assert summary.runs == len(before["runs"])


async def test_dead_letters_outlive_the_stream(bench: Bench) -> None:
    letter = Delivery(
        DatasetPublished.subject,
        b'{"name": "kept", "run_id": "run-kept", "uri": "file:///x.csv"}',
        stream="EVENTS",
        sequence=7,
    )
    await bury(bench.bus, bench.records, stage="ingest", delivery=letter, error="为什么", kind="permanent")
    kept = await bench.bus.ask(ListDeadLetters())
    await bench.bus.jetstream.purge_stream("DEAD")
    await bury(bench.bus, bench.records, stage="ingest", delivery=letter, error="again", kind="permanent")
    assert await bench.bus.ask(ListDeadLetters()) == kept
    assert kept[0]["error"] == "为什么"
    await bench.bus.command(ReplayDeadLetter(letter=kept[0]["id"]))
    await bench.log.wait_for(DatasetPublished, "run-kept")

    async def off_the_list() -> bool:
        return kept[0] not in await bench.bus.ask(ListDeadLetters(limit=1000))

    await eventually(off_the_list)


async def test_what_only_the_streams_hold_is_published_again(databases: Databases, tmp_path: Path) -> None:
    feedback, bare = "反馈".encode(), '{"name": "裸", "uri": "file:///x.csv"}'.encode()
    path = tmp_path / "kept.jsonl"
    async with new_machine(tmp_path / "old", databases) as old:
        js = old.bus.jetstream
        await old.publish("on-record")
        await js.publish("tidemill.feedback.received.v1", feedback, headers={"x-from": "app"})
        await js.publish(DatasetPublished.subject, bare)
        await old.bus.command(PromoteVersion(name="later", version=1))
        assert await keep_messages(old.bus.client, old.records, path) == {"FEEDBACK": 1, "EVENTS": 1, "JOBS": 1}
    copy = path.read_bytes()
    async with new_machine(tmp_path / "new", databases) as new:
        assert await publish_kept(new.bus.client, path) == 3
        assert not path.exists()
        path.write_bytes(copy)
        await publish_kept(new.bus.client, path)
        for stream, body in (("FEEDBACK", feedback), ("EVENTS", bare), ("JOBS", b'"promote-version"')):
            assert (await new.bus.jetstream.stream_info(stream)).state.messages == 1
            arrived = await new.bus.jetstream.get_msg(stream, 1)
            assert body in (arrived.data or b"")
            assert ((arrived.headers or {}).get("x-from") == "app") == (stream == "FEEDBACK")
        path.write_bytes(copy)
        await new.bus.jetstream.delete_stream("FEEDBACK")
        assert await publish_kept(new.bus.client, path) == 2
        assert path.read_bytes().splitlines() == copy.splitlines()[:1]


async def test_a_bare_publish_that_ingest_has_put_on_record_is_not_kept(databases: Databases, tmp_path: Path) -> None:
    async with new_machine(tmp_path, databases) as machine:
        ack = await machine.bus.jetstream.publish(DatasetPublished.subject, b'{"name": "bare", "uri": "file:///x.csv"}')
        consumer = await machine.bus.jetstream.pull_subscribe(
            DatasetPublished.subject, durable="ingest-events", stream="EVENTS"
        )
        (message,) = await consumer.fetch(1, timeout=5)
        run_id = derived_run_id("EVENTS", ack.seq, message.metadata.timestamp)
        assert await keep_messages(machine.bus.client, machine.records, tmp_path / "kept") == {"EVENTS": 1}
        event = DatasetPublished(run_id=run_id, name="bare", uri="file:///x.csv")
        await machine.records.create_run(RunRecord(event=event, created_at=datetime.now(UTC)))
        assert await keep_messages(machine.bus.client, machine.records, tmp_path / "kept") == {}


async def test_a_buckets_notification_is_kept_until_ingest_has_taken_it(tmp_path: Path, databases: Databases) -> None:
    told = minio_notification("tidemill", "inbox/default/reviews/a.csv")
    path = tmp_path / "kept"
    async with new_machine(tmp_path, databases) as machine:
        for _ in range(2):
            await machine.bus.jetstream.publish(BUCKET_NOTIFIED, told)
        consumer = await machine.bus.jetstream.pull_subscribe(
            BUCKET_NOTIFIED, durable=NOTIFICATIONS_DURABLE, stream="EVENTS"
        )
        (taken,) = await consumer.fetch(1, timeout=5)
        await taken.ack_sync()
        assert await keep_messages(machine.bus.client, machine.records, path) == {"EVENTS": 1}
        await machine.bus.jetstream.purge_stream("EVENTS")
        assert await publish_kept(machine.bus.client, path) == 1
        (again,) = await consumer.fetch(1, timeout=5)
        assert (again.subject, again.data) == (BUCKET_NOTIFIED, told)


async def answers(bench: Bench, name: str) -> dict[str, Any]:
    """What people see of the platform, without what changes by itself."""
    runs = [run | {"seconds": 0} for run in await bench.bus.ask(ListRuns(limit=1000))]
    views = [await bench.bus.ask(ShowRun(run_id=run["run_id"])) | {"seconds": 0} for run in runs]
    models = await bench.bus.ask(ListModels())
    return {
        "runs": runs,
        "views": [view | {"stages": [stage | {"seconds": 0} for stage in view["stages"]]} for view in views],
        "models": models,
        "model": await bench.bus.ask(ShowModel(name=name)) if name in [one["name"] for one in models] else None,
        "letters": await bench.bus.ask(ListDeadLetters(limit=1000)),
    }
