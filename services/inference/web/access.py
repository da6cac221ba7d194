"""Who may ask, how many at once, and how long it took: one ASGI middleware around everything.

Without a key the gateway is for programs of this machine. A web page in its user's browser is not one of them, so
requests under a foreign host name (DNS rebinding) or from a foreign origin are refused.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.inference.access.authentication import Authenticator
from services.inference.access.caller import let_in
from services.inference.web.metrics import Metrics
from services.inference.web.problems import HttpProblem, problem_response, response_to

log = logging.getLogger(__name__)

HSTS = (b"strict-transport-security", b"max-age=31536000")
"""Sent over the gateway's own TLS alone: whether all else under a proxy's name has TLS, only its owner knows."""


class AccessMiddleware:
    """Lets callers in, bounds the requests in progress, and measures."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator,
        public: Collection[str],
        max_requests: int,
        own_tls: bool,
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._public = frozenset(public)
        self._max_requests = max_requests
        self._own_tls = own_tls
        self._metrics = metrics
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._own_tls:
            send = _with_hsts(send)
        path = scope["path"]
        public = path in self._public
        if not public:
            try:
                let_in(scope, await self._authenticator.caller(scope["headers"]))
            except HttpProblem as refusal:
                self._metrics.refuse(scope, refusal)
                self._metrics.requests.labels(scope["method"], "refused", str(refusal.status)).inc()
                await response_to(refusal, path)(scope, receive, send)
                return
        if not public and self._in_progress >= self._max_requests:
            self._metrics.rejections.labels("requests").inc()
            detail = f"{self._max_requests} requests are in progress; try again in a moment"
            await problem_response(503, "busy", detail, path)(scope, receive, send)
            return
        await self._measured(scope, receive, send)

    async def _measured(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 500
        streamed = False

        async def watching_send(message: Message) -> None:
            nonlocal status, streamed
            if message["type"] == "http.response.start":
                status = message["status"]
                streamed = any(
                    name == b"content-type" and value.startswith(b"text/event-stream")
                    for name, value in message["headers"]
                )
                if streamed:  # it lasts as long as a run; it must not use up the places of short requests
                    self._in_progress -= 1
            await send(message)

        self._in_progress += 1
        try:
            await self._app(scope, receive, watching_send)
        finally:
            if not streamed:
                self._in_progress -= 1
            # The router leaves the matched route, which keeps the label's values few.
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.requests.labels(scope["method"], route, str(status)).inc()
            if not streamed:
                took = time.perf_counter() - started
                self._metrics.latency.labels(scope["method"], route, str(status)).observe(took)


def _with_hsts(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], HSTS]
        await send(message)

    return sending
