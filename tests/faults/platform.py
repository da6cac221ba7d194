"""The platform under test: NATS and two replicas of every service, each behind a network of its own, on real storage.

``tidemill up`` has one registry and one gateway, so the replicas are put together here, from the same supervisor.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from nats.aio.client import Client

from tests.faults.proxy import S3Proxy
from tidemill.artifacts import open_store
from tidemill.artifacts.objects import Objects, open_objects
from tidemill.bus import Bus
from tidemill.bus.permissions import EVERYTHING
from tidemill.parent_death import dies_with_parent
from tidemill.platform import supervisor as supervision
from tidemill.platform.data_dir import DataDir
from tidemill.platform.nats_server import free_port
from tidemill.platform.processes import carrying, end_all
from tidemill.platform.programs import http_status, nats_program, signing_folder
from tidemill.platform.supervisor import Child, Program, Supervisor
from tidemill.settings import PlatformSettings
from tidemill.testing.proxy import TcpProxy

Scene = Literal["folder", "s3"]

SERVICES = ("ingest", "preprocess", "trainer", "compressor", "registry", "inference")
STAGE_OF = {"ingest": "ingest", "preprocess": "preprocess", "trainer": "train", "compressor": "compress"}
REPOSITORY = Path(__file__).resolve().parents[2]
ACK_WAIT = 4.0
"""Seconds of silence after which another replica takes a job."""
DISK_BYTES = 192 << 20
SUITE = "faults"
"""The suite's own user on the bus, who may do everything: it has to break things."""
BUCKET = "tidemill-faults"
S3_KEYS = {"AWS_ACCESS_KEY_ID": "tidemill-test", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_REGION": "us-east-1"}


class HurtPlatform:
    """One platform in ``folder``; ``said`` gets a line whenever its supervisor notices something."""

    def __init__(self, folder: Path, scene: Scene, *, work: str, said: Callable[[str], None]) -> None:
        self.folder = folder
        self.scene: Scene = scene
        self.platform_id = uuid.uuid4().hex
        self.data = DataDir(folder / "data")
        self.disk = folder / "disk"
        self.disk_is_small = False
        self.versions: dict[str, int] = {}
        self.proxies: dict[str, TcpProxy] = {}
        self.s3: S3Proxy | None = None
        self._work = work
        self._said = said
        self._gateway_ports = {"inference-1": free_port(), "inference-2": free_port()}
        self._nats_port = free_port()
        self._moto: subprocess.Popen[bytes] | None = None
        self._supervisor: Supervisor | None = None

    @property
    def children(self) -> dict[str, Child]:
        """Every supervised process by its name: ``nats``, ``trainer-1``, …"""
        assert self._supervisor is not None
        return {child.program.name: child for child in self._supervisor.children}

    @property
    def gateways(self) -> list[str]:
        """Addresses of the gateways."""
        return [f"http://127.0.0.1:{port}" for port in self._gateway_ports.values()]

    def replicas(self, service: str) -> list[str]:
        """Names of a service's replicas."""
        return [f"{service}-1", f"{service}-2"]

    def siblings(self, replica: str) -> list[str]:
        """The replicas of the service that ``replica`` is one of."""
        return self.replicas(replica.rpartition("-")[0])

    def data_dir(self, replica: str) -> Path:
        """The data folder of a replica: the workers and registries of a machine share one, gateways do not."""
        return self.folder / replica if replica.startswith("inference") else self.data.root

    @property
    def store_url(self) -> str:
        """Where artifacts and records are."""
        return f"s3://{BUCKET}/faults" if self.scene == "s3" else str(self.disk / "store")

    async def start(self) -> None:
        """Start everything; returns when all replicas are ready."""
        self.data.create()
        self.disk.mkdir()
        if self.scene == "folder":
            self.disk_is_small = _mount(self.disk, DISK_BYTES)
        scratch = self.disk / "scratch"
        scratch.mkdir()
        (self.data.root / "scratch").symlink_to(scratch)
        supervision.LONGEST_DELAY = 1.0  # type: ignore[misc] - what is killed every few seconds is not a crash loop
        os.environ["TIDEMILL_ACK_WAIT"] = f"PT{ACK_WAIT:.0f}S"
        if self.scene == "s3":
            await self._start_s3()
        signing_folder(self.data).make()
        nats = nats_program(self.data, self._nats_port, also={SUITE: EVERYTHING})
        self.settings = PlatformSettings(
            nats_url=f"nats://127.0.0.1:{self._nats_port}", nats_nkey_file=self.data.nkey_file(SUITE),
            store_url=self.store_url, data_dir=self.folder / "observer",
        )  # fmt: skip
        programs = [nats]
        for service in SERVICES:
            for name in self.replicas(service):
                self.proxies[name] = TcpProxy(self._nats_port)
                await self.proxies[name].start()
                self.versions[name] = 1
                programs.append(self._program(service, name))
        self._supervisor = Supervisor(
            programs, logs=self.data.logs, folder=self.data.root, platform_id=self.platform_id, noticed=self._said
        )
        await self._supervisor.start()
        await asyncio.wait_for(asyncio.gather(*(child.ready.wait() for child in self.children.values())), 180)
        self.bus = Bus.from_settings(self.settings, SUITE)
        await self.bus.connect()
        self.store = open_store(self.store_url, cache=self.folder / "observer" / "cache")
        self.records = self.store.records()
        self.objects: Objects = open_objects(self.store_url)

    @property
    def nats(self) -> Client:
        """The suite's own connection, straight to the server."""
        return self.bus.client

    def pid(self, replica: str) -> int | None:
        """Process id of a replica that runs."""
        child = self.children[replica]
        return child.identity.pid if child.identity is not None and child.identity.alive else None

    def signal(self, replica: str, number: signal.Signals) -> int | None:
        """Send a signal to a replica's process; its process id, or None when it is not running at the moment."""
        pid = self.pid(replica)
        if pid is not None:
            os.kill(pid, number)
        return pid

    def ready_again(self, replica: str, than: int | None) -> bool:
        """Whether the replica is ready as another process than ``than``."""
        child = self.children[replica]
        return child.ready.is_set() and child.identity is not None and child.identity.pid != than

    def give_version(self, replica: str, version: int) -> None:
        """From its next start on, the replica is of that version."""
        self.versions[replica] = version
        child = self.children[replica]
        child.program = replace(child.program, command=self._command(replica.rpartition("-")[0], version))

    async def heal(self) -> None:
        """Undo every outage that is still on."""
        for name in self.proxies:
            await self.proxies[name].heal()
            self.signal(name, signal.SIGCONT)
        if self.s3 is not None:
            self.s3.trouble = "none"
        (self.disk / "ballast").unlink(missing_ok=True)

    async def stop(self) -> list[int]:
        """Stop in order; pids of what was still there after everything had been stopped, which is then ended."""
        if self._supervisor is None:
            return []
        await self.heal()
        children = self._supervisor.children
        for tier in sorted({child.program.stop_tier for child in children}, reverse=True):
            await asyncio.gather(*(child.stop() for child in children if child.program.stop_tier == tier))
        await asyncio.sleep(1.0)
        left = [pid for pid in carrying(self.platform_id) if pid != os.getpid()]
        await asyncio.to_thread(end_all, [], platform_id=self.platform_id)
        return left

    async def clean_up(self) -> None:
        """Give everything back; the folder stays for whoever wants to look."""
        for proxy in self.proxies.values():
            await proxy.close()
        if self.s3 is not None:
            await self.s3.close()
        if self._moto is not None:
            self._moto.terminate()
            self._moto.wait(10)
        if self.disk_is_small:
            kept = self.folder / "kept"
            shutil.copytree(self.disk, kept, dirs_exist_ok=True)
            subprocess.run(["umount", "--lazy", str(self.disk)], check=False)

    def _program(self, service: str, name: str) -> Program:
        ready_file = self.data.run / f"{name}.ready"
        environment = {
            "PYTHONPATH": f"{REPOSITORY / 'libs'}:{REPOSITORY}",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "TIDEMILL_NATS_URL": f"nats://127.0.0.1:{self.proxies[name].port}",
            "TIDEMILL_NATS_NKEY_FILE": str(self.data.nkey_file(service)),
            "TIDEMILL_STORE_URL": self.store_url,
            "TIDEMILL_DATA_DIR": str(self.data_dir(name)),
            "TIDEMILL_READY_FILE": str(ready_file),
            "TIDEMILL_REGISTRY_RECONCILE_EVERY": "PT1S",
            "TIDEMILL_REGISTRY_RECONCILE_AFTER": "PT5S",
            "TIDEMILL_TRAINER_CHECKPOINT_EVERY": "PT1S",
            f"TIDEMILL_{service.upper()}_SHUTDOWN_GRACE": "PT5S",
        }

        async def ready(pid: int) -> bool:
            if service == "inference":
                return await http_status("127.0.0.1", self._gateway_ports[name], "/readyz") == 200
            return ready_file.exists() and ready_file.read_text().strip() == str(pid)

        if service == "inference":
            environment["TIDEMILL_INFERENCE_PORT"] = str(self._gateway_ports[name])
        if self.s3 is not None:
            environment |= {**S3_KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.s3.port}"}
        return Program(
            name=name, command=self._command(service, 1), environment=environment, ready=ready,
            tier=1, stop_tier={"inference": 3, "registry": 1}.get(service, 2), awaited=False, grace=12.0,
        )  # fmt: skip

    def _command(self, service: str, version: int) -> tuple[str, ...]:
        options = (f"--version={version}", f"--work={self._work}")
        return (sys.executable, "-P", "-m", "tests.faults.replica", service, *options)

    async def _start_s3(self) -> None:
        port = free_port()
        log = (self.data.logs / "moto.log").open("wb")
        code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
        self._moto = subprocess.Popen(
            [sys.executable, "-c", code], stdout=log, stderr=log, preexec_fn=dies_with_parent()
        )
        while await http_status("127.0.0.1", port, "/moto-api/") is None:
            await asyncio.sleep(0.1)
        self.s3 = S3Proxy(port)
        await self.s3.start()
        os.environ |= {**S3_KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        from tidemill.artifacts.buckets import prepare_bucket

        await prepare_bucket(self.store_url)


def _mount(folder: Path, size: int) -> bool:
    """Put a small disk at ``folder``; False where that is not allowed."""
    if os.geteuid() != 0:
        return False
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    return done.returncode == 0
