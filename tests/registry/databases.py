"""Databases of both kinds for the registry's tests: SQLite files, and databases of a real PostgreSQL server."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import Engine

from services.registry.database import Database
from services.registry.database_address import DatabaseAddress
from tidemill.testing.postgresql import PostgresServer

Kind = Literal["sqlite", "postgresql"]


@dataclass
class Databases:
    """One kind of databases, by name; each is empty when it is named first."""

    kind: Kind
    folder: Path
    server: PostgresServer | None = None
    _made: dict[str, str] = field(default_factory=dict)

    def url(self, name: str = "registry") -> str:
        """The URL of a database."""
        if name not in self._made:
            if self.server is None:
                self._made[name] = f"sqlite:///{self.folder / f'{name}.db'}"
            else:
                self._made[name] = self.server.url(self.server.create(f"{name}_{secrets.token_hex(4)}"))
        return self._made[name]

    def address(self, name: str = "registry") -> DatabaseAddress:
        """The same, as the registry takes it."""
        return DatabaseAddress.parse(self.url(name))

    def open(self, name: str = "registry") -> Database:
        """The database as the registry opens it; the caller closes it."""
        return Database(self.address(name))

    def engine(self, name: str = "registry") -> Engine:
        """The database as any other client opens it."""
        url = self.address(name).url
        return create_engine(url.set(drivername="sqlite") if self.kind == "sqlite" else url)

    def execute(self, statement: str, values: Mapping[str, Any] | None = None, *, name: str = "registry") -> list[Any]:
        """Rows of a statement of another client."""
        engine = self.engine(name)
        try:
            with engine.begin() as connection:
                done = connection.execute(text(statement), values or {})
                return [tuple(row) for row in done] if done.returns_rows else []
        finally:
            engine.dispose()

    def swap(self, one: str, other: str) -> None:
        """Let each of two databases have the other's name."""
        first, second = self.address(one).url.database, self.address(other).url.database
        for old, new in ((first, f"{first}-swapped"), (second, first), (f"{first}-swapped", second)):
            if self.server is not None:
                self.server.execute(f'ALTER DATABASE "{old}" RENAME TO "{new}"')
            else:
                for suffix in ("", "-wal", "-shm"):
                    if Path(f"{old}{suffix}").exists():
                        Path(f"{old}{suffix}").replace(f"{new}{suffix}")

    def tables(self, name: str = "registry") -> dict[str, list[Any]]:
        """All rows of all tables, in an order of their own."""
        engine = self.engine(name)
        try:
            with engine.connect() as connection:
                return {
                    table: sorted(map(tuple, connection.execute(text(f"SELECT * FROM {table}"))), key=repr)
                    for table in inspect(connection).get_table_names()
                }
        finally:
            engine.dispose()
