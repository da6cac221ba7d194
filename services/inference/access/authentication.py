"""From a request's headers to its caller. No request costs I/O, but the first one with a token that needs a new key."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import unquote, urlsplit

from services.inference.access import refusals
from services.inference.access.caller import LOCAL, Caller
from services.inference.access.key_text import PREFIX, KeyText
from services.inference.access.known_keys import KnownKeys
from services.inference.access.rates import Rates
from services.inference.web.problems import HttpProblem
from tidemill.contracts import valid_name
from tidemill.contracts.access import Scope

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
PROJECT_HEADER = "Tidemill-Project"
_WANTED = (b"authorization", b"host", b"origin", b"tidemill-project")


class TokenVerifier(Protocol):
    """Knows whose a token is."""

    async def identity(self, token: str) -> TokenIdentity:
        """Who it is. Raises HttpProblem: 401, or 503 when that cannot be told."""


class TokenIdentity(Protocol):
    """Whose a token is."""

    @property
    def subject(self) -> str:
        """Printable, at most 250 characters."""

    @property
    def scopes(self) -> frozenset[Scope]:
        """What they may do."""

    @property
    def projects(self) -> tuple[str, ...]:
        """The projects that they are of; empty: of the platform."""


class Authenticator:
    """Lets callers in. Without a key of the operator's and without an issuer, this machine's user needs nothing."""

    def __init__(
        self,
        *,
        operator_key: str | None,
        keys: KnownKeys,
        tokens: TokenVerifier | None,
        project: str,
        allowed_hosts: Collection[str],
    ) -> None:
        self._operator_key = operator_key.encode() if operator_key is not None else None
        self._keys = keys
        self._tokens = tokens
        self._project = project
        self._hosts = LOOPBACK | {host.lower() for host in allowed_hosts}
        self._rates = Rates()

    @property
    def open(self) -> bool:
        """Whether this machine's user needs no key."""
        return self._operator_key is None and self._tokens is None

    async def caller(self, raw: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Who sends these headers.

        Raises:
            HttpProblem: 400 for headers that contradict themselves; 401, 403, 429, 503 as ``refusals`` says.
        """
        headers = _once(raw)
        authorization = headers.get(b"authorization")
        named = _named_project(headers.get(b"tidemill-project"))
        if authorization is None:
            if not self.open:
                raise refusals.missing_credentials()
            self._refuse_foreign(headers)
            return Caller(LOCAL, named or self._project)
        scheme, _, credentials = authorization.partition(b" ")
        credentials = credentials.strip()
        if scheme.lower() != b"bearer" or not credentials:
            raise refusals.missing_credentials()
        if self._operator_key is not None and hmac.compare_digest(credentials, self._operator_key):
            return Caller("operator", named or self._project)
        text = credentials.decode("latin-1")
        if text.startswith(PREFIX):
            return self._with_key(text, named)
        if self._tokens is None:
            raise refusals.unknown_key()
        return await self._with_token(self._tokens, text, named)

    def _with_key(self, text: str, named: str | None) -> Caller:
        given = KeyText.parse(text)
        if given is None:
            raise refusals.unknown_key()
        key = self._keys.get(given.key_id)
        if key is None and not self._keys.heard:
            raise refusals.keys_not_heard_of()
        if key is None or not given.matches(key.digest):
            raise refusals.unknown_key()
        refusal = key.refusal(datetime.now(UTC))
        if refusal is not None:
            raise refusals.refused_credentials(f"key {key.key_id} is not taken: {refusal}")
        actor = f"key:{key.key_id}"
        if named is not None and named != key.project:
            raise refusals.foreign_project(actor, key.project)
        rate = key.grant.rate
        if rate is not None and (seconds := self._rates.wait(key.key_id, rate)) is not None:
            raise refusals.too_often(actor, str(rate), seconds)
        return Caller(actor, key.project, frozenset(key.grant.scopes), True, key.grant.body_bytes)

    async def _with_token(self, tokens: TokenVerifier, text: str, named: str | None) -> Caller:
        identity = await tokens.identity(text)
        actor = f"oidc:{identity.subject}"
        projects = identity.projects
        if not projects:
            return Caller(actor, named or self._project, identity.scopes)
        if named is None and len(projects) > 1:
            raise HttpProblem(
                400,
                "project-missing",
                f"{actor} is of several projects; name one with the header {PROJECT_HEADER} "
                f"(--project, TIDEMILL_PROJECT): {', '.join(projects)}",
            )
        if named is not None and named not in projects:
            raise refusals.foreign_project(actor, ", ".join(projects))
        return Caller(actor, named or projects[0], identity.scopes, True)

    def _refuse_foreign(self, headers: dict[bytes, bytes]) -> None:
        host = _host_name(headers.get(b"host", b"").decode("latin-1"))
        if host not in self._hosts:
            raise refusals.foreign_host(host)
        origin = headers.get(b"origin")
        if origin is not None and _origin_host(origin.decode("latin-1")) not in self._hosts:
            raise refusals.foreign_origin(origin.decode("latin-1"))


def _once(raw: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers that matter here. One that came twice says two things, of which a proxy may have read the other."""
    found: dict[bytes, bytes] = {}
    for name, value in raw:
        if name in _WANTED:
            if name in found:
                raise HttpProblem(400, "repeated-header", f"the header {name.decode()} was sent twice; send it once")
            found[name] = value
    return found


def _named_project(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return valid_name(unquote(value.decode("ascii"), errors="strict"))
    except (ValueError, UnicodeDecodeError):
        raise HttpProblem(
            400,
            "invalid-project",
            f"the header {PROJECT_HEADER} names no project: {value[:100].decode('latin-1')!r}; "
            "send a project's name, percent-encoded UTF-8 where it is not ASCII",
        ) from None


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return host


def _origin_host(origin: str) -> str:
    """The origin's host; empty, which is nobody's, when it has none or is no URL."""
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""
