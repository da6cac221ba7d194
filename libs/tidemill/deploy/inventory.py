"""Which secrets a deployment has and who holds each: a holder's folder is all that its container sees."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidemill.artifacts.encryption.sealed import KEY
from tidemill.bus.accounts import ACCOUNTS_FILE, SYSTEM, accounts_text
from tidemill.bus.nkeys import fresh_seed, public_key
from tidemill.bus.permissions import NOTIFIER, OPERATOR, PROVISION, PUBLISHER, SERVICES, permissions
from tidemill.signing import PublicKey, SigningKey

NATS, STORE, DATABASE, TELEMETRY, RAY = "nats", "store", "postgres", "telemetry", "ray"
"""Servers. The other holders are the services, ``PROVISION`` (a step of the deployment) and ``OPERATOR`` (a person)."""


@dataclass(frozen=True)
class Secret:
    """One value, the file that holds it, and who has it."""

    file: str
    holders: tuple[str, ...]
    make: Callable[[], str]


@dataclass(frozen=True)
class Derived:
    """A file made from secrets, in the form that its readers take."""

    file: str
    """Its path in a holder's folder; ``{}`` in it is what ``name`` makes of the parts."""
    holders: tuple[str, ...]
    parts: tuple[str, ...]
    """Files (``holder/file``) whose contents ``text`` and ``name`` take, in this order."""
    text: Callable[[Sequence[str]], str]
    name: Callable[[Sequence[str]], str] = lambda _parts: ""
    public: bool = False
    """It holds nothing secret, and is written anew when its parts or this version say something else."""


def _random() -> str:
    return secrets.token_urlsafe(32)


def _access_key() -> str:
    return f"tidemill-{secrets.token_hex(5)}"  # S3 access keys have at most 20 characters


def _seed() -> str:
    return fresh_seed().decode()


def _signing_key() -> str:
    return SigningKey.new().pem.decode()


def _encryption_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY)).decode()


def _routes() -> str:
    """Who may join the cluster as a server: a server is asked for no user, and sees every message."""
    password = _random()
    routes = ", ".join(f'"nats://route:{password}@{server}:6222"' for server in ("nats", "nats-2", "nats-3"))
    return f'authorization {{ user: route, password: "{password}" }}\nroutes: [{routes}]\n'


SEEDS: dict[str, tuple[str, str]] = {
    **{service: (service, "nats.nk") for service in SERVICES},
    PROVISION: (PROVISION, "nats.nk"),
    NOTIFIER: (STORE, "nats.nk"),
    OPERATOR: (OPERATOR, "nats.nk"),
    PUBLISHER: (OPERATOR, "publisher.nk"),
    SYSTEM: (OPERATOR, "system.nk"),
}
"""Holder and file of the seed of each user of the bus; the last two are the operator's to hand out and to look with."""

SIGNING_KEY = "signing-key.pem"
TRUSTED_SIGNERS = "trusted-signers"
"""Folder of public keys; one that is there stays, so that what a replaced key has signed is still loaded."""
_READERS = (*SERVICES, PROVISION, OPERATOR)
"""Those who read the store."""

SECRETS: tuple[Secret, ...] = (
    *(Secret(file, (holder,), _seed) for holder, file in SEEDS.values()),
    Secret("routes.conf", (NATS,), _routes),
    Secret("store-access-key", (STORE,), _access_key),
    Secret("store-secret-key", (STORE,), _random),
    Secret("encryption-key", _READERS, _encryption_key),
    Secret("database-password", (DATABASE, "registry", PROVISION, OPERATOR), _random),
    Secret(SIGNING_KEY, ("registry",), _signing_key),
    Secret("api-key", ("inference", OPERATOR), _random),
    Secret("grafana-password", (TELEMETRY,), _random),
    Secret("ray-token", (RAY, "preprocess"), _random),
)


def _accounts(seeds: Sequence[str]) -> str:
    keys = {
        user: public_key(seed.encode(), Path(holder, file))
        for (user, (holder, file)), seed in zip(SEEDS.items(), seeds, strict=True)
    }
    users = {keys[user]: (user, allowed) for user, allowed in permissions().items()}
    return accounts_text(users, keys[SYSTEM])


def _signer(parts: Sequence[str]) -> PublicKey:
    return SigningKey.from_pem(parts[0].encode(), f"registry/{SIGNING_KEY}").public


DERIVED: tuple[Derived, ...] = (
    # The part of NATS's configuration that says who may connect, and what each may do.
    Derived(
        file=ACCOUNTS_FILE, holders=(NATS,), parts=tuple("/".join(place) for place in SEEDS.values()),
        text=_accounts, public=True,
    ),
    # As TIDEMILL_STORE_CREDENTIALS_FILE takes them.
    Derived(
        file="store-credentials", holders=_READERS,
        parts=(f"{STORE}/store-access-key", f"{STORE}/store-secret-key"),
        text=lambda parts: "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n".format(*parts),
    ),
    # As TIDEMILL_TRUSTED_SIGNERS takes them.
    Derived(
        file=f"{TRUSTED_SIGNERS}/{{}}.pem", holders=("registry", "inference", OPERATOR),
        parts=(f"registry/{SIGNING_KEY}",), name=lambda parts: _signer(parts).id,
        text=lambda parts: _signer(parts).pem.decode(), public=True,
    ),
)  # fmt: skip

_HELD = [secret.holders for secret in SECRETS] + [derived.holders for derived in DERIVED]
HOLDERS = tuple(dict.fromkeys(name for holders in _HELD for name in holders))
