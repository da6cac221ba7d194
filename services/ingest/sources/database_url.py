"""Where a database is, from an SQLAlchemy URL: what may stand in one, and where its password is found.

A password is never in the URL, which is kept on record; it is named: ``?password=env:NAME`` or ``?password=file:/path``
of the machine that ingest runs on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from services.ingest.sources.policy import Origin, SourcePolicy
from tidemill.contracts.source_uri import DATABASES, check_secrets
from tidemill.errors import InvalidInput

OPEN_VARIABLES = "TIDEMILL_DATABASE_"
"""Beginning of the names of the variables that a request over HTTP may name: any other may be another one's secret."""
_POSTGRESQL_PORT = 5432
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_MAX_SECRET = 1 << 16


@dataclass(frozen=True)
class DatabaseAddress:
    """A database that may be read. ``name`` is the path of an SQLite file."""

    kind: str
    name: str
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl_mode: str | None = None

    @property
    def shown(self) -> str:
        """For messages."""
        return f"{self.kind} database {self.name!r}" + (f" at {self.host}" if self.host else "")


def parse_database(uri: str, *, policy: SourcePolicy, origin: Origin) -> DatabaseAddress:
    """The database that ``uri`` names, its password looked up.

    Raises:
        InvalidInput: not a URL of a database that is read here, a password or an unknown option in it, a reference that
            leads to no password, or the policy refuses it.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(check_secrets(uri))
        port = url.port
    except (ArgumentError, ValueError) as error:
        # make_url repeats the URL.
        reason = str(error) if not isinstance(error, ArgumentError) and "password" in str(error) else "it is malformed"
        raise InvalidInput(f"the database's uri cannot be used: {reason}") from None
    kind, _, driver = url.drivername.lower().partition("+")
    if kind not in DATABASES or driver not in ("", "psycopg", "pysqlite"):
        raise InvalidInput(f"databases of the kind {url.drivername!r} are not read; known are {', '.join(DATABASES)}")
    options = {key: value if isinstance(value, str) else value[-1] for key, value in url.query.items()}
    unknown = options.keys() - ({"password", "sslmode"} if kind == "postgresql" else set())
    if unknown:
        raise InvalidInput(f"option {min(unknown)!r} of the database's uri is not taken; remove it")
    if kind == "sqlite":
        return _sqlite_file(url.database or "", has_host=bool(url.host), policy=policy, origin=origin)
    name = url.database or ""
    # Either would make libpq read the name as a list of settings of the connection.
    if not name or "=" in name or "://" in name:
        raise InvalidInput("the uri names no database; write postgresql://user@host/name")
    if options.get("sslmode", "prefer") not in _SSL_MODES:
        raise InvalidInput(f"sslmode {options['sslmode']!r} is not known; known are {', '.join(_SSL_MODES)}")
    policy.check_database(url.host or "", port or _POSTGRESQL_PORT, name, origin)
    password = _secret(options["password"], origin) if "password" in options else None
    return DatabaseAddress(kind, name, url.host, port, url.username, password, options.get("sslmode"))


def _sqlite_file(path: str, *, has_host: bool, policy: SourcePolicy, origin: Origin) -> DatabaseAddress:
    if has_host or not path.startswith("/") or "\0" in path:
        raise InvalidInput("an SQLite database is named with four slashes: sqlite:////absolute/path.db")
    real = policy.check_path(Path(path), origin)
    if not real.is_file():
        raise InvalidInput(f"there is no file {path} on the machine that ingest runs on")
    policy.check_size(real.stat().st_size, "the database")
    return DatabaseAddress("sqlite", str(real))


def _secret(reference: str, origin: Origin) -> str:
    kind, _, where = reference.partition(":")
    if origin == "http" and not (kind == "env" and where.startswith(OPEN_VARIABLES)):
        raise InvalidInput(
            f"over HTTP a password is named as env:{OPEN_VARIABLES}…; ask the operator to set such a variable"
        )
    if kind == "env":
        if not os.environ.get(where):
            raise InvalidInput(f"the variable {where}, which is to hold the password, is not set where ingest runs")
        return os.environ[where]
    try:
        with Path(where).open(encoding="utf-8") as file:
            secret = file.read(_MAX_SECRET).rstrip("\r\n")
    except (OSError, UnicodeDecodeError, ValueError):
        raise InvalidInput(f"the file {where}, which is to hold the password, cannot be read by ingest") from None
    if not secret:
        raise InvalidInput(f"the file {where}, which is to hold the password, is empty")
    return secret
