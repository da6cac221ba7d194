"""What a dataset's ``uri`` may never hold: a password. It is part of the event, which is kept on record."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

DATABASES = ("postgresql", "sqlite")
"""Schemes of SQLAlchemy URLs that ingest reads; the statement is ``data.query`` of the recipe."""

_SCHEME = re.compile(r"^\s*([a-z][a-z0-9.\-]*)(?:\+\w+)?://[^?]*(?:\?(.*))?", re.IGNORECASE | re.DOTALL)
_WITH_PASSWORD = re.compile(r"^\s*[a-z][\w+.\-]*://[^:/@]*:[^@]*@", re.IGNORECASE)
"""As SQLAlchemy reads it: a password may hold ``#``, ``?`` and ``/``."""
_REFERENCE = re.compile(r"^(?:env:\w+|file:/.+)$")
_SECRETS = frozenset(("password", "passwd", "pwd", "passfile", "sslpassword"))


def is_database(uri: str) -> bool:
    """Whether ``uri`` names a database, which is read by a query."""
    found = _SCHEME.match(uri)
    return found is not None and found[1].lower() in DATABASES


def check_secrets(uri: str) -> str:
    """``uri``, when no password stands in it. ``http(s)`` is judged by who downloads.

    Raises:
        ValueError: it holds one, which the message does not repeat.
    """
    found = _SCHEME.match(uri)
    if found is None or found[1].lower() in ("http", "https"):
        return uri
    written = _WITH_PASSWORD.match(uri) is not None
    for key, value in parse_qsl(found[2] or "", keep_blank_values=True):
        written = written or (key.lower() in _SECRETS and not (key == "password" and _REFERENCE.match(value)))
    if written:
        raise ValueError(
            "the uri holds a password, which would be kept on record; name where ingest finds it instead: "
            "?password=env:NAME or ?password=file:/path"
        )
    return uri
