"""A real NATS server for tests: started in about 30 ms, on a free loopback port, with streams provisioned."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import nats
from pydantic import SecretStr

from tidemill.bus.accounts import ACCOUNTS_FILE, seed_file, write_accounts
from tidemill.bus.login import Login
from tidemill.bus.permissions import PROVISION, Permissions
from tidemill.bus.streams import StreamLimits, provision
from tidemill.platform.nats_client import NatsAccount, connected_once
from tidemill.platform.nats_server import NatsServer, NatsServerConfig, free_port
from tidemill.settings import PlatformSettings


@asynccontextmanager
async def running_nats(folder: Path, *, ack_wait: timedelta = timedelta(seconds=30)) -> AsyncIterator[NatsServer]:
    """A server with JetStream below ``folder`` and the platform's streams; ended with the context."""
    config = NatsServerConfig(
        port=free_port(), user="tidemill", password=secrets.token_urlsafe(16), data_dir=folder / "jetstream"
    )
    server = NatsServer(config, folder)
    await server.start()
    try:
        client = await nats.connect(config.url, user=config.user, password=config.password)
        await provision(client, StreamLimits(lease_ttl=PlatformSettings(ack_wait=ack_wait).silence))
        await client.close()
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def guarded_nats(
    folder: Path, *, also: Mapping[str, Permissions] | None = None, ack_wait: timedelta = timedelta(seconds=30)
) -> AsyncIterator[NatsServer]:
    """A server whose users have the platform's permissions, each with a seed in ``folder``; streams provisioned."""
    write_accounts(folder, also=also)
    config = NatsServerConfig(port=free_port(), data_dir=folder / "jetstream", accounts=ACCOUNTS_FILE)
    server = NatsServer(config, folder)
    await server.start()
    try:
        async with connected_once(config.url, user_of(folder, PROVISION), timeout=5) as client:
            await provision(client, StreamLimits(lease_ttl=PlatformSettings(ack_wait=ack_wait).silence))
        yield server
    finally:
        await server.stop()


def user_of(folder: Path, user: str, source: str | None = None) -> Login:
    """A user of a guarded server; ``source`` is its name on the bus where that is another."""
    return Login(source=source or user, nkey_file=seed_file(folder, user))


def account_for(config: NatsServerConfig) -> NatsAccount:
    """How a server with one user is reached for one question."""
    password = SecretStr(config.password or "")
    own = Login(source="test", user=config.user, password=password)
    return NatsAccount(config.url, own, Login(source="system", user=config.system_user, password=password))


def settings_for(server: NatsServer, folder: Path, **changes: object) -> PlatformSettings:
    """Platform settings that point to ``server`` and keep everything else below ``folder``."""
    values: dict[str, object] = {
        "nats_url": server.config.url,
        "nats_user": server.config.user,
        "nats_password": SecretStr(server.config.password or ""),
        "store_url": str(folder / "store"),
        "data_dir": folder,
    }
    return PlatformSettings.model_validate(values | changes)
