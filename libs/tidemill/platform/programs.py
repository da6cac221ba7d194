"""The programs of a platform on one machine: NATS and the six services, how each is started, asked and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import InvalidInput, PermanentError, TransientError
from tidemill.platform.data_dir import DataDir
from tidemill.platform.health import gateway_health, http_status, nats_health
from tidemill.platform.nats_client import connected_once, login_of
from tidemill.platform.nats_server import NatsServerConfig, free_port, nats_server_binary
from tidemill.platform.supervisor import Program
from tidemill.settings import PlatformSettings, ServiceSettings, StreamSettings
from tidemill.signing import SigningFolder

if TYPE_CHECKING:
    from tidemill.bus.permissions import Permissions

LIGHT = ("ingest", "preprocess", "registry", "inference")
"""Services that need no torch: started first, and the platform is ready when they are."""
HEAVY = ("trainer", "compressor")
"""Services whose children import torch, which takes seconds: they warm up while the platform serves."""
REPLICABLE = ("ingest", "preprocess", "trainer", "compressor")

LOOPBACK = "127.0.0.1"
GRACE_MARGIN = 5.0
"""Seconds that a service has beyond its ``shutdown_grace`` before it is killed."""


@dataclass(frozen=True)
class PlatformOptions:
    """What ``tidemill up`` was asked for. ``port`` 0 picks a free one for the gateway."""

    port: int = 8000
    host: str = LOOPBACK
    replicas: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, count in self.replicas.items():
            if name not in (*LIGHT, *HEAVY):
                raise InvalidInput(f"--replicas {name}={count}: no such service; replicable: {', '.join(REPLICABLE)}")
            if name not in REPLICABLE and count != 1:
                raise InvalidInput(f"--replicas {name}={count}: on one machine there is one {name}")
            if not 1 <= count <= 64:
                raise InvalidInput(f"--replicas {name}={count}: give a number from 1 to 64")


def choose_gateway_port(options: PlatformOptions) -> int:
    """The gateway's port, free at this moment.

    Raises:
        PermanentError: the wanted port is taken; says how to choose another.
    """
    if options.port == 0:
        return free_port()
    if not is_free(options.host, options.port):
        raise PermanentError(
            f"port {options.port} is taken by another program; "
            "choose another with --port N, or --port 0 for any that is free"
        )
    return options.port


def choose_nats_port(before: str | None) -> int:
    """The port that this folder's NATS server had before (``before`` is its address) if it is free, else another."""
    with contextlib.suppress(ValueError, AttributeError):
        port = int((before or "").rpartition(":")[2])
        if is_free(LOOPBACK, port):
            return port
    return free_port()


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def current_store_url(data: DataDir) -> str:
    """Where the platform that runs in this folder keeps everything, whatever the environment says now.

    Of one that does not run, where it would keep it if it were started.
    """
    record = data.record()
    return record.store_url if record is not None and record.running else store_url(data)


def store_url(data: DataDir) -> str:
    """Where a platform that is started now keeps everything.

    ``TIDEMILL_STORE_URL``, with a relative folder made absolute, else the store inside the data folder.
    """
    given = os.environ.get("TIDEMILL_STORE_URL")
    if not given:
        return str(data.store)
    return given if "://" in given else str(Path(given).expanduser().absolute())


def signing_folder(data: DataDir) -> SigningFolder:
    """The key that a platform started now signs models with, and those whose signatures it trusts.

    ``TIDEMILL_REGISTRY_SIGNING_KEY_FILE`` and ``TIDEMILL_TRUSTED_SIGNERS``, else in the data folder.
    """
    key_file, trusted = (
        Path(given).expanduser().absolute() if (given := os.environ.get(name)) else None
        for name in ("TIDEMILL_REGISTRY_SIGNING_KEY_FILE", "TIDEMILL_TRUSTED_SIGNERS")
    )
    return SigningFolder.below(data.root, key_file=key_file, trusted_signers=trusted)


def nats_program(data: DataDir, port: int, *, also: Mapping[str, Permissions] | None = None) -> Program:
    """NATS with JetStream on disk; whenever it is up, the streams are provisioned before anybody is told.

    Who may do what is ``tidemill.bus.permissions``; ``also`` are further users.
    """
    from tidemill.bus.accounts import ACCOUNTS_FILE, SYSTEM, write_accounts
    from tidemill.bus.permissions import PROVISION

    write_accounts(data.nats_accounts, also=also)
    (data.run / "credentials.json").unlink(missing_ok=True)  # of versions that had one user for everything
    accounts = f"{data.nats_accounts.name}/{ACCOUNTS_FILE}"
    config = NatsServerConfig(port=port, data_dir=data.jetstream, accounts=accounts)
    path = data.run / "nats.conf"
    config.write(path)

    async def provisioned() -> None:
        import nats.errors
        import nats.js.errors

        from tidemill.bus.streams import provision, stream_limits

        try:
            async with connected_once(config.url, login_of(data, PROVISION), timeout=5) as client:
                await provision(client, stream_limits(StreamSettings(), PlatformSettings().silence))
                if data.kept_messages.exists():
                    from tidemill.backup.messages import publish_kept

                    await publish_kept(client, data.kept_messages)
        except (nats.errors.Error, nats.js.errors.Error, OSError) as error:
            raise TransientError(f"the streams cannot be provisioned: {error!r}") from error

    return Program(
        name="nats",
        command=(str(nats_server_binary()), "-c", str(path)),
        ready=lambda _pid: _listens(config.host, port),
        once_ready=provisioned,
        healthy=nats_health(config.url, login_of(data, SYSTEM), data.jetstream),
        tier=0,
        stop_tier=0,
    )


def service_programs(data: DataDir, options: PlatformOptions, *, nats_url: str, port: int) -> list[Program]:
    """The six services, each as many times as asked for."""
    signing = signing_folder(data)
    shared = {
        "TIDEMILL_NATS_URL": nats_url,
        "TIDEMILL_STORE_URL": store_url(data),
        "TIDEMILL_DATA_DIR": str(data.root),
        "TIDEMILL_TRUSTED_SIGNERS": str(signing.trusted.folder),
        "PYTHONUNBUFFERED": "1",
    }
    programs = []
    for service in (*LIGHT, *HEAVY):
        count = options.replicas.get(service, 1)
        for number in range(1, count + 1):
            name = service if count == 1 else f"{service}-{number}"
            ready_file = data.run / f"{name}.ready"
            own = {"TIDEMILL_NATS_NKEY_FILE": str(data.nkey_file(service)), "TIDEMILL_READY_FILE": str(ready_file)}
            environment = shared | own | thread_limits(service, count)
            ready = _ready_file(ready_file)
            healthy = None
            if service == "inference":
                environment |= {"TIDEMILL_INFERENCE_HOST": options.host, "TIDEMILL_INFERENCE_PORT": str(port)}
                over_tls = gateway_ends_tls()
                ready = _ready_endpoint(options.host, port, over_tls=over_tls)
                healthy = gateway_health(reachable(options.host), port, over_tls=over_tls)
            elif service == "registry":
                environment |= {"TIDEMILL_REGISTRY_SIGNING_KEY_FILE": str(signing.key_file)}
                ready = _answering_registry(ready, nats_url, data)
            programs.append(
                Program(
                    name=name,
                    # -P: a folder named "services" in the current one must not be taken for ours
                    command=(sys.executable, "-P", "-m", f"services.{service}"),
                    environment=environment,
                    ready=ready,
                    healthy=healthy,
                    tier=1 if service in LIGHT else 2,
                    stop_tier={"inference": 3, "registry": 1}.get(service, 2),
                    awaited=service in LIGHT,
                    grace=shutdown_grace(service),
                )
            )
    return programs


def shutdown_grace(service: str) -> float:
    """Seconds between SIGTERM and SIGKILL: what the service's own settings allow, and a margin."""
    settings = ServiceSettings(_env_prefix=f"TIDEMILL_{service.upper()}_")
    return settings.shutdown_grace.total_seconds() + GRACE_MARGIN


def thread_limits(service: str, replicas: int) -> dict[str, str]:
    """How many threads the numerical libraries of one process may start; what the user set stays.

    Stages of one run follow each other, so each may have the whole machine, shared among its own replicas. The
    gateway runs one single-threaded session per request thread.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = 1 if service in ("inference", "registry") else max(1, cores // replicas)
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {name: os.environ.get(name, str(threads)) for name in names}


def _ready_file(path: Path) -> Callable[[int], Awaitable[bool]]:
    async def written(pid: int) -> bool:
        try:
            return path.read_text().strip() == str(pid)  # noqa: ASYNC240 - a handful of bytes
        except OSError:
            return False

    return written


def gateway_ends_tls() -> bool:
    """Whether a gateway that is started now has a certificate of its own."""
    return bool(os.environ.get("TIDEMILL_INFERENCE_TLS_CERT"))


def _ready_endpoint(host: str, port: int, *, over_tls: bool) -> Callable[[int], Awaitable[bool]]:
    async def ready(_pid: int) -> bool:
        status = await http_status(reachable(host), port, "/readyz", over_tls=over_tls)
        return status == 200

    return ready


def _answering_registry(
    consumes: Callable[[int], Awaitable[bool]], nats_url: str, data: DataDir
) -> Callable[[int], Awaitable[bool]]:
    """Once it says that it consumes, it has to answer a question."""

    async def answers(pid: int) -> bool:
        if not await consumes(pid):
            return False
        from nats.errors import Error

        from tidemill.bus.permissions import OPERATOR
        from tidemill.contracts.queries import ListRuns

        try:
            async with connected_once(nats_url, login_of(data, OPERATOR)) as client:
                reply = await client.request(ListRuns.subject, ListRuns(limit=1).model_dump_json().encode(), timeout=2)
        except (Error, OSError, asyncio.TimeoutError):
            return False
        return b'"value"' in reply.data

    return answers


async def _listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


def reachable(host: str) -> str:
    """The address under which what listens on ``host`` is reached from this machine."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104
