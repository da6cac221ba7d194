"""A platform whose bucket keeps every version: after an erasure no version of any object holds the value."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.erasure.conftest import platform_at, running, sentences, unpacked, where
from tidemill.artifacts.buckets import bucket_client, prepare_bucket
from tidemill.platform.nats_server import NatsServer

MAIL = "an@x-mail.org"


def versions(bucket: str) -> Iterator[tuple[str, bytes]]:
    """Every version of every object, and what is packed in it."""
    client = bucket_client()
    for one in client.list_objects(bucket, recursive=True, include_version=True):
        if not one.is_delete_marker:
            answer = client.get_object(bucket, str(one.object_name), version_id=one.version_id)
            yield from unpacked(str(one.object_name), answer.read())
            answer.close()
            answer.release_conn()


@pytest.mark.full
async def test_no_version_of_any_object_holds_it(
    nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory, s3: str, bucket: str
) -> None:
    folder = tmp_path_factory.mktemp("bucket")
    await prepare_bucket(f"s3://{bucket}/platform")
    said = {3: f" says {MAIL}"}
    lines = [f'"{text}{said.get(number % 10, "")}",{label}' for number, (text, label) in enumerate(sentences())]
    async with platform_at(nats_server, folder, store_url=f"s3://{bucket}/platform") as platform:
        async with running(platform.settings):
            await platform.prepared("kept", {"kept.csv": "\n".join(["text,label", *lines, ""]).encode()})
            assert any(MAIL.encode() in data for _, data in versions(bucket))
            report = await platform.erase(MAIL)
            await platform.rewritten(report)
        assert report.left == []
        assert [name for name, data in versions(bucket) if MAIL.encode() in data] == []
        assert where(folder, MAIL) == []
