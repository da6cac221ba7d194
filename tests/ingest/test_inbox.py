"""A bucket starts runs: notifications on a real NATS server, objects on moto's S3, the whole ingest service between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import boto3
import pytest
import pytest_asyncio

from services.ingest.app import create_app
from services.ingest.notifications import parse_notification
from services.ingest.settings import IngestSettings
from tidemill.artifacts.buckets import prepare_bucket
from tidemill.bus import Bus
from tidemill.bus.subjects import BUCKET_NOTIFIED
from tidemill.contracts import DatasetIngested, DatasetPublished, RunFailed
from tidemill.platform.nats_server import NatsServer
from tidemill.records import RecordStore, open_records
from tidemill.records.schema import DeadLetterRecord
from tidemill.testing.events import EventLog, event_log
from tidemill.testing.nats import settings_for
from tidemill.testing.notifications import minio_notification
from tidemill.testing.s3 import s3_endpoint  # noqa: F401

REVIEWS = "text,label\n" + "".join(f"很好 great {n},good\n糟糕 awful {n},bad\n" for n in range(20))


@dataclass
class Store:
    """A running ingest service with its bucket."""

    bus: Bus
    log: EventLog
    records: RecordStore
    bucket: str
    s3: Any

    def put(self, key: str, text: str = REVIEWS) -> bytes:
        """Put an object; the notification that MinIO sends of it."""
        answer = self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())
        return minio_notification(self.bucket, key, version=answer["VersionId"], etag=answer["ETag"].strip('"'))

    async def notify(self, body: bytes) -> str:
        """Publish as MinIO does, without any header; the id of the run that it is to start."""
        await self.bus.jetstream.publish(BUCKET_NOTIFIED, body)
        return parse_notification(body)[0].run_id

    async def settled(self) -> None:
        """Return when ingest has dealt with all notifications."""
        async with asyncio.timeout(20):
            while True:
                info = await self.bus.jetstream.consumer_info("EVENTS", "ingest-notifications")
                if not info.num_pending and not info.num_ack_pending:
                    return
                await asyncio.sleep(0.02)

    async def letters(self, project: str) -> list[DeadLetterRecord]:
        return await self.records.letters.newest(project, limit=10)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(
    nats_server: NatsServer,
    s3_endpoint: str,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Store]:
    folder = tmp_path_factory.mktemp("inbox")
    bucket = f"tidemill-{uuid4().hex[:12]}"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", s3_endpoint)
        environment.setenv("AWS_ACCESS_KEY_ID", "tidemill-test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        environment.setenv("AWS_REGION", "us-east-1")
        url = f"s3://{bucket}/platform"
        await prepare_bucket(url)
        platform = settings_for(nats_server, folder, ack_wait=timedelta(seconds=2), store_url=url)
        bus = Bus.from_settings(platform, "test")
        await bus.connect()
        app = create_app(IngestSettings(platform=platform))
        await app.start()
        async with event_log(bus) as log:
            s3 = boto3.client("s3", endpoint_url=s3_endpoint)
            yield Store(bus, log, open_records(url), bucket, s3)
        await app.stop()
        await bus.broker.stop()


async def test_an_object_in_the_inbox_becomes_a_dataset_by_the_recipe_beside_it(store: Store) -> None:
    store.s3.put_object(
        Bucket=store.bucket, Key="inbox/客服/评论/recipe.yaml", Body="until: prepared\ndata: {owner: 张三}\n".encode()
    )
    run_id = await store.notify(store.put("inbox/客服/评论/好评 a+b.csv"))
    ingested = await store.log.wait_for(DatasetIngested, run_id)
    assert (ingested.project, ingested.name, ingested.rows) == ("客服", "评论", 40)
    record = await store.records.run("客服", run_id)
    assert record is not None
    assert record.event.recipe == {"until": "prepared", "data": {"owner": "张三"}}
    assert record.event.uri == f"s3://{store.bucket}/inbox/客服/评论/好评 a+b.csv"
    assert record.traceparent is not None


async def test_an_object_of_an_odd_name_is_read_as_it_is_named(store: Store) -> None:
    run_id = await store.notify(store.put("inbox/default/odd/100%2F größe&x=1;é+~'[1].csv"))
    assert (await store.log.wait_for(DatasetIngested, run_id)).rows == 40


async def test_one_write_is_one_run_however_often_it_is_told(store: Store) -> None:
    told = store.put("inbox/default/once/a.csv")
    run_id = await store.notify(told)
    await store.log.wait_for(DatasetIngested, run_id)
    before = {event.run_id for event in store.log.of(DatasetPublished)}
    assert await store.notify(told) == run_id
    await store.settled()
    assert {event.run_id for event in store.log.of(DatasetPublished)} == before
    assert len(store.log.of(DatasetIngested, run_id)) == 1
    assert [one for one in await store.records.run_ids("default") if one == run_id] == [run_id]
    again = await store.notify(store.put("inbox/default/once/a.csv"))
    assert again != run_id
    assert (await store.log.wait_for(DatasetIngested, again)).name == "once"


async def test_what_starts_no_run_leaves_nothing_behind(store: Store) -> None:
    runs, letters = await store.records.run_ids("default"), await store.letters("default")
    for key in (
        "artifacts/objects/ab",
        "inbox/default/x/",
        "inbox/default/x/recipe.yaml",
        "inbox/default/x/y/z.csv",
    ):
        await store.notify(minio_notification(store.bucket, key))
    await store.notify(
        minio_notification(store.bucket, "inbox/default/x/a.csv", event="s3:ObjectRemoved:DeleteMarkerCreated")
    )
    await store.settled()
    assert await store.records.run_ids("default") == runs
    assert await store.letters("default") == letters


async def test_what_cannot_be_used_is_kept_with_its_reason(store: Store) -> None:
    known = len(await store.letters("default"))
    await store.notify(minio_notification(store.bucket, "inbox/default/../a.csv"))
    await store.notify(minio_notification("someone-elses", "inbox/default/x/a.csv"))
    await store.bus.jetstream.publish(BUCKET_NOTIFIED, b"{}")
    await store.settled()
    letters = await store.letters("default")
    assert len(letters) == known + 3
    errors = " ".join(letter.error for letter in letters)
    assert "'..'" in errors
    assert "bucket 'someone-elses' starts no runs; add it to TIDEMILL_INGEST_INBOX_BUCKETS" in errors
    assert "no Records" in errors
    assert {letter.subject for letter in letters} == {BUCKET_NOTIFIED}


async def test_a_broken_recipe_is_the_projects_dead_letter_and_its_replay_starts_the_run(store: Store) -> None:
    def write(text: str) -> None:
        store.s3.put_object(Bucket=store.bucket, Key="inbox/shop/orders/recipe.yaml", Body=text.encode())

    write("until: [prepared")
    run_id = await store.notify(store.put("inbox/shop/orders/a.csv"))
    await store.settled()
    (letter,) = await store.letters("shop")
    assert "inbox/shop/orders/recipe.yaml: the recipe is not valid YAML" in letter.error
    assert "replay" in letter.error
    assert await store.records.run("shop", run_id) is None
    write("until: prepared")
    await store.bus.jetstream.publish(letter.subject, letter.body)
    assert (await store.log.wait_for(DatasetIngested, run_id)).project == "shop"


async def test_a_recipe_in_a_bucket_names_no_folder_of_a_machine(store: Store) -> None:
    store.s3.put_object(Bucket=store.bucket, Key="inbox/folders/a/recipe.yaml", Body=b"model: {base: /etc}")
    run_id = await store.notify(store.put("inbox/folders/a/a.csv"))
    await store.settled()
    (letter,) = await store.letters("folders")
    assert "inbox/folders/a/recipe.yaml: model.base is a folder of the trainer's machine" in letter.error
    assert await store.records.run("folders", run_id) is None


async def test_a_recipe_that_is_none_fails_its_run_in_words(store: Store) -> None:
    store.s3.put_object(Bucket=store.bucket, Key="inbox/shop/typo/recipe.yaml", Body=b"traning: {epochs: 2}")
    run_id = await store.notify(store.put("inbox/shop/typo/a.csv"))
    failed = await store.log.wait_for(RunFailed, run_id)
    assert "traning" in failed.error
    assert failed.project == "shop"


async def test_an_object_that_is_gone_fails_its_run_in_words(store: Store) -> None:
    run_id = await store.notify(minio_notification(store.bucket, "inbox/default/gone/a.csv"))
    failed = await store.log.wait_for(RunFailed, run_id)
    assert f"there is no object s3://{store.bucket}/inbox/default/gone/a.csv" in failed.error
