"""Who may ask, how many at once, and how long it took: one ASGI middleware around everything.

Without a key the gateway is for programs of this machine. A web page in its user's browser is not one of them, so
requests under a foreign host name (DNS rebinding) or from a foreign origin are refused.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.inference.web.metrics import Metrics
from services.inference.web.problems import problem_response

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
_HEALTH = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})


class AccessMiddleware:
    """Checks the key or the host, bounds the requests in progress, and measures."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        api_key: str | None,
        allowed_hosts: Collection[str],
        max_requests: int,
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._expected = f"Bearer {api_key}".encode() if api_key is not None else None
        self._hosts = _LOOPBACK | {host.lower() for host in allowed_hosts}
        self._max_requests = max_requests
        self._metrics = metrics
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        health = path in _HEALTH
        refused = None if health else self._refusal(scope)
        if refused is not None:
            status, kind, detail = refused
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
            self._metrics.requests.labels(scope["method"], "refused", str(status)).inc()
            await problem_response(status, kind, detail, path, headers=headers)(scope, receive, send)
            return
        if not health and self._in_progress >= self._max_requests:
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

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        headers = Headers(scope=scope)
        if self._expected is not None:
            given = headers.get("authorization", "").encode("latin-1")
            if hmac.compare_digest(given, self._expected):
                return None
            return (
                401,
                "unauthorized",
                (
                    "send the gateway's key (its TIDEMILL_INFERENCE_API_KEY) as 'Authorization: Bearer <key>'; "
                    "the tidemill command and SDK take it from TIDEMILL_API_KEY"
                ),
            )
        host = _host_name(headers.get("host", ""))
        if host not in self._hosts:
            return (
                403,
                "foreign-host",
                (
                    f"host {host!r} is not this machine's; without a key the gateway answers under "
                    "localhost alone (set TIDEMILL_INFERENCE_API_KEY or TIDEMILL_INFERENCE_ALLOWED_HOSTS)"
                ),
            )
        origin = headers.get("origin")
        if origin is not None and _origin_host(origin) not in self._hosts:
            return 403, "foreign-origin", f"a web page of {origin} may not use a gateway without a key"
        return None


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return host


def _origin_host(origin: str) -> str:
    """The origin's host; empty, which is nobody's, when it has none or is no URL."""
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""
