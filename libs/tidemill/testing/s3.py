"""An S3 server for tests, as far as moto is one: fixtures to import into a ``conftest.py``, and one with trouble.

    from tidemill.testing.s3 import bucket, s3, s3_endpoint  # noqa: F401

Knows nothing of Tidemill. What it cannot show is said in ``docs/artifacts.md``.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler, make_server

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """URL of a server on a free port of 127.0.0.1."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        pass


@dataclass(frozen=True)
class _Trouble:
    method: str
    path: str
    answer: Callable[[dict[str, Any], Any, Wsgi], Iterable[bytes]]


class TroubledS3:
    """A server whose next answers can be put wrong. ``url`` is where it is."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[str] = []
        """Method and path of every request."""
        self._troubles: list[_Trouble] = []

    def refuse(self, status: str, code: str, *, times: int = 1, method: str = "") -> None:
        """Answer the next requests (of one method, if given) with an error as S3's API reference has it."""

        def refused(environ: dict[str, Any], start: Any, _moto: Wsgi) -> Iterable[bytes]:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            message = f"the test wants {code}"
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
            start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

        self._troubles += [_Trouble(method, "", refused)] * times

    def damage(self, *, times: int = 1, path: str = "") -> None:
        """Flip a bit in the middle of what the next GET requests (with ``path`` in theirs) bring."""

        def damaged(environ: dict[str, Any], start: Any, moto: Wsgi) -> Iterable[bytes]:
            body = bytearray(b"".join(moto(environ, start)))
            body[len(body) // 2] ^= 1
            return [bytes(body)]

        self._troubles += [_Trouble("GET", path, damaged)] * times

    def answer(self, environ: dict[str, Any], start: Any, moto: Wsgi) -> Iterable[bytes]:
        """One request, by ``moto`` unless there is trouble for it."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append(f"{method} {path}")
        for trouble in self._troubles:
            if trouble.method in ("", method) and trouble.path in path:
                self._troubles.remove(trouble)
                return trouble.answer(environ, start, moto)
        return moto(environ, start)


@contextmanager
def troubled_s3(
    certificate: tuple[Path, Path] | None = None, *, ignoring_conditions: bool = False
) -> Iterator[TroubledS3]:
    """A server on a free port of 127.0.0.1, with TLS if it is given a certificate and its key (PEM files).

    ``ignoring_conditions``: it does as if conditional writes were plain ones.
    """
    moto = DomainDispatcherApplication(create_backend_app)

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if ignoring_conditions:
            environ.pop("HTTP_IF_NONE_MATCH", None)
        return troubled.answer(environ, start, moto)

    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=_Quiet, ssl_context=context)
    troubled = TroubledS3(f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield troubled
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The endpoint, with the ``AWS_…`` environment set for it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tidemill-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return s3_endpoint


@pytest.fixture
def bucket() -> str:
    """A bucket's name that no other test uses; the bucket is not made."""
    return f"tidemill-{uuid4().hex[:12]}"
