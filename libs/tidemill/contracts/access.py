"""Who may do what: scopes, rates, and the API keys that gateways watch in the KV bucket ``access``."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from tidemill.contracts.references import Frozen, Name

Scope = Literal["read", "predict", "publish", "admin"]
"""What a caller may do: look, ask models, start and steer runs, everything. ``admin`` holds the others."""
SCOPES: tuple[Scope, ...] = get_args(Scope)

KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""Names an API key; no secret."""
KeyName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")
]
"""What people call a key."""
Actor = Annotated[str, StringConstraints(max_length=300)]
"""Who did something: ``key:<id>``, ``oidc:<subject>``, ``operator`` or ``local``."""

_RATE = re.compile(r"\s*(\d{1,9})\s*/\s*(s|m|h|d)\s*", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Rate(Frozen):
    """So many ``requests`` at once, and as many again spread over every ``seconds``: a full bucket and its refill."""

    requests: int = Field(ge=1, le=10**9)
    seconds: float = Field(gt=0, le=86400)

    def __str__(self) -> str:
        units = {float(seconds): unit for unit, seconds in _SECONDS.items()}
        return f"{self.requests}/{units.get(self.seconds, f'{self.seconds:g} s')}"


def parse_rate(text: str) -> Rate:
    """The rate that ``10/s``, ``600/m``, ``1000/h`` or ``5000/d`` says.

    Raises:
        ValueError: it is none; says how one is written.
    """
    found = _RATE.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise ValueError(f"{text!r} is not a rate; write requests a second, minute, hour or day: 10/s, 600/m, 1000/h")
    return Rate(requests=int(found[1]), seconds=_SECONDS[found[2].lower()])


def _read_rate(value: Any) -> Any:
    return parse_rate(value) if isinstance(value, str) else value


WrittenRate = Annotated[
    Rate, BeforeValidator(_read_rate), WithJsonSchema({"type": "string", "examples": ["10/s", "600/m"]})
]
"""A rate that people may write as ``10/s``."""


def _once_in_order(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    return tuple(scope for scope in SCOPES if scope in scopes)


Scopes = Annotated[tuple[Scope, ...], Field(min_length=1), AfterValidator(_once_in_order)]
"""At least one, each once, in their order."""


class KeyGrant(Frozen):
    """What a key may do, how often, and how long."""

    name: KeyName
    scopes: Scopes
    rate: WrittenRate | None = None
    """At each gateway; None for as often as the gateway can."""
    body_bytes: int | None = Field(default=None, ge=1)
    """Largest body of its requests, where that is less than the gateway's own limit."""
    ends_at: datetime | None = None
    """From then on it is refused."""


class AccessKey(Frozen):
    """An API key as gateways know it: everything but its secret."""

    project: Name
    key_id: KeyId
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """sha256 of the secret. It has 256 random bits, so that a slow hash would add nothing."""
    grant: KeyGrant
    issued_at: datetime
    issued_by: Actor
    replaces: KeyId | None = None
    """The key that it was rotated from."""
    ended_at: datetime | None = None
    """When it was revoked, or is no longer taken after a rotation; may lie ahead."""
    ended_because: str = ""

    def refusal(self, now: datetime) -> str | None:
        """Why the key is not taken at ``now``, in words; None while it is."""
        if self.ended_at is not None and now >= self.ended_at:
            return f"it was {self.ended_because or 'revoked'}"
        if self.grant.ends_at is not None and now >= self.grant.ends_at:
            return f"it ended at {self.grant.ends_at:%Y-%m-%d %H:%M} UTC"
        return None


class KeyView(Frozen):
    """An API key as its project's administrators see it."""

    key_id: KeyId
    name: KeyName
    scopes: Scopes
    rate: Rate | None = None
    body_bytes: int | None = None
    ends_at: datetime | None = None
    """The sooner of its own end and that after a rotation or revocation."""
    issued_at: datetime
    issued_by: Actor
    replaces: KeyId | None = None
    state: Literal["pending", "valid", "ended", "revoked", "replaced"]
    """``pending``: the registry has not carried it out yet. ``replaced``: rotated, and its grace is over."""


class NewKey(KeyView):
    """A key that was just issued. ``key`` is shown this once and kept nowhere."""

    key: str
