"""Bearer tokens of an OpenID Connect issuer: signature and claims checked, scopes and projects read from the claims.

Sources: RFC 7519 (JWT), RFC 8725 (best current practices), RFC 9068 (access tokens). Asymmetric algorithms only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError
from joserfc.jwt import JWTClaimsRegistry

from services.inference.access import refusals
from services.inference.access.issuer_keys import IssuerKeys
from services.inference.web.problems import HttpProblem
from tidemill.contracts import SCOPES, Scope, valid_name
from tidemill.errors import TransientError

ALGORITHMS = ("RS256", "ES256", "EdDSA", "Ed25519")
_LONGEST_TOKEN = 16 << 10
_LONGEST_SUBJECT = 250


class _Algorithms(jws.JWSRegistry):
    """These algorithms alone, and headers as issuers send them. EdDSA is taken without its warning of a new name."""

    max_header_length = 4096

    def __init__(self) -> None:
        super().__init__(algorithms=list(ALGORITHMS), strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        """The algorithm of that name, if it is one of ours."""
        return self.algorithms[name] if name in ALGORITHMS else super().get_alg(name)


@dataclass(frozen=True)
class TokenRules:
    """What tokens have to say, and where they say the rest. See ``OidcSettings``."""

    issuer: str
    audience: str
    scope_claim: str
    scope_prefix: str
    project_claim: str
    leeway: int
    """Seconds."""


@dataclass(frozen=True)
class Identity:
    """Whose a token is, what they may do, and of which projects they are; none: of the platform."""

    subject: str
    scopes: frozenset[Scope]
    projects: tuple[str, ...]


class Tokens:
    """Checks tokens of one issuer."""

    def __init__(self, rules: TokenRules, keys: IssuerKeys) -> None:
        self._rules = rules
        self._keys = keys
        self._algorithms = _Algorithms()
        self._claims = JWTClaimsRegistry(
            leeway=rules.leeway,
            iss={"essential": True, "value": rules.issuer},
            aud={"essential": True, "value": rules.audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    async def identity(self, token: str) -> Identity:
        """Whose the token is.

        Raises:
            HttpProblem: 401; says what is wrong with the token, never what is in it. 503 when the issuer's keys are
                not known.
        """
        claims = await self._checked(token)
        return Identity(_subject(claims), self._scopes(claims), self._projects(claims))

    async def _checked(self, token: str) -> Mapping[str, Any]:
        if len(token) > _LONGEST_TOKEN:
            raise _refused("it is too long")
        try:
            header = jws.extract_compact(token.encode(), None, self._algorithms).headers()
        except (JoseError, ValueError, TypeError):
            raise _refused("it is neither a key of this platform nor a signed JWT") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise _refused(f"its algorithm is not one of {', '.join(ALGORITHMS)}")
        try:
            key = await self._keys.get(kid if isinstance(kid, str) else None)
        except TransientError as error:
            raise HttpProblem(503, "unavailable", str(error)) from None
        if key is None:
            raise _refused("it is signed with a key that its issuer does not have")
        try:
            decoded = jwt.decode(token, key, registry=self._algorithms)
            self._claims.validate(decoded.claims)
        except ExpiredTokenError:
            raise _refused("it has expired") from None
        except ClaimError as error:
            raise _refused(f"its claim {error.claim!r} is not what this gateway takes") from None
        except (JoseError, ValueError, TypeError):
            raise _refused("its signature is not its issuer's") from None
        return decoded.claims

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        prefix = self._rules.scope_prefix
        words = _words(_claim(claims, self._rules.scope_claim))
        return frozenset(scope for scope in SCOPES if f"{prefix}{scope}" in words)

    def _projects(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """The projects that a token names. One that cannot be read must not make its bearer one of the platform."""
        value = _claim(claims, self._rules.project_claim)
        if value is None:
            return ()
        listed = value if isinstance(value, list) else [value]
        try:
            names = tuple(valid_name(name) for name in listed)
        except (ValueError, TypeError):
            names = ()
        if not names:
            raise _refused(f"its claim {self._rules.project_claim!r} names no project")
        return names


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of that name, else what ``a.b`` leads to."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def _words(value: Any) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()


def _subject(claims: Mapping[str, Any]) -> str:
    """The subject; it goes into records and logs, so it has to be printable."""
    subject = claims["sub"]
    if not subject.isprintable() or len(subject) > _LONGEST_SUBJECT:
        raise _refused("its claim 'sub' is too long or holds characters that cannot be printed")
    return str(subject)


def _refused(why: str) -> HttpProblem:
    return refusals.refused_credentials(f"the token is not taken: {why}")
