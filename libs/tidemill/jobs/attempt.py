"""One call in one child process, from the fork to the last process of its group. Lives on the event loop.

The socket tells how the call ended; the exit status only tells why when the socket tells nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import pickle
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from multiprocessing.connection import Connection, Pipe
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tidemill.contracts import ResourceUsage
from tidemill.errors import Cancelled, HandedBack, PermanentError, TidemillError
from tidemill.jobs import child, forkserver
from tidemill.jobs.endings import death, remote_error
from tidemill.jobs.messages import (
    LENGTH,
    CheckpointAnswer,
    CheckpointReady,
    ChildSettings,
    ChildUsage,
    FromParent,
    GpuHeld,
    Logged,
    Progressed,
    Raised,
    Returned,
    StopRequested,
    decode,
    encode,
)
from tidemill.jobs.outcome import JobCrashed, JobFailed, JobOutcome, Progress, with_account
from tidemill.jobs.output import OutputReader
from tidemill.jobs.usage import TreeSampler

OnProgress = Callable[[Progress], Awaitable[None] | None]
OnCheckpoint = Callable[[Path], Awaitable[None] | None]
OnStep = Callable[[int, Path], Awaitable[None] | None]

_log = logging.getLogger("tidemill.jobs")
_LEAVE_SECONDS = 5.0
"""Time that a child has to end after its answer, and its last message to arrive after its end."""
_SERVER_DIED = 255
_PROGRESS_KEPT = 1000
_SAMPLING_SHARE = 0.05
"""Most of one processor that sampling may take on a machine with very many processes."""


class Attempt:
    """Runs once. ``stop`` and ``cancel`` may be called at any moment, on the same event loop."""

    def __init__(
        self,
        settings: ChildSettings,
        sample_interval: float,
        on_progress: OnProgress | None,
        on_checkpoint: OnCheckpoint | None,
        on_step: OnStep | None = None,
    ) -> None:
        self._settings = settings
        self._interval = sample_interval
        self._on_progress, self._on_checkpoint, self._on_step = on_progress, on_checkpoint, on_step
        self._aborted: asyncio.Future[TidemillError] = asyncio.get_running_loop().create_future()
        self._progress: asyncio.Queue[Progress] = asyncio.Queue(_PROGRESS_KEPT)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._process: ForkServerProcess | None = None
        self._sampler: TreeSampler | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._exited = asyncio.Event()
        self._stopping = False
        self._gpu_seconds = 0.0
        self._started: float | None = None

    @property
    def usage_so_far(self) -> ResourceUsage:
        """What the child and all it started used until the last sample; nothing before it runs."""
        if self._started is None or self._sampler is None:
            return ResourceUsage()
        return self._sampler.usage(time.monotonic() - self._started, ChildUsage(gpu_seconds=self._gpu_seconds))

    @property
    def pid(self) -> int | None:
        """Process id of the child, which is that of its process group; None before it runs."""
        return self._process.pid if self._process is not None else None

    def cancel(self) -> None:
        """Kill the child and all it started; ``run`` raises ``Cancelled``."""
        self._abort(Cancelled("the job was cancelled"))

    def stop(self, grace: float) -> None:
        """Ask the function to hand the job back; after ``grace`` seconds it is killed."""
        self._stopping = True
        self._tell(StopRequested())
        late = HandedBack(f"the job did not stop within {grace:g} s and was killed; it resumes from its checkpoint")
        asyncio.get_running_loop().call_later(grace, self._abort, late)

    async def run(self, call: bytes) -> JobOutcome[Any]:
        """Run the pickled ``call`` in a child; see ``JobRunner.run`` for what is raised."""
        ours, theirs = socket.socketpair()
        printed, printing = Pipe(duplex=False)
        output = OutputReader(printed)
        started = time.monotonic()
        ending: Returned | Raised | None = None
        reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        try:
            await self._launch(theirs, printing, call)
            self._started = started = time.monotonic()
            ending = await self._supervise(reader)
        finally:
            wall = time.monotonic() - started
            self._kill()
            status = await self._bury()
            output.close()
        return self._conclude(ending, status, wall, output.tail)

    async def _launch(self, theirs: socket.socket, printing: Connection, call: bytes) -> None:
        def launch() -> ForkServerProcess:
            try:
                arguments = (theirs, printing, call, self._settings)
                return forkserver.launch(child.main, arguments, "tidemill-job")
            finally:
                theirs.close()
                printing.close()

        launching = asyncio.create_task(asyncio.to_thread(launch))
        # Retrieved or not: a child that starts after an abort finds its socket closed and ends by itself.
        launching.add_done_callback(lambda done: done.cancelled() or done.exception())
        await self._first(launching)
        if not launching.done():
            return
        try:
            self._process = launching.result()
        except (EOFError, OSError) as error:
            modules = ", ".join(self._settings.preload) or "nothing"
            raise JobCrashed(f"the job server died while it loaded {modules}; its reason is in the log") from error
        assert self._process.pid is not None
        self._sampler = TreeSampler(self._process.pid)
        if self._stopping:
            self._tell(StopRequested())

    async def _supervise(self, reader: asyncio.StreamReader) -> Returned | Raised | None:
        if self._process is None:
            return None
        sentinel = self._process.sentinel
        asyncio.get_running_loop().add_reader(sentinel, self._exited.set)
        self._spawn(self._sample())
        self._spawn(self._pass_progress_on())
        exited = self._spawn(self._exited.wait())
        listening = self._spawn(self._listen(reader))
        try:
            await self._first(listening, exited)
            if not listening.done() and not self._aborted.done():
                if await self._lives_without_server():
                    await self._first(listening)
                else:
                    await asyncio.wait({listening}, timeout=_LEAVE_SECONDS)
            ending = listening.result() if listening.done() else None
            if not self._aborted.done():
                await self._first(self._spawn(self._progress.join()), timeout=_LEAVE_SECONDS)
                await self._first(exited, timeout=_LEAVE_SECONDS)
            return ending
        finally:
            asyncio.get_running_loop().remove_reader(sentinel)

    async def _first(self, *tasks: asyncio.Task[Any], timeout: float | None = None) -> None:
        awaited: set[asyncio.Future[Any]] = {*tasks, self._aborted}
        await asyncio.wait(awaited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    async def _listen(self, reader: asyncio.StreamReader) -> Returned | Raised | None:
        """Take messages until the last one; None when the socket closes without it."""
        while True:
            try:
                (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                message = decode(await reader.readexactly(length))
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            match message:
                case Progressed(progress):
                    if self._progress.full():
                        self._progress.get_nowait()
                        self._progress.task_done()
                    self._progress.put_nowait(progress)
                case CheckpointReady():
                    self._spawn(self._store(message))
                case Logged(level, logger, text):
                    logging.getLogger(logger).log(level, "%s", text)
                case GpuHeld(seconds):
                    self._gpu_seconds = seconds
                case Returned() | Raised():
                    return message

    async def _store(self, ready: CheckpointReady) -> None:
        error: str | None = None
        transient = True
        try:
            if ready.step is None:
                await _call(self._on_checkpoint, ready.directory)
            else:
                await _call(self._on_step, ready.step, ready.directory)
        except Exception as failure:
            error = str(failure) or type(failure).__name__
            transient = not isinstance(failure, PermanentError)
            if not isinstance(failure, TidemillError):
                _log.warning("a checkpoint could not be stored", exc_info=failure)
        self._tell(CheckpointAnswer(ready.number, error, transient))

    async def _pass_progress_on(self) -> None:
        while True:
            progress = await self._progress.get()
            try:
                await _call(self._on_progress, progress)
            except Exception as failure:
                _log.warning("progress could not be passed on: %s", failure)
            finally:
                self._progress.task_done()

    async def _sample(self) -> None:
        assert self._sampler is not None
        while not self._exited.is_set():
            before = time.monotonic()
            await asyncio.to_thread(self._sampler.sample)
            took = time.monotonic() - before
            await asyncio.sleep(max(self._interval, took / _SAMPLING_SHARE))

    async def _lives_without_server(self) -> bool:
        """Whether the end that was seen is the forkserver's, not the child's; the job then simply goes on."""
        assert self._process is not None
        assert self._sampler is not None
        status = await asyncio.to_thread(forkserver.exit_status, self._process)
        return status == _SERVER_DIED and self._sampler.alive()

    def _kill(self) -> None:
        """Kill the child's group, and what left the group; also after a good end, since workers may be left over."""
        if self._process is None or self._sampler is None or self._process.pid is None:
            return
        left = {*self._sampler.tree(), *self._sampler.known()}
        # Before the child's first instruction the group does not exist yet; the child itself is in ``left`` then.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in left:
            with contextlib.suppress(Exception):
                process.kill()

    async def _bury(self) -> int | None:
        """Wait for the child's end, release what is held for it, and return its exit code."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
        if self._process is None:
            return None
        return await asyncio.to_thread(forkserver.forget, self._process, _LEAVE_SECONDS)

    def _conclude(
        self, ending: Returned | Raised | None, status: int | None, wall: float, printed: str
    ) -> JobOutcome[Any]:
        own = ending.usage if ending is not None else ChildUsage(gpu_seconds=self._gpu_seconds)
        sampler = self._sampler or TreeSampler(None)
        usage = sampler.usage(wall, own)
        spans = ending.spans if ending is not None else ()
        if self._aborted.done() and (ending is None or isinstance(self._aborted.result(), Cancelled)):
            raise with_account(self._aborted.result(), usage, spans)
        if ending is None:
            raise with_account(death(status, usage, printed), usage)
        if isinstance(ending, Raised):
            raise with_account(remote_error(ending), usage, spans)
        try:
            value = pickle.loads(ending.value)  # noqa: S301 - pickled by our child a moment ago
        except Exception as error:
            failed = JobFailed(f"the job's result cannot be read here: {type(error).__name__}: {error}")
            raise with_account(failed, usage, spans) from error
        return JobOutcome(value, usage, spans)

    def _abort(self, reason: TidemillError) -> None:
        if not self._aborted.done():
            self._aborted.set_result(reason)

    def _tell(self, message: FromParent) -> None:
        if self._process is not None and self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(message))

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task


async def _call(function: Callable[..., Awaitable[None] | None] | None, *arguments: Any) -> None:
    if function is None:
        return
    answer = function(*arguments)
    if inspect.isawaitable(answer):
        await answer
