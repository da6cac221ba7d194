"""The public keys of an OpenID Connect issuer: fetched over HTTPS, kept in memory, fetched again when one is missing.

Sources: OpenID Connect Discovery 1.0, section 4; RFC 7517 (JWK Set).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from tidemill.errors import InvalidInput, TransientError

log = logging.getLogger(__name__)

PublicKey = RSAKey | ECKey | OKPKey

FLOOR_SECONDS = 10.0
"""Least time between two fetches, so that tokens with invented key ids do not make this gateway a nuisance."""
FRESH_SECONDS = 600.0
"""Age from which the keys are fetched anew behind the scenes: one that the issuer withdrew goes by then."""
USABLE_SECONDS = 24 * 3600.0
"""Age up to which they are used while the issuer does not answer."""
_TIMEOUT = httpx.Timeout(5.0)
_MOST_BYTES = 1 << 20
_LEAST_RSA_BITS = 2048
_WELL_KNOWN = "/.well-known/openid-configuration"


class IssuerKeys:
    """The keys by ``kid``. ``clock`` is monotonic seconds."""

    def __init__(
        self,
        issuer: str,
        *,
        jwks_url: str | None = None,
        ca: Path | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Nothing is fetched yet.

        Raises:
            InvalidInput: ``ca`` cannot be used.
        """
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._trusted = _trusted(ca)
        self._clock = clock
        self._keys: dict[str | None, PublicKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()
        self._behind: asyncio.Task[None] | None = None

    async def get(self, kid: str | None) -> PublicKey | None:
        """The key of that id; None when the issuer has none. Waits for a fetch where the key is not known yet.

        Raises:
            TransientError: the keys are not known, or too old, and the issuer does not answer.
        """
        age = self._age()
        if age is None or age > USABLE_SECONDS or kid not in self._keys:
            await self._refresh()
        elif age > FRESH_SECONDS and (self._behind is None or self._behind.done()):
            self._behind = asyncio.create_task(self._refresh(), name="fetch the issuer's keys")
        age = self._age()
        if age is None or age > USABLE_SECONDS:
            raise TransientError(f"the keys of {self._issuer} cannot be fetched; tokens cannot be checked for now")
        return self._keys.get(kid)

    def _age(self) -> float | None:
        return None if self._fetched_at is None else self._clock() - self._fetched_at

    async def _refresh(self) -> None:
        """Fetch, at most once in ``FLOOR_SECONDS``; those who come meanwhile wait for the same answer."""
        async with self._fetching:
            now = self._clock()
            if self._tried_at is not None and now - self._tried_at < FLOOR_SECONDS:
                return
            self._tried_at = now
            try:
                keys = await self._fetch()
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                log.warning("the keys of %s cannot be fetched: %s", self._issuer, str(error) or type(error).__name__)
                return
            self._keys, self._fetched_at = keys, self._clock()

    async def _fetch(self) -> dict[str | None, PublicKey]:
        async with httpx.AsyncClient(verify=self._trusted, timeout=_TIMEOUT, follow_redirects=False) as http:
            url = self._jwks_url
            if url is None:
                found = await _document(http, self._issuer.rstrip("/") + _WELL_KNOWN)
                if found.get("issuer") != self._issuer:
                    raise ValueError(f"the document there is of the issuer {found.get('issuer')!r}")
                url = str(found.get("jwks_uri"))
                if urlsplit(url).scheme != "https" and urlsplit(self._issuer).scheme == "https":
                    raise ValueError(f"its jwks_uri {url!r} is not an https:// address")
            return _public_keys(await _document(http, url))


def _trusted(ca: Path | None) -> ssl.SSLContext | bool:
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise InvalidInput(
            f"TIDEMILL_INFERENCE_OIDC_CA: {ca} cannot be used: {error.strerror or error}; name certificates in PEM"
        ) from None


async def _document(http: httpx.AsyncClient, url: str) -> dict[str, Any]:
    async with http.stream("GET", url, headers={"Accept": "application/json"}) as response:
        if response.status_code != 200:
            raise ValueError(f"{url} answered {response.status_code}")
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _MOST_BYTES:
                raise ValueError(f"{url} answered more than {_MOST_BYTES:,} bytes")
    document = httpx.Response(200, content=bytes(body)).json()
    if not isinstance(document, dict):
        raise ValueError(f"{url} did not answer with a JSON object")
    return document


def _public_keys(document: dict[str, Any]) -> dict[str | None, PublicKey]:
    """The keys that can check signatures; others, shared secrets above all, are left out."""
    keys: dict[str | None, PublicKey] = {}
    listed = document.get("keys")
    for entry in listed if isinstance(listed, list) else []:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        try:
            key = JWKRegistry.import_key(entry)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            log.warning("a key of the issuer cannot be read and is left out: %s", error)
            continue
        if isinstance(key, RSAKey) and key.public_key.key_size < _LEAST_RSA_BITS:
            log.warning("an RSA key of the issuer has less than %d bits and is left out", _LEAST_RSA_BITS)
        elif isinstance(key, RSAKey | ECKey | OKPKey):
            kid = entry.get("kid")
            keys[kid if isinstance(kid, str) else None] = key
    if not keys:
        raise ValueError("the issuer has no key that can check a signature")
    return keys
