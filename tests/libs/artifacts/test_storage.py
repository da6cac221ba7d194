"""What storage does when it is not what it should be."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tidemill.artifacts import open_store
from tidemill.artifacts.buckets import prepare_bucket
from tidemill.artifacts.objects import open_objects
from tidemill.errors import InvalidInput, PermanentError, TransientError
from tidemill.testing.artifact_store import PUT_AND_FETCH, contents, fill, other_process
from tidemill.testing.s3 import troubled_s3


@pytest.fixture
def forgetful_s3(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An S3 server that ignores conditional writes, as some that speak S3 do."""
    with troubled_s3(ignoring_conditions=True) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield


async def test_a_store_without_conditional_create_is_refused_at_start(
    forgetful_s3: None, bucket: str, tmp_path: Path
) -> None:
    await prepare_bucket(f"s3://{bucket}")
    with pytest.raises(PermanentError, match=rf"s3://{bucket} overwrote an object.*use a local folder"):
        await open_store(f"s3://{bucket}", cache=tmp_path).check()


async def test_a_bucket_that_is_not_there_is_refused_at_start(s3: str, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=rf"no bucket at s3://{bucket}/x; create it"):
        await open_store(f"s3://{bucket}/x", cache=tmp_path).check()


async def test_storage_that_cannot_be_reached_is_worth_another_try(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://someone:hidden@127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "hidden-too")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-as-well")
        store = open_store("s3://bucket/prefix", cache=tmp_path)
        with pytest.raises(TransientError, match="store at s3://bucket/prefix") as caught:
            await store.objects.read("records/x.json")
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    fill(tmp_path / "in", {"a.txt": b"x"})
    store = open_store(str(tmp_path / "store"), cache=tmp_path / "cache")
    ref = await store.put(tmp_path / "in", kind="dataset")
    (tmp_path / "cache").write_text("not a folder")
    with pytest.raises(PermanentError, match=r"cannot write below .*cache"):
        await store.fetch(ref, tmp_path / "into")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "is empty"),
        ("gs://bucket", "cannot be at gs://"),
        ("s3://", "s3://bucket/prefix"),
        ("s3://bucket?region=x", "s3://bucket/prefix"),
        ("file://host/folder", "another machine"),
        ("s3://key:hidden@bucket/x", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_url_that_is_no_store_is_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        open_objects(url)
    assert "hidden" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PermanentError, match="file/store"):
        open_objects(str(tmp_path / "file" / "store"))


async def test_a_bucket_is_prepared_once_or_twice_with_versions_on(s3: str, bucket: str) -> None:
    await asyncio.gather(*(prepare_bucket(f"s3://{bucket}/prefix") for _ in range(4)))
    versioning = boto3.client("s3", endpoint_url=s3).get_bucket_versioning(Bucket=bucket)
    assert versioning["Status"] == "Enabled"
    (rule,) = boto3.client("s3", endpoint_url=s3).get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert (rule["Filter"]["Prefix"], rule["NoncurrentVersionExpiration"]["NoncurrentDays"]) == (
        "prefix/artifacts/",
        30,
    )
    assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] == 7
    rule["NoncurrentVersionExpiration"]["NoncurrentDays"] = 3
    boto3.client("s3", endpoint_url=s3).put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
    )
    await prepare_bucket(f"s3://{bucket}/prefix")
    (rule,) = boto3.client("s3", endpoint_url=s3).get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 3
    with pytest.raises(InvalidInput, match="bucket 'No'"):
        await prepare_bucket("s3://No")


async def test_a_put_that_is_killed_leaves_nothing_half(tmp_path: Path) -> None:
    directory = fill(tmp_path / "in", {f"{n}.bin": b"%d" % n * 3000 for n in range(200)})
    url = str(tmp_path / "store")
    store = open_store(url, cache=tmp_path / "cache", shard_size=1000)
    other = other_process(PUT_AND_FETCH, url, tmp_path / "cache", directory, tmp_path / "other")
    started = tmp_path / "store" / "artifacts" / "objects"
    while not started.exists():
        assert other.poll() is None
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert [key async for key in store.objects.keys("artifacts/manifests")] == []
    ref = await store.put(directory, kind="dataset")
    await store.fetch(ref, tmp_path / "into")
    assert contents(tmp_path / "into") == contents(directory)
