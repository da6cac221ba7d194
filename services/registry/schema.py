"""The schema of a database: which revision it is at, whether it is whole, and brought up to date.

Works on an open connection; knows nothing of files, servers and who else is at it.
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection, inspect, text

from services.registry.migrations import HEAD, is_newer
from services.registry.tables import METADATA
from tidemill.errors import PermanentError

log = logging.getLogger(__name__)

_VERSION_TABLE = "alembic_version"


def bring_up_to_date(connection: Connection) -> bool:
    """Make or change the tables as this version needs them. True when they were made: they are to be filled.

    Tables that are not whole are dropped and made anew. To be called by one registry at a time.

    Raises:
        PermanentError: a newer version made them such that this one cannot work with them, or they are somebody else's.
    """
    if is_up_to_date(connection):  # another registry was first
        return False
    found = revision(connection)
    if found is None:
        _clear_the_ground(connection)
    elif is_newer(found) or found == HEAD:
        _drop(connection)
        found = None
    # Alembic takes a quarter of a second to import. It logs its plugins while it is imported.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from services.registry.migrations.upgrade import upgrade

    upgrade(connection)
    return found is None


def is_up_to_date(connection: Connection) -> bool:
    """Whether all tables are there as this version, or a newer one that it can work with, needs them."""
    found = revision(connection)
    if found is None:
        return False
    newer = is_newer(found)
    if not (newer or found == HEAD) or _missing(connection):
        return False
    if newer:
        log.warning("the registry's database is at revision %s of a newer version; going on at %s", found, HEAD)
    return True


def is_whole(connection: Connection) -> bool:
    """Whether there are tables, and all of them where they are of this version or a newer one."""
    found = revision(connection)
    return found is not None and not ((is_newer(found) or found == HEAD) and _missing(connection))


def revision(connection: Connection) -> str | None:
    """The revision of the tables; None when there are none."""
    if not connection.dialect.has_table(connection, _VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608
    return found


def _missing(connection: Connection) -> set[str]:
    """Tables of this version that are not there."""
    return set(METADATA.tables) - set(inspect(connection).get_table_names())


def _clear_the_ground(connection: Connection) -> None:
    """Drop tables whose revision was lost with the rows of all of them; those of another program stay."""
    there = set(inspect(connection).get_table_names())
    in_the_way = sorted(set(METADATA.tables) & there)
    if _VERSION_TABLE in there:
        _drop(connection)
    elif in_the_way:
        raise PermanentError(
            f"the registry's database holds tables of another program, or of a registry whose table {_VERSION_TABLE} "
            f"was dropped: {', '.join(in_the_way)}; name a database (or a schema) of Tidemill's own, or drop them: "
            "what the registry needs is made again from the store"
        )


def _drop(connection: Connection) -> None:
    METADATA.drop_all(connection)
    connection.execute(text(f"DROP TABLE {_VERSION_TABLE}"))
