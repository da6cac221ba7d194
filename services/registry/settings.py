"""Settings of the registry, read by ``app.py`` only."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from services.registry.database_address import DatabaseAddress
from tidemill.settings import RunSettings, StreamSettings


class RegistrySettings(RunSettings):
    """Environment variables ``TIDEMILL_REGISTRY_…``."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_REGISTRY_", frozen=True)

    database_url: SecretStr | None = None
    """``postgresql://user@host/name`` or ``sqlite:///folder/x.db``; ``registry.db`` in the data folder when absent."""
    database_password: SecretStr | None = None
    database_password_file: Path | None = None
    """A file with the password in it, read for every new connection; goes before ``database_password``."""
    signing_key_file: Path | None = None
    """The private key that versions are signed with (PEM); ``signing/key.pem`` in the data folder when absent. Read
    whenever a version is registered, so that a rotation needs no restart."""
    reconcile_every: timedelta = timedelta(seconds=5)
    """How often the elected replica looks at the running runs."""
    reconcile_after: timedelta = timedelta(seconds=60)
    """Silence of a running run after which what it has reached is announced again."""
    streams: StreamSettings = Field(default_factory=StreamSettings)
    """Limits of streams that were lost and are made again."""
    collect_every: timedelta | None = timedelta(days=1)
    """How often the elected replica collects garbage in the store; empty or zero for never."""

    @field_validator("collect_every", mode="before")
    @classmethod
    def _never(cls, value: object) -> object:
        return None if value in ("", "0", 0) else value

    @property
    def database(self) -> DatabaseAddress:
        """Where the database is.

        Raises:
            InvalidInput: the URL is not usable, or there is no password where one is named.
        """
        if self.database_url is None:
            return DatabaseAddress.parse(f"sqlite:///{self.platform.data_dir.absolute() / 'registry.db'}")
        given, file = self.database_url.get_secret_value(), self.database_password_file
        # What is in the file may change while the process runs.
        password = self.database_password if file is None else None
        return DatabaseAddress.parse(given, password=password, password_file=file)
