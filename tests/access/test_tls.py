"""The gateway's own TLS: refused without, real handshakes with, renewed while it runs; what clients say of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import tidemill
from services.inference.server import run
from tests.access.conftest import OPERATOR, Bench, bearer, eventually
from tests.inference.conftest import wait_for
from tidemill.errors import InvalidInput
from tidemill.platform.health import gateway_health, http_status
from tidemill.testing.certificates import Authority

PUBLIC = {"TIDEMILL_INFERENCE_HOST": "0.0.0.0", "TIDEMILL_INFERENCE_API_KEY": "k"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


class Served:
    """A gateway with a certificate of its own."""

    def __init__(self, port: int, chain: Path, key: Path) -> None:
        self.port = port
        self.chain = chain
        self.key = key
        self.url = f"https://127.0.0.1:{port}"

    def serial(self, authority: Authority) -> str:
        """Of the certificate that a new connection gets."""
        context = ssl.create_default_context(cafile=authority.file)
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            certificate = connection.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


@pytest.fixture(scope="module")
async def served(bench: Bench, authority: Authority) -> AsyncIterator[Served]:
    import threading

    from services.inference.server import create_server

    chain, key = authority.issue("gateway")
    settings = bench.settings(bench.folder / "tls", tls_cert=chain, tls_key=key)
    server = create_server(settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    await asyncio.to_thread(wait_for, lambda: server.started, "the gateway to listen")
    yield Served(settings.port, chain, key)
    server.should_exit = True
    await asyncio.to_thread(thread.join, 15)
    assert not thread.is_alive()


async def test_keys_travel_over_tls(served: Served, authority: Authority) -> None:
    async with httpx.AsyncClient(
        base_url=served.url, verify=ssl.create_default_context(cafile=authority.file), headers=bearer(OPERATOR, "ours")
    ) as http:
        answer = await http.get("/v1/models")
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        refused = await http.get("/v1/models", headers={"Authorization": "Bearer x"})
        assert (refused.status_code, "strict-transport-security" in refused.headers) == (401, True)


async def test_over_plain_http_there_is_no_hsts(http: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/v1/models"):
        assert "strict-transport-security" not in (await http.get(path)).headers


async def test_neither_plain_http_nor_old_tls_gets_an_answer(served: Served, authority: Authority) -> None:
    with pytest.raises(httpx.TransportError):
        await asyncio.to_thread(httpx.get, served.url.replace("https", "http"))
    old = ssl.create_default_context(cafile=authority.file)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(httpx.ConnectError, match=r"(?i)version|protocol|alert"):
        await asyncio.to_thread(httpx.get, served.url, verify=old)


async def test_a_client_takes_the_authority_it_is_given_and_no_other(
    served: Served, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority(tmp_path, "others")

    def models(**options: Any) -> list[str]:
        with tidemill.connect(served.url, api_key=OPERATOR, project="ours", **options) as platform:
            return [model.name for model in platform.models()]

    assert await asyncio.to_thread(models, ca=authority.file) == ["model-ours"]
    monkeypatch.setenv("TIDEMILL_CA", str(authority.file))
    assert await asyncio.to_thread(models) == ["model-ours"]
    for wrong in (other.file, None):
        monkeypatch.delenv("TIDEMILL_CA", raising=False)
        with pytest.raises(InvalidInput, match="TIDEMILL_CA"):
            await asyncio.to_thread(models, ca=wrong)
    for broken in (tmp_path / "nothing.pem", Path(__file__)):
        with pytest.raises(InvalidInput, match=r"TIDEMILL_CA: .* cannot be used"):
            await asyncio.to_thread(models, ca=broken)


async def test_a_renewed_certificate_serves_new_connections(
    served: Served, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    before = served.serial(authority)
    chain, key = served.chain.read_bytes(), served.key.read_bytes()
    served.key.write_text("half of a renewal")

    async def said() -> bool:
        return "the certificate before it stays in use" in caplog.text

    await eventually(said, "the gateway to have looked at it")
    assert await asyncio.to_thread(served.serial, authority) == before
    served.key.write_bytes(key)
    served.chain.write_bytes(chain)
    authority.issue("gateway", into=(served.chain, served.key))

    async def renewed() -> bool:
        return await asyncio.to_thread(served.serial, authority) != before

    await eventually(renewed, "the renewed certificate")


async def test_a_supervisor_asks_over_tls(served: Served) -> None:
    assert await http_status("127.0.0.1", served.port, "/readyz", over_tls=True) == 200
    assert await http_status("127.0.0.1", served.port, "/readyz") is None
    assert await gateway_health("127.0.0.1", served.port, over_tls=True)() is None


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (PUBLIC, "keys would travel in the clear"),
        (PUBLIC | {"TIDEMILL_INFERENCE_TLS": "yes"}, "TIDEMILL_INFERENCE_TLS"),
        (PUBLIC | {"TIDEMILL_INFERENCE_TLS_CERT": "/c.pem"}, "belong together"),
        ({"TIDEMILL_INFERENCE_TLS": "proxy", "TIDEMILL_INFERENCE_HOST": "0.0.0.0"}, "no authentication"),
        (
            PUBLIC
            | {
                "TIDEMILL_INFERENCE_TLS": "proxy",
                "TIDEMILL_INFERENCE_TLS_CERT": "/c",
                "TIDEMILL_INFERENCE_TLS_KEY": "/k",
            },
            "contradict",
        ),
        (
            PUBLIC | {"TIDEMILL_INFERENCE_TLS_CERT": "/c.pem", "TIDEMILL_INFERENCE_TLS_KEY": "/k.pem"},
            "/c.pem with key /k.pem cannot be used: No such file",
        ),
        ({"TIDEMILL_INFERENCE_OIDC_ISSUER": "https://id.example.org"}, "TIDEMILL_INFERENCE_OIDC_AUDIENCE"),
        (
            {"TIDEMILL_INFERENCE_OIDC_ISSUER": "http://id.example.org", "TIDEMILL_INFERENCE_OIDC_AUDIENCE": "a"},
            "has to begin with https://",
        ),
    ],
)
def test_what_would_be_unsafe_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variables: dict[str, str], said: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("TIDEMILL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TIDEMILL_STORE_URL", str(tmp_path / "store"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run() == 2
    assert said in capsys.readouterr().err


async def test_forwarded_headers_count_from_a_trusted_proxy_alone(bench: Bench, tmp_path: Path, caplog: Any) -> None:
    from tests.access.conftest import gateway

    forwarded = {"X-Forwarded-For": "203.0.113.7", "Authorization": "Bearer nobody"}
    for trusted, seen in (("127.0.0.1", "203.0.113.7"), ("10.0.0.0/8", "127.0.0.1"), ("", "127.0.0.1")):
        caplog.clear()
        settings = bench.settings(tmp_path / seen / trusted.replace("/", "-"), trusted_proxies=trusted)
        async with gateway(settings) as http:
            with caplog.at_level("INFO", "services.inference.web.metrics"):
                assert (await http.get("/v1/models", headers=forwarded)).status_code == 401
        (line,) = [one.message for one in caplog.records if one.message.startswith("refused")]
        assert f"from {seen}:" in line
