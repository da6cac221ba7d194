"""A real NATS server for tests: started in about 30 ms, on a free loopback port, with streams provisioned."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
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
from tidemill.platform.nats_server import (
    NatsServer,
    NatsServerConfig,
    free_port,
    nats_server_binary,
    wait_until_listening,
)
from tidemill.settings import PlatformSettings
from tidemill.signing import SigningFolder

DEPLOYED = Path(__file__).resolve().parents[3] / "deploy" / "nats"
"""Configuration files of servers in containers."""


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


@asynccontextmanager
async def deployed_nats(
    folder: Path,
    configuration: str,
    *,
    port: int,
    environment: Mapping[str, str],
    name: str = "nats",
    host: str = "127.0.0.1",
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server that runs from a file of ``deploy/nats``, as a container would; its accounts are below ``folder``."""
    shutil.copytree(DEPLOYED, folder, dirs_exist_ok=True)
    write_accounts(folder / "accounts")
    process = await asyncio.create_subprocess_exec(
        str(nats_server_binary()), "-c", str(folder / configuration), "-l", str(folder / f"{name}.log"),
        env={
            **os.environ, "NATS_SERVER_NAME": name, "NATS_LISTEN": f"{host}:{port}",
            "NATS_MONITOR": f"127.0.0.1:{free_port()}", "NATS_STORE": str(folder / name), **environment,
        },
    )  # fmt: skip
    try:
        await wait_until_listening(host, port)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def user_of(folder: Path, user: str, source: str | None = None) -> Login:
    """A user of a guarded server; ``source`` is its name on the bus where that is another."""
    return Login(source=source or user, nkey_file=seed_file(folder, user))


def account_for(config: NatsServerConfig) -> NatsAccount:
    """How a server with one user is reached for one question."""
    password = SecretStr(config.password or "")
    own = Login(source="test", user=config.user, password=password)
    return NatsAccount(config.url, own, Login(source="system", user=config.system_user, password=password))


def settings_for(server: NatsServer, folder: Path, **changes: object) -> PlatformSettings:
    """Platform settings that point to ``server`` and keep everything else, a signing key too, below ``folder``."""
    SigningFolder.below(folder).make()
    values: dict[str, object] = {
        "nats_url": server.config.url,
        "nats_user": server.config.user,
        "nats_password": SecretStr(server.config.password or ""),
        "store_url": str(folder / "store"),
        "data_dir": folder,
    }
    return PlatformSettings.model_validate(values | changes)
