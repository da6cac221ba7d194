"""The gateway's settings. Only ``app.py`` and ``server.py`` read them."""

from __future__ import annotations

import ipaddress
import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tidemill.contracts import Name
from tidemill.settings import ServiceSettings


class OidcSettings(BaseSettings):
    """Whose tokens are taken. Environment variables ``TIDEMILL_INFERENCE_OIDC_…``; without an issuer, nobody's."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_INFERENCE_OIDC_", frozen=True)

    issuer: str | None = None
    """The address that its tokens name as ``iss``; its keys are found below ``/.well-known/openid-configuration``."""
    audience: str | None = None
    """What its tokens for this platform name as ``aud``."""
    jwks_url: str | None = None
    """Where its public keys are, for an issuer that does not say so itself."""
    ca: Path | None = None
    """Certificates of the authorities that may vouch for the issuer; the system's own when absent."""
    scope_claim: str = "scope"
    """Claim with the scopes: words in one text, or a list; ``a.b`` is ``b`` in the claim ``a``."""
    scope_prefix: str = "tidemill:"
    """What stands before ``read``, ``predict``, ``publish`` or ``admin`` there; other words mean nothing here."""
    project_claim: str = "tidemill_project"
    """Claim with the project, or a list of them; a token without it is of the platform."""
    leeway: timedelta = Field(default=timedelta(seconds=30), ge=timedelta(0), le=timedelta(minutes=5))
    """How far the clocks of issuer and gateway may be apart."""

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _over_tls(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "https://")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise ValueError(f"{url} has to begin with https://: whoever answers there says who may come in")
        return url

    @model_validator(mode="after")
    def _for_this_platform_alone(self) -> OidcSettings:
        if self.issuer is not None and not self.audience:
            raise ValueError("an issuer needs TIDEMILL_INFERENCE_OIDC_AUDIENCE: its tokens for others are not for us")
        return self


class InferenceSettings(ServiceSettings):
    """Environment variables ``TIDEMILL_INFERENCE_…``."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_INFERENCE_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_key: SecretStr | None = None
    """The operator's key: may do everything in every project. With it, or an issuer, everybody needs credentials."""
    oidc: OidcSettings = Field(default_factory=OidcSettings)
    tls: Literal["proxy"] | None = None
    """``proxy`` says that something before this gateway ends TLS."""
    tls_cert: Path | None = None
    """This gateway's certificate with its chain, in PEM; read again when it changes."""
    tls_key: Path | None = None
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses or networks whose ``X-Forwarded-For`` and ``-Proto`` are believed; separated by commas."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Host names besides loopback ones that requests without a key may use, e.g. behind a proxy on this machine;
    in the environment separated by commas."""
    project: Name = "default"
    """Of callers who are bound to none and name none."""

    threads: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1, le=1024)
    """Executor threads; each runs one batch at a time on one core."""
    max_batch: int = Field(default=16, ge=1, le=1024)
    """Rows that one call of a model takes at most."""
    max_queued_rows: int = Field(default=512, ge=1)
    """Rows that may wait; what would go beyond is answered 429 at once."""
    max_instances: int = Field(default=512, ge=1)
    """Rows of one request."""
    max_requests: int = Field(default=512, ge=1)
    """Requests in progress at the same time; what would go beyond is answered 503 at once."""
    predict_bytes: int = Field(default=8 << 20, ge=1024)
    """Largest request body, after decompression; uploads have their own limit."""
    upload_bytes: int = Field(default=2 << 30, ge=1024)
    """Largest dataset upload."""
    upload_files: int = Field(default=20_000, ge=1)
    """Most files of one upload; an archive counts as one."""

    header_bytes: int = Field(default=32 << 10, ge=1024)
    """Largest head of a request: its line and headers."""
    header_timeout: timedelta = Field(default=timedelta(seconds=10), gt=timedelta(0))
    """How long a client may take to send the head of a request."""
    body_min_rate: int = Field(default=1024, ge=1)
    """Bytes a second below which a body that is waited for is given up."""
    body_patience: timedelta = Field(default=timedelta(seconds=20), gt=timedelta(0))
    """How long a body may be slower than that."""

    shutdown_grace: timedelta = timedelta(seconds=8)
    """Time that requests in progress have to end when the service is told to stop."""

    @field_validator("allowed_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _hosts_by_comma(cls, value: object) -> object:
        return tuple(host.strip() for host in value.split(",") if host.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _the_public_needs_a_key(self) -> InferenceSettings:
        if self.api_key is not None and not self.api_key.get_secret_value():
            raise ValueError("api_key is empty; set TIDEMILL_INFERENCE_API_KEY to a secret of some length or remove it")
        if not is_loopback(self.host) and self.api_key is None and self.oidc.issuer is None:
            raise ValueError(
                f"host {self.host} can be reached from other machines, and there is no authentication; "
                "set TIDEMILL_INFERENCE_API_KEY (or _OIDC_ISSUER), or bind 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _the_public_needs_tls(self) -> InferenceSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("TIDEMILL_INFERENCE_TLS_CERT and _TLS_KEY belong together; set both, or neither")
        if self.tls == "proxy" and self.tls_cert is not None:
            raise ValueError(
                "TIDEMILL_INFERENCE_TLS=proxy and a certificate of the gateway's own contradict each other; remove one"
            )
        if not is_loopback(self.host) and self.tls is None and self.tls_cert is None:
            raise ValueError(
                f"host {self.host} can be reached from other machines, and keys would travel in the clear; set "
                "TIDEMILL_INFERENCE_TLS_CERT and _TLS_KEY, or TIDEMILL_INFERENCE_TLS=proxy when a proxy before it "
                "ends TLS, or bind 127.0.0.1"
            )
        return self

    @property
    def own_tls(self) -> bool:
        """Whether this gateway ends TLS itself."""
        return self.tls_cert is not None


def is_loopback(host: str) -> bool:
    """Whether ``host`` is an address of this machine that no other machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
