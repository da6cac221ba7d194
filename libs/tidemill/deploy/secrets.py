"""The secrets of a deployment: made once, each in a file, in a folder of its own for everybody who holds one.

A value that several hold is the same in all their folders. What is there is never changed, so that the step can be
repeated at every start; a new holder gets what the others have.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tidemill.errors import InvalidInput, PermanentError

SERVICES = ("ingest", "preprocess", "trainer", "compressor", "registry", "inference")
OPERATOR = "operator"
"""Whoever runs one-shot commands: provisioning, backup, the doctor."""
NATS, STORE, DATABASE, TELEMETRY = "nats", "store", "postgres", "telemetry"

MODE = 0o440
"""The owner's, and readable by the group: the database's server runs as a user of its own, in the owner's group."""
FOLDER_MODE = 0o750


@dataclass(frozen=True)
class Secret:
    """One value, the file that holds it, and who has it."""

    file: str
    holders: tuple[str, ...]
    make: Callable[[], str]


def _random() -> str:
    return secrets.token_urlsafe(32)


def _access_key() -> str:
    return f"tidemill-{secrets.token_hex(5)}"  # S3 access keys have at most 20 characters


SECRETS: tuple[Secret, ...] = (
    Secret("nats-password", (NATS, *SERVICES, OPERATOR), _random),
    Secret("store-access-key", (STORE, *SERVICES, OPERATOR), _access_key),
    Secret("store-secret-key", (STORE, *SERVICES, OPERATOR), _random),
    Secret("database-password", (DATABASE, "registry", OPERATOR), _random),
    Secret("api-key", ("inference", OPERATOR), _random),
    Secret("grafana-password", (TELEMETRY,), _random),
)
HOLDERS = tuple(dict.fromkeys(holder for one in SECRETS for holder in one.holders))


def make_secrets(into: Path, wanted: Sequence[Secret] = SECRETS) -> list[str]:
    """Make what is missing below ``into``, one folder for each holder; names (``holder/file``) of what was made.

    Raises:
        InvalidInput: two holders of one secret have different values, or a file is empty; names them.
        PermanentError: the folder cannot be written.
    """
    made: list[str] = []
    try:
        for secret in wanted:
            made += _hand_out(into, secret)
        made += _write_nats_users(into)
    except OSError as error:
        raise PermanentError(f"secrets cannot be kept in {into}: {error.strerror or error}") from error
    return made


def _hand_out(into: Path, secret: Secret) -> list[str]:
    paths = [into / holder / secret.file for holder in secret.holders]
    known = {path: text for path in paths if (text := _read(path)) is not None}
    values = list(dict.fromkeys(known.values()))
    if len(values) > 1:
        differing = " and ".join(str(path.relative_to(into)) for path in known)
        raise InvalidInput(f"{differing} hold different values of one secret; keep the one in use and remove the other")
    value = values[0] if values else secret.make()
    missing = [path for path in paths if path not in known]
    for path in missing:
        _create(path, value)
    return [str(path.relative_to(into)) for path in missing]


def _write_nats_users(into: Path) -> list[str]:
    """The server's part of its configuration that says who may connect, made of its own secrets."""
    path = into / NATS / "users.conf"
    password = _read(into / NATS / "nats-password")
    if path.exists() or password is None:
        return []
    _create(path, f'authorization {{ users: [{{ user: tidemill, password: "{password}" }}] }}')
    return [str(path.relative_to(into))]


def _read(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8").rstrip("\n")
    except FileNotFoundError:
        return None
    if not text:
        raise InvalidInput(f"the secret {path} is empty; remove the file to have it made again")
    return text


def _create(path: Path, text: str) -> None:
    """Write a whole file or none, and never over one that is there."""
    path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, MODE)
            file.write(text + "\n")
            file.flush()
            os.fsync(descriptor)
        os.link(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
