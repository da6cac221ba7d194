"""A whole small platform: real NATS, the lock, a killed supervisor, ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nats
import pytest
from pydantic import SecretStr

from tidemill.bus.login import Login
from tidemill.bus.streams import provision
from tidemill.errors import InvalidInput, PermanentError
from tidemill.platform.data_dir import AlreadyRunning, DataDir, PlatformRecord
from tidemill.platform.logs import rotate, tail
from tidemill.platform.nats_client import Refused, connected_once, login_of
from tidemill.platform.nats_server import NatsServer, NatsServerConfig, free_port
from tidemill.platform.processes import ProcessIdentity, carrying
from tidemill.platform.programs import PlatformOptions, choose_gateway_port, choose_nats_port
from tidemill.platform.supervisor import Program, StartFailed
from tidemill.platform.up import is_running, run_platform, stop_platform

ONLY_NATS = """
import sys
from pathlib import Path
from tidemill.platform.data_dir import DataDir
from tidemill.platform.programs import PlatformOptions, nats_program
from tidemill.platform.supervisor import Program, StartFailed
from tidemill.platform.up import run_platform

def programs(data, options, record):
    return [nats_program(data, int(record.nats_url.rpartition(":")[2]))]

run_platform(
    DataDir(Path(sys.argv[1])), PlatformOptions(port=0), said=print, ready=lambda record: None, programs_for=programs
)
"""


def wait_for(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def record_of(data: DataDir) -> PlatformRecord:
    record = data.record()
    assert record is not None
    return record


def ready(data: DataDir) -> bool:
    record = data.record()
    return record is not None and record.state == "ready" and is_running(record)


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path / "平台")


@pytest.fixture
def supervisor(data: DataDir) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", ONLY_NATS, str(data.root)], start_new_session=True)
    try:
        wait_for(lambda: ready(data))
        yield process
    finally:
        stop_platform(data)
        process.wait(30)


async def test_nats_comes_back_with_its_streams(data: DataDir, supervisor: subprocess.Popen[bytes]) -> None:
    first = record_of(data).processes[0].identity
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)

    def again() -> bool:
        (one,) = record_of(data).processes
        return one.restarts == 1 and one.state == "ready"

    wait_for(again)
    client = await nats.connect(record_of(data).nats_url, nkeys_seed=str(data.nkey_file("operator")))
    info = await client.jetstream().stream_info("EVENTS")
    await client.close()
    assert info.config.name == "EVENTS"
    assert data.nats_accounts.stat().st_mode & 0o077 == 0
    assert data.nkey_file("operator").stat().st_mode & 0o077 == 0
    assert (data.run / "nats.conf").stat().st_mode & 0o077 == 0


async def test_a_folder_of_before_keeps_its_streams_and_gets_users(data: DataDir) -> None:
    data.create()
    old = data.run / "credentials.json"
    old.write_text('{"user": "tidemill", "password": "of all"}')
    config = NatsServerConfig(port=free_port(), user="tidemill", password="of all", data_dir=data.jetstream)
    server = NatsServer(config, data.run)
    await server.start()
    client = await nats.connect(config.url, user=config.user, password=config.password)
    await provision(client)
    await client.jetstream().publish("tidemill.dataset.published.v1", b"{}")
    await client.close()
    await server.stop()
    process = subprocess.Popen([sys.executable, "-c", ONLY_NATS, str(data.root)], start_new_session=True)
    try:
        wait_for(lambda: ready(data))
        async with connected_once(record_of(data).nats_url, login_of(data, "operator")) as client:
            assert (await client.jetstream().stream_info("EVENTS")).state.messages == 1
        with pytest.raises(Refused):
            async with connected_once(
                record_of(data).nats_url, Login(source="x", user="tidemill", password=SecretStr("of all"))
            ):
                pass
        assert not old.exists()
    finally:
        stop_platform(data)
        process.wait(30)


def test_a_folder_has_one_platform(data: DataDir, supervisor: subprocess.Popen[bytes]) -> None:
    with pytest.raises(AlreadyRunning, match=rf"pid {supervisor.pid}.*tidemill down"):
        run_platform(data, PlatformOptions(port=0), said=print, ready=lambda _: None, programs_for=lambda *_: [])


def test_a_killed_supervisor_leaves_nothing_and_no_stale_lock(
    data: DataDir, supervisor: subprocess.Popen[bytes]
) -> None:
    before = record_of(data)
    (nats_process,) = before.processes
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.wait(10)
    assert nats_process.identity is not None
    wait_for(lambda: not nats_process.identity.alive)  # type: ignore[union-attr]
    assert carrying(before.platform_id) == []
    assert not is_running(data.record())
    again = subprocess.Popen([sys.executable, "-c", ONLY_NATS, str(data.root)], start_new_session=True)
    wait_for(lambda: ready(data))
    assert record_of(data).nats_url == before.nats_url
    stop_platform(data)
    assert again.wait(30) == 0
    assert record_of(data).state == "stopped"


def test_down_ends_what_a_killed_supervisor_could_not(data: DataDir) -> None:
    data.create()
    orphan = subprocess.Popen(["sleep", "60"], start_new_session=True)
    identity = ProcessIdentity.of(orphan.pid)
    me = ProcessIdentity.of(os.getpid())
    assert identity is not None
    assert me is not None
    stranger = ProcessIdentity(pid=me.pid, birth="another birth")
    record = PlatformRecord.model_validate(
        {
            "platform_id": "gone", "state": "ready", "supervisor": stranger, "data_dir": str(data.root),
            "store_url": "", "gateway_url": "", "nats_url": "", "started_at": "2026-01-01T00:00:00Z",
            "processes": [
                {"name": "orphan", "state": "ready", "identity": identity, "log": ""},
                {"name": "recycled pid", "state": "ready", "identity": stranger, "log": ""},
            ],
        }
    )  # fmt: skip
    data.write_record(record)
    assert stop_platform(data) == [orphan.pid]
    assert orphan.wait(5) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:"), ("::", "http://[::1]:"), ("127.0.0.1", "http://127.0.0.1:")],
)
def test_the_address_on_record_can_be_reached(
    data: DataDir, monkeypatch: pytest.MonkeyPatch, host: str, url: str
) -> None:
    seen: list[PlatformRecord] = []
    monkeypatch.setattr("tidemill.platform.up.choose_gateway_port", lambda _: 8123)  # a machine may have no IPv6

    def programs(_: DataDir, options: PlatformOptions, record: PlatformRecord) -> list[Program]:
        assert options.host == host
        seen.append(record)
        raise StartFailed("seen enough")

    with pytest.raises(StartFailed):
        run_platform(data, PlatformOptions(host=host), said=print, ready=lambda _: None, programs_for=programs)
    assert seen[0].gateway_url == f"{url}8123"


def test_a_taken_port_is_said_and_another_can_be_chosen() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PermanentError, match=f"port {port} is taken.*--port 0"):
            choose_gateway_port(PlatformOptions(port=port))
        assert choose_gateway_port(PlatformOptions(port=0)) != port
        assert choose_nats_port(f"nats://127.0.0.1:{port}") != port


def test_replicas_are_for_workers() -> None:
    with pytest.raises(InvalidInput, match="there is one registry"):
        PlatformOptions(replicas={"registry": 2})
    with pytest.raises(InvalidInput, match="no such service"):
        PlatformOptions(replicas={"trainers": 2})


def test_logs_are_cut_while_their_writer_keeps_them_open(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("ab") as writer:
        writer.write(b"old\n" * 1000)
        writer.flush()
        assert rotate(log, limit=100)
        writer.write(b"new\n")
        writer.flush()
        assert not rotate(log, limit=100)
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "a.log.1").stat().st_size == 4000
    assert tail(log) == "new"
