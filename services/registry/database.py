"""The database: an engine, sessions, and the schema brought up to date, also when it is lost in mid-run.

SQLite by default, in write-ahead mode so that questions do not wait for writers; PostgreSQL by URL. Everything in it
can be made again from the bucket, so SQLite need not sync every commit, and a database that is gone is made anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from services.registry import sqlite
from services.registry.migrations import HEAD, is_newer
from services.registry.tables import METADATA
from tidemill.errors import InvalidInput, TransientError

log = logging.getLogger(__name__)

_LOCK = 7304618
"""Number of PostgreSQL's advisory lock under which one registry at a time changes the schema."""


class Database:
    """Sessions that commit at the edge: whoever opens one with ``writing`` commits, repositories flush."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self.name = self._engine.url.render_as_string(hide_password=True)
        self._file = _file(self._engine)
        writers = self._engine.execution_options(**{sqlite.BEGIN: "IMMEDIATE"}) if self._sqlite else self._engine
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self._write_sessions = async_sessionmaker(writers, expire_on_commit=False)
        # One writer at a time within a process; a second one would only wait in a thread.
        self._writer = asyncio.Lock()
        self.doubted = asyncio.Event()
        """Set when something failed as it does when tables or the file are gone or damaged: call ``made_again``."""

    @property
    def _sqlite(self) -> bool:
        return self._engine.url.get_backend_name() == "sqlite"

    async def prepare(self) -> bool:
        """Bring the schema up to date. True when the database had none: it is to be filled from the bucket.

        Several registries may do so at once. A schema that a newer version has brought further is left as it is.

        Raises:
            PermanentError: a newer version made the schema such that this one cannot work with it.
            TransientError: the database cannot be reached.
        """
        async with self._alone():
            try:
                fresh = await self._bring_up_to_date()
            except DBAPIError as error:
                if self._file is None or not _is_damage(error):
                    raise TransientError(f"the registry's database cannot be prepared: {error}") from error
                await self._set_aside(str(error.orig))
                fresh = await self._bring_up_to_date()
            except OSError as error:
                raise TransientError(f"the registry's database cannot be prepared: {error}") from error
            if self._file is not None:
                self._file.seen = self._file.identity()
            return fresh

    async def made_again(self) -> bool:
        """Look whether the database is still there and whole; True when it was lost and is to be filled again.

        A file that is gone, empty, replaced or damaged and tables that are missing are made anew, without a restart;
        of several registries that notice, one does it and all of them fill it.

        Raises:
            TransientError: the database cannot be reached.
        """
        thorough = self.doubted.is_set()
        self.doubted.clear()
        why: str | None = None
        if self._file is None or not self._file.changed:
            why = await self._damage_seen_twice(thorough=thorough)
            if why is None:
                return False
        async with self._alone():
            # Asked again, now that nobody else is at it: another registry may have made a new file.
            if self._file is not None and (self._file.emptied or (why and not self._file.changed)):
                await self._set_aside(why or "the file was emptied")
        log.error("the registry's database %s is lost; it is made again from the records", self.name)
        await self._engine.dispose()
        async with self._writer:
            await self.prepare()
        return True

    async def revision(self) -> str | None:
        """The schema's revision; None when there are no tables.

        Raises:
            TransientError: the database cannot be read.
        """
        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(_revision)
        except (DBAPIError, OSError) as error:
            raise TransientError(f"the registry's database cannot be read: {error}") from error

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A transaction, committed when the block ends.

        Raises:
            TransientError: the database cannot be reached, or another replica wrote the same rows first; the same
                change applied again finds them.
        """
        async with self._writer:
            try:
                async with self._write_sessions() as session:
                    await self._begin(session)
                    yield session
                    await session.commit()
            except DBAPIError as error:
                self._doubt(error)
                raise TransientError(f"the registry's database did not take a change: {error.orig}") from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session for questions.

        Raises:
            TransientError: the database cannot be reached.
        """
        try:
            async with self._sessions() as session:
                yield session
        except DBAPIError as error:
            self._doubt(error)
            raise TransientError(f"the registry's database cannot be read: {error.orig}") from error

    async def compact(self) -> None:
        """Leave nothing of rows that were overwritten in SQLite's file; PostgreSQL's own vacuum does so in its time.

        Raises:
            TransientError: somebody else is writing.
        """
        if not self._sqlite:
            return
        async with self._writer:
            try:
                async with self._engine.connect() as connection:
                    driver = (await connection.get_raw_connection()).driver_connection
                    assert driver is not None
                    for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                        await driver.execute(statement)
            except (DBAPIError, sqlite3.Error) as error:
                raise TransientError(f"the registry's database cannot be compacted: {error}") from error

    async def close(self) -> None:
        """Give all connections back."""
        await self._engine.dispose()

    async def _begin(self, session: AsyncSession) -> None:
        deadline = time.monotonic() + sqlite.PATIENCE
        while True:
            try:
                await session.connection()
            except DBAPIError as error:
                if not sqlite.is_busy(error) or time.monotonic() > deadline:
                    raise
                await session.rollback()
                await asyncio.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - so that two do not keep step
            else:
                return

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if self._file is not None:
                await stack.enter_async_context(self._file.exclusively())
            yield

    async def _damage_seen_twice(self, *, thorough: bool) -> str | None:
        try:
            why = await self._damage(thorough=thorough)
        except TransientError:
            why = "it cannot be read"
        if why is None:
            return None
        await self._engine.dispose()  # it may be the connection that is damaged
        return await self._damage(thorough=thorough)

    async def _damage(self, *, thorough: bool) -> str | None:
        """What is wrong with the tables; None when nothing is."""
        try:
            async with self._engine.connect() as connection:
                whole = await connection.run_sync(_is_whole, thorough=thorough and self._sqlite)
                return None if whole else "tables are missing or damaged"
        except DBAPIError as error:
            if not _is_damage(error):
                raise TransientError(f"the registry's database cannot be read: {error.orig}") from error
            return str(error.orig)

    async def _bring_up_to_date(self) -> bool:
        async with self._engine.connect() as connection:  # most starts find nothing to do and need not wait for writers
            if await connection.run_sync(_is_up_to_date):
                return False
        async with self._write_sessions() as session:
            await self._begin(session)
            fresh = await (await session.connection()).run_sync(_bring_up_to_date)
            await session.commit()
            return fresh

    async def _set_aside(self, why: str) -> None:
        assert self._file is not None
        await self._engine.dispose()
        log.error("the registry's database is damaged (%s); it is kept as %s", why, self._file.set_aside())

    def _doubt(self, error: DBAPIError) -> None:
        if _says(error, _DOUBT):
            self.doubted.set()


def _engine(url: str) -> AsyncEngine:
    try:
        location = make_url(url)
    except ArgumentError:
        raise InvalidInput(
            "the registry's database URL is not one; write sqlite+aiosqlite:///folder/registry.db "
            "or postgresql+asyncpg://user:password@host/name"
        ) from None
    is_sqlite = location.get_backend_name() == "sqlite"
    engine = create_async_engine(location, pool_pre_ping=not is_sqlite)
    if is_sqlite:
        sqlite.tune(engine)
    return engine


def _file(engine: AsyncEngine) -> sqlite.DatabaseFile | None:
    name = engine.url.database
    if engine.url.get_backend_name() != "sqlite" or not name or name == ":memory:":
        return None
    return sqlite.DatabaseFile(Path(name))


def _bring_up_to_date(connection: Connection) -> bool:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    if _is_up_to_date(connection):  # another registry was first
        return False
    revision = _revision(connection)
    if revision is not None and (is_newer(revision) or revision == HEAD):
        _drop(connection)
        revision = None
    # Alembic takes a quarter of a second to import. It logs its plugins while it is imported.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from services.registry.migrations.upgrade import upgrade

    upgrade(connection)
    return revision is None


def _is_up_to_date(connection: Connection) -> bool:
    """Whether all tables are there as this version, or a newer one that it can work with, needs them."""
    revision = _revision(connection)
    if revision is None:
        return False
    newer = is_newer(revision)
    if not (newer or revision == HEAD) or _missing(connection):
        return False
    if newer:
        log.warning("the registry's database is at revision %s of a newer version; going on at %s", revision, HEAD)
    return True


def _revision(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _missing(connection: Connection) -> set[str]:
    """Tables of this version that are not there."""
    return set(METADATA.tables) - set(inspect(connection).get_table_names())


def _drop(connection: Connection) -> None:
    METADATA.drop_all(connection)
    connection.execute(text("DROP TABLE alembic_version"))


def _is_whole(connection: Connection, *, thorough: bool) -> bool:
    revision = _revision(connection)
    if revision is None or ((is_newer(revision) or revision == HEAD) and _missing(connection)):
        return False
    if not thorough:
        return True
    return connection.execute(text("PRAGMA quick_check(1)")).scalar() == "ok"


_DAMAGE = ("no such table", "malformed", "not a database", "undefinedtable", "does not exist")
_DOUBT = (*_DAMAGE, "disk i/o error", "unable to open", "readonly database")
"""Signs of a file that was taken away or damaged; the last three also of a full disk or of too many open files."""


def _is_damage(error: DBAPIError) -> bool:
    """Whether an error says that tables are gone or that the file is damaged."""
    return _says(error, _DAMAGE)


def _says(error: DBAPIError, signs: Sequence[str]) -> bool:
    words = f"{type(error.orig).__name__} {error.orig}".lower()
    return any(sign in words for sign in signs)
