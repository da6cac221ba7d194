"""Where the platform is that the doctor looks at, and how its parts are reached from here."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic_settings import BaseSettings, SettingsConfigDict

from tidemill.artifacts.location import Folder, parse_location
from tidemill.errors import TidemillError
from tidemill.platform.data_dir import DataDir, PlatformRecord
from tidemill.platform.nats_client import NatsAccount, account_of, connected_once
from tidemill.platform.programs import current_store_url
from tidemill.platform.up import is_running
from tidemill.records import RecordStore, open_records
from tidemill.settings import PlatformSettings, StreamSettings

if TYPE_CHECKING:
    from nats.aio.client import Client

REMOTE = "not seen from here: with --url alone only the gateway can be asked"


def of_project(project: str) -> str:
    """Whose something is, said where it is not the project that everybody has."""
    return "" if project == "default" else f" of project {project}"


def at_gateway_of(project: str) -> str:
    """What an advice adds: a gateway, and so a command, serves one project."""
    return "" if project == "default" else f" (at the gateway of project {project})"


class NotLooked(Exception):
    """A part cannot be looked at, for a reason that is said."""


class _RegistrySettings(BaseSettings):
    """What the doctor has to know of the registry's settings; the same names and defaults."""

    model_config = SettingsConfigDict(env_prefix="TIDEMILL_REGISTRY_", frozen=True)

    reconcile_after: timedelta = timedelta(seconds=60)


@dataclass(frozen=True)
class Site:
    """A platform as it is reached from here; ``data`` is None for one elsewhere, known by its gateway alone."""

    data: DataDir | None
    record: PlatformRecord | None
    gateway_url: str | None
    nats: NatsAccount | None
    store_url: str | None
    silence: timedelta = timedelta(seconds=24)
    reconcile_after: timedelta = timedelta(seconds=60)
    """Silence of a run after which the registry announces again what it has reached."""
    streams: StreamSettings = field(default_factory=StreamSettings)
    data_dir_option: str = ""
    """What a command needs to mean this platform, empty when it does so by itself."""

    @classmethod
    def of(cls, data_dir: Path | None = None, url: str | None = None) -> Site:
        """The platform at ``url`` alone, else the one in ``data_dir``; services elsewhere by ``TIDEMILL_…``."""
        if url is not None:
            return cls(data=None, record=None, gateway_url=url.rstrip("/"), nats=None, store_url=None)
        data = DataDir.find(data_dir)
        record = data.record()
        named = os.environ.get("TIDEMILL_URL") if data_dir is None else None
        return cls(
            data=data,
            record=record,
            gateway_url=named or (record.gateway_url if record is not None and is_running(record) else None),
            nats=account_of(data),
            store_url=current_store_url(data),
            silence=PlatformSettings().silence,
            reconcile_after=_RegistrySettings().reconcile_after,
            data_dir_option=data.option,
        )

    @property
    def running(self) -> bool:
        """Whether a supervisor of this machine runs it."""
        return is_running(self.record)

    @property
    def store_folder(self) -> Path | None:
        """The store's folder if it is one of this machine."""
        if self.store_url is None:
            return None
        location = parse_location(self.store_url)
        return location.path if isinstance(location, Folder) else None

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Client]:
        """A connection to its NATS server.

        Raises:
            NotLooked: there is none to reach from here.
            ConnectionError: nothing answers, or the credentials are refused.
        """
        account = self.nats_account()
        async with connected_once(account.url, account.login) as client:
            yield client

    def nats_account(self) -> NatsAccount:
        """How its NATS server is reached.

        Raises:
            NotLooked: there is none to reach from here.
        """
        if self.nats is None:
            raise NotLooked(REMOTE if self.data is None else "no platform runs here, so there is no NATS to ask")
        return self.nats

    def store(self) -> str:
        """Where its store is.

        Raises:
            NotLooked: it is not known here, or a local folder that was never made.
        """
        if self.store_url is None:
            raise NotLooked(REMOTE)
        folder = self.store_folder
        if folder is not None and not folder.is_dir():
            raise NotLooked(f"there is no store at {folder} yet")
        return self.store_url

    def records(self) -> RecordStore:
        """What is on record in its store.

        Raises:
            NotLooked: the store is not known here, was never made, or cannot be opened.
        """
        url = self.store()
        try:
            return open_records(url)
        except TidemillError as error:
            raise NotLooked(f"the store cannot be opened: {error}") from error

    def folder(self) -> DataDir:
        """Its folder on this machine.

        Raises:
            NotLooked: it is elsewhere.
        """
        if self.data is None:
            raise NotLooked(REMOTE)
        return self.data
