"""PostgreSQL as the registry uses it: bounded waits, one writer at a time, and a database that may be lost.

Several registries share one database. Their writers take turns by an advisory lock, as SQLite's do by its file: two
that bring in the same run neither collide nor deadlock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Connection, bindparam, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from services.registry import schema
from services.registry.database_address import DatabaseAddress
from services.registry.tables import METADATA
from tidemill.errors import TransientError

WRITER = 7304618
"""Number of the advisory lock that a writer holds until its transaction ends. Locks are per database."""
TURN_SECONDS = 15
"""How long a writer waits for the others."""
STATEMENT_SECONDS = 50
"""Longest statement."""
IDLE_SECONDS = 60
"""Pause within a transaction after which the server ends it: a writer that was paused must not keep the others out."""
ANSWER_SECONDS = 60.0
"""Silence of the server, or of the network to it, after which a connection is given up."""
CONNECT_SECONDS = 10
RECYCLE_SECONDS = 1800
"""Age at which a connection is replaced: proxies and fire walls forget those that are quiet for long."""
POOL_SIZE, POOL_OVERFLOW, POOL_SECONDS = 5, 10, 10
_MAINTENANCE = "postgres"
"""The database that every server has, asked whether there is another."""
_GONE = ("42P01", "3F000")
"""SQLSTATE (PostgreSQL's manual, appendix A): undefined table, invalid schema name."""

RV = TypeVar("RV")


class _Connection(psycopg.AsyncConnection[Any]):
    """A connection that does not wait for ever."""

    async def wait(self, gen: PQGen[RV], *arguments: Any, **options: Any) -> RV:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await super().wait(gen, *arguments, **options)
        except TimeoutError:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the server did not answer for {ANSWER_SECONDS:.0f} s") from None


class Postgresql:
    """A database on a server. See ``Backend``."""

    def __init__(self, address: DatabaseAddress) -> None:
        self._address = address
        self._name = address.url.database or ""
        self.engine = self.writers = _engine(address, {"pool_size": POOL_SIZE, "max_overflow": POOL_OVERFLOW})
        self._seen: str | None = None

    async def take_turn(self, session: AsyncSession) -> None:
        """See ``Backend``."""
        await session.execute(text("SELECT pg_advisory_xact_lock(:writer)"), {"writer": WRITER})

    @asynccontextmanager
    async def preparing(self) -> AsyncIterator[None]:
        """See ``Backend``: whoever changes the schema is a writer, so nothing has to be held beyond that."""
        yield
        async with self.engine.connect() as connection:
            self._seen = await connection.run_sync(_identity)

    async def made_room(self, error: DBAPIError) -> bool:
        """See ``Backend``: a database that is not there is created, if our user may."""
        if not await self._is_gone():
            return False
        created = f'CREATE DATABASE "{self._name.replace(chr(34), chr(34) * 2)}"'
        try:
            async with self._maintenance() as connection:
                await connection.exec_driver_sql(created)
        except DBAPIError as refused:
            if getattr(refused.orig, "sqlstate", None) not in ("42P04", "23505"):  # another registry was first
                raise TransientError(
                    f"there is no database {self._name!r} for the registry, and it cannot be made: "
                    f"{_words(refused)}; create it (createdb), or let the user of TIDEMILL_REGISTRY_DATABASE_URL do so"
                ) from refused
        return True

    async def loss(self, *, thorough: bool) -> str | None:
        """See ``Backend``."""
        try:
            async with self.engine.connect() as connection:
                if not await connection.run_sync(schema.is_whole):
                    return "tables are missing"
                identity = await connection.run_sync(_identity)
        except DBAPIError as error:
            if await self._is_gone():
                return "the database was dropped"
            raise TransientError(f"the registry's database cannot be read: {_words(error)}") from error
        if self._seen in (None, identity):
            self._seen = identity
            return None
        await self._forget_decisions()
        return "tables were emptied or replaced"

    async def compact(self) -> None:
        """See ``Backend``: autovacuum does so in its time."""

    def raises_doubt(self, error: DBAPIError) -> bool:
        """See ``Backend``."""
        return getattr(error.orig, "sqlstate", None) in _GONE

    async def _forget_decisions(self) -> None:
        """Let all decisions be applied again: which of their rows are gone is not known."""
        try:
            async with self.engine.begin() as connection:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:writer)"), {"writer": WRITER})
                await connection.execute(text("DELETE FROM chains"))
        except DBAPIError as error:
            raise TransientError(f"the registry's database did not take a change: {_words(error)}") from error

    async def _is_gone(self) -> bool:
        """Whether the server is there and the database is not. Its own words would be in any language."""
        with suppress(DBAPIError, OSError):
            async with self._maintenance() as connection:
                found = await connection.execute(
                    text("SELECT count(*) FROM pg_database WHERE datname = :name"), {"name": self._name}
                )
                return not found.scalar_one()
        return False

    @asynccontextmanager
    async def _maintenance(self) -> AsyncIterator[AsyncConnection]:
        address = DatabaseAddress(self._address.url.set(database=_MAINTENANCE), self._address.password_file)
        engine = _engine(address, {"pool_size": 1, "isolation_level": "AUTOCOMMIT"})
        try:
            async with engine.connect() as connection:
                yield connection
        finally:
            await engine.dispose()


def _engine(address: DatabaseAddress, options: dict[str, Any]) -> AsyncEngine:
    limits = {
        "timezone": "UTC", "lock_timeout": f"{TURN_SECONDS}s", "statement_timeout": f"{STATEMENT_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
    }  # fmt: skip
    libpq: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS, "application_name": "tidemill-registry",
        "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 30_000,
        "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
    }  # fmt: skip
    libpq = {name: value for name, value in libpq.items() if name not in address.url.query}
    engine = create_async_engine(
        address.url, connect_args={"async_creator_fn": _Connection.connect, **libpq},
        pool_pre_ping=True, pool_recycle=RECYCLE_SECONDS, pool_timeout=POOL_SECONDS, **options,
    )  # fmt: skip

    def with_password(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        password = address.password()
        if password is not None:
            parameters["password"] = password

    event.listen(engine.sync_engine, "do_connect", with_password)
    return engine


def _identity(connection: Connection) -> str:
    """Which tables there are, as files of the server: TRUNCATE gives a table another one, a dropped one had another."""
    found = connection.execute(
        text(
            "SELECT relname, oid, relfilenode FROM pg_class "
            "WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) "
            "AND relname IN :names ORDER BY relname"
        ).bindparams(bindparam("names", expanding=True)),
        {"names": sorted(METADATA.tables)},
    )
    return repr([tuple(row) for row in found])


def _words(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())[:400]
