"""SQLite as the registry uses it: in write-ahead mode, its file watched, and set aside when it is damaged.

Several registries may share one file.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import logging
import os
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from services.registry import schema
from services.registry.database_address import DatabaseAddress
from tidemill.errors import TransientError

log = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 200
"""Milliseconds that a statement waits for another writer. It waits in a thread that nobody can cancel, and a connection
that is given up meanwhile would take the lock later and keep it: so briefly, and again from ``PATIENCE``."""
PATIENCE = 15.0
"""Seconds for which a writer tries to begin."""
BEGIN = "sqlite_begin"
"""Execution option of an engine: how its transactions begin."""

Identity = tuple[int, int] | None
"""Device and inode of a file; None when there is none."""


_DAMAGE = ("no such table", "malformed", "not a database")
_DOUBT = (*_DAMAGE, "disk i/o error", "unable to open", "readonly database")
"""Signs of a file that was taken away or damaged; the last three also of a full disk or of too many open files."""


class Sqlite:
    """A database in a file of this machine, or in memory. See ``Backend``."""

    def __init__(self, address: DatabaseAddress) -> None:
        self.engine = create_async_engine(address.url, connect_args={"factory": _Connection})
        event.listen(self.engine.sync_engine, "connect", _tune)
        event.listen(self.engine.sync_engine, "begin", _begin)
        self.writers = self.engine.execution_options(**{BEGIN: "IMMEDIATE"})
        self._file = DatabaseFile(address.file) if address.file is not None else None

    async def take_turn(self, session: AsyncSession) -> None:
        """See ``Backend``."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                await session.connection()
            except DBAPIError as error:
                if "database is locked" not in str(error.orig) or time.monotonic() > deadline:
                    raise
                await session.rollback()
                await asyncio.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - so that two do not keep step
            else:
                return

    @asynccontextmanager
    async def preparing(self) -> AsyncIterator[None]:
        """See ``Backend``."""
        if self._file is None:
            yield
            return
        async with self._file.exclusively():
            yield
            self._file.seen = self._file.identity()

    async def made_room(self, error: DBAPIError) -> bool:
        """See ``Backend``: a damaged file is set aside."""
        if self._file is None or not _says(error, _DAMAGE):
            return False
        await self._set_aside(self._file, str(error.orig))
        return True

    async def loss(self, *, thorough: bool) -> str | None:
        """See ``Backend``."""
        file = self._file
        if file is not None and file.changed:
            why: str | None = "its file is gone, empty or another one"
        else:
            why = await self._damage_seen_twice(thorough=thorough)
        if why is None or file is None:
            return why
        damaged = not file.changed
        async with file.exclusively():
            # Asked again, now that nobody else is at it: another registry may have made a new file.
            if file.emptied or (damaged and not file.changed):
                await self._set_aside(file, why)
        return why

    async def compact(self) -> None:
        """See ``Backend``."""
        async with self.engine.connect() as connection:
            # The driver itself: a statement of SQLAlchemy's begins a transaction, in which nothing is compacted.
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            try:
                for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    await driver.execute(statement)
            except sqlite3.Error as error:
                raise TransientError(f"the registry's database cannot be compacted: {error}") from error

    def raises_doubt(self, error: DBAPIError) -> bool:
        """See ``Backend``."""
        return _says(error, _DOUBT)

    async def _damage_seen_twice(self, *, thorough: bool) -> str | None:
        try:
            why = await self._damage(thorough=thorough)
        except TransientError:
            why = "it cannot be read"
        if why is None:
            return None
        await self.engine.dispose()  # it may be the connection that is damaged
        return await self._damage(thorough=thorough)

    async def _damage(self, *, thorough: bool) -> str | None:
        """What is wrong with the tables; None when nothing is."""
        try:
            async with self.engine.connect() as connection:
                whole = await connection.run_sync(_is_whole, thorough=thorough)
                return None if whole else "tables are missing or damaged"
        except DBAPIError as error:
            if not _says(error, _DAMAGE):
                raise TransientError(f"the registry's database cannot be read: {error.orig}") from error
            return str(error.orig)

    async def _set_aside(self, file: DatabaseFile, why: str) -> None:
        await self.engine.dispose()
        log.error("the registry's database is damaged (%s); it is kept as %s", why, file.set_aside())


class _Connection(sqlite3.Connection):
    """Closed, it has no transaction any more. One whose statement is not read to its end, as that of a task that was
    cancelled, would live on behind ``close`` (``sqlite3_close_v2``), and keep everybody else from writing."""

    def close(self) -> None:
        """Roll back and close."""
        with suppress(sqlite3.Error):
            self.rollback()
        super().close()


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


def _is_whole(connection: Connection, *, thorough: bool) -> bool:
    if not schema.is_whole(connection):
        return False
    return not thorough or connection.execute(text("PRAGMA quick_check(1)")).scalar() == "ok"


def _says(error: DBAPIError, signs: Sequence[str]) -> bool:
    words = str(error.orig).lower()
    return any(sign in words for sign in signs)


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
