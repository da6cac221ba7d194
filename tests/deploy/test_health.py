"""The container's health check: a real process's ready file, a real HTTP answer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest


def health(*arguments: str, **environment: str) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tidemill.deploy.health", *arguments],
        env=kept | environment, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


@pytest.fixture
def service() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_service_that_consumes_is_well(service: subprocess.Popen[bytes], tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.write_text(str(service.pid))
    assert health(TIDEMILL_READY_FILE=str(ready)) == (0, "")


def test_a_service_that_has_not_said_so_is_not(tmp_path: Path) -> None:
    assert health(TIDEMILL_READY_FILE=str(tmp_path / "ready")) == (
        1, f"not ready yet: {tmp_path / 'ready'} is not there",
    )  # fmt: skip


def test_a_process_that_has_ended_is_not_well(service: subprocess.Popen[bytes], tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.write_text(str(service.pid))
    service.kill()  # a zombie until it is waited for
    time.sleep(0.1)
    assert health(TIDEMILL_READY_FILE=str(ready)) == (1, f"process {service.pid}, which was ready, has ended")
    service.wait()
    assert health(TIDEMILL_READY_FILE=str(ready)) == (1, f"process {service.pid}, which was ready, has ended")


def test_a_file_of_the_process_before_says_nothing(service: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """A restarted container's service has the process id that the one before had, and the folder may have stayed."""
    ready = tmp_path / "ready"
    ready.write_text(str(service.pid))
    os.utime(ready, (time.time() - 60, time.time() - 60))
    status, said = health(TIDEMILL_READY_FILE=str(ready))
    assert (status, said) == (1, f"not ready yet: process {service.pid} has not written {ready}")


def test_a_file_with_something_else_in_it(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.write_text("soon")
    assert health(TIDEMILL_READY_FILE=str(ready)) == (1, f"{ready} holds no process id")


class Answer(BaseHTTPRequestHandler):
    status: ClassVar[int] = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "expected"), [(200, (0, "")), (503, (1, "the gateway is not ready: it answers 503"))]
)
def test_a_gateway_says_itself_how_it_is(status: int, expected: tuple[int, str]) -> None:
    server = HTTPServer(("127.0.0.1", 0), type("Answering", (Answer,), {"status": status}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert health("gateway", TIDEMILL_INFERENCE_PORT=str(server.server_port)) == expected
    server.shutdown()
    server.server_close()


def test_a_gateway_that_does_not_answer_is_not_well() -> None:
    with HTTPServer(("127.0.0.1", 0), Answer) as closed:
        port = closed.server_port
    status, said = health("gateway", TIDEMILL_INFERENCE_PORT=str(port))
    assert status == 1
    assert said.startswith(f"the gateway does not answer on port {port}")


@pytest.mark.parametrize("arguments", [(), ("registry",), ("gateway", "now")])
def test_a_check_that_is_called_wrongly_is_no_good_news(arguments: tuple[str, ...]) -> None:
    status, said = health(*arguments)
    assert status == 1
    assert said.startswith("call it with `gateway`")
