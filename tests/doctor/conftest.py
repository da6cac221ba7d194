"""A platform's parts, real and one by one broken: what the doctor is asked about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from tidemill.bus import Bus
from tidemill.doctor.findings import Finding
from tidemill.doctor.site import Site
from tidemill.platform.data_dir import DataDir
from tidemill.platform.nats_server import NatsServer
from tidemill.testing.nats import account_for, settings_for

ACK_WAIT = timedelta(seconds=2)
"""Of the server that all tests share."""
Only = Callable[[list[Finding]], Finding]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A folder of its own with a store, and nothing that runs."""
    data = DataDir(tmp_path / "平台")
    data.create()
    data.store.mkdir()
    return Site(data=data, record=None, gateway_url=None, nats=None, store_url=str(data.store))


@pytest.fixture
def with_nats(site: Site, nats_server: NatsServer) -> Site:
    """The same with a running server."""
    return replace(site, nats=account_for(nats_server.config), silence=ACK_WAIT)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus(nats_server: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bus]:
    bus = Bus.from_settings(settings_for(nats_server, tmp_path_factory.mktemp("bus")), "test")
    await bus.connect()
    yield bus
    await bus.broker.stop()


@pytest.fixture
def only() -> Only:
    """The one finding that there is."""

    def one(findings: list[Finding]) -> Finding:
        assert len(findings) == 1, findings
        return findings[0]

    return one
