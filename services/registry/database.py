"""The database: an engine, sessions, and the schema brought up to date. Knows no tables.

SQLite by default, in write-ahead mode so that questions do not wait for writers; PostgreSQL by URL. Everything in it
can be made again from the bucket, so SQLite need not sync every commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from services.registry.migrations import HEAD
from tidemill.errors import InvalidInput, TransientError

BUSY_TIMEOUT_MS = 10_000


class Database:
    """Sessions that commit at the edge: whoever opens one with ``writing`` commits, repositories flush."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self.name = self._engine.url.render_as_string(hide_password=True)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        # One writer at a time within a process: SQLite refuses a transaction that read before another one wrote.
        self._writer = asyncio.Lock()

    async def prepare(self) -> bool:
        """Bring the schema up to date. True when the database had none: it is to be filled from the bucket.

        Raises:
            TransientError: the database cannot be reached.
        """
        try:
            async with self._engine.begin() as connection:
                revision = await connection.run_sync(_revision)
                if revision == HEAD:
                    return False
                # Alembic takes a quarter of a second to import, and most starts find nothing to do. It logs its
                # plugins while it is imported.
                logging.getLogger("alembic").setLevel(logging.WARNING)
                from services.registry.migrations.upgrade import upgrade

                await connection.run_sync(upgrade)
        except (DBAPIError, OSError) as error:
            raise TransientError(f"the registry's database cannot be prepared: {error}") from error
        return revision is None

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
                async with self._sessions() as session, session.begin():
                    yield session
            except DBAPIError as error:
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
            raise TransientError(f"the registry's database cannot be read: {error.orig}") from error

    async def close(self) -> None:
        """Give all connections back."""
        await self._engine.dispose()


def _engine(url: str) -> AsyncEngine:
    try:
        location = make_url(url)
    except ArgumentError:
        raise InvalidInput(
            "the registry's database URL is not one; write sqlite+aiosqlite:///folder/registry.db "
            "or postgresql+asyncpg://user:password@host/name"
        ) from None
    sqlite = location.get_backend_name() == "sqlite"
    if sqlite and location.database:
        Path(location.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(location, pool_pre_ping=not sqlite)
    if sqlite:
        event.listen(engine.sync_engine, "connect", _tune_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _tune_sqlite(connection: Any, _record: Any) -> None:
    # The driver begins no transaction before DDL; a migration cut short would leave half of its tables.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _revision(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision
