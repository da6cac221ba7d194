"""The folder of one platform: where everything of it is, and what it remembers of itself (``platform.json``)."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from tidemill.errors import PermanentError
from tidemill.platform.processes import ProcessIdentity

DEFAULT_FOLDER = ".tidemill"

PlatformState = Literal["starting", "ready", "stopping", "stopped", "failed"]
ProcessState = Literal["starting", "ready", "waiting", "stopping", "stopped"]


class ProcessRecord(BaseModel):
    """One supervised process. ``waiting`` means that it died and its next start is due soon."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: ProcessState
    identity: ProcessIdentity | None = None
    started_at: datetime | None = None
    restarts: int = 0
    log: str
    ailment: str | None = None
    """What is wrong with it although it runs."""


class PlatformRecord(BaseModel):
    """What ``platform.json`` holds: how the platform is reached and which processes it consists of."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    platform_id: str
    state: PlatformState
    supervisor: ProcessIdentity
    data_dir: str
    store_url: str
    gateway_url: str
    nats_url: str
    started_at: datetime
    ready_seconds: float | None = None
    """From starting the services that need no torch until all of them were ready, seconds."""
    processes: list[ProcessRecord] = []
    error: str | None = None
    """Why it failed to start."""

    @property
    def running(self) -> bool:
        """Whether the platform's supervisor is alive."""
        return self.state in ("starting", "ready", "stopping") and self.supervisor.alive


class AlreadyRunning(PermanentError):
    """Another supervisor holds this folder."""


class DataDir:
    """The places in one platform's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def find(cls, given: Path | str | None = None) -> DataDir:
        """``given``, else ``TIDEMILL_DATA_DIR``, else ``.tidemill`` in the current folder."""
        chosen = given or os.environ.get("TIDEMILL_DATA_DIR") or DEFAULT_FOLDER
        return cls(Path(chosen).expanduser().absolute())

    @property
    def option(self) -> str:
        """What a command needs to mean this folder, for a shell: empty when it does so by itself."""
        return "" if self.root == DataDir.find().root else f" --data-dir {shlex.quote(str(self.root))}"

    @property
    def run(self) -> Path:
        """What belongs to the running platform: lock, ready files, credentials."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.root / "logs"

    @property
    def jetstream(self) -> Path:
        """NATS's streams."""
        return self.root / "nats"

    @property
    def store(self) -> Path:
        """Artifacts and records, unless ``TIDEMILL_STORE_URL`` names another place."""
        return self.root / "store"

    @property
    def kept_messages(self) -> Path:
        """Messages of a backup, to be published again at the next start; absent otherwise."""
        return self.root / "messages-to-publish.jsonl"

    @property
    def record_file(self) -> Path:
        """``platform.json``."""
        return self.root / "platform.json"

    @property
    def nats_accounts(self) -> Path:
        """The nkey seeds of NATS's users, readable by their owner only, and the server's file of accounts."""
        return self.run / "nats"

    def nkey_file(self, user: str) -> Path:
        """The nkey seed of a user of this folder's NATS server."""
        return self.nats_accounts / f"{user}.nk"

    def create(self) -> None:
        """Make the folders; what a platform keeps is its owner's business only.

        Raises:
            PermanentError: the folder cannot be made or written.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.run, self.logs, self.jetstream):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise PermanentError(
                f"the data folder {self.root} cannot be used: {error.strerror or error}; choose another with --data-dir"
            ) from error

    def record(self) -> PlatformRecord | None:
        """What the last supervisor wrote; None when there was none."""
        try:
            return PlatformRecord.model_validate_json(self.record_file.read_bytes())
        except (OSError, ValidationError):
            return None

    def write_record(self, record: PlatformRecord) -> None:
        """Replace ``platform.json`` at once, so that a reader never sees half of it."""
        _write_private(self.record_file, record.model_dump_json(indent=2))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one supervisor. The kernel lets go when the holder ends, so no lock is ever stale.

        Raises:
            AlreadyRunning: says which process holds it and how to stop it.
        """
        descriptor = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise AlreadyRunning(self._held_by(os.pread(descriptor, 100, 0))) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid()}).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _held_by(self, content: bytes) -> str:
        try:
            pid = json.loads(content)["pid"]
        except (ValueError, KeyError, TypeError):
            pid = "unknown"
        record = self.record()
        where = f" at {record.gateway_url}" if record and record.supervisor.pid == pid else ""
        return (
            f"a platform runs in {self.root} already (pid {pid}{where}); "
            f"stop it with `tidemill down --data-dir {self.root}` or choose another folder with --data-dir"
        )


def _write_private(path: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    Path(temporary).replace(path)
