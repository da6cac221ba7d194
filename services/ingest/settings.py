"""Settings of the ingest service. Read by ``app.py`` alone. Environment variables ``TIDEMILL_INGEST_…``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from services.ingest.sources.policy import SourcePolicy
from tidemill.artifacts.location import Bucket, parse_location
from tidemill.settings import StageSettings


class IngestSettings(StageSettings):
    """What may be read, and how much."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_INGEST_", frozen=True)

    allowed_folders: Annotated[tuple[Path, ...], NoDecode] = ()
    """Folders that a uri that came in over HTTP may name, separated by colons."""
    allow_private_networks: bool = False
    """Whether such a uri may name a private, loopback or link-local network address."""
    allowed_buckets: Annotated[tuple[str, ...], NoDecode] = ()
    """Buckets that such a uri may name, separated by colons; none by default, since the platform's own credentials
    read them. The platform's own store is never among them."""
    inbox_buckets: Annotated[tuple[str, ...], NoDecode] = ()
    """Buckets, separated by colons, whose notifications start runs; none: that of the platform's own store."""
    hub_url: str = Field(default_factory=lambda: os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    """The Hugging Face hub that ``hf://`` names; ``HF_ENDPOINT`` where this is not set."""
    allowed_hub_owners: Annotated[tuple[str, ...], NoDecode] = ()
    """Owners on the hub, separated by colons, whose datasets a uri that came in over HTTP may name with the platform's
    own token (``HF_TOKEN``); all others are read without a token."""
    allowed_databases: Annotated[tuple[str, ...], NoDecode] = ()
    """Databases that such a uri may name, separated by commas: ``host``, ``host:port``, ``host/name`` or
    ``host:port/name``; an SQLite file has to be in one of ``allowed_folders``."""
    min_rate: int = Field(default=16 * 1024, gt=0)
    """Bytes per second that a download over HTTP has to reach on average, once ``patience`` is used up."""
    patience: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Seconds that such a download may last however little comes."""
    max_bytes: int = Field(default=10 * 1024**3, gt=0)
    """Largest dataset in bytes, packed and unpacked."""
    max_files: int = Field(default=200_000, gt=0)
    """Most files of a dataset, packed and unpacked."""
    max_cell: int = Field(default=1_000_000, ge=1_000, le=100_000_000)
    """Largest value of one field, in characters."""

    @field_validator("allowed_folders", "allowed_buckets", "inbox_buckets", "allowed_hub_owners", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @field_validator("allowed_databases", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @property
    def inboxes(self) -> tuple[str, ...]:
        """The buckets whose notifications start runs; none where there are none and the store is a folder."""
        own = parse_location(self.platform.store_url)
        return self.inbox_buckets or ((own.name,) if isinstance(own, Bucket) else ())

    @property
    def policy(self) -> SourcePolicy:
        """The part that concerns sources."""
        return SourcePolicy(
            allowed_folders=self.allowed_folders,
            allow_private_networks=self.allow_private_networks,
            allowed_buckets=self.allowed_buckets,
            hub_url=self.hub_url.rstrip("/"),
            allowed_hub_owners=self.allowed_hub_owners,
            allowed_databases=self.allowed_databases,
            own_store=self.platform.store_url,
            min_rate=self.min_rate,
            patience=self.patience,
            max_bytes=self.max_bytes,
            max_files=self.max_files,
        )
