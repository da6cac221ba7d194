"""The database: sessions, and the schema brought up to date, also when it is lost in mid-run.

SQLite by default, in write-ahead mode so that questions do not wait for writers; PostgreSQL by URL. Everything in it
can be made again from the bucket, so SQLite need not sync every commit, and a database that is gone is made anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from services.registry import schema
from services.registry.backend import backend_of
from services.registry.database_address import DatabaseAddress
from tidemill.errors import PermanentError, TransientError

log = logging.getLogger(__name__)


class Database:
    """Sessions that commit at the edge: whoever opens one with ``writing`` commits, repositories flush."""

    def __init__(self, address: DatabaseAddress) -> None:
        self._backend = backend_of(address)
        self.name = address.name
        self._sessions = async_sessionmaker(self._backend.engine, expire_on_commit=False)
        self._write_sessions = async_sessionmaker(self._backend.writers, expire_on_commit=False)
        # One writer at a time within a process; a second one would only wait, in a thread or with a connection.
        self._writer = asyncio.Lock()
        self.doubted = asyncio.Event()
        """Set when something failed as it does when tables or the file are gone or damaged: call ``made_again``."""

    async def prepare(self) -> bool:
        """Bring the schema up to date. True when the database had none: it is to be filled from the bucket.

        Several registries may do so at once. A schema that a newer version has brought further is left as it is.

        Raises:
            PermanentError: a newer version made the schema such that this one cannot work with it, or the tables there
                are not ours.
            TransientError: the database cannot be reached.
        """
        try:
            async with self._backend.preparing():
                try:
                    return await self._bring_up_to_date()
                except DBAPIError as error:
                    if not await self._backend.made_room(error):
                        raise
                return await self._bring_up_to_date()
        except (DBAPIError, PoolTimeout, OSError) as error:
            raise TransientError(f"the registry's database cannot be prepared: {words(error)}") from error

    async def made_again(self) -> bool:
        """Look whether the database is still there and whole; True when it was lost and is to be filled again.

        A file that is gone, empty, replaced or damaged, a database that was dropped, and tables that are missing or
        were emptied are made anew, without a restart; of several registries that notice, one does it and all fill it.

        Raises:
            PermanentError: as ``prepare``.
            TransientError: the database cannot be reached.
        """
        thorough = self.doubted.is_set()
        self.doubted.clear()
        try:
            why = await self._backend.loss(thorough=thorough)
        except PoolTimeout as error:
            raise TransientError(f"the registry's database cannot be read: {words(error)}") from error
        if why is None:
            return False
        await self._backend.engine.dispose()
        async with self._writer:
            await self.prepare()
        log.error("the registry's database %s was lost (%s); it is made again from the records", self.name, why)
        return True

    async def revision(self) -> str | None:
        """The schema's revision; None when there are no tables.

        Raises:
            TransientError: the database cannot be read.
        """
        try:
            async with self._backend.engine.connect() as connection:
                return await connection.run_sync(schema.revision)
        except (DBAPIError, PoolTimeout, OSError) as error:
            raise TransientError(f"the registry's database cannot be read: {words(error)}") from error

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """A transaction, committed when the block ends.

        Raises:
            TransientError: the database cannot be reached, or another replica wrote for too long; the same change
                applied again finds what it did.
            PermanentError: the database cannot hold a value.
        """
        async with self._writer:
            try:
                async with self._write_sessions() as session:
                    await self._backend.take_turn(session)
                    yield session
                    await session.commit()
            except DataError as error:
                raise PermanentError(f"the registry's database cannot hold a value: {words(error)}") from error
            except (DBAPIError, PoolTimeout) as error:
                self._doubt(error)
                raise TransientError(f"the registry's database did not take a change: {words(error)}") from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session for questions.

        Raises:
            TransientError: the database cannot be reached.
        """
        try:
            async with self._sessions() as session:
                yield session
        except (DBAPIError, PoolTimeout) as error:
            self._doubt(error)
            raise TransientError(f"the registry's database cannot be read: {words(error)}") from error

    async def compact(self) -> None:
        """Leave nothing of rows that were overwritten in SQLite's file; PostgreSQL's own vacuum does so in its time.

        Raises:
            TransientError: somebody else is writing.
        """
        async with self._writer:
            await self._backend.compact()

    async def close(self) -> None:
        """Give all connections back."""
        await self._backend.engine.dispose()

    async def _bring_up_to_date(self) -> bool:
        async with self._backend.engine.connect() as connection:
            # Most starts find nothing to do and need not wait for writers.
            if await connection.run_sync(schema.is_up_to_date):
                return False
        async with self._write_sessions() as session:
            await self._backend.take_turn(session)
            fresh = await (await session.connection()).run_sync(schema.bring_up_to_date)
            await session.commit()
            return fresh

    def _doubt(self, error: Exception) -> None:
        if isinstance(error, DBAPIError) and self._backend.raises_doubt(error):
            self.doubted.set()


def words(error: Exception) -> str:
    """What a driver says, in one line without the statement and its values."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(said).split())[:400]
