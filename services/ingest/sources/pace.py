"""Keeps a download from lasting for ever: cuts the connection to a server that is too slow. Knows nothing of policy.

The time-outs of httpx bound the silence between two bytes. A server that sends a byte now and then, in the headers,
in the framing of the body or in the body, keeps within them; so a thread beside the download looks at the clock.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx

from tidemill.errors import InvalidInput


class Pace:
    """The least speed of one download, kept while the context is open.

    Args:
        min_rate: bytes per second, on average since the start, once ``patience`` is used up.
        patience: seconds that it may last however little comes.
    """

    def __init__(self, min_rate: int, patience: float) -> None:
        self._min_rate = min_rate
        self._patience = patience
        self._started = time.monotonic()
        self._socket: socket.socket | None = None
        self._response: httpx.Response | None = None
        self._cut = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="pace", daemon=True)

    def __enter__(self) -> Pace:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Learns the connection's socket; give it to a request as its extension ``trace``."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")

    def watch(self, response: httpx.Response) -> None:
        """Count the bytes of ``response``, the one whose body is taken."""
        self._response = response

    def check(self, what: str) -> None:
        """Raise InvalidInput when the connection was cut."""
        if self._cut:
            raise InvalidInput(
                f"{what} comes at less than {self._min_rate:,} bytes per second, the limit of "
                "TIDEMILL_INGEST_MIN_RATE; upload the file instead, or ask the operator to lower the limit"
            )

    def _keep(self) -> None:
        while not self._done.wait(min(1.0, self._patience / 4)):
            received = self._response.num_bytes_downloaded if self._response else 0
            if time.monotonic() - self._started > self._patience + received / self._min_rate:
                self._cut = True
                self._shut()

    def _shut(self) -> None:
        if self._socket is None:
            return
        with suppress(OSError):  # It may be closed already.
            # Not the method of an SSLSocket, which also takes its state away from the thread that reads.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
