"""S3 that answers with errors, breaks off, sends damaged bytes, or is reached by the wrong door."""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from moto import settings as moto_settings

from tidemill.artifacts import objects as artifact_objects
from tidemill.artifacts import open_store
from tidemill.artifacts.buckets import is_versioned, prepare_bucket
from tidemill.artifacts.objects import Objects, open_objects
from tidemill.doctor.clock import http_skew
from tidemill.errors import CorruptArtifact, InvalidInput, NotFound, PermanentError, TransientError
from tidemill.testing.artifact_store import contents, fill
from tidemill.testing.certificates import Authority
from tidemill.testing.proxy import TcpProxy, proxied
from tidemill.testing.s3 import TroubledS3, troubled_s3

MEGABYTE = 1 << 20
KEY, SECRET = "AKIAtidemill", "topsecret"


@pytest.fixture(scope="module")
def server() -> Iterator[TroubledS3]:
    with troubled_s3() as server:
        yield server


@pytest.fixture
async def url(server: TroubledS3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of the server, which is the one that the environment names."""
    reach(server.url, monkeypatch)
    await prepare_bucket(f"s3://{bucket}/prefix")
    server.requests.clear()
    return f"s3://{bucket}/prefix"


@pytest.fixture
async def proxy(server: TroubledS3, url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TcpProxy]:
    """A network between us and the server."""
    async with proxied(urlsplit(server.url).port or 0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        yield proxy


def reach(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": SECRET, "REGION": "us-east-1"}
    for name, value in values.items():
        monkeypatch.setenv(f"AWS_{name}", value)


async def whole(objects: Objects, key: str) -> bytes:
    return b"".join([block async for block in objects.blocks(key)])


def parts_of(data: bytes) -> Iterator[bytes]:
    return (data[start : start + MEGABYTE] for start in range(0, len(data), MEGABYTE))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("500 Internal Server Error", "InternalError"),
        ("503 Slow Down", "SlowDown"),
        ("503 Service Unavailable", "ServiceUnavailable"),
    ],
)
async def test_a_server_that_has_trouble_for_a_moment_is_asked_again(
    server: TroubledS3, url: str, status: str, code: str
) -> None:
    objects = open_objects(url)
    data = random.Random(1).randbytes(6 * MEGABYTE)
    server.refuse(status, code, times=2)
    assert await objects.create("records/a.json", b"a")
    for method in ("PUT", "POST"):
        server.refuse(status, code, times=2, method=method)
    await objects.write("big", parts_of(data))
    server.refuse(status, code, times=2)
    assert await objects.read("big", start=MEGABYTE, length=5) == data[MEGABYTE : MEGABYTE + 5]
    server.refuse(status, code, times=2)
    assert await whole(objects, "big") == data
    server.refuse(status, code, times=2)
    assert [key async for key in objects.keys("records")] == ["records/a.json"]


async def test_a_server_that_has_trouble_for_long_is_worth_another_try(
    server: TroubledS3, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_retries(), "max_retries", 1)
    objects = open_objects(url)
    server.refuse("503 Slow Down", "SlowDown", times=2)
    with pytest.raises(TransientError, match=r"records/a\.json in the store at s3://.*503.*SlowDown"):
        await objects.read("records/a.json")


@pytest.mark.parametrize("times", [1, 3])
async def test_an_upload_that_is_broken_off_goes_on(proxy: TcpProxy, url: str, times: int) -> None:
    objects = open_objects(url)
    data = random.Random(2).randbytes(17 * MEGABYTE)
    proxy.break_off(sent=2 * MEGABYTE, times=times)
    await objects.write("big", parts_of(data))
    assert await whole(objects, "big") == data


@pytest.mark.parametrize("times", [1, 3])
async def test_a_download_that_is_broken_off_goes_on(proxy: TcpProxy, url: str, tmp_path: Path, times: int) -> None:
    data = random.Random(3).randbytes(17 * MEGABYTE)
    store = open_store(url, cache=tmp_path / "cache", shard_size=9 * MEGABYTE)
    ref = await store.put(fill(tmp_path / "in", {"weights": data}), kind="model")
    proxy.break_off(received=3 * MEGABYTE, times=times)
    await store.fetch(ref, tmp_path / "into")
    assert contents(tmp_path / "into") == {"weights": data}
    proxy.break_off(received=3 * MEGABYTE, times=times)
    assert await store.read(ref, "weights") == data


async def test_a_create_that_is_broken_off_is_repeated_and_wins_once(proxy: TcpProxy, url: str) -> None:
    objects = open_objects(url)
    proxy.break_off(sent=MEGABYTE, times=2)
    assert await objects.create("records/large.json", b"x" * 3 * MEGABYTE)
    assert not await objects.create("records/large.json", b"y")
    assert await objects.read("records/large.json") == b"x" * 3 * MEGABYTE


async def test_a_create_whose_answer_was_lost_is_known_as_ones_own(proxy: TcpProxy, url: str) -> None:
    proxy.break_off(received=1)
    assert await open_objects(url).create_own("records/mine.json", b"mine")
    proxy.break_off(received=1)
    assert not await open_objects(url).create_own("records/mine.json", b"another's")


async def test_a_server_that_cuts_every_connection_is_worth_another_try(
    proxy: TcpProxy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_retries(), "max_retries", 1)
    objects = open_objects(url)
    await proxy.cut()
    with pytest.raises(TransientError, match="error sending request"):
        await objects.write("big", iter([b"x" * MEGABYTE]))
    with pytest.raises(TransientError, match="error sending request"):
        await objects.read("big")
    await proxy.heal()
    with pytest.raises(NotFound):  # nothing was left behind
        await objects.read("big")


async def test_bytes_that_the_network_damaged_are_read_again(server: TroubledS3, url: str, tmp_path: Path) -> None:
    data = random.Random(4).randbytes(2 * MEGABYTE)
    store = open_store(url, cache=tmp_path / "cache", shard_size=MEGABYTE)
    ref = await store.put(fill(tmp_path / "in", {"weights": data}), kind="model")
    server.damage(path="/objects/")
    await store.fetch(ref, tmp_path / "into")
    assert contents(tmp_path / "into") == {"weights": data}
    server.damage(path="/objects/")
    assert await store.read(ref, "weights") == data


async def test_bytes_that_stay_damaged_are_refused(server: TroubledS3, url: str, tmp_path: Path) -> None:
    store = open_store(url, cache=tmp_path / "cache")
    ref = await store.put(fill(tmp_path / "in", {"weights": b"0123456789"}), kind="model")
    for read in (store.fetch(ref, tmp_path / "into"), store.read(ref, "weights")):
        server.damage(times=2, path="/objects/")
        with pytest.raises(CorruptArtifact, match=r"weights.*expected sha256"):
            await read
    await store.fetch(ref, tmp_path / "into")


REFUSALS = [
    ("403 Forbidden", "InvalidAccessKeyId", PermanentError, r"does not know this key; set AWS_ACCESS_KEY_ID"),
    ("403 Forbidden", "SignatureDoesNotMatch", PermanentError, r"secret is not this key's; set AWS_ACCESS_KEY_ID"),
    ("403 Forbidden", "AccessDenied", PermanentError, r"s3:GetObject, s3:PutObject"),
    ("400 Bad Request", "AuthorizationHeaderMalformed", PermanentError, r"AWS_REGION"),
    ("400 Bad Request", "ExpiredToken", TransientError, r"write new ones to the file that TIDEMILL_STORE_CREDENTIALS"),
    ("403 Forbidden", "RequestTimeTooSkewed", TransientError, r"clock.*timedatectl set-ntp true"),
    ("403 Forbidden", "QuotaExceeded", TransientError, r"make room"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code", "kind", "words"), REFUSALS)
async def test_a_refusal_says_who_was_refused_where_and_what_to_do(
    server: TroubledS3, url: str, status: str, code: str, kind: type[Exception], words: str
) -> None:
    server.refuse(status, code)
    with pytest.raises(kind, match=rf"{url} with the credentials of AWS_ACCESS_KEY_ID \(key AKIA…\).*{code}") as caught:
        await open_objects(url).read("records/a.json")
    assert re.search(words, str(caught.value))
    assert SECRET not in str(caught.value)
    assert KEY not in str(caught.value)


async def test_keys_that_moto_itself_refuses(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """moto verifies signatures and policies when it is told to, as AWS does."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    iam = boto3.client("iam", endpoint_url=endpoint, region_name="us-east-1")
    name = f"user-{random.randrange(10**9)}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setattr(moto_settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    monkeypatch.setattr("moto.core.responses.ActionAuthenticatorMixin.request_count", 1)
    with pytest.raises(PermanentError, match="does not know this key"):
        await open_objects(url).read("a")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    with pytest.raises(PermanentError, match="the secret is not this key's"):
        await open_objects(url).read("a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    with pytest.raises(PermanentError, match=r"AccessDenied.*s3:GetObject"):
        await open_objects(url).read("a")
    with pytest.raises(PermanentError, match="AccessDenied"):
        await is_versioned(url)


async def test_credentials_from_a_file_are_read_for_every_request(
    server: TroubledS3, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.env"
    path.write_text(f"# for tests\nexport AWS_ACCESS_KEY_ID='from-file'\nAWS_SECRET_ACCESS_KEY={SECRET}\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("TIDEMILL_STORE_CREDENTIALS_FILE", str(path))
    objects = open_objects(url)
    await objects.check()
    assert await is_versioned(url)
    server.refuse("403 Forbidden", "InvalidAccessKeyId")
    with pytest.raises(PermanentError, match=rf"credentials of {path} \(key from…\)"):
        await objects.read("a")
    path.write_text("AWS_ACCESS_KEY_ID=x\n")
    with pytest.raises(TransientError, match=rf"{path}: AWS_SECRET_ACCESS_KEY is missing"):
        await objects.read("a")
    with pytest.raises(InvalidInput, match="AWS_SECRET_ACCESS_KEY is missing"):
        await is_versioned(url)
    path.write_text(f"AWS_ACCESS_KEY_ID=x\nAWS_SECRET_ACCESS_KEY={SECRET}\nAWS_SESSION_TOKEN=t\n")
    await objects.check()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "not text"),
        (b"", "AWS_ACCESS_KEY_ID is missing"),
        (b"AWS_ACCESS_KEY_ID=x\nAWS_SECRET_ACCESS_KEY=\n", "AWS_SECRET_ACCESS_KEY is missing"),
        (b"topsecret\n", "line 1 is not one of AWS_ACCESS_KEY_ID="),
        (b"AWS_ACCESS_KEY_ID=x\nAWS_REGION=topsecret\n", "line 2"),
    ],
)
def test_a_credentials_file_of_no_use_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, words: str
) -> None:
    path = tmp_path / "store.env"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("TIDEMILL_STORE_CREDENTIALS_FILE", str(path))
    with pytest.raises(InvalidInput, match=rf"{path}: .*{words}.*TIDEMILL_STORE_CREDENTIALS_FILE") as caught:
        open_objects("s3://bucket")
    assert SECRET not in str(caught.value)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TroubledS3, Authority]]:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    with troubled_s3(authority.issue("store")) as server:
        yield server, authority


@pytest.mark.parametrize("variable", ["TIDEMILL_STORE_CA", "SSL_CERT_FILE"])
async def test_tls_with_an_authority_of_ones_own(
    secure: tuple[TroubledS3, Authority], bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    server, authority = secure
    reach(server.url, monkeypatch)
    monkeypatch.setitem(_retries(), "max_retries", 0)
    url = f"s3://{bucket}"
    for path in ("", str(Authority(tmp_path).file)):
        if path:
            monkeypatch.setenv(variable, path)
        with pytest.raises(TransientError, match=r"certificate is not trusted.*TIDEMILL_STORE_CA"):
            await open_objects(url).check()
        with pytest.raises(TransientError, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
            await prepare_bucket(url)
    monkeypatch.setenv(variable, str(authority.file))
    await prepare_bucket(url)
    await open_objects(url).check()
    assert abs(http_skew(server.url)) < 60


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff"])
def test_an_authority_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("TIDEMILL_STORE_CA", str(path))
    with pytest.raises(InvalidInput, match=rf"{path}: .*TIDEMILL_STORE_CA"):
        open_objects("s3://bucket")


PUT_AND_FETCH = """
import asyncio, resource, sys
from pathlib import Path
from tidemill.artifacts import open_store
url, folder, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
block = bytes(range(256)) * 4096
(folder / "in").mkdir()
with (folder / "in" / "weights").open("wb") as file:
    for number in range(size):
        file.write(number.to_bytes(8, "big") + block[8:])
async def main():
    store = open_store(url, cache=folder / "cache")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ref = await store.put(folder / "in", kind="model")
    await store.fetch(ref, folder / "into")
    assert (folder / "into" / "weights").stat().st_size == size << 20
    print(before // 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
asyncio.run(main())
"""
"""What a process of its own does with a file of argv[3] MiB; prints the MiB it held before and at most."""


@pytest.mark.parametrize("size", [200, pytest.param(3000, marks=pytest.mark.full)])
async def test_memory_stays_flat_while_a_large_file_comes_and_goes(url: str, tmp_path: Path, size: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PUT_AND_FETCH, url, str(tmp_path), str(size), stdout=subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    before, most = map(int, said.split())
    assert most - before < 150


def _retries() -> Any:
    return artifact_objects._RETRIES
