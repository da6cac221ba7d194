"""Errors as RFC 9457 problem documents: the one place where an error gets an HTTP status.

Open Inference Protocol clients read ``error``, so problem documents below ``/v2`` carry that member too.
"""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route

from services.inference.serving.errors import NotReady, Overloaded
from tidemill.errors import InvalidInput, NotFound, TidemillError, TransientError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "1"


class HttpProblem(TidemillError):
    """An error with a status, and perhaps headers, of its own. ``members`` extend the problem document."""

    def __init__(
        self, status: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.headers = headers
        self.members = members


class InvalidInstances(InvalidInput):
    """The request is well-formed, but something in it has the wrong type or value."""


_KINDS: tuple[tuple[type[Exception], int, str], ...] = (
    (Overloaded, 429, "overloaded"),
    (InvalidInstances, 422, "invalid-instances"),
    (InvalidInput, 400, "invalid-input"),
    (NotFound, 404, "not-found"),
    (NotReady, 503, "not-ready"),
    (TransientError, 503, "unavailable"),
)


def problem_response(
    status: int,
    kind: str | None,
    detail: str,
    instance: str,
    members: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem document; ``kind`` becomes a URN, None means that the status says it all (``about:blank``)."""
    document: dict[str, Any] = {
        "type": f"urn:tidemill:problem:{kind}" if kind else "about:blank",
        "title": kind.replace("-", " ").capitalize() if kind else http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
        **(members or {}),
    }
    if instance.startswith("/v2"):
        document["error"] = detail
    sent = dict(headers or {})
    if status in (429, 503):
        sent.setdefault("Retry-After", RETRY_SECONDS)
    return Response(orjson.dumps(document), status, sent, MEDIA_TYPE)


def response_to(error: Exception, path: str) -> Response:
    """The problem document for ``error``; what is unforeseen says no more than that."""
    if isinstance(error, HttpProblem):
        return problem_response(error.status, error.kind, str(error), path, error.members, error.headers)
    if isinstance(error, HTTPException):
        return _plain(error, path)
    if isinstance(error, ClientDisconnect):  # nobody reads this; it keeps a traceback out of the log
        return problem_response(400, None, "the client left before its request was complete", path)
    for kind, status, name in _KINDS:
        if isinstance(error, kind):
            return problem_response(status, name, str(error), path)
    if isinstance(error, TidemillError):
        return problem_response(500, "failed", str(error), path)
    return problem_response(500, None, "the gateway failed to answer; its log says why", path)


async def answer_error(request: Request, error: Exception) -> Response:
    """Exception handler for every error."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        error.headers = {"Allow": ", ".join(_allowed(request))}
    if isinstance(error, TidemillError) and not isinstance(error, HttpProblem):
        error = _without_address(error, request)
    return response_to(error, request.url.path)


def _without_address(error: TidemillError, request: Request) -> TidemillError:
    """``error`` without where the store is, and what it said itself: folders and hosts of the platform are its own."""
    before, at, _ = str(error).partition(f" at {request.app.state.gateway.store.objects.url}")
    if not at:
        return error
    log.warning("%s %s: %s", request.method, request.url.path, error)
    return type(error)(f"{before}; the gateway's log says more")


def _allowed(request: Request) -> list[str]:
    """The methods that the request's path takes. Each is a route of its own; the router names those of the first."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    found = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in found for method in route.methods or ()})


def _plain(error: HTTPException, path: str) -> Response:
    details = {
        404: f"nothing is at {path}; GET /docs lists what there is",
        405: f"{path} does not take this method",
    }
    detail = details.get(error.status_code, error.detail)
    return problem_response(error.status_code, None, detail, path, headers=error.headers)
