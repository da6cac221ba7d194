"""NATS over TLS with the certificates of `tidemill certs`: what convinces, and what is refused in which words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tidemill.bus import Bus
from tidemill.bus.accounts import write_accounts
from tidemill.bus.login import Login
from tidemill.errors import PermanentError, TransientError
from tidemill.platform.certificates import issue
from tidemill.platform.nats_client import Refused, connected_once
from tidemill.platform.nats_server import free_port
from tidemill.settings import PlatformSettings
from tidemill.testing.nats import deployed_nats, running_nats, settings_for


@dataclass(frozen=True)
class Site:
    port: int
    certs: Path
    seeds: Path

    def settings(self, folder: Path, **changes: object) -> PlatformSettings:
        values: dict[str, object] = {
            "nats_url": f"nats://localhost:{self.port}",
            "nats_nkey_file": self.seeds / "ingest.nk",
            "nats_ca": self.certs / "ca.crt",
            "store_url": str(folder / "store"),
            "data_dir": folder,
        }
        return PlatformSettings.model_validate(values | changes)


@asynccontextmanager
async def tls_server(
    folder: Path, *, verify: bool = False, certs: Path | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Site]:
    if certs is None:
        certs = folder / "certs"
        issue(certs)
    port = free_port()
    environment = {
        "NATS_TLS_CERT": str(certs / "nats.crt"), "NATS_TLS_KEY": str(certs / "nats.key"),
        "NATS_TLS_CA": str(certs / "ca.crt"), "NATS_TLS_VERIFY": str(verify).lower(),
    }  # fmt: skip
    async with deployed_nats(folder, "server-tls.conf", port=port, environment=environment, host=host):
        yield Site(port, certs, folder / "accounts")


async def refusal(settings: PlatformSettings) -> str:
    """Why the bus cannot be reached."""
    bus = Bus.from_settings(settings, "ingest")
    with pytest.raises(TransientError) as refused:
        await asyncio.wait_for(bus.connect(), 10)
    return str(refused.value)


async def test_a_service_that_knows_the_ca_connects(tmp_path: Path) -> None:
    async with tls_server(tmp_path) as site:
        bus = Bus.from_settings(site.settings(tmp_path), "ingest")
        await bus.connect()
        assert bus.connected
        await bus.broker.stop()


async def test_a_server_of_another_ca_is_refused(tmp_path: Path) -> None:
    issue(tmp_path / "other")
    async with tls_server(tmp_path) as site:
        said = await refusal(site.settings(tmp_path, nats_ca=tmp_path / "other" / "ca.crt"))
    assert "certificate is refused" in said
    assert "TIDEMILL_NATS_CA" in said


async def test_a_server_of_another_name_is_refused(tmp_path: Path) -> None:
    async with tls_server(tmp_path, host="127.0.0.2") as site:
        said = await refusal(site.settings(tmp_path, nats_url=f"nats://127.0.0.2:{site.port}"))
    assert "127.0.0.2" in said
    assert "TIDEMILL_NATS_URL" in said


async def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    issue(tmp_path / "old", days=1, now=datetime.now(UTC) - timedelta(days=2))
    async with tls_server(tmp_path, certs=tmp_path / "old") as site:
        said = await refusal(site.settings(tmp_path))
    assert "expired" in said


async def test_a_server_without_tls_gets_no_credentials(tmp_path: Path) -> None:
    issue(tmp_path / "certs")
    async with running_nats(tmp_path) as server:
        said = await refusal(settings_for(server, tmp_path, nats_ca=tmp_path / "certs" / "ca.crt"))
    assert "offers no TLS" in said


async def test_where_clients_need_certificates(tmp_path: Path) -> None:
    async with tls_server(tmp_path, verify=True) as site:
        own = {"nats_cert": site.certs / "client.crt", "nats_key": site.certs / "client.key"}
        bus = Bus.from_settings(site.settings(tmp_path, **own), "ingest")
        await bus.connect()
        await bus.broker.stop()
        url, login = f"nats://localhost:{site.port}", Login.of(site.settings(tmp_path), "ingest")
        with pytest.raises(Refused, match="asks for a client's certificate: set TIDEMILL_NATS_CERT"):
            async with connected_once(url, login):
                pass


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nats_ca": "nowhere.crt"}, "TIDEMILL_NATS_CA.*nowhere.crt"),
        ({"nats_nkey_file": "nowhere.nk"}, "nowhere.nk cannot be read"),
        ({"nats_nkey_file": "ca.key"}, "ca.key holds no nkey seed"),
        ({"nats_cert": "client.crt", "nats_key": "ca.key"}, "TIDEMILL_NATS_CERT.*cannot be used together"),
    ],
)
async def test_files_that_cannot_be_used_are_named(tmp_path: Path, change: dict[str, str], words: str) -> None:
    issue(tmp_path)
    write_accounts(tmp_path / "accounts")
    site = Site(free_port(), tmp_path, tmp_path / "accounts")
    with pytest.raises(PermanentError, match=words) as refused:
        Bus.from_settings(site.settings(tmp_path, **{name: tmp_path / file for name, file in change.items()}), "ingest")
    assert "PRIVATE KEY" not in str(refused.value)


async def test_a_stranger_is_told_what_to_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_accounts(tmp_path / "others")
    async with tls_server(tmp_path) as site:
        seed = tmp_path / "others" / "ingest.nk"
        with caplog.at_level(logging.DEBUG):
            said = await refusal(site.settings(tmp_path, nats_nkey_file=seed))
        with pytest.raises(Refused, match="does not accept the credentials"):
            async with connected_once(
                f"nats://localhost:{site.port}", Login("ingest", nkey_file=seed, ca=site.certs / "ca.crt")
            ):
                pass
    assert "TIDEMILL_NATS_NKEY_FILE" in said
    assert not _shown(seed, [*caplog.messages, said])


def _shown(seed: Path, texts: Sequence[str]) -> list[str]:
    secret = seed.read_text().strip()
    return [text for text in texts if secret in text]
