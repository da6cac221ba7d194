"""Runs the migrations on an open connection, without an ``alembic.ini`` or ``env.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from services.registry.migrations import HEAD


def scripts() -> ScriptDirectory:
    """The migrations as Alembic sees them."""
    return ScriptDirectory(str(Path(__file__).parent))


def upgrade(connection: Connection, to: str = HEAD) -> None:
    """Bring the schema up to revision ``to`` within the connection's transaction."""
    directory = scripts()

    def steps(revision: Any, _context: MigrationContext) -> Any:
        return directory._upgrade_revs(to, revision)

    context = MigrationContext.configure(connection, opts={"fn": steps, "script": directory})
    with Operations.context(context):
        context.run_migrations()
