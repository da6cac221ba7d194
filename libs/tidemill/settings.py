"""Settings that every service shares. Each service's own ``settings.py`` holds its part beside them.

Only ``app.py`` reads settings; everything else takes arguments.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import ByteSize, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class PlatformSettings(BaseSettings):
    """Where the platform is: bus, store and the local folder. Environment variables ``TIDEMILL_…``."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_", frozen=True)

    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str | None = None
    nats_password: SecretStr | None = None
    store_url: str = "./.tidemill/store"
    """A folder, ``file://``, or ``s3://bucket/prefix``; S3 credentials and endpoint come from ``AWS_…`` variables."""
    data_dir: Path = Path(".tidemill")
    """Local folder of this machine: artifact cache, scratch, telemetry. Nothing in it is needed elsewhere."""
    ack_wait: timedelta = timedelta(seconds=30)
    """Silence after which a job is given to another worker; heartbeats go out every third of it."""
    log_level: str = "INFO"
    ready_file: Path | None = None
    """A supervisor's question: the service writes its process id there when it consumes."""


class StreamSettings(BaseSettings):
    """How much the streams may hold, for whoever provisions them. Environment variables ``TIDEMILL_STREAM_…``."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_STREAM_", frozen=True)

    replicas: int = Field(default=1, ge=1, le=5)
    """Servers of a NATS cluster that hold each stream and bucket; 3 survives the loss of one."""
    events_bytes: ByteSize = Field(default=ByteSize(1 << 30), ge=1 << 20)
    jobs_bytes: ByteSize = Field(default=ByteSize(1 << 30), ge=1 << 20)
    dead_bytes: ByteSize = Field(default=ByteSize(512 << 20), ge=1 << 20)
    events_age: timedelta = Field(default=timedelta(days=90), ge=timedelta(hours=1))
    """Age after which an event is dropped; longer than the longest outage."""


class ServiceSettings(BaseSettings):
    """What every service's settings inherit."""

    model_config = SettingsConfigDict(frozen=True)

    platform: PlatformSettings = Field(default_factory=PlatformSettings)
    shutdown_grace: timedelta = timedelta(seconds=20)
    """Time to end what is in hand when the service is told to stop: a job saves a checkpoint, a gateway answers."""


class StageSettings(ServiceSettings):
    """What the settings of a service that works on runs inherit."""

    max_attempts: int = Field(default=3, ge=1)
    """Crashes and unforeseen errors of one job before its run fails."""
