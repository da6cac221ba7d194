"""Where the gateway is: named, or looked up in the folder of a platform on this machine.

The file is read again before every connection, since a platform that was started anew may listen on another port.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8000"


def is_loopback(url: str) -> bool:
    """Whether ``url`` is an address that no other machine answers at."""
    try:
        return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return False


@dataclass(frozen=True)
class Address:
    """``url`` if it was named, else that of the platform in ``data_dir``."""

    url: str | None
    data_dir: Path

    @classmethod
    def of(cls, url: str | None, data_dir: Path | str | None) -> Address:
        """What was given, else ``TIDEMILL_URL``, else the local platform's folder."""
        from tidemill.platform.data_dir import DataDir

        named = url or (os.environ.get("TIDEMILL_URL") if data_dir is None else None)
        return cls(named.rstrip("/") if named else None, DataDir.find(data_dir).root)

    def current(self) -> str:
        """The address now."""
        if self.url is not None:
            return self.url
        from tidemill.platform.data_dir import DataDir

        record = DataDir(self.data_dir).record()
        return record.gateway_url if record is not None else DEFAULT_URL

    @property
    def on_this_machine(self) -> bool:
        """Whether it is the platform of a folder here, or a loopback address."""
        return self.url is None or is_loopback(self.url)

    @property
    def coming_up(self) -> bool:
        """Whether a supervisor on this machine is bringing the gateway (back) up, so that waiting is worth it."""
        if self.url is not None:
            return False
        from tidemill.platform.data_dir import DataDir

        record = DataDir(self.data_dir).record()
        return record is not None and record.state in ("starting", "ready") and record.supervisor.alive
