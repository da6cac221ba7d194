"""The child's end of the socket: sends messages, listens to the parent, and ends everything when the parent is gone."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import socket
import threading
import time
from pathlib import Path
from typing import NoReturn

from tidemill.errors import PermanentError, TransientError
from tidemill.jobs.messages import (
    LENGTH,
    CheckpointAnswer,
    CheckpointReady,
    FromChild,
    GpuHeld,
    Progressed,
    StopRequested,
    decode,
    encode,
)
from tidemill.jobs.outcome import Progress
from tidemill.jobs.usage import GpuClock

TICK_SECONDS = 0.1
"""At most one progress message without metrics in this time."""
_GPU_TICKS = 5


class ParentLink:
    """One thread listens and ticks; any thread may send. Silent in processes that the domain code forks."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._pid = os.getpid()
        self._sending = threading.Lock()
        self._pending: Progress | None = None
        self._sent_at = 0.0
        self._answers: queue.SimpleQueue[CheckpointAnswer] = queue.SimpleQueue()
        self._checkpointing = threading.Lock()
        self._checkpoints = 0
        self.gpu = GpuClock()
        self.stop_requested = False
        threading.Thread(target=self._listen, name="tidemill-parent-link", daemon=True).start()

    @property
    def ours(self) -> bool:
        """False in a process that was forked from this one (a data loader's worker)."""
        return os.getpid() == self._pid

    def send(self, message: FromChild) -> None:
        """Send ``message``; ends this process group when nobody is there to read it."""
        if not self.ours:
            return  # two writers would tear each other's frames
        frame = encode(message)
        try:
            with self._sending:
                self._channel.sendall(frame)
        except OSError:
            end_process_group()

    def progress(self, progress: Progress) -> None:
        """Send ``progress``, or keep it for the next tick when one went out just now. Metrics always go out."""
        now = time.monotonic()
        if progress.metrics or now - self._sent_at >= TICK_SECONDS:
            self._pending, self._sent_at = None, now
            self.send(Progressed(progress))
        else:
            self._pending = progress

    def flush(self) -> None:
        """Send the progress that is kept back, if there is one."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._sent_at = time.monotonic()
            self.send(Progressed(pending))

    def checkpoint(self, directory: Path, step: int | None = None) -> None:
        """Wait until the parent has stored ``directory``, as the outcome of ``step`` where one is named."""
        with self._checkpointing:
            self._checkpoints += 1
            self.send(CheckpointReady(self._checkpoints, directory.absolute(), step))
            answer = self._answers.get()
        if answer.error is not None:
            raise (TransientError if answer.transient else PermanentError)(answer.error)

    def _listen(self) -> None:
        ticks = 0
        while True:
            if select.select([self._channel], [], [], TICK_SECONDS)[0]:
                self._take(self._receive())
            self.flush()
            ticks += 1
            if ticks % _GPU_TICKS == 0 and self.gpu.tick():
                self.send(GpuHeld(self.gpu.seconds))

    def _take(self, body: bytes) -> None:
        message = decode(body)
        if isinstance(message, StopRequested):
            self.stop_requested = True
        elif isinstance(message, CheckpointAnswer):
            self._answers.put(message)

    def _receive(self) -> bytes:
        (length,) = LENGTH.unpack(self._read(LENGTH.size))
        return self._read(length)

    def _read(self, length: int) -> bytes:
        body = b""
        while len(body) < length:
            try:
                part = self._channel.recv(length - len(body))
            except OSError:
                part = b""
            if not part:
                end_process_group()
            body += part
        return body


class ChildReport:
    """The ``ProgressReport`` that a domain function gets in its child process."""

    def __init__(self, link: ParentLink) -> None:
        self._link = link

    def progress(self, fraction: float | None, message: str = "", metrics: dict[str, float] | None = None) -> None:
        """See ``ProgressReport``; a fraction outside 0..1 is brought inside."""
        if fraction is not None:
            fraction = min(1.0, max(0.0, float(fraction)))
        figures = {name: float(value) for name, value in (metrics or {}).items()}
        self._link.progress(Progress(fraction, str(message), figures))

    def checkpoint(self, directory: Path) -> None:
        """See ``ProgressReport``.

        Raises:
            TransientError, PermanentError: the checkpoint could not be stored.
        """
        self._link.checkpoint(Path(directory))

    keeps_steps = True

    def step(self, number: int, directory: Path) -> None:
        """See ``ProgressReport``.

        Raises:
            TransientError, PermanentError: the outcome could not be stored.
        """
        self._link.checkpoint(Path(directory), number)

    @property
    def stop_requested(self) -> bool:
        """See ``ProgressReport``."""
        return self._link.stop_requested


def end_process_group() -> NoReturn:
    """Kill this process and everything it started, also what left its process group (torchrun's workers do)."""
    with contextlib.suppress(Exception):
        import psutil

        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
    os.killpg(0, signal.SIGKILL)
    os._exit(1)
