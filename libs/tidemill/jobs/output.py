"""What a job's code prints: read from a pipe without blocking the event loop, logged line by line."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from multiprocessing.connection import Connection

_log = logging.getLogger("tidemill.jobs.output")
_LINE_BYTES = 8192
_KEPT_LINES = 40


class OutputReader:
    """Logs each line at INFO and keeps the last ones for the message of a crash.

    Of a line that is drawn again and again with carriage returns (a progress bar) only its last state is logged.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._rest = b""
        self._tail: deque[str] = deque(maxlen=_KEPT_LINES)
        os.set_blocking(pipe.fileno(), False)
        asyncio.get_running_loop().add_reader(pipe.fileno(), self._read)

    @property
    def tail(self) -> str:
        """The last lines."""
        return "\n".join(self._tail)

    def close(self) -> None:
        """Take what is still in the pipe and stop reading; a process that kept the other end open is not waited for."""
        if self._pipe.closed:
            return
        while self._read():
            pass
        if not self._pipe.closed:
            self._stop()

    def _read(self) -> bool:
        if self._pipe.closed:
            return False
        try:
            chunk = os.read(self._pipe.fileno(), 65536)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self._stop()
            return False
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > _LINE_BYTES:
            self._line(self._rest)
            self._rest = b""
        return True

    def _stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        self._pipe.close()
        self._line(self._rest)
        self._rest = b""

    def _line(self, line: bytes) -> None:
        text = line.rstrip(b"\r").rsplit(b"\r", 1)[-1][:_LINE_BYTES].decode("utf-8", "replace").rstrip()
        if text:
            self._tail.append(text)
            _log.info("%s", text)
