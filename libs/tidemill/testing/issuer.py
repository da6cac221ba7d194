"""A small OpenID Connect issuer for tests: real keys, real tokens, discovery and JWKS over real HTTPS."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tidemill.platform.nats_server import free_port
from tidemill.testing.certificates import Authority

SigningKey = RSAKey | ECKey | OKPKey | OctKey
ALGORITHMS = ["RS256", "RS384", "ES256", "EdDSA", "Ed25519", "HS256", "PS256"]


@dataclass
class Issuer:
    """``keys`` are published; ``fetched`` counts how often somebody asked for them."""

    authority: Authority
    keys: list[SigningKey] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    fetched: int = 0
    down: bool = False
    extra: list[dict[str, Any]] = field(default_factory=list)
    """Entries of the key set that are no keys of ours."""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        """The file that vouches for it."""
        return self.authority.file

    def token(
        self, key: SigningKey, algorithm: str = "RS256", *, kid: str | None = "", headers: Any = None, **claims: Any
    ) -> str:
        """A token as this issuer makes them; a claim that is None is left out."""
        now = int(time.time())
        usual = {
            "iss": self.url, "aud": "tidemill", "sub": "user-1", "exp": now + 300, "iat": now, "nbf": now,
            "scope": "openid tidemill:read",
        }  # fmt: skip
        said = {name: value for name, value in (usual | claims).items() if value is not None}
        header: dict[str, Any] = {"alg": algorithm, **(headers or {})}
        if kid is not None:
            header["kid"] = kid or key.kid
        registry = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        return jwt.encode(header, said, key, registry=registry)

    @contextmanager
    def running(self) -> Iterator[Issuer]:
        """Serve until the block ends."""
        chain, key = self.authority.issue("issuer")
        app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/keys", self._keys),
                Route("/elsewhere", self._keys),
            ]
        )
        config = uvicorn.Config(
            app, host="127.0.0.1", port=self.port, log_level="error", ws="none", ssl_certfile=chain, ssl_keyfile=key
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield self
        finally:
            server.should_exit = True
            thread.join(10)

    async def _discovery(self, _: Request) -> Response:
        if self.down:
            return Response(status_code=500)
        return JSONResponse({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def _keys(self, _: Request) -> Response:
        self.fetched += 1
        if self.down:
            return Response(status_code=500)
        return JSONResponse({"keys": [*self.extra, *(key.as_dict(private=False) for key in self.keys)]})
