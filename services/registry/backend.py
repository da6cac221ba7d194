"""What is special to one kind of database, behind a few verbs: SQLite's file, or a PostgreSQL server."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from services.registry.database_address import DatabaseAddress


class Backend(Protocol):
    """A kind of database."""

    engine: AsyncEngine
    writers: AsyncEngine
    """The same, for transactions that write."""

    async def take_turn(self, session: AsyncSession) -> None:
        """Begin a transaction that writes: all others that write, in any process, wait until it ends.

        Raises:
            DBAPIError: no connection, or the others took too long.
        """

    def preparing(self) -> AbstractAsyncContextManager[None]:
        """While the schema is looked at and changed. The database is known to be good when the block has ended."""

    async def made_room(self, error: DBAPIError) -> bool:
        """Make room for new tables where ``error`` means that the database is damaged or gone; else False.

        Raises:
            TransientError: it is gone, and cannot be made.
        """

    async def loss(self, *, thorough: bool) -> str | None:
        """Why the database has to be made ready and filled again; None when it is as it was when it was last good.

        Makes room for new tables. ``thorough`` also looks for damage that takes time to find.

        Raises:
            TransientError: it cannot be reached.
        """

    async def compact(self) -> None:
        """Leave nothing of rows that were overwritten where that is not done in time by itself.

        Raises:
            TransientError: somebody else is writing.
        """

    def raises_doubt(self, error: DBAPIError) -> bool:
        """Whether an error is one that comes up when tables are gone or damaged."""


def backend_of(address: DatabaseAddress) -> Backend:
    """The backend of the database at ``address``; nothing is opened yet."""
    if address.is_postgresql:
        from services.registry.postgresql import Postgresql

        return Postgresql(address)
    from services.registry.sqlite import Sqlite

    return Sqlite(address)
