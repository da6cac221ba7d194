"""Where the registry's database is, from a URL: which kinds there are, and where the password is found.

Knows no connection. A password is shown nowhere: neither in a name nor in an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tidemill.errors import InvalidInput, TransientError

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_FORMS = "write sqlite+aiosqlite:///folder/registry.db or postgresql://user@host/name"
_SECRET_OPTIONS = ("password", "sslpassword")
_VARIABLE = "TIDEMILL_REGISTRY_DATABASE_PASSWORD_FILE"
_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class DatabaseAddress:
    """A database. ``password_file`` is read for every connection, so that a password may change while it is used."""

    url: URL = field(repr=False)
    """With the driver that the registry works with."""
    password_file: Path | None = None

    @classmethod
    def parse(
        cls, given: str, *, password: SecretStr | None = None, password_file: Path | None = None
    ) -> DatabaseAddress:
        """The database that a URL names; ``postgresql://`` and ``sqlite://`` are enough, drivers are ours.

        Raises:
            InvalidInput: not a URL of a database that the registry can be in, more than one password, or a file for it
                that cannot be read. The URL is not repeated.
        """
        try:
            url = make_url(given)
        except (ArgumentError, ValueError):  # both repeat it
            raise InvalidInput(f"the registry's database URL is not one; {_FORMS}") from None
        kind, _, driver = url.drivername.partition("+")
        if kind not in _DRIVERS or driver not in ("", _DRIVERS[kind].partition("+")[2]):
            raise InvalidInput(f"the registry's database cannot be of the kind {url.drivername!r}; {_FORMS}")
        if kind != "sqlite" and not url.database:
            raise InvalidInput(f"the registry's database URL names no database; {_FORMS}")
        for option in _SECRET_OPTIONS:
            if option in url.query:
                raise InvalidInput(
                    f"the registry's database URL has the option {option!r}, which logs would show; "
                    f"name a file that holds the password by {_VARIABLE}"
                )
        if sum(each is not None for each in (url.password, password, password_file)) > 1:
            raise InvalidInput(
                "the registry's database has more than one password: give it in TIDEMILL_REGISTRY_DATABASE_URL, in "
                f"TIDEMILL_REGISTRY_DATABASE_PASSWORD or in the file that {_VARIABLE} names"
            )
        if password is not None:
            url = url.set(password=password.get_secret_value())
        address = cls(url.set(drivername=_DRIVERS[kind]), password_file)
        try:
            address.password()
        except TransientError as error:
            raise InvalidInput(str(error)) from None
        return address

    @property
    def is_postgresql(self) -> bool:
        """Whether it is on a PostgreSQL server; otherwise it is SQLite."""
        return self.url.get_backend_name() == "postgresql"

    @property
    def file(self) -> Path | None:
        """SQLite's file; None for one in memory, and for PostgreSQL."""
        name = self.url.database
        return Path(name) if not self.is_postgresql and name and name != ":memory:" else None

    @property
    def name(self) -> str:
        """The URL without its password: safe to show."""
        return self.url.render_as_string(hide_password=True)

    def password(self) -> str | None:
        """The password as it is now; None when there is none, and for libpq to find (``PGPASSFILE``).

        Raises:
            TransientError: its file cannot be read, or is empty; somebody may be replacing it.
        """
        if self.password_file is None:
            return str(self.url.password) if self.url.password is not None else None
        try:
            with self.password_file.open(encoding="utf-8") as file:
                password = file.read(_MOST_BYTES).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise TransientError(
                f"the password of the registry's database cannot be read: {self.password_file}: {reason}; "
                f"see {_VARIABLE}"
            ) from None
        if not password:
            raise TransientError(
                f"the password of the registry's database is missing: {self.password_file} is empty; see {_VARIABLE}"
            )
        return password
