"""Alembic migrations of the registry's tables, run in process when it starts.

During a rolling update an old replica works beside a new one, on tables that the new one has brought up to date. A
migration that only adds (tables, columns that may be null or have a server default) takes the next number. One that
replicas of the versions before cannot work with takes the first number of the next thousand: ``1001`` after ``0007``.
"""

from tidemill.errors import PermanentError

HEAD = "0004"
"""The revision that the tables of this version need; a test compares it with the newest file in ``versions``."""


def is_newer(revision: str, head: str = HEAD) -> bool:
    """Whether tables at ``revision`` were made by a newer version that this one (at ``head``) can work with.

    Raises:
        PermanentError: it is newer, and this version cannot.
    """
    if not revision.isdecimal() or int(revision) // 1000 > int(head) // 1000:
        raise PermanentError(
            f"the registry's database is at revision {revision}, which this version (revision {head}) cannot work "
            "with; upgrade Tidemill here, or set TIDEMILL_REGISTRY_DATABASE_URL to another database, which is filled "
            "from the store"
        )
    return int(revision) > int(head)
