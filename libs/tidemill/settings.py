"""Settings that every service shares. Each service's own ``settings.py`` holds its part beside them.

Only ``app.py`` reads settings; everything else takes arguments.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import yaml
from pydantic import ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.contracts import Prices
from tidemill.contracts.durations import Duration
from tidemill.errors import InvalidInput


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
    cache_bytes: ByteSize | None = Field(default=None, ge=1 << 20)
    """About how much the artifact cache may hold; what was asked for longest ago goes first. No bound when absent."""
    ack_wait: timedelta = timedelta(seconds=30)
    """How long a worker may be silent: by then another one, if one is free, has its job. See ``silence``."""
    log_level: str = "INFO"
    ready_file: Path | None = None
    """A supervisor's question: the service writes its process id there when it consumes."""

    @property
    def silence(self) -> timedelta:
        """Silence after which the server ends a lease and delivers a job again; heartbeats go out every third of it.

        Four fifths of ``ack_wait``: the rest is for the server's timers and for the other worker to take it.
        """
        return 0.8 * self.ack_wait


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


class PriceSettings(BaseSettings):
    """What resources cost. Environment variables ``TIDEMILL_PRICE_…``, one for each price, go before the price book.

    The defaults are round figures for rented machines in 2026; set your own before you hold anybody to a budget.
    """

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_PRICE_", frozen=True)

    book: Path | None = None
    """A YAML file with the same names in lower case: ``{currency: CHF, cpu_hour: 0.05}``."""
    currency: str | None = None
    cpu_hour: float | None = None
    gpu_hour: float | None = None
    memory_gib_hour: float | None = None
    read_gib: float | None = None
    written_gib: float | None = None
    wall_hour: float | None = None

    def read(self) -> Prices:
        """The price book with what the environment says instead.

        Raises:
            InvalidInput: its file cannot be read, or holds what is no price; names it.
        """
        prices = {name: value for name in Prices.model_fields if (value := getattr(self, name)) is not None}
        listed = _price_book(self.book) if self.book is not None else {}
        unknown = [name for name in listed if name not in Prices.model_fields]
        if unknown:
            raise InvalidInput(
                f"price book {self.book}: {unknown[0]!r} is no price; known: {', '.join(Prices.model_fields)}"
            )
        try:
            return Prices.model_validate({**listed, **prices})
        except ValidationError as invalid:
            first = invalid.errors()[0]
            raise InvalidInput(f"price {first['loc'][0]}: {first['msg']} (got {first['input']!r})") from None


def _price_book(path: Path) -> dict[str, object]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"price book {path} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"price book {path} must be a mapping of prices, e.g. 'cpu_hour: 0.04'")
    return {str(name): value for name, value in document.items()}


class RunSettings(ServiceSettings):
    """What the settings of a service that decides about runs inherit."""

    max_attempts: int = Field(default=3, ge=1)
    """Crashes and unforeseen errors of one job before its run fails."""
    prices: PriceSettings = Field(default_factory=PriceSettings)


class StageSettings(RunSettings):
    """What the settings of a service that works in jobs inherit."""

    time_limit: Duration | None = None
    """Longest that its jobs may work in one run, tries included, where the recipe sets no limit for the stage."""
