"""Who asks, for which project, and what they may do: what a request carries with it once it was let in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import cast

from starlette.requests import HTTPConnection
from starlette.types import Scope as AsgiScope

from tidemill.contracts import SCOPES, Scope

LOCAL = "local"
"""This machine's user, before a gateway on a loopback address that asks nobody for a key."""
EVERYTHING: frozenset[Scope] = frozenset(SCOPES)


@dataclass(frozen=True)
class Caller:
    """One who was let in."""

    actor: str
    """``key:<id>``, ``oidc:<subject>``, ``operator`` or ``local``: goes on record with what they do."""
    project: str
    """Whose runs, models and datasets they see."""
    scopes: frozenset[Scope] = field(default=EVERYTHING)
    one_project: bool = False
    """Whether they are of this project alone, rather than of the platform."""
    body_bytes: int | None = None
    """Largest body of theirs, where that is less than the gateway's limit."""

    def may(self, scopes: Collection[Scope]) -> bool:
        """Whether they have one of ``scopes``; ``admin`` holds the others."""
        return "admin" in self.scopes or not self.scopes.isdisjoint(scopes)


def let_in(scope: AsgiScope, caller: Caller) -> None:
    """Send ``caller`` along with the request."""
    state = scope.setdefault("state", {})
    state["caller"], state["actor"] = caller, caller.actor


def caller_of(request: HTTPConnection) -> Caller:
    """Who asks."""
    return cast(Caller, request.scope["state"]["caller"])


def project_of(request: HTTPConnection) -> str:
    """The project that ``request`` is about."""
    return caller_of(request).project


def actor_of(request: HTTPConnection) -> str:
    """Who asks, as it goes on record."""
    return caller_of(request).actor
