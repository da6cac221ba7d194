"""The database's schema brought up to date before a registry starts. ``tidemill deploy provision`` calls it."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from services.registry.database import Database
from services.registry.settings import RegistrySettings
from tidemill.ending import end_with
from tidemill.errors import TidemillError, TransientError
from tidemill.settings import read_settings


async def migrate(settings: RegistrySettings) -> str:
    """Bring the schema up to date; the database's URL without its password.

    Raises:
        PermanentError: a newer version made the schema such that this one cannot work with it.
        TransientError: the database cannot be reached.
    """
    database = Database(settings.database)
    try:
        await database.prepare()
    finally:
        await database.close()
    return database.name


def main() -> int:
    """``python -m services.registry.migrate``: one line of JSON, or a sentence; 75 where a later try may help."""
    try:
        name = asyncio.run(migrate(read_settings(RegistrySettings)))
    except TidemillError as error:
        print(error, file=sys.stderr)
        return os.EX_TEMPFAIL if isinstance(error, TransientError) else 1
    print(json.dumps({"database": name}))
    return 0


if __name__ == "__main__":
    end_with(main)
