"""What clients send that no HTTP library would: slow, endless, contradictory. Bare sockets against a real gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.inference.web import protocol
from tests.access.conftest import OPERATOR, Bench, bearer, gateway
from tests.access.test_keys import issue

HEAD_BYTES = 4096
KEY = f"Authorization: Bearer {OPERATOR}\r\n".encode()


@pytest.fixture(scope="module")
async def http(bench: Bench) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway with little patience."""
    settings = bench.settings(
        header_bytes=HEAD_BYTES, header_timeout=timedelta(seconds=0.6), body_min_rate=1000,
        body_patience=timedelta(seconds=0.8),
    )  # fmt: skip
    async with gateway(settings) as client:
        yield client


class Raw:
    """A connection, and what comes back on it until it is closed; a reset closes it too, behind what came before."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def to(cls, http: httpx.AsyncClient) -> Raw:
        connection = socket.create_connection(("127.0.0.1", http.base_url.port or 0))
        connection.setblocking(False)
        return cls(connection)

    async def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            await self._loop.sock_sendall(self._socket, data)

    async def answers(self) -> list[tuple[int, dict[str, Any]]]:
        """Status and document of every answer, when the gateway has closed the connection."""
        received = b""
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(15):
                while piece := await self._loop.sock_recv(self._socket, 1 << 16):
                    received += piece
        self._socket.close()
        found = []
        while received:
            head, _, rest = received.partition(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head.lower())[1])  # type: ignore[index]
            found.append((int(head.split()[1]), json.loads(rest[:length])))
            received = rest[length:]
        return found


async def sent(http: httpx.AsyncClient, *pieces: bytes) -> list[tuple[int, dict[str, Any]]]:
    raw = await Raw.to(http)
    for piece in pieces:
        await raw.send(piece)
    return await raw.answers()


def kinds(answers: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, str]]:
    return [(status, document["type"].rpartition(":")[2]) for status, document in answers]


async def test_a_connection_without_a_request_is_closed(http: httpx.AsyncClient) -> None:
    assert await sent(http) == []


async def test_a_head_that_does_not_end_is_given_up(http: httpx.AsyncClient) -> None:
    raw = await Raw.to(http)
    await raw.send(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n")

    async def drip() -> None:
        while True:
            await raw.send(b"X-A: b\r\n")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    answers = await raw.answers()
    dripping.cancel()
    assert kinds(answers) == [(408, "slow-request")]


async def test_the_next_head_on_a_connection_has_no_more_time(http: httpx.AsyncClient) -> None:
    health = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    raw = await Raw.to(http)
    await raw.send(health + b"GET /heal")
    answers = await raw.answers()
    assert [status for status, _ in answers] == [200, 408]


async def test_a_body_that_drips_is_given_up_and_one_that_flows_is_not(http: httpx.AsyncClient) -> None:
    head = b"POST /v1/models/model-ours:predict HTTP/1.1\r\nHost: localhost\r\nTidemill-Project: ours\r\n%s"
    head = head % KEY + b"Content-Length: 4000\r\n\r\n"
    raw = await Raw.to(http)
    await raw.send(head)

    async def drip() -> None:
        while True:
            await raw.send(b" ")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    assert kinds(await raw.answers()) == [(408, "slow-request")]
    dripping.cancel()
    raw = await Raw.to(http)
    await raw.send(head.replace(b"HTTP/1.1", b"HTTP/1.0"))
    for _ in range(20):  # twice as long as the patience, at twice the rate
        await raw.send(b" " * 200)
        await asyncio.sleep(0.1)
    assert kinds(await raw.answers()) == [(400, "invalid-input")]


async def test_an_upload_that_stops_leaves_nothing_behind(bench: Bench, http: httpx.AsyncClient) -> None:
    head = b"POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\n%sContent-Type: multipart/form-data; boundary=x\r\n" % KEY
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\ntext'
    answers = await sent(http, head + b"Content-Length: 90000\r\n\r\n" + body)
    assert kinds(answers) == [(408, "slow-request")]
    scratch = bench.folder / "gateway" / "scratch" / "inference"
    async with asyncio.timeout(10):
        while any(scratch.iterdir()):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("whole", [True, False], ids=["in one piece", "without an end"])
async def test_a_head_may_be_so_large_and_no_larger(http: httpx.AsyncClient, whole: bool) -> None:
    large = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: " + b"a" * HEAD_BYTES
    assert kinds(await sent(http, large + (b"\r\n\r\n" if whole else b""))) == [(431, "head-too-large")]
    line = b"GET /" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert kinds(await sent(http, line)) == [(431, "head-too-large")]
    fits = b"GET /healthz HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\nX-Large: " + b"a" * (HEAD_BYTES - 200)
    assert [status for status, _ in await sent(http, fits + b"\r\n\r\n")] == [200]


SMUGGLED = b"GET /v1/keys HTTP/1.1\r\nHost: localhost\r\n" + KEY + b"\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Content-Length: 4, 4\r\n",
        b"Content-Length: +4\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x4\r\n",
        b"Content-Length : 4\r\n",
        b"Transfer-Encoding: identity, chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding\x0b: chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"X: y\nTransfer-Encoding: chunked\r\n",
        b"X: y\rContent-Length: 4\r\n",
        b"X: y\x00z\r\n",
        b" Content-Length: 4\r\n",
        b"Host: elsewhere\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 4\r\n",
    ],
)
async def test_what_two_readers_could_read_in_two_ways_is_refused(http: httpx.AsyncClient, framing: bytes) -> None:
    """One answer, a refusal, and the connection is closed: what stands behind it is never read as a request."""
    request = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: localhost\r\n" + KEY + framing + b"\r\n0\r\n\r\n"
    assert kinds(await sent(http, request + SMUGGLED)) == [(400, "invalid-http")]


@pytest.mark.parametrize(
    "head", [b"GET /v1/models HTTP/1.1\r\n" + KEY, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET\r\n"]
)
async def test_what_is_not_http_is_refused(http: httpx.AsyncClient, head: bytes) -> None:
    assert kinds(await sent(http, head + b"\r\n")) == [(400, "invalid-http")]


async def test_chunks_that_lie_are_refused(http: httpx.AsyncClient) -> None:
    head = b"POST /v1/models/model-ours:predict HTTP/1.1\r\nHost: localhost\r\nTidemill-Project: ours\r\n" + KEY
    for chunks in (b"ffffffffffffffffff\r\n", b"4\r\nabcdef\r\n0\r\n\r\n", b"zz\r\n", b"1;\x00\r\na\r\n0\r\n\r\n"):
        answers = await sent(http, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + SMUGGLED)
        assert kinds(answers) == [(400, "invalid-http")], chunks


async def test_an_upgrade_that_nobody_offers_ends_the_connection(http: httpx.AsyncClient) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    for pieces in ((head,), (head + SMUGGLED,)):
        assert [status for status, _ in await sent(http, *pieces)] == [200]


async def test_a_body_behind_a_refusal_is_not_read_as_a_request(http: httpx.AsyncClient) -> None:
    """It is answered before its body came; what comes then is its body all the same."""
    head = b"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)
    health = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    raw = await Raw.to(http)
    await raw.send(head)
    await asyncio.sleep(0.2)
    await raw.send(SMUGGLED + health)
    assert [status for status, _ in await raw.answers()] == [401, 200]


async def test_a_name_puts_no_header_into_an_answer(http: httpx.AsyncClient) -> None:
    for path in ("/v1/models/a%0d%0aX-Evil:%20b", "/v1/runs/%0d%0aX-Evil:%20b", "/v1/keys/a%0d%0aX-Evil%3A%20b:rotate"):
        answer = await http.request("POST" if path.endswith("rotate") else "GET", path, headers=bearer(OPERATOR))
        assert answer.status_code in (400, 404)
        assert "x-evil" not in answer.headers
    answer = await http.get("/v1/models", headers=bearer(OPERATOR, "a%0d%0aX-Evil:%20b"))
    assert (answer.status_code, "x-evil" in answer.headers) == (400, False)


async def test_a_limit_is_told_before_the_body_is_sent(http: httpx.AsyncClient) -> None:
    """With Expect: 100-continue nobody sends a body for nothing."""
    key = (await issue(http, scopes=["predict", "publish"], body_bytes=100, rate="2/d"))["key"].encode()
    refusals: list[int] = []
    for path in (b"/v1/models/model-ours:predict", b"/v1/datasets", b"/v1/datasets"):
        kind = b"multipart/form-data; boundary=x" if path.endswith(b"datasets") else b"application/json"
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n" % path
        head += b"Authorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: 5000\r\n\r\n" % (key, kind)
        refusals += [status for status, _ in await sent(http, head)]
    assert refusals == [413, 413, 429]


async def test_who_does_not_read_is_let_go(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "READER_PATIENCE", 0.5)
    from tidemill.contracts import DatasetPrepared
    from tidemill.stage.announced import announced

    record = await bench.records.stage("ours", bench.mine.run_id, "preprocess")
    assert record is not None
    prepared = announced(record)
    assert isinstance(prepared, DatasetPrepared)
    large = tmp_path / "large"
    large.mkdir()
    (large / "rows.txt").write_bytes(b"a" * (64 << 20))
    dataset = await bench.store.put(large, kind="dataset")
    event = prepared.model_copy(update={"dataset": dataset, "run_id": "run-large"})
    from tests.access.conftest import on_record

    await on_record(bench.records, "ours", event)
    async with gateway(bench.settings(tmp_path / "gateway")) as http:
        reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port, limit=1024)
        head = b"GET /v1/runs/run-large/artifacts/dataset/rows.txt HTTP/1.1\r\nHost: localhost\r\n" + KEY
        writer.write(head + b"Tidemill-Project: ours\r\n\r\n")
        assert b" 200 " in await reader.readline()
        await asyncio.sleep(2)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := await reader.read(1 << 20):
                received += len(piece)
        writer.close()
        assert received < 64 << 20, "all of it came, as if nobody had minded"
