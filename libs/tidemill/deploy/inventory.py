"""Which secrets a deployment has and who holds each: a holder's folder is all that its container sees."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

SERVICES = ("ingest", "preprocess", "trainer", "compressor", "registry", "inference")
OPERATOR = "operator"
"""Whoever runs one-shot commands: provisioning, backup, the doctor."""
NATS, STORE, DATABASE, TELEMETRY, RAY = "nats", "store", "postgres", "telemetry", "ray"


@dataclass(frozen=True)
class Secret:
    """One value, the file that holds it, and who has it."""

    file: str
    holders: tuple[str, ...]
    make: Callable[[], str]


@dataclass(frozen=True)
class Derived:
    """A file written from secrets of one holder, in the form that its readers take."""

    file: str
    holders: tuple[str, ...]
    source: str
    parts: tuple[str, ...]
    """Files of ``source`` whose contents ``text`` takes, in this order."""
    text: str


def _random() -> str:
    return secrets.token_urlsafe(32)


def _access_key() -> str:
    return f"tidemill-{secrets.token_hex(5)}"  # S3 access keys have at most 20 characters


SECRETS: tuple[Secret, ...] = (
    Secret("nats-password", (NATS, *SERVICES, OPERATOR), _random),
    Secret("store-access-key", (STORE,), _access_key),
    Secret("store-secret-key", (STORE,), _random),
    Secret("database-password", (DATABASE, "registry", OPERATOR), _random),
    Secret("api-key", ("inference", OPERATOR), _random),
    Secret("grafana-password", (TELEMETRY,), _random),
    Secret("ray-token", (RAY, "preprocess"), _random),
)

DERIVED: tuple[Derived, ...] = (
    # The part of NATS's configuration that says who may connect.
    Derived(
        file="accounts.conf", holders=(NATS,), source=NATS, parts=("nats-password",),
        text='authorization {{ users: [{{ user: tidemill, password: "{}" }}] }}',
    ),
    # As TIDEMILL_STORE_CREDENTIALS_FILE takes them.
    Derived(
        file="store-credentials", holders=(*SERVICES, OPERATOR), source=STORE,
        parts=("store-access-key", "store-secret-key"),
        text="AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n",
    ),
)  # fmt: skip

_HELD = [secret.holders for secret in SECRETS] + [derived.holders for derived in DERIVED]
HOLDERS = tuple(dict.fromkeys(name for holders in _HELD for name in holders))
