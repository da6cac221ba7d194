"""``tidemill up``: one platform from its lock to its last process, in this process or in one that stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tidemill.errors import TidemillError, TransientError
from tidemill.platform.data_dir import DataDir, PlatformRecord, PlatformState
from tidemill.platform.logs import tail
from tidemill.platform.processes import ProcessIdentity, end_all
from tidemill.platform.programs import (
    PlatformOptions,
    choose_gateway_port,
    choose_nats_port,
    gateway_ends_tls,
    nats_program,
    reachable,
    service_programs,
    signing_folder,
    store_url,
)
from tidemill.platform.supervisor import Program, StartFailed, Supervisor

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SUPERVISOR_LOG = "supervisor.log"
DETACHED_TIMEOUT = 150.0

ProgramsFor = Callable[[DataDir, PlatformOptions, PlatformRecord], list[Program]]


def run_platform(
    data: DataDir,
    options: PlatformOptions,
    *,
    said: Callable[[str], None],
    ready: Callable[[PlatformRecord], None],
    programs_for: ProgramsFor | None = None,
) -> None:
    """Run a platform until SIGINT, SIGTERM or SIGHUP; a second signal kills it at once.

    ``said`` gets one line whenever something happened; ``ready`` is called once, when the platform answers.

    Raises:
        AlreadyRunning: another supervisor holds the folder.
        PermanentError: the port is taken, or the folder cannot be used.
        StartFailed: a program does not start; everything was stopped again.
    """
    data.create()
    with data.locked():
        before = data.record()
        if before is not None:
            end_left_over(before)
        signing = signing_folder(data)
        key = signing.make()
        if key is not None:
            said(f"models are signed with key {key.public.id} from now on ({signing.key_file})")
        asyncio.run(_Run(data, options, before, said, ready, programs_for or platform_programs).run())


def platform_programs(data: DataDir, options: PlatformOptions, record: PlatformRecord) -> list[Program]:
    """NATS and the six services of Tidemill."""
    return [
        nats_program(data, int(record.nats_url.rpartition(":")[2])),
        *service_programs(
            data,
            options,
            nats_url=record.nats_url,
            port=int(record.gateway_url.rpartition(":")[2]),
        ),
    ]


def end_left_over(record: PlatformRecord) -> list[int]:
    """End what a killed supervisor may have left; the pids that were still alive."""
    identities = [one.identity for one in record.processes if one.identity is not None]
    return end_all(identities, platform_id=record.platform_id)


class _Run:
    """One run of a platform: its supervisor, its record, its signals."""

    def __init__(
        self,
        data: DataDir,
        options: PlatformOptions,
        before: PlatformRecord | None,
        said: Callable[[str], None],
        ready: Callable[[PlatformRecord], None],
        programs_for: ProgramsFor,
    ) -> None:
        self._data = data
        self._said = said
        self._ready = ready
        host = reachable(options.host)  # what listens on every address is not reached under "every address"
        host = f"[{host}]" if ":" in host else host
        me = ProcessIdentity.of(os.getpid())
        assert me is not None
        self._record = PlatformRecord(
            platform_id=uuid.uuid4().hex,
            state="starting",
            supervisor=me,
            data_dir=str(data.root),
            store_url=store_url(data),
            gateway_url=f"{'https' if gateway_ends_tls() else 'http'}://{host}:{choose_gateway_port(options)}",
            nats_url=f"nats://127.0.0.1:{choose_nats_port(before.nats_url if before else None)}",
            started_at=datetime.now(UTC),
        )
        self._supervisor = Supervisor(
            programs_for(data, options, self._record),
            logs=data.logs,
            folder=data.root,
            platform_id=self._record.platform_id,
            noticed=self._noticed,
        )
        self._asked_to_stop = 0
        self._stop = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores SIGHUP
        for number in heeded:
            loop.add_signal_handler(number, self._on_signal)
        logs = asyncio.create_task(self._supervisor.watch_logs())
        self._save("starting")
        error: str | None = None
        try:
            if await self._start():
                self._ready(self._record)
                await self._stop.wait()
        except StartFailed as failed:
            error = str(failed)
            raise
        finally:
            self._save("stopping")
            await self._supervisor.stop()
            logs.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await logs
            self._save("failed" if error else "stopped", error=error)
            for number in heeded:
                loop.remove_signal_handler(number)

    async def _start(self) -> bool:
        """True when everything is ready, False when asked to stop before."""
        starting = asyncio.create_task(self._supervisor.start())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            return False
        seconds = starting.result()
        self._record = self._record.model_copy(update={"ready_seconds": round(seconds.get(1, 0.0), 2)})
        self._save("ready")
        return True

    def _noticed(self, line: str) -> None:
        if line:
            self._said(line)
        self._save(self._record.state)

    def _save(self, state: PlatformState, error: str | None = None) -> None:
        processes = [child.record() for child in self._supervisor.children]
        self._record = self._record.model_copy(update={"state": state, "processes": processes, "error": error})
        with contextlib.suppress(OSError):  # a full disk must not take the platform down
            self._data.write_record(self._record)

    def _on_signal(self) -> None:
        self._asked_to_stop += 1
        self._stop.set()
        if self._asked_to_stop > 1:
            self._said("killing everything")
            self._supervisor.kill()


def start_detached(data: DataDir, options: PlatformOptions, *, said: Callable[[str], None]) -> PlatformRecord:
    """Start a platform that stays when this process ends; returns when it is ready.

    Raises:
        AlreadyRunning: another supervisor holds the folder.
        TidemillError: it did not become ready; the message holds the end of the log that says why.
    """
    data.create()
    with data.locked():  # says at once that somebody else holds it
        choose_gateway_port(options)
    log = data.logs / SUPERVISOR_LOG
    with log.open("ab") as output:
        supervisor = subprocess.Popen(
            _supervisor_command(data, options),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=data.root, start_new_session=True,
        )  # fmt: skip
    try:
        return _until_ready(data, supervisor, log, said)
    except BaseException:
        supervisor.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            supervisor.wait(60)
        raise


def _supervisor_command(data: DataDir, options: PlatformOptions) -> list[str]:
    replicas = [f"--replicas={name}={count}" for name, count in options.replicas.items()]
    return [
        sys.executable, "-P", "-m", "tidemill.platform",
        f"--data-dir={data.root}", f"--port={options.port}", f"--host={options.host}", *replicas,
    ]  # fmt: skip


def _until_ready(
    data: DataDir, supervisor: subprocess.Popen[bytes], log: Path, said: Callable[[str], None]
) -> PlatformRecord:
    deadline = time.monotonic() + DETACHED_TIMEOUT
    told: set[str] = set()
    while time.monotonic() < deadline:
        ended = supervisor.poll() is not None
        record = data.record()
        if record is not None and record.supervisor.pid == supervisor.pid:
            for one in record.processes:
                if one.state == "ready" and one.name not in told:
                    told.add(one.name)
                    said(f"{one.name} is ready")
            if record.state == "ready":
                return record
            if record.state == "failed" and record.error and ended:
                raise TidemillError(record.error)
        if ended:
            raise TidemillError(f"the platform did not start; the end of {log}:\n\n{tail(log)}")
        time.sleep(0.03)
    raise TransientError(f"the platform is not ready after {DETACHED_TIMEOUT:.0f} s; see {log}")


def stop_platform(data: DataDir, *, timeout: float = 90.0) -> list[int]:
    """Stop the folder's platform and wait until nothing of it runs; the pids that had to be ended by hand.

    Does nothing when none runs. Also cleans up after a supervisor that was killed.
    """
    record = data.record()
    if record is None:
        return []
    supervisor = record.supervisor
    if supervisor.alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while supervisor.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        if supervisor.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(supervisor.pid, signal.SIGKILL)
        record = data.record() or record
    left = end_left_over(record)
    if record.state != "stopped":
        data.write_record(record.model_copy(update={"state": "stopped"}))
    return left


def is_running(record: PlatformRecord | None) -> bool:
    """Whether the platform's supervisor is alive."""
    return record is not None and record.running
