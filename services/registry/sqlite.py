"""SQLite as the registry uses it: in write-ahead mode, its file watched, and set aside when it is damaged.

Several registries may share one file. Knows no tables.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

BUSY_TIMEOUT_MS = 200
"""Milliseconds that a statement waits for another writer. It waits in a thread that nobody can cancel, and a connection
that is given up meanwhile would take the lock later and keep it: so briefly, and again from ``PATIENCE``."""
PATIENCE = 15.0
"""Seconds for which a writer tries to begin."""
BEGIN = "sqlite_begin"
"""Execution option of an engine: how its transactions begin."""

Identity = tuple[int, int] | None
"""Device and inode of a file; None when there is none."""


def tune(engine: AsyncEngine) -> None:
    """Let ``engine`` work with SQLite as the registry needs it."""
    event.listen(engine.sync_engine, "connect", _tune)
    event.listen(engine.sync_engine, "begin", _begin)


def _tune(connection: Any, _record: Any) -> None:
    # The driver begins no transaction before DDL; a migration cut short would leave half of its tables.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later is refused when another process wrote in between, whatever the
    # timeout says: writers take their place in the queue from the start.
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(BEGIN, 'DEFERRED')}")


def is_busy(error: DBAPIError) -> bool:
    """Whether another writer was in the way."""
    return "database is locked" in str(error.orig)


class DatabaseFile:
    """The file of a SQLite database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: Identity = None
        """The file that was last known to be good."""

    def identity(self) -> Identity:
        """Which file is there now; None also for an empty one, which is no database yet."""
        try:
            facts = self.path.stat()
        except OSError:
            return None
        return (facts.st_dev, facts.st_ino) if facts.st_size else None

    @property
    def changed(self) -> bool:
        """Whether it is gone, empty or another file since it was last known to be good."""
        return self.identity() != self.seen

    @property
    def emptied(self) -> bool:
        """Whether there is a file with nothing in it. Connections that had it open keep its locks."""
        return self.identity() is None and self.path.exists()

    @asynccontextmanager
    async def exclusively(self) -> AsyncIterator[None]:
        """Keep other registries from preparing the same file meanwhile."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def set_aside(self) -> Path:
        """Rename the file, so that the next connection makes another one; what is in it stays to be looked at.

        The first is ``<file>.damaged``, those after it ``<file>.damaged.2`` and so on.
        """
        aside = self._free_name()
        # The write-ahead log goes first: beside a database of another file it would be taken for its own.
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").replace(f"{aside}{suffix}")
        return aside

    def _free_name(self) -> Path:
        for number in itertools.count(1):
            name = f"{self.path}.damaged" + (f".{number}" if number > 1 else "")
            if not any(Path(f"{name}{suffix}").exists() for suffix in ("", "-wal", "-shm")):
                return Path(name)
        raise AssertionError("numbers do not end")
