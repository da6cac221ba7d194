"""A program ends as Python ends one, but for the interpreter, which is not taken apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = "import atexit, sys, threading, time\nfrom tidemill.ending import end_with\n"


def ended(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + program], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [
        ("end_with(lambda: None)", 0, ""),
        ("end_with(lambda: 3)", 3, ""),
        ("end_with(sys.exit)", 0, ""),
        ("end_with(lambda: sys.exit(4))", 4, ""),
        ("end_with(lambda: sys.exit('no such thing'))", 1, "no such thing\n"),
        ("end_with(lambda: 1 / 0)", 1, "ZeroDivisionError: division by zero\n"),
        ("import _thread\nend_with(lambda: (_thread.interrupt_main(), time.sleep(5)))", 130, "KeyboardInterrupt\n"),
    ],
)
def test_the_status_is_what_the_program_says(program: str, status: int, said: str) -> None:
    done = ended(program)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.endswith(said)
    assert bool(done.stderr) == bool(said)


def test_threads_and_exit_functions_have_their_time() -> None:
    done = ended(
        "def program():\n"
        "    atexit.register(print, 'at the end', end='')\n"
        "    threading.Thread(target=lambda: (time.sleep(0.2), print('a thread', end='; '))).start()\n"
        "    print('the program', end='; ')\n"
        "end_with(program)\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "the program; a thread; at the end", "")


def test_an_exit_function_that_fails_is_said_and_the_others_run() -> None:
    done = ended("atexit.register(print, 'first')\natexit.register(lambda: 1 / 0)\nend_with(lambda: None)")
    assert done.stdout == "first\n"
    assert "ZeroDivisionError" in done.stderr


def test_output_that_nobody_reads_is_no_failure_and_output_that_is_lost_is_one(monkeypatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    program = BEGIN + "sys.stdout.write('x' * 100)\nend_with(lambda: None)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", program], stdout=full, check=False, timeout=60)
    assert done.returncode == 1


def test_without_output_the_status_is_the_same() -> None:
    command = [sys.executable, "-c", BEGIN + "end_with(lambda: 3)"]
    closed = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *command], check=False, timeout=60)
    assert closed.returncode == 3


@pytest.mark.full
def test_commands_that_speak_to_a_store_end_with_their_status(tmp_path: Path) -> None:
    """Native threads of the store's client came back to Python while it ended: one of a dozen calls was aborted."""
    statuses = set()
    for _ in range(40):
        done = subprocess.run(
            [sys.executable, "-m", "tidemill.cli", "store", "keys", "list", "--json"],
            env={"TIDEMILL_STORE_URL": str(tmp_path / "store"), "TIDEMILL_DATA_DIR": str(tmp_path), "PATH": ""},
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        statuses.add(done.returncode)
    assert len(statuses) == 1
    assert min(statuses) >= 0
