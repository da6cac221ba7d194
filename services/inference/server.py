"""The gateway on uvicorn: reads the settings, serves, leaves in order."""

from __future__ import annotations

import logging
import signal
import socket
import sys

import uvicorn
from starlette.applications import Starlette

from services.inference.app import create_app
from services.inference.gateway import Gateway
from services.inference.settings import InferenceSettings
from tidemill.errors import InvalidInput
from tidemill.settings import read_settings


class GatewayServer(uvicorn.Server):
    """uvicorn, with the long streams ended as soon as it is told to stop: they would hold up the others."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, end the streams, answer what is in progress, close."""
        self._gateway.live.close()
        await super().shutdown(sockets)


def create_server(settings: InferenceSettings) -> GatewayServer:
    """The server, not started yet."""
    app: Starlette = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, int(settings.shutdown_grace.total_seconds())),
        backlog=2048,
    )
    return GatewayServer(config, app.state.gateway)


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
    create_server(settings).run()
    return 0
