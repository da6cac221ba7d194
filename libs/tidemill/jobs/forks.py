"""Pieces of a job in processes of their own, forked from the job's: for work that one interpreter does on one core, or
whose native code may end its process.

A piece sees everything that its job has in memory, and leaves files, messages and a result. What native code started
in the job before (threads of a dataframe library, say) is not there in a piece: whoever uses such code in pieces uses
it nowhere else in the job.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection, Pipe, wait
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from tidemill.contracts import ResourceUsage
from tidemill.jobs.endings import death, raised_by, remote_error
from tidemill.jobs.outcome import JobCrashed
from tidemill.parent_death import dies_with_parent

R = TypeVar("R")
T = TypeVar("T")
Send = Callable[[Any], None]

AHEAD = 2
"""Messages that wait for whoever reads them before their piece waits too."""
_BYTES, _OBJECT, _RESULT, _ERROR = b"b", b"o", b"r", b"e"
_NATIVE = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL"})

_log = logging.getLogger("tidemill.jobs")


class Fork(Generic[R]):
    """``work(send)`` in a child process: iterate over what it sends, then take its ``result``.

    Bytes arrive as a memoryview, anything else pickled and made again.

    A piece that native code ends is worked once more; what it sent before is not sent again, so that ``work`` has to
    send the same things each time.

    Raises, from the iteration and ``result``:
        TidemillError: the one that ``work`` raised; ``JobFailed`` for any other error.
        JobCrashed: the process ended without an answer.
    """

    def __init__(self, work: Callable[[Send], R]) -> None:
        self._work = work
        self._received = 0
        self._again = False
        self._done: list[R] = []
        self._start()

    def __enter__(self) -> Fork[R]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        while self._pid:
            frame = self._frames.get()
            if frame is None:
                self._begin_again(self._bury())
                continue
            kind, body = frame[:1], memoryview(frame)[1:]
            value: Any = body if kind == _BYTES else pickle.loads(body)  # noqa: S301 - pickled by our child a moment ago
            if kind in (_BYTES, _OBJECT):
                self._received += 1
                yield value
                continue
            self.close()
            if kind == _ERROR:
                raise remote_error(value)
            self._done.append(value)

    @property
    def result(self) -> R:
        """What ``work`` returned; messages that nobody took are dropped."""
        for _ in self:
            pass
        if not self._done:
            raise RuntimeError("the piece was closed, or failed, before")
        return self._done[0]

    def close(self) -> None:
        """Kill the process if it is still at work, and wait for it."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            while self._frames.get() is not None:  # what reads for us waits for a place as long as there are messages
                pass
            self._bury()

    def _start(self) -> None:
        reading, writing = Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        end_with_us = dies_with_parent()
        self._pid = os.fork()
        if self._pid == 0:
            _work(self._work, reading, writing, self._received, end_with_us)
        writing.close()
        self._frames: queue.Queue[bytes | None] = queue.Queue(AHEAD)
        reader = threading.Thread(
            target=_read, args=(reading, self._pid, self._frames), name="tidemill-fork", daemon=True
        )
        try:
            reader.start()
        except RuntimeError:  # there can be no more threads
            os.kill(self._pid, signal.SIGKILL)
            self._bury()
            raise

    def _begin_again(self, status: int) -> None:
        error = death(status, ResourceUsage(), "")
        if self._again or not (isinstance(error, JobCrashed) and error.signal in _NATIVE):
            raise error
        _log.warning("a piece of the job was ended by %s and is worked once more", error.signal)
        self._again = True
        self._start()

    def _bury(self) -> int:
        pid, self._pid = self._pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else 0


def each(work: Callable[[T], R], items: Sequence[T], at_once: int) -> list[R]:
    """``work`` on every item in a process of its own, ``at_once`` of them at a time.

    Raises:
        TidemillError: see ``Fork``; of several, that of the first item. The others are ended.
    """
    with contextlib.ExitStack() as stack:
        forks: list[Fork[R]] = []
        results: list[R] = []
        for item in items:
            if len(forks) - len(results) == at_once:
                results.append(forks[len(results)].result)
            forks.append(stack.enter_context(Fork(partial(_quiet, work, item))))
        return results + [fork.result for fork in forks[len(results) :]]


def _quiet(work: Callable[[T], R], item: T, _: Send) -> R:
    return work(item)


def _read(reading: Connection, pid: int, frames: queue.Queue[bytes | None]) -> None:
    """Put everything that the piece sends into ``frames``, and None when nothing comes any more.

    The end of the pipe is not waited for: processes that the piece has forked in its turn, and left, hold it open.
    """
    try:
        with reading, contextlib.suppress(EOFError, OSError), _ends(pid) as ended:
            while reading in wait([reading, *ended]):
                frame = reading.recv_bytes()
                frames.put(frame)
                if frame[:1] in (_RESULT, _ERROR):
                    break
    finally:
        frames.put(None)


@contextlib.contextmanager
def _ends(pid: int) -> Iterator[list[int]]:
    """A descriptor that can be read when the process has ended; none where the system has no such thing."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):  # another system than Linux, or a sandbox that knows no such call
        yield []
        return
    try:
        yield [descriptor]
    finally:
        os.close(descriptor)


def _work(
    work: Callable[[Send], R],
    reading: Connection,
    writing: Connection,
    skipped: int,
    end_with_parent: Callable[[], None] | None,
) -> NoReturn:
    code = 1
    try:
        reading.close()
        if end_with_parent is not None:  # which a job's child would outlive otherwise when it alone is killed
            end_with_parent()
        sent = 0

        def send(message: Any) -> None:
            nonlocal sent
            sent += 1
            if sent > skipped:
                plain = isinstance(message, bytes)
                writing.send_bytes(_BYTES + message if plain else _OBJECT + pickle.dumps(message))

        try:
            last = _RESULT + pickle.dumps(work(send))
        except BaseException as error:
            last = _ERROR + pickle.dumps(raised_by(error))
        sys.stdout.flush()
        sys.stderr.flush()
        writing.send_bytes(last)
        code = 0
    finally:
        os._exit(code)
