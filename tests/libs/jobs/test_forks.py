"""Pieces of a job in processes of their own. The functions run in a process without threads of others, as a job is."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tidemill.errors import InvalidInput, TransientError
from tidemill.jobs import JobCrashed, JobFailed
from tidemill.jobs.forks import AHEAD, Fork, each


def end_by(number: signal.Signals) -> None:
    faulthandler.disable()  # the test runner's, whose report of what is meant to happen nobody wants to read
    os.kill(os.getpid(), number)


def test_messages_come_in_their_order_and_the_result_last() -> None:
    with Fork(lambda send: [send(bytes([number]) * 200_000) for number in range(20)] and os.getpid()) as fork:
        assert [bytes(message[:1]) for message in fork] == [bytes([number]) for number in range(20)]
        assert fork.result != os.getpid()
    with Fork(lambda send: (send({"a": 1}), send(b""), {"b": 2})[-1]) as fork:
        assert list(fork) == [{"a": 1}, b""]
        assert fork.result == {"b": 2}
    with Fork(lambda send: [send(b"x") for _ in range(20)]) as fork:
        next(iter(fork))
    with pytest.raises(RuntimeError, match="closed"):
        _ = fork.result


def test_a_piece_waits_for_its_reader(tmp_path: Path) -> None:
    def work(send) -> None:
        for number in range(50):
            send(b"x" * 1_000_000)
            (tmp_path / "sent").write_text(str(number))

    with Fork(work) as fork:
        messages = iter(fork)
        next(messages)
        time.sleep(0.5)
        assert int((tmp_path / "sent").read_text()) <= AHEAD + 3
        assert sum(1 for _ in messages) == 49


def test_what_a_piece_leaves_behind_is_not_waited_for(tmp_path: Path) -> None:
    def work(_) -> int:
        left = os.fork()
        if left == 0:
            time.sleep(60)
        return left

    begun = time.monotonic()
    left = Fork(work).result
    with Fork(lambda _: (work(_), end_by(signal.SIGKILL))) as crashed, pytest.raises(JobCrashed):
        _ = crashed.result
    assert time.monotonic() - begun < 30
    os.kill(left, signal.SIGKILL)


def test_errors_arrive_as_they_were() -> None:
    def fails(error: BaseException):
        def work(_) -> None:
            raise error

        return Fork(work)

    with pytest.raises(InvalidInput, match=r"^row 3: no such thing$"):
        _ = fails(InvalidInput("row 3: no such thing")).result
    with pytest.raises(TransientError, match=r"disk is full"):
        _ = fails(OSError(28, "No space left on device")).result
    with pytest.raises(JobFailed, match=r"^KeyError: 'label' \(.*test_forks\.py, line \d+\)$") as failed:
        _ = fails(KeyError("label")).result
    assert "raise error" in failed.value.traceback


def test_what_native_code_ends_is_worked_once_more_from_where_it_was(tmp_path: Path) -> None:
    def work(send) -> int:
        (tmp_path / "tries").open("a").write("x")
        for number in range(10):
            if number == 5 and len((tmp_path / "tries").read_text()) == 1:
                time.sleep(0.2)  # what was sent is on its way
                end_by(signal.SIGSEGV)
            send(bytes([number]))
        return os.getpid()

    with Fork(work) as fork:
        assert b"".join(fork) == bytes(range(10))
        assert fork.result
    assert (tmp_path / "tries").read_text() == "xx"


@pytest.mark.parametrize(("number", "tries"), [(signal.SIGABRT, 2), (signal.SIGKILL, 1)])
def test_what_ends_every_time_is_a_crash(tmp_path: Path, number: signal.Signals, tries: int) -> None:
    def work(_) -> None:
        (tmp_path / "tries").open("a").write("x")
        end_by(number)

    with pytest.raises(JobCrashed, match=number.name):
        _ = Fork(work).result
    assert (tmp_path / "tries").read_text() == "x" * tries


def test_many_are_worked_a_few_at_a_time_and_in_order(tmp_path: Path) -> None:
    def work(number: int) -> int:
        (tmp_path / f"begun-{number}").touch()
        time.sleep(0.1)
        (tmp_path / f"ended-{number}").touch()
        begun, ended = len(list(tmp_path.glob("begun-*"))), len(list(tmp_path.glob("ended-*")))
        assert begun - ended < 3
        return number * number

    assert each(work, range(7), 3) == [number * number for number in range(7)]
    assert each(work, [], 3) == []


def test_an_error_of_one_ends_the_others(tmp_path: Path) -> None:
    def work(number: int) -> None:
        (tmp_path / f"pid-{number}").write_text(str(os.getpid()))
        if number == 0:
            while not (tmp_path / "pid-1").exists() or not (tmp_path / "pid-1").read_text():
                time.sleep(0.01)
            raise InvalidInput("no")
        time.sleep(60)

    with pytest.raises(InvalidInput):
        each(work, range(4), 2)
    assert not psutil.pid_exists(int((tmp_path / "pid-1").read_text()))
    assert not (tmp_path / "pid-2").exists()


def test_a_piece_ends_with_its_job(tmp_path: Path) -> None:
    def job(_) -> None:
        piece = Fork(lambda _: ((tmp_path / "pid").write_text(str(os.getpid())), time.sleep(60)))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        assert piece is not None
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(JobCrashed):
        _ = Fork(job).result
    piece = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(piece) and psutil.Process(piece).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
