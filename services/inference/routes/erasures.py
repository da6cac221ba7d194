"""Erasing a person's data: ask, look how far it is, list what was erased. The value is in the request's body alone."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from services.inference.access.caller import actor_of, project_of
from services.inference.gateway import Gateway, gateway_of
from services.inference.routes.views import EraseRequest
from services.inference.web.bodies import decode_object, read_body
from services.inference.web.operations import Operation, json_response
from tidemill.contracts import EraseSubject
from tidemill.contracts.erasures import ErasureReport, ErasureView
from tidemill.erasure.requests import ErasureRequest, PendingErasures
from tidemill.erasure.subject import matcher
from tidemill.errors import InvalidInput, NotFound

_BODY_BYTES = 16 << 10


async def ask(request: Request) -> Response:
    """Have a person's data erased."""
    gateway = gateway_of(request)
    try:
        asked = EraseRequest.model_validate(decode_object(await read_body(request, _BODY_BYTES)))
    except ValidationError as invalid:
        error = invalid.errors()[0]  # without what was sent: it may be the value
        raise InvalidInput(f"{'.'.join(map(str, error['loc'])) or 'body'}: {error['msg']}") from None
    matcher(asked.subject, asked.kind)
    wanted = ErasureRequest(
        id=secrets.token_hex(8), project=project_of(request), actor=actor_of(request), subject=asked.subject,
        kind=asked.kind, dry_run=asked.dry_run, asked_at=datetime.now(UTC),
    )  # fmt: skip
    await _pending(gateway).ask(wanted)
    await gateway.bus.command(EraseSubject(project=wanted.project, actor=wanted.actor, erasure=wanted.id))
    return json_response(_waiting(wanted), 202)


async def show(request: Request) -> Response:
    """One erasure: how far it is, or what it did."""
    gateway = gateway_of(request)
    erasure = request.path_params["id"]
    missing = NotFound(f"there is no erasure {erasure[:40]!r}; GET /v1/erasures lists those that were done")
    try:
        report = await gateway.records.erasure(project_of(request), erasure)
    except InvalidInput:  # what cannot be an id
        raise missing from None
    if report is not None:
        return json_response(_done(report))
    pending = _pending(gateway)
    wanted = await pending.request(project_of(request), erasure)
    if wanted is None:
        report = await gateway.records.erasure(project_of(request), erasure)  # it was done in between
        if report is None:
            raise missing
        return json_response(_done(report))
    progress = await pending.progress(project_of(request), erasure)
    view = _waiting(wanted)
    if progress is not None:
        view = view.model_copy(update={"state": "running", **progress.model_dump()})
    return json_response(view)


async def list_erasures(request: Request) -> Response:
    """What was erased, the latest first."""
    gateway = gateway_of(request)
    reports = await gateway.records.erasures(project_of(request))
    return json_response([_done(one).model_dump(mode="json") for one in reversed(reports)])


def _pending(gateway: Gateway) -> PendingErasures:
    return PendingErasures(gateway.store.objects)


def _waiting(request: ErasureRequest) -> ErasureView:
    return ErasureView(
        id=request.id, state="waiting", kind=request.kind, dry_run=request.dry_run, asked_at=request.asked_at
    )


def _done(report: ErasureReport) -> ErasureView:
    return ErasureView(
        id=report.id, state="done", kind=report.kind, dry_run=report.dry_run, asked_at=report.asked_at, report=report
    )


OPERATIONS = (
    Operation(
        "POST", "/v1/erasures", ask, "Erase a person's data from the project", "erasures",
        scopes=("admin",), answers=ErasureView, takes=EraseRequest, status=202, problems=(400, 413, 503),
    ),
    Operation(
        "GET", "/v1/erasures", list_erasures, "What was erased, latest first", "erasures",
        scopes=("admin",), answers=list[ErasureView], problems=(503,),
    ),
    Operation(
        "GET", "/v1/erasures/{id:name}", show, "An erasure: how far it is, or what it did", "erasures",
        scopes=("admin",), answers=ErasureView, problems=(404, 503),
    ),
)  # fmt: skip
