"""The gateway on uvicorn: reads the settings, serves, leaves in order."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys

import uvicorn
from starlette.applications import Starlette

from services.inference.app import create_app
from services.inference.certificate import Certificate
from services.inference.gateway import Gateway
from services.inference.settings import InferenceSettings
from services.inference.web.protocol import RequestBounds, bounded
from tidemill.errors import InvalidInput
from tidemill.settings import read_settings


class GatewayServer(uvicorn.Server):
    """uvicorn, with the long streams ended as soon as it is told to stop: they would hold up the others."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, certificate: Certificate | None) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._certificate = certificate
        self._watching: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept, and notice when the certificate is renewed."""
        await super().startup(sockets)
        if self._certificate is not None:
            self._watching = asyncio.create_task(self._certificate.watch(), name="watch the certificate")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, end the streams, answer what is in progress, close."""
        self._gateway.live.close()
        if self._watching is not None:
            self._watching.cancel()
        await super().shutdown(sockets)


def create_server(settings: InferenceSettings) -> GatewayServer:
    """The server, not started yet.

    Raises:
        InvalidInput: the certificate cannot be used.
    """
    certificate = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        certificate = Certificate(settings.tls_cert, settings.tls_key)
    app: Starlette = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=bounded(
            RequestBounds(
                head_bytes=settings.header_bytes,
                head_seconds=settings.header_timeout.total_seconds(),
                min_rate=settings.body_min_rate,
                patience=settings.body_patience.total_seconds(),
            )
        ),
        ssl_context_factory=(lambda *_: certificate.context) if certificate is not None else None,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=max(1, int(settings.shutdown_grace.total_seconds())),
        backlog=2048,
    )
    return GatewayServer(config, app.state.gateway, certificate)


def run() -> int:
    """Serve until SIGTERM or SIGINT, then 0; 2 when the settings are wrong."""
    try:
        settings = read_settings(InferenceSettings)
    except InvalidInput as wrong:
        print(f"inference: {wrong}", file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.platform.log_level.upper())
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # uvicorn raises the signal that ended it once more when all is done; by then, leaving is what was asked for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        server = create_server(settings)
    except InvalidInput as error:
        print(f"inference: {error}", file=sys.stderr)
        return 2
    server.run()
    return 0
