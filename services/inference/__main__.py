"""``python -m services.inference``: the gateway on uvicorn."""

from __future__ import annotations

import logging
import os
import socket
import sys

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette

from services.inference.app import create_app
from services.inference.gateway import Gateway
from services.inference.settings import InferenceSettings


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
        timeout_graceful_shutdown=int(settings.shutdown_grace.total_seconds()),
        backlog=2048,
    )
    return GatewayServer(config, app.state.gateway)


def main() -> int:
    """Run until SIGTERM or SIGINT. 2: the settings are wrong."""
    # Each executor thread tokenizes its own batch; the library's threads would fight the others for the cores.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        settings = InferenceSettings()
    except ValidationError as invalid:
        for error in invalid.errors():
            where = ".".join(map(str, error["loc"]))
            message = error["msg"].removeprefix("Value error, ")
            print(f"inference: {where + ': ' if where else ''}{message}", file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.platform.log_level.upper())
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    create_server(settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
