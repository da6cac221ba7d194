"""Virtual environments of the tools that Tidemill is measured beside, and their processes.

None of them is a requirement of Tidemill: each gets an environment of its own, made once, and is left out of the table
with the reason when it cannot be installed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SCRIPTS = Path(__file__).parent / "peers"


class Missing(Exception):
    """This contender cannot run here; says why."""


def environment(folder: Path, name: str, requirements: list[str]) -> Path:
    """The ``bin`` folder of an environment with ``requirements``, made when it is not there.

    Raises:
        Missing: they cannot be installed.
    """
    home = folder / name
    ready = home / ".ready"
    wanted = "\n".join(requirements)
    if not ready.is_file() or ready.read_text() != wanted:
        print(f"installing {' '.join(requirements)} in {home}", file=sys.stderr, flush=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True, text=True)
            subprocess.run(
                [str(home / "bin" / "pip"), "install", "--quiet", *requirements],
                check=True, capture_output=True, text=True, timeout=600,
            )  # fmt: skip
        except (subprocess.SubprocessError, OSError) as error:
            said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            raise Missing(f"{name} cannot be installed: {said[-1] if said else error}") from error
        ready.write_text(wanted)
    return home / "bin"


@contextmanager
def process(
    command: list[str], log: Path, variables: Mapping[str, str] | None = None, *, talks: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A process, ended with the context; it writes to ``log``, or, when it ``talks``, answers on standard output."""
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | dict(variables or {})
    with log.open("w") as written:
        running = subprocess.Popen(
            command, env=environ, cwd=log.parent, text=True, stderr=written,
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL, stdout=subprocess.PIPE if talks else written,
        )  # fmt: skip
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def ask(running: subprocess.Popen[str], count: int, log: Path) -> list[float]:
    """Milliseconds of each of ``count`` runs.

    Raises:
        Missing: the process ended.
    """
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        running.stdin.write(f"{count}\n")
        running.stdin.flush()
    except OSError:
        raise Missing(f"{running.args} ended: {last_words(log)}") from None
    for line in running.stdout:
        if line.startswith("["):
            return [float(value) for value in json.loads(line)]
    raise Missing(f"{running.args} ended: {last_words(log)}")


def last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "without a word"


def wait_for_port(port: int, running: subprocess.Popen[str], log: Path, seconds: float = 90) -> None:
    """Return when something listens there.

    Raises:
        Missing: the process ended or took too long.
    """

    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if running.poll() is not None or time.monotonic() > deadline:
                raise Missing(f"{running.args} does not listen on port {port}: {last_words(log)}") from None
            time.sleep(0.1)
        else:
            return
