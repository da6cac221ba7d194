"""Health, metrics, status, and the documentation of all this."""

from __future__ import annotations

import functools
import time

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.inference.access.caller import caller_of
from services.inference.gateway import gateway_of, program_version
from services.inference.routes.models import deployment_views
from services.inference.routes.views import (
    BusStatus,
    QueueStatus,
    StatusView,
)
from services.inference.web.operations import ANYBODY, PUBLIC, Operation, json_response


async def healthz(_: Request) -> Response:
    """The process answers."""
    return json_response({"status": "ok"})


async def readyz(request: Request) -> Response:
    """The deployments known at the start serve or have failed."""
    gateway = gateway_of(request)
    if not gateway.ready.is_set():
        return json_response({"status": "starting"}, 503)
    return json_response({"status": "ready", "bus": "connected" if gateway.bus.connected else "away"})


async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    gateway = gateway_of(request)
    text = gateway.metrics.render() + await gateway.workload.render()
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def status(request: Request) -> Response:
    """The platform as the gateway sees it, and of its models and queues what the caller may see."""
    gateway, caller = gateway_of(request), caller_of(request)
    found = await gateway.probes.latest()
    return json_response(
        StatusView(
            version=program_version(),
            project=caller.project,
            uptime_seconds=round(time.monotonic() - gateway.started, 3),
            bus=BusStatus(connected=gateway.bus.connected),
            registry=found.registry,
            store=found.store,
            consumers=found.consumers(caller.project if caller.one_project else None),
            models=deployment_views(gateway.models, caller.project),
            queue=QueueStatus(
                rows=gateway.batcher.queued_rows,
                limit=gateway.batcher.max_queued_rows,
                threads=gateway.batcher.threads,
            ),
        )
    )


async def openapi_json(_: Request) -> Response:
    """The OpenAPI document."""
    return json_response(_document())


async def docs(_: Request) -> Response:
    """The same for people, in one page without scripts."""
    from services.inference.docs_page import render

    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return HTMLResponse(render(_document()), headers={"Content-Security-Policy": policy})


@functools.cache
def _document() -> dict[str, object]:
    from services.inference.openapi import document  # it lists this module's operations too

    return document()


OPERATIONS = (
    Operation(
        "GET", "/healthz", healthz, "The process answers", "platform", scopes=PUBLIC, answers=dict, problems=(),
    ),
    Operation(
        "GET", "/readyz", readyz, "It serves what it knows of", "platform",
        scopes=PUBLIC, answers=dict, problems=(503,),
    ),
    Operation(
        "GET", "/metrics", metrics, "Prometheus metrics, of all projects", "platform",
        scopes=("read",), of_platform=True, media_type="text/plain", problems=(),
    ),
    Operation(
        "GET", "/v1/status", status, "The platform's state", "platform",
        scopes=ANYBODY, answers=StatusView, problems=(),
    ),
    Operation(
        "GET", "/openapi.json", openapi_json, "This document", "platform", scopes=ANYBODY, answers=dict, problems=(),
    ),
    Operation(
        "GET", "/docs", docs, "This document for people", "platform",
        scopes=ANYBODY, media_type="text/html", problems=(),
    ),
)  # fmt: skip
