"""uvicorn's HTTP protocol with the bounds that it leaves open: how long requests may take, how large their heads are.

uvicorn bounds the time between two requests alone. A client that never ends its first head, sends a byte of a body now
and then, never reads its answer, or sends headers without an end would hold a connection, or memory, for ever.
"""

from __future__ import annotations

import logging
from asyncio import TimerHandle, Transport
from dataclasses import dataclass
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.inference.web.problems import MEDIA_TYPE

log = logging.getLogger(__name__)

READER_PATIENCE = 60.0
"""Seconds within which a client has to have read what waits for it; then it is gone."""
_LOOKS = 4
"""How often a body is looked at within its patience."""


@dataclass(frozen=True)
class RequestBounds:
    """Times in seconds, sizes in bytes. A body may come with less than ``min_rate`` a second for ``patience``."""

    head_bytes: int
    head_seconds: float
    min_rate: int
    patience: float


class BoundedProtocol(HttpToolsProtocol):
    """One connection. ``bounds`` is set by the class that ``bounded`` makes."""

    bounds: RequestBounds

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._head_begun = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._body_bytes_before = 0
        self._slow_for = 0.0
        self._arrival: TimerHandle | None = None
        self._reading: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._expect_nothing()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that is too large is refused before it is complete."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.bounds.head_bytes:
            self._refuse_large_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or could be read in two ways."""
        self._refuse(400, "invalid-http", f"{msg} The connection is closed.")

    def on_message_begin(self) -> None:
        """The first byte of a request: the rest of its head has to come soon."""
        self._head_begun = True
        if self._arrival is None:
            self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is complete: look at it, and wait for the body."""
        if self.transport.is_closing():
            return
        self._in_head = False
        self._expect_nothing()
        ambiguous = self._ambiguity()
        if ambiguous is not None:
            self._refuse(400, "invalid-http", f"{ambiguous} The connection is closed.", in_head=True)
            return
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self.bounds.head_bytes:
            self._refuse_large_head()
            return
        super().on_headers_complete()
        if self.parser.should_upgrade():  # what follows on this connection is no HTTP/1.1 to the parser
            self.cycle.keep_alive = False
        self._body_bytes = self._body_bytes_before = 0
        self._slow_for = 0.0
        self._look_at_body_later()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if not self.transport.is_closing():
            self._body_bytes += len(body)
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._expect_nothing()
        self._in_head, self._head_begun, self._head_bytes = True, False, 0
        if not self.transport.is_closing():
            super().on_message_complete()

    def pause_writing(self) -> None:
        """More waits for the client than it reads."""
        super().pause_writing()
        self._reading = self.loop.call_later(READER_PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        super().resume_writing()

    def _ambiguity(self) -> str | None:
        """What a proxy before this gateway may read in another way than we do; llhttp refuses the rest of it."""
        names = [name for name, _ in self.headers]
        if names.count(b"host") != 1 and self.parser.get_http_version() != "1.0":
            return f"The request has {names.count(b'host')} Host headers; send one."
        if self.parser.should_upgrade() and (b"content-length" in names or b"transfer-encoding" in names):
            return "A request that asks for another protocol cannot have a body."
        return None

    def _expect_head(self) -> None:
        self._expect_nothing()
        self._arrival = self.loop.call_later(self.bounds.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        seconds = self.bounds.head_seconds
        if self._head_begun:
            self._refuse(408, "slow-request", f"the request's headers were not complete after {seconds:g} s")
        else:
            self._expect_nothing()
            self.transport.close()

    def _look_at_body_later(self) -> None:
        self._arrival = self.loop.call_later(self.bounds.patience / _LOOKS, self._look_at_body)

    def _look_at_body(self) -> None:
        """Count the time for which the body came too slowly; while nobody takes it in, the client is not to blame."""
        interval = self.bounds.patience / _LOOKS
        came, self._body_bytes_before = self._body_bytes - self._body_bytes_before, self._body_bytes
        is_slow = not self.flow.read_paused and came < self.bounds.min_rate * interval
        self._slow_for = self._slow_for + interval if is_slow else 0.0
        if self._slow_for < self.bounds.patience:
            self._look_at_body_later()
            return
        self._refuse(
            408,
            "slow-request",
            f"the request's body came with less than {self.bounds.min_rate:,} bytes a second for "
            f"{self.bounds.patience:g} s; send it faster, or in smaller requests",
        )

    def _refuse_large_head(self) -> None:
        limit = self.bounds.head_bytes
        detail = f"the request's line and headers may have at most {limit:,} bytes"
        self._refuse(431, "head-too-large", detail, in_head=True)

    def _refuse(self, status: int, kind: str, detail: str, *, in_head: bool | None = None) -> None:
        """Answer, where the client can tell what the answer is to, and close the connection."""
        if self.transport.is_closing():
            return
        log.info("refused a request from %s: %s", self.client[0] if self.client else "?", detail)
        if self._can_answer(self._in_head if in_head is None else in_head):
            document = orjson.dumps(
                {
                    "type": f"urn:tidemill:problem:{kind}",
                    "title": kind.replace("-", " ").capitalize(),
                    "status": status,
                    "detail": detail,
                }
            )
            head = b"content-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % (MEDIA_TYPE.encode(), len(document)) + document)
        self._expect_nothing()
        self.transport.close()

    def _can_answer(self, in_head: bool) -> bool:
        """Whether no other answer has begun, or is owed first."""
        if self.pipeline:
            return False
        if in_head:  # ``cycle`` is the request's before
            return self.cycle is None or self.cycle.response_complete
        return self.cycle is not None and not self.cycle.response_started

    def _expect_nothing(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None


def bounded(bounds: RequestBounds) -> type[BoundedProtocol]:
    """The protocol with these bounds, for uvicorn's ``http``."""
    return type("BoundedProtocol", (BoundedProtocol,), {"bounds": bounds})
