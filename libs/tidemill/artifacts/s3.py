"""How S3 is reached: certificate authority and credentials, for ``obstore`` and the ``minio`` SDK alike.

Read from the environment when a store is opened, as the ``AWS_…`` variables are:

    TIDEMILL_STORE_CREDENTIALS_FILE  lines AWS_ACCESS_KEY_ID=…, AWS_SECRET_ACCESS_KEY=…, perhaps AWS_SESSION_TOKEN=…;
                                     read again for every request, so that keys may be replaced while a service runs
    TIDEMILL_STORE_CA                PEM file of the authority that signed the server's certificate, if it is one's own
"""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import InvalidInput, TransientError

if TYPE_CHECKING:
    from obstore.store import S3Credential

CREDENTIALS_FILE = "TIDEMILL_STORE_CREDENTIALS_FILE"
AUTHORITY = "TIDEMILL_STORE_CA"
_KEYS = {"AWS_ACCESS_KEY_ID": True, "AWS_SECRET_ACCESS_KEY": True, "AWS_SESSION_TOKEN": False}
"""What a credentials file may hold, and whether it has to."""
_SHOWN = 4
"""Characters of a key's id that are shown."""


class CredentialsFile:
    """Credentials in a file. Call it for those of this moment, as ``obstore`` does for every request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """Where they are."""

    def __call__(self) -> S3Credential:
        """As ``obstore`` takes them: out of date at once, so that the file is read again.

        Raises:
            TransientError: as ``read``.
        """
        found = self.read()
        return {
            "access_key_id": found["AWS_ACCESS_KEY_ID"], "secret_access_key": found["AWS_SECRET_ACCESS_KEY"],
            "token": found.get("AWS_SESSION_TOKEN"), "expires_at": datetime.now(UTC),
        }  # fmt: skip

    def read(self) -> dict[str, str]:
        """The values by their names.

        Raises:
            TransientError: the file cannot be read, or is not of this form; somebody may be replacing it. Says where,
                and never what is in it.
        """
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise self._unusable(getattr(error, "strerror", None) or "it is not text") from None
        found: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            if not (stripped := line.strip().removeprefix("export ").strip()) or stripped.startswith("#"):
                continue
            name, equals, value = (part.strip() for part in stripped.partition("="))
            if not equals or name not in _KEYS:
                raise self._unusable(f"line {number} is not one of {', '.join(f'{key}=…' for key in _KEYS)}")
            found[name] = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
        missing = [name for name, needed in _KEYS.items() if needed and not found.get(name)]
        if missing:
            raise self._unusable(f"{missing[0]} is missing")
        return found

    def _unusable(self, reason: str) -> TransientError:
        return TransientError(f"the store's credentials cannot be read: {self.path}: {reason}; see {CREDENTIALS_FILE}")


def credentials_file() -> CredentialsFile | None:
    """The file that the environment names; None when credentials come from elsewhere.

    Raises:
        InvalidInput: it cannot be used.
    """
    path = os.environ.get(CREDENTIALS_FILE)
    if not path:
        return None
    file = CredentialsFile(Path(path))
    try:
        file.read()
    except TransientError as error:
        raise InvalidInput(str(error)) from None
    return file


def authority() -> bytes | None:
    """Certificates in PEM that are trusted beside the system's; None when there are no others.

    Raises:
        InvalidInput: the file that the environment names cannot be used.
    """
    path = os.environ.get(AUTHORITY)
    if not path:
        return None
    try:
        data = Path(path).read_bytes()
        ssl.create_default_context(cadata=data.decode("ascii") or "nothing")
    except (OSError, ValueError) as error:  # ssl's own error is an OSError
        reason = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError | ValueError) else error.strerror
        raise InvalidInput(
            f"the store's certificate authority cannot be read: {path}: {reason}; see {AUTHORITY}"
        ) from None
    return data


def tls_context() -> ssl.SSLContext:
    """What a client of Python's own verifies servers by: the system's authorities, and ``authority``.

    Raises:
        InvalidInput: as ``authority``.
    """
    data = authority()
    context = ssl.create_default_context()
    if data is not None:
        context.load_verify_locations(cadata=data.decode("ascii"))
    return context


def who() -> str:
    """Whose credentials are used, for people: where they come from and how the key's id begins."""
    path, key = os.environ.get(CREDENTIALS_FILE), os.environ.get("AWS_ACCESS_KEY_ID", "")
    if path:
        try:
            key = CredentialsFile(Path(path)).read()["AWS_ACCESS_KEY_ID"]
        except TransientError:
            key = ""
    source = path or ("AWS_ACCESS_KEY_ID" if key else "this machine's role or configuration")
    return f"the credentials of {source}" + (f" (key {key[:_SHOWN]}…)" if key else "")
