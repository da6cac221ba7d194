"""Settings that every service shares. Each service's own ``settings.py`` holds its part beside them.

Only ``app.py`` reads settings; everything else takes arguments.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from tidemill.contracts import Prices
from tidemill.contracts.durations import Duration
from tidemill.errors import InvalidInput
from tidemill.secret_settings import SecretFileSource

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


class EnvironmentSettings(BaseSettings):
    """Settings that are environment variables; a secret may be in the file that its variable with ``_FILE`` names."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments go before files, files before variables (which may then not be set as well)."""
        prefix = getattr(env_settings, "env_prefix", "")
        return init_settings, SecretFileSource(settings_cls, prefix), env_settings


def read_settings(kind: type[SettingsT]) -> SettingsT:
    """The settings that the environment holds.

    Raises:
        InvalidInput: a variable holds what it cannot; names the variable and never repeats its value.
    """
    try:
        return kind()
    except ValidationError as invalid:
        prefix = _prefixes(kind).get(invalid.title, "")
        faults = [_fault(prefix, error["loc"], error["msg"]) for error in invalid.errors()]
        raise InvalidInput("; ".join(faults)) from None
    except SettingsError as error:
        raise InvalidInput(f"{error}; it has to be JSON") from None


def _prefixes(kind: type[BaseSettings]) -> dict[str, str]:
    """Of a settings class and those inside it, how their variables begin."""
    found = {kind.__name__: kind.model_config.get("env_prefix", "")}
    for field in kind.model_fields.values():
        if isinstance(field.default_factory, type) and issubclass(field.default_factory, BaseSettings):
            found |= _prefixes(field.default_factory)
    return found


def _fault(prefix: str, where: tuple[int | str, ...], message: str) -> str:
    said = message.removeprefix("Value error, ")
    return f"{prefix}{'_'.join(map(str, where))}".upper() + f": {said}" if where else said


class PlatformSettings(EnvironmentSettings):
    """Where the platform is: bus, store and the local folder. Environment variables ``TIDEMILL_…``."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_", frozen=True)

    nats_url: str = "nats://127.0.0.1:4222"
    """One server, or those of a cluster, separated by commas."""
    nats_nkey_file: Path | None = None
    """A file with this user's nkey seed; it goes before user and password."""
    nats_user: str | None = None
    nats_password: SecretStr | None = None
    nats_ca: Path | None = None
    """Certificates of the authorities that may have signed the server's. With it, a server without TLS is refused."""
    nats_cert: Path | None = None
    """This client's own certificate, for servers that ask for one."""
    nats_key: Path | None = None
    """The private key of ``nats_cert``."""
    store_url: str = "./.tidemill/store"
    """A folder, ``file://``, or ``s3://bucket/prefix``; S3 credentials and endpoint come from ``AWS_…`` variables."""
    data_dir: Path = Path(".tidemill")
    """Local folder of this machine: artifact cache, scratch, telemetry. Nothing in it is needed elsewhere."""
    cache_bytes: ByteSize | None = Field(default=None, ge=1 << 20)
    """About how much the artifact cache may hold; what was asked for longest ago goes first. No bound when absent."""
    ack_wait: timedelta = timedelta(seconds=30)
    """How long a worker may be silent: by then another one, if one is free, has its job. See ``silence``."""
    log_level: str = "INFO"
    trusted_signers: Path | None = None
    """Folder of the public keys whose signatures of models count; ``signing/trusted`` in the data folder when absent.
    Never in the bucket."""
    ready_file: Path | None = None
    """A supervisor's question: the service writes its process id there when it consumes."""

    @property
    def silence(self) -> timedelta:
        """Silence after which the server ends a lease and delivers a job again; heartbeats go out every third of it.

        Four fifths of ``ack_wait``: the rest is for the server's timers and for the other worker to take it.
        """
        return 0.8 * self.ack_wait


class StreamSettings(EnvironmentSettings):
    """How much the streams may hold, for whoever provisions them. Environment variables ``TIDEMILL_STREAM_…``."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_STREAM_", frozen=True)

    replicas: int = Field(default=1, ge=1, le=5)
    """Servers of a NATS cluster that hold each stream and bucket; 3 survives the loss of one."""
    events_bytes: ByteSize = Field(default=ByteSize(1 << 30), ge=1 << 20)
    jobs_bytes: ByteSize = Field(default=ByteSize(1 << 30), ge=1 << 20)
    dead_bytes: ByteSize = Field(default=ByteSize(512 << 20), ge=1 << 20)
    events_age: timedelta = Field(default=timedelta(days=90), ge=timedelta(hours=1))
    """Age after which an event is dropped; longer than the longest outage."""


class ServiceSettings(EnvironmentSettings):
    """What every service's settings inherit."""

    model_config = SettingsConfigDict(frozen=True)

    platform: PlatformSettings = Field(default_factory=PlatformSettings)
    shutdown_grace: timedelta = timedelta(seconds=20)
    """Time to end what is in hand when the service is told to stop: a job saves a checkpoint, a gateway answers."""


class PriceSettings(EnvironmentSettings):
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
