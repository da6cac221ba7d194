"""Three servers from deploy/nats/cluster.conf: TLS between them, streams on each, and one of them killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tidemill.bus import Bus
from tidemill.bus.consumers import subscribe
from tidemill.bus.delivery import Delivery
from tidemill.bus.login import Login
from tidemill.bus.permissions import PROVISION
from tidemill.bus.streams import StreamLimits, provision
from tidemill.contracts import DatasetIngested
from tidemill.errors import TransientError
from tidemill.platform.certificates import issue
from tidemill.platform.nats_client import connected_once
from tidemill.platform.nats_server import free_port
from tidemill.records import open_records
from tidemill.settings import PlatformSettings
from tidemill.testing.nats import deployed_nats

SUBJECT = DatasetIngested.subject


@dataclass(frozen=True)
class Cluster:
    folder: Path
    ports: tuple[int, ...]
    route_ports: tuple[int, ...]
    nodes: tuple[asyncio.subprocess.Process, ...]

    @property
    def url(self) -> str:
        return ",".join(f"nats://localhost:{port}" for port in self.ports)

    def settings(self, service: str) -> PlatformSettings:
        return PlatformSettings(
            nats_url=self.url, nats_nkey_file=self.folder / "accounts" / f"{service}.nk",
            nats_ca=self.folder / "ca.crt", store_url=str(self.folder / "store"), ack_wait=timedelta(seconds=10),
        )  # fmt: skip

    def login(self, user: str) -> Login:
        return Login.of(self.settings(user), user)


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    issue(folder)
    ports, route_ports = (tuple(free_port() for _ in range(3)) for _ in range(2))
    environment = _environment(folder, route_ports)
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(
                deployed_nats(
                    folder,
                    "cluster.conf",
                    port=port,
                    name=f"nats-{number}",
                    environment={**environment, "NATS_CLUSTER_LISTEN": f"127.0.0.1:{route_port}"},
                )
            )
            for number, (port, route_port) in enumerate(zip(ports, route_ports, strict=True), 1)
        ]
        yield Cluster(folder, ports, route_ports, tuple(nodes))


def _environment(folder: Path, route_ports: Sequence[int]) -> dict[str, str]:
    return {
        "NATS_TLS_CERT": str(folder / "nats.crt"), "NATS_TLS_KEY": str(folder / "nats.key"),
        "NATS_TLS_CA": str(folder / "ca.crt"), "NATS_TLS_VERIFY": "false",
        "NATS_ROUTES": f"[{', '.join(f'nats://localhost:{port}' for port in route_ports)}]",
    }  # fmt: skip


async def eventually(attempt: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not await attempt():
            await asyncio.sleep(0.2)


async def test_a_cluster_goes_on_when_a_node_is_killed(tmp_path: Path) -> None:
    async with cluster(tmp_path) as three:

        async def provisioned() -> bool:
            try:
                async with connected_once(three.url, three.login(PROVISION), timeout=10) as client:
                    await provision(client, StreamLimits(replicas=3))
            except Exception:  # no leader is elected yet
                return False
            return True

        await eventually(provisioned)
        async with connected_once(three.url, three.login("operator"), timeout=10) as client:
            info = await client.jetstream(timeout=10).stream_info("EVENTS")
            assert info.config.num_replicas == 3
            assert info.cluster is not None
            leader = three.nodes[int(str(info.cluster.leader).removeprefix("nats-")) - 1]

        publisher = Bus.from_settings(three.settings("ingest"), "ingest")
        consumer = Bus.from_settings(three.settings("preprocess"), "preprocess")
        got: set[bytes] = set()

        async def handler(delivery: Delivery) -> None:
            got.add(delivery.body)

        async def published(body: bytes) -> bool:
            try:
                await publisher.publish_durably("EVENTS", SUBJECT, body, {"Nats-Msg-Id": body.decode()})
            except TransientError:
                return False
            return True

        async def arrived(body: bytes) -> bool:
            return body in got

        await publisher.connect()
        await consumer.connect()
        puller = await subscribe(
            consumer, records=open_records(str(tmp_path / "store")), stream="EVENTS", durable="preprocess-events",
            filter_subjects=[SUBJECT], handler=handler, ack_wait=timedelta(seconds=10), stage="preprocess",
        )  # fmt: skip
        await eventually(lambda: published(b"before"))
        await eventually(lambda: arrived(b"before"))
        leader.kill()
        await leader.wait()
        await eventually(lambda: published(b"after"))
        await eventually(lambda: arrived(b"after"))
        await puller.stop()
        await publisher.broker.stop()
        await consumer.broker.stop()


async def test_a_clients_certificate_does_not_make_a_server(tmp_path: Path) -> None:
    async with cluster(tmp_path) as three:
        impostor = {
            "NATS_TLS_CERT": str(tmp_path / "client.crt"), "NATS_TLS_KEY": str(tmp_path / "client.key"),
            "NATS_CLUSTER_LISTEN": f"127.0.0.1:{free_port()}",
        }  # fmt: skip
        environment = {**_environment(tmp_path, three.route_ports), **impostor}
        async with deployed_nats(tmp_path, "cluster.conf", port=free_port(), name="impostor", environment=environment):

            async def turned_away() -> bool:
                logs = [(tmp_path / f"nats-{number}.log").read_text() for number in (1, 2, 3)]
                return all("authentication error" in log for log in logs)

            await eventually(turned_away)


@pytest.mark.parametrize("name", ["server.conf", "server-tls.conf", "cluster.conf"])
def test_every_file_syncs_before_it_acknowledges(name: str) -> None:
    folder = Path(__file__).resolve().parents[2] / "deploy" / "nats"
    text = (folder / name).read_text()
    while 'include "' in text:
        before, _, rest = text.partition('include "')
        included, _, after = rest.partition('"')
        text = before + ((folder / included).read_text() if (folder / included).exists() else "") + after
    assert "sync_interval: always" in text
    assert "permissions" not in text
