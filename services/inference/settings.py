"""The gateway's settings. Only ``app.py`` and ``server.py`` read them."""

from __future__ import annotations

import ipaddress
import os
from datetime import timedelta
from typing import Annotated

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from tidemill.contracts import Name
from tidemill.settings import ServiceSettings


class InferenceSettings(ServiceSettings):
    """Environment variables ``TIDEMILL_INFERENCE_…``."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_INFERENCE_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_key: SecretStr | None = None
    """When set, every request but health has to carry ``Authorization: Bearer <key>``."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Host names besides loopback ones that requests without a key may use, e.g. behind a proxy on this machine;
    in the environment separated by commas."""
    project: Name = "default"

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

    shutdown_grace: timedelta = timedelta(seconds=8)
    """Time that requests in progress have to end when the service is told to stop."""

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _hosts_by_comma(cls, value: object) -> object:
        return tuple(host.strip() for host in value.split(",") if host.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _the_public_needs_a_key(self) -> InferenceSettings:
        if self.api_key is not None and not self.api_key.get_secret_value():
            raise ValueError("api_key is empty; set TIDEMILL_INFERENCE_API_KEY to a secret of some length or remove it")
        if not is_loopback(self.host) and self.api_key is None:
            raise ValueError(
                f"host {self.host} can be reached from other machines, and there is no authentication; "
                "set TIDEMILL_INFERENCE_API_KEY, or bind 127.0.0.1"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether ``host`` is an address of this machine that no other machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
